//! A PostgreSQL server of its own for a test, started as `make run STORE=postgres` starts one.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A fresh server with an empty database `cairn`. Ends when it is dropped.
pub struct Postgres {
    url: String,
    folder: TempDir,
}

/// Ports from here on, so many, lie below those that the kernel gives to connections: one of these would be taken again before a
/// server opens it.
const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 20_000;

/// A port that nobody has now. No two calls give the same.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    let ports =
        (0..PORTS).map(|_| begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS + FIRST_PORT);
    let mut ports = ports.filter_map(|p| u16::try_from(p).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port")
}

impl Postgres {
    /// Starts it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The server's user is another one.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
            .expect("the folder's mode");
        let mut server = Self { url: String::new(), folder };
        server.url = server.script("start").expect("PostgreSQL starts");
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("pg")
    }

    fn script(&self, action: &str) -> Result<String, String> {
        let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres.sh"))
            .arg(action)
            .arg(self.data())
            .env("CAIRN_POSTGRES_FAST", "1")
            .env("CAIRN_POSTGRES_PORT", "0")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// Runs one statement, again until the server takes it; what it prints.
    pub fn sql(&self, statement: &str) -> String {
        let begun = Instant::now();
        loop {
            let done = Command::new("psql")
                .args(["-X", "-A", "-t", "-c", statement, &self.url])
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

    /// What the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("server.log")).unwrap_or_default()
    }

    /// Where the database is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(wrong) = self.script("stop") {
            eprintln!("PostgreSQL was left behind: {wrong}");
        }
    }
}
