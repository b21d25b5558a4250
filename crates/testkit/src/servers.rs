//! Several servers on one database, each in a runtime of its own, so that one can end as by a kill.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_server::app::Tuning;
use cairn_server::bus::BusAddress;
use cairn_server::config::Config;
use cairn_server::http::Served;
use cairn_server::nodes::{self, Ended};
use cairn_simhost::SimCloud;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::Api;

/// Servers that share one database. They end when this is dropped.
pub struct Servers {
    /// What is on the simulated machines; it outlives every server.
    pub machines: SimCloud,
    nodes: Vec<Option<Running>>,
    nats: Option<BusAddress>,
    lease: Duration,
    folder: TempDir,
}

struct Running {
    served: Served,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    end: JoinHandle<cairn_types::Result<Ended>>,
}

impl Servers {
    /// So many servers with a lease of this length.
    pub async fn start(count: usize, lease: Duration, nats: Option<BusAddress>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let mut servers = Self { machines: SimCloud::new(7), nodes: Vec::new(), nats, lease, folder };
        std::fs::File::create(servers.database()).expect("an empty database");
        for n in 0..count {
            servers.nodes.push(None);
            servers.begin(n).await;
        }
        servers
    }

    fn folder_of(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("server-{n}"))
    }

    /// The first server's key and authority, and the database of all, are there before the server starts.
    fn prepare(&self, n: usize) {
        let (first, folder) = (self.folder_of(0), self.folder_of(n));
        std::fs::create_dir_all(folder.join("pki")).expect("a folder");
        if n > 0 && !folder.join("secret.key").exists() {
            for file in ["secret.key", "pki/ca.pem", "pki/ca.key"] {
                std::fs::copy(first.join(file), folder.join(file)).expect("what all have in common");
            }
        }
        Self::share(&self.database(), &folder);
    }

    /// Puts the database of all into a server's folder, with its log.
    pub fn share(database: &Path, folder: &Path) {
        for end in ["", "-wal"] {
            let link = folder.join(format!("cairn.db{end}"));
            if link.symlink_metadata().is_err() {
                let shared = format!("{}{end}", database.display());
                std::os::unix::fs::symlink(shared, link).expect("one database");
            }
        }
    }

    /// Starts a server that does not run.
    pub async fn begin(&mut self, n: usize) {
        self.prepare(n);
        let mut config = Config::ephemeral(&self.folder_of(n));
        config.lease = self.lease;
        config.nats = self.nats.clone();
        let tuning = Tuning { fast_hash: true, machines: Some(self.machines.clone()), ..Tuning::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopped) = oneshot::channel::<()>();
        let (opened, open) = oneshot::channel();
        let opened = Arc::new(Mutex::new(Some(opened)));
        let tell = move |served: Served| {
            if let Some(sender) = opened.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = sender.send(served);
            }
        };
        let end = runtime.spawn(nodes::serve(config, tuning, tell, async move {
            let _ = stopped.await;
        }));
        let Ok(served) = open.await else { panic!("server {n} ended with {:?}", end.await) };
        self.nodes[n] = Some(Running { served, runtime, stop: Some(stop), end });
    }

    /// Ends a server as a kill would: its connections break, nothing more is written.
    pub async fn kill(&mut self, n: usize) {
        let running = self.nodes[n].take().expect("it runs");
        std::mem::forget(running.stop);
        let end = move || running.runtime.shutdown_timeout(Duration::from_secs(10));
        tokio::task::spawn_blocking(end).await.expect("the end of the server");
    }

    /// Asks a server to stop and waits until it has.
    pub async fn stop(&mut self, n: usize) {
        let mut running = self.nodes[n].take().expect("it runs");
        drop(running.stop.take());
        let ended = running.end.await.expect("its task").expect("no error");
        assert_eq!(ended, Ended::Stopped);
        running.runtime.shutdown_background();
    }

    /// Waits until a server says that it must start again because another one leads.
    pub async fn lost(&mut self, n: usize) {
        let running = self.nodes[n].take().expect("it runs");
        std::mem::forget(running.stop);
        let ended = tokio::time::timeout(Duration::from_secs(30), running.end).await.expect("it ends");
        assert_eq!(ended.expect("its task").expect("no error"), Ended::LostLead);
        running.runtime.shutdown_background();
    }

    /// Where a server listens.
    pub fn served(&self, n: usize) -> Served {
        self.nodes[n].as_ref().expect("it runs").served
    }

    /// A client of one server, without a session.
    pub fn nobody(&self, n: usize) -> Api {
        Api::new(&self.served(n).api.to_string())
    }

    /// Uuid of a server.
    pub fn uuid(&self, n: usize) -> String {
        std::fs::read_to_string(self.folder_of(n).join("node")).expect("its uuid")
    }

    /// The servers that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].is_some()).collect()
    }

    /// Waits until one leads and every running server passes on to it; its number.
    pub async fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            let mut leaders = Vec::new();
            for n in self.running() {
                let health = self.nobody(n).raw("GET", "/health", None).await.json();
                leaders.push(health["managementNode"].as_str().unwrap_or_default().to_owned());
            }
            let found = self.running().into_iter().find(|n| self.uuid(*n) == leaders[0]);
            if let (Some(found), true) = (found, leaders.iter().all(|l| *l == leaders[0])) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody leads: {leaders:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The database that all share.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("shared.db")
    }

    /// The folder of all.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for running in self.nodes.drain(..).flatten() {
            std::mem::forget(running.stop);
            running.runtime.shutdown_background();
        }
    }
}
