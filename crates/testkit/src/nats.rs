//! A NATS server of its own for a test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_server::bus::BusAddress;
use serde_json::Value;
use tempfile::TempDir;

/// Name and password of every [`NatsServer`].
const USER: (&str, &str) = ("cairn", "bus p@ss:word");

/// The `nats-server` of the system, on a free port of the loopback address. Ends when it is dropped.
pub struct NatsServer {
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl NatsServer {
    /// Starts one. None, and a line that says so, if the program is not installed.
    pub fn start() -> Option<Self> {
        if !Path::new("/usr/sbin/nats-server").exists() {
            eprintln!(
                "SKIPPED: /usr/sbin/nats-server is not there; install the packages of scripts/packages.txt"
            );
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { process: None, port: 0, folder };
        server.run("-1");
        server.port = server.read_port();
        Some(server)
    }

    fn run(&mut self, port: &str) {
        let child = Command::new("/usr/sbin/nats-server")
            .args(["--addr", "127.0.0.1", "--port", port, "--user", USER.0, "--pass", USER.1])
            .arg("--ports_file_dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        self.process = Some(child);
    }

    fn read_port(&self) -> u16 {
        let begun = Instant::now();
        loop {
            let files = std::fs::read_dir(self.folder.path()).expect("the folder");
            let file = files.flatten().find(|f| f.path().extension().is_some_and(|e| e == "ports"));
            let text = file.and_then(|f| std::fs::read_to_string(f.path()).ok()).unwrap_or_default();
            let known: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            let url = known["nats"][0].as_str().and_then(|u| u.rsplit(':').next()?.parse().ok());
            if let Some(port) = url {
                return port;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "nats-server does not tell its port");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its address, with name and password.
    pub fn address(&self) -> BusAddress {
        self.url().parse().expect("an address")
    }

    /// The same as text.
    pub fn url(&self) -> String {
        let password = USER.1.replace(' ', "%20").replace('@', "%40").replace(':', "%3A");
        format!("nats://{}:{password}@127.0.0.1:{}", USER.0, self.port)
    }

    /// Ends the process; clients lose their connections.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        self.stop();
        self.run(&self.port.to_string());
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
