//! A whole server in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_server::app::{App, Tuning};
use cairn_server::bus::BusAddress;
use cairn_server::config::Config;
use cairn_server::http::{self, Served};
use cairn_simhost::SimCloud;
use cairn_store::Store;
use cairn_store::scratch::Scratch;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::api::{Api, digest};
use crate::rows::Rows;
use crate::tables::Tables;

/// Password of every account that [`Cloud::account`] makes.
pub const TEST_PASSWORD: &str = "correct horse";

/// A server with simulated hosts. Ends when it is dropped.
pub struct Cloud {
    /// The admin account, logged in.
    pub admin: Api,
    /// What is on the simulated machines; it outlives the server.
    pub machines: SimCloud,
    tuning: Tuning,
    nats: Option<BusAddress>,
    running: Option<Running>,
    folder: TempDir,
    /// Where `CAIRN_TEST_STORE` says; else the server makes a file in its folder.
    database: Scratch,
}

struct Running {
    app: Arc<App>,
    served: Served,
    runtime: Runtime,
}

impl Cloud {
    /// A server without periodic work and with cheap password hashes.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with another tuning, such as a probe of the fault harness.
    pub async fn with(change: impl FnOnce(&mut Tuning)) -> Self {
        Self::on_bus(None, change).await
    }

    /// The same with a message bus.
    pub async fn on_bus(nats: Option<BusAddress>, change: impl FnOnce(&mut Tuning)) -> Self {
        let machines = SimCloud::new(7);
        let mut tuning = Tuning {
            fast_hash: true,
            no_periodic: true,
            machines: Some(machines.clone()),
            ..Tuning::default()
        };
        change(&mut tuning);
        let folder = tempfile::tempdir().expect("a folder");
        let database = Scratch::new();
        let mut cloud = Self { admin: Api::new(""), machines, tuning, nats, running: None, folder, database };
        cloud.boot().await;
        cloud
    }

    async fn boot(&mut self) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (mut config, tuning) = (Config::ephemeral(self.folder.path()), self.tuning.clone());
        config.nats = self.nats.clone();
        config.store = self.database.url();
        let start = async move {
            let app = App::start(config, tuning).await?;
            let served = http::serve(&app).await?;
            Ok::<_, cairn_types::Fault>((app, served))
        };
        let (app, served) = runtime.spawn(start).await.expect("the start").expect("the server starts");
        self.running = Some(Running { app, served, runtime });
        // Sessions outlive the server.
        self.admin = match self.admin.session().is_empty() {
            true => self.log_in("admin", "password").await,
            false => self.admin.at(&self.served().api.to_string()),
        };
    }

    /// Ends the server as a kill would: at whatever instruction it is. What it had committed stays.
    pub async fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.app.engine.halt();
            let end = move || {
                running.runtime.shutdown_timeout(Duration::from_secs(10));
                drop(running.app);
            };
            tokio::task::spawn_blocking(end).await.expect("the end of the server");
        }
    }

    /// The database, for what is done while no server is at work on it.
    pub fn open_store(&self) -> Store {
        let store = match self.database.url() {
            Some(url) => Store::connect(&url, 1),
            None => Store::open(&self.folder.path().join("cairn.db"), 1),
        };
        store.expect("the database opens")
    }

    /// Crashes and starts again over the same data; the simulated machines went on meanwhile. The admin's session goes on.
    pub async fn restart(&mut self) {
        self.crash().await;
        self.boot().await;
    }

    /// Changes the tuning of the next start.
    pub fn tune(&mut self, change: impl FnOnce(&mut Tuning)) {
        change(&mut self.tuning);
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    /// The server's inside, for what the API does not show.
    pub fn app(&self) -> &Arc<App> {
        &self.running().app
    }

    /// Where it listens.
    pub fn served(&self) -> Served {
        self.running().served
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs something in the server's own runtime, such as a piece of periodic work.
    pub async fn inside<T, F>(&self, work: impl FnOnce(Arc<App>) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let future = work(self.app().clone());
        self.running().runtime.spawn(future).await.expect("work in the server")
    }

    /// A client without a session.
    pub fn nobody(&self) -> Api {
        Api::new(&self.served().api.to_string())
    }

    /// A client of an account that exists.
    pub async fn log_in(&self, name: &str, password: &str) -> Api {
        self.nobody().log_in(name, password).await.unwrap_or_else(|f| panic!("{name} can't log in: {f}"))
    }

    /// A new normal account, logged in.
    pub async fn account(&self, name: &str) -> Api {
        self.admin.ok("CreateAccount", json!({ "name": name, "password": digest(TEST_PASSWORD) })).await;
        self.log_in(name, TEST_PASSWORD).await
    }

    /// Every row of every table of resources.
    pub async fn tables(&self) -> Tables {
        Tables::read(self.app()).await
    }

    /// The same rows with their content, but for dates and measures.
    pub async fn rows(&self) -> Rows {
        Rows::read(self.app()).await
    }

    /// Every row of every table as a line with all that it holds: to see what is nowhere.
    pub async fn everything(&self) -> Vec<String> {
        self.app().store.read(crate::rows::everything).await.expect("all rows")
    }

    /// Fails if any row came that was not there before, or went.
    pub async fn assert_nothing_left(&self, before: &Tables) {
        let differences = before.differences(&self.tables().await);
        assert!(differences.is_empty(), "left behind or lost:\n{}", differences.join("\n"));
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.app.engine.halt();
            running.runtime.shutdown_background();
        }
    }
}
