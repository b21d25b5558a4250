//! Names the machine and the programs, without which no figure means anything.

use std::process::{Command, Stdio};

use crate::report::checkout;
use crate::server::program;

/// A few lines about where and with what the figures were made.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let lines = [
        ("machine", format!("{}, {cores} cores, {}", field("/proc/cpuinfo", "model name"), memory())),
        ("system", format!("Linux {}, {}", read("/proc/sys/kernel/osrelease"), system())),
        ("versions", format!("{}, {}, {}, {}", cairn(), libvirt(), qemu(), database())),
        ("commit", commit()),
        ("load now", format!("{} (1, 5, 15 minutes; what ran beside the bench is in it)", load())),
    ];
    lines.map(|(name, text)| format!("{name:9} {text}")).join("\n")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|l| l.split([':', '=']).next().is_some_and(|k| k.trim() == name));
    line.and_then(|l| l.split_once([':', '=']))
        .map(|(_, v)| v.trim().trim_matches('"').to_owned())
        .unwrap_or_default()
}

fn memory() -> String {
    let kib: u64 =
        field("/proc/meminfo", "MemTotal").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("{:.1} GiB memory", kib as f64 / f64::from(1 << 20))
}

fn system() -> String {
    field("/etc/os-release", "PRETTY_NAME")
}

fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// First line that a program prints, or a word that it is not there.
fn first_line(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .current_dir(checkout())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let text = out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// What the measured servers keep their data in.
fn database() -> String {
    if std::env::var_os("CAIRN_TEST_STORE").is_some_and(|text| !text.is_empty()) {
        return first_line("psql", &["--version"]);
    }
    format!("SQLite {}", rusqlite::version())
}

fn cairn() -> String {
    first_line(&program("cairn-server").to_string_lossy(), &["--version"]).replace("cairn-server", "Cairn")
}

fn libvirt() -> String {
    format!("libvirt {}", first_line("libvirtd", &["--version"]).rsplit(' ').next().unwrap_or_default())
}

fn qemu() -> String {
    let line = first_line("qemu-system-x86_64", &["--version"]);
    format!("QEMU {}", line.split(' ').nth(3).unwrap_or("unknown"))
}

/// The commit that is checked out, and whether anything was changed since.
pub fn commit() -> String {
    let commit = first_line("git", &["log", "-1", "--format=%h of %cs"]);
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]) != "unknown";
    if changed { format!("{commit}, with changes") } else { commit }
}
