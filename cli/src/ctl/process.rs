//! Finding the server among the processes of this machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::home::{DEFAULT, Home};

/// Name of the server's program.
pub const PROGRAM: &str = "cairn-server";

/// Process id of the server of this data folder: the one in the pid file if it is still that server, or else the one
/// that is found among all processes (systemd or a person may have started it).
pub fn find(home: &Home) -> Option<i32> {
    let noted = std::fs::read_to_string(home.pid()).ok().and_then(|text| text.trim().parse().ok());
    noted.filter(|pid| is_server_of(*pid, home)).or_else(|| scan(home))
}

fn scan(home: &Home) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.into_iter().find(|pid| is_server_of(*pid, home))
}

/// Whether the process is alive, a Cairn server, and works on this folder. Process ids are used again, so a number in a
/// file proves nothing.
pub fn is_server_of(pid: i32, home: &Home) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&OsStr> = line.split(|b| *b == 0).map(OsStr::from_bytes).collect();
    // The program itself, or a script that an interpreter runs.
    let named = words.iter().take(2).any(|w| Path::new(w).file_name() == Some(OsStr::new(PROGRAM)));
    named && !is_zombie(pid) && folder(pid, &words) == home.dir
}

fn folder(pid: i32, words: &[&OsStr]) -> PathBuf {
    let flag = words.iter().position(|w| *w == "--data-dir").and_then(|at| words.get(at + 1));
    let given = flag.map(PathBuf::from).or_else(|| home_of(pid)).unwrap_or_else(|| PathBuf::from(DEFAULT));
    let there = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default().join(given);
    there.canonicalize().unwrap_or(there)
}

/// CAIRN_HOME of a process.
fn home_of(pid: i32) -> Option<PathBuf> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"CAIRN_HOME="))?;
    Some(PathBuf::from(OsStr::from_bytes(value)))
}

fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
