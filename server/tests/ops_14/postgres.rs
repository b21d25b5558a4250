//! A PostgreSQL server of its own for a test.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A fresh database cluster on a free port of the loopback address. Ends when it is dropped.
pub struct Postgres {
    process: Child,
    port: u16,
    _folder: TempDir,
}

/// The newest installed version's folder of programs.
fn programs() -> PathBuf {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (scripts/packages.txt)");
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|v| v.path().join("bin")).filter(|b| b.join("initdb").exists()).collect();
    found.sort();
    found.pop().expect("PostgreSQL is installed (scripts/packages.txt)")
}

/// Number of the user `postgres`: the programs refuse to run as root.
fn user() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|l| l.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map(|f| f.parse().unwrap_or(0));
    is_root.then_some((fields.next()?, fields.next()?))
}

fn run(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// A port that nothing listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

impl Postgres {
    /// Starts it and makes the database `cairn`.
    pub fn start() -> Self {
        let (bin, user, port) = (programs(), user(), free_port());
        let folder = tempfile::tempdir().expect("a folder");
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).expect("the folder's owner");
        }
        let data = folder.path().join("data");
        let made = run(&bin.join("initdb"), user)
            .args(["-A", "trust", "-U", "cairn", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .status();
        assert!(made.expect("initdb runs").success(), "initdb failed");
        let process = run(&bin.join("postgres"), user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-c",
                "max_connections=200",
                "-c",
                "fsync=off",
            ])
            .spawn()
            .expect("postgres starts");
        let server = Self { process, port, _folder: folder };
        server.sql("postgres", "CREATE DATABASE cairn");
        server
    }

    /// Runs one statement, again until the server takes it; what it prints.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let begun = Instant::now();
        loop {
            let done = Command::new("psql")
                .args([
                    "-X",
                    "-A",
                    "-t",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "cairn",
                    "-p",
                    &self.port.to_string(),
                    "-d",
                    database,
                    "-c",
                    statement,
                ])
                .stdin(Stdio::null())
                .output()
                .expect("psql runs");
            if done.status.success() {
                return String::from_utf8_lossy(&done.stdout).trim().to_owned();
            }
            let wrong = String::from_utf8_lossy(&done.stderr);
            assert!(begun.elapsed() < Duration::from_secs(30), "{statement}: {wrong}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where the database is.
    pub fn url(&self) -> String {
        format!("postgres://cairn@127.0.0.1:{}/cairn", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate end: nothing of it is needed any more.
        // SAFETY: kill takes numbers only; the process is a child that was not waited for.
        unsafe { libc::kill(i32::try_from(self.process.id()).unwrap_or(0), libc::SIGQUIT) };
        let _ = self.process.wait();
    }
}
