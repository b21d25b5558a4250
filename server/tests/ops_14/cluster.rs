//! The processes: PostgreSQL, NATS, three servers.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_store::Store;
use cairn_testkit::{Api, NatsServer};
use tempfile::TempDir;

use super::postgres::{Postgres, free_port};

/// How many servers.
pub const SERVERS: usize = 3;
/// Length of a lease, in milliseconds; `CAIRN_LEASE_MS` changes it, to measure.
pub fn lease_ms() -> u64 {
    std::env::var("CAIRN_LEASE_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(3000)
}

/// Everything that runs. Ends when it is dropped.
pub struct Cluster {
    servers: Vec<Server>,
    postgres: Postgres,
    nats: Option<NatsServer>,
    folder: TempDir,
}

struct Server {
    process: Option<Child>,
    api: u16,
    page: u16,
    agents: u16,
    peers: u16,
}

impl Cluster {
    /// Starts all; one leads when this returns.
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = || Server {
            process: None,
            api: free_port(),
            page: free_port(),
            agents: free_port(),
            peers: free_port(),
        };
        let mut cluster = Self {
            servers: (0..SERVERS).map(|_| server()).collect(),
            postgres: Postgres::start(),
            nats: NatsServer::start(),
            folder: tempfile::tempdir().unwrap(),
        };
        for n in 0..SERVERS {
            cluster.begin(n);
            cluster.until_answered(n).await;
        }
        cluster
    }

    fn folder_of(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("server-{n}"))
    }

    /// What a server said.
    pub fn log(&self, n: usize) -> String {
        std::fs::read_to_string(self.folder_of(n).join("server.log")).unwrap_or_default()
    }

    /// Starts a server that does not run.
    pub fn begin(&mut self, n: usize) {
        let (folder, first) = (self.folder_of(n), self.folder_of(0));
        std::fs::create_dir_all(folder.join("pki")).unwrap();
        if n > 0 && !folder.join("secret.key").exists() {
            for file in ["secret.key", "pki/ca.pem", "pki/ca.key"] {
                std::fs::copy(first.join(file), folder.join(file)).unwrap();
            }
        }
        let log = File::options().create(true).append(true).open(folder.join("server.log")).unwrap();
        let server = &mut self.servers[n];
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-server"));
        command.arg("--data-dir").arg(&folder).args(["--api", &at(server.api), "--page", &at(server.page)]);
        command.args(["--agents", &at(server.agents), "--peers", &at(server.peers)]);
        command.env("CAIRN_STORE", self.postgres.url()).env("CAIRN_LEASE_MS", lease_ms().to_string());
        command.env("CAIRN_LOG", "info");
        if let Some(nats) = &self.nats {
            command.env("CAIRN_NATS", nats.url());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        server.process = Some(command.spawn().unwrap());
    }

    /// A client of one server, without a session. It waits for no answer longer than 15 seconds.
    pub fn api(&self, n: usize) -> Api {
        Api::new(&format!("127.0.0.1:{}", self.servers[n].api)).patient(Duration::from_secs(15))
    }

    /// Where agents find the servers.
    pub fn agent_addresses(&self) -> Vec<String> {
        self.servers.iter().map(|s| format!("127.0.0.1:{}", s.agents)).collect()
    }

    /// Waits until a server answers, whoever leads; how long it took.
    pub async fn until_answered(&self, n: usize) -> Duration {
        let begun = Instant::now();
        while self.api(n).raw("GET", "/health", None).await.status != 200 {
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "server {n} does not answer:\n{}",
                self.log(n)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }

    /// Which one leads, by the rows.
    pub fn leader(&self) -> usize {
        let leader = self.sql("SELECT node_uuid FROM leadership");
        let uuid = |n: usize| std::fs::read_to_string(self.folder_of(n).join("node")).unwrap_or_default();
        (0..SERVERS).find(|n| uuid(*n) == leader).unwrap_or_else(|| panic!("{leader} is none of them"))
    }

    /// Runs a statement on the database.
    pub fn sql(&self, statement: &str) -> String {
        self.postgres.sql(statement)
    }

    /// The database, for what a test looks up in its rows.
    pub fn store(&self) -> Store {
        Store::connect(&self.postgres.url().parse().unwrap(), 1).unwrap()
    }

    fn signal(&self, n: usize, signal: libc::c_int) {
        let process = self.servers[n].process.as_ref().expect("it runs");
        // SAFETY: kill takes numbers only; the process is a child that was not waited for.
        assert_eq!(unsafe { libc::kill(i32::try_from(process.id()).unwrap(), signal) }, 0);
    }

    /// `kill -9`.
    pub fn kill(&mut self, n: usize) {
        self.signal(n, libc::SIGKILL);
        let mut process = self.servers[n].process.take().unwrap();
        let _ = process.wait();
    }

    /// Stops the process where it is.
    pub fn freeze(&self, n: usize) {
        self.signal(n, libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self, n: usize) {
        self.signal(n, libc::SIGCONT);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- PostgreSQL\n{}", self.postgres.log());
        }
        for n in 0..SERVERS {
            if self.servers[n].process.is_some() {
                self.kill(n);
            }
            if std::thread::panicking() {
                eprintln!("---- server {n}\n{}", self.log(n));
            }
        }
    }
}
