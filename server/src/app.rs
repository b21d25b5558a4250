//! The server as a whole: everything a handler or a workflow can reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use cairn_store::{Store, Tx, params};
use cairn_types::{Fault, Result, new_uuid, time};
use cairn_workflow::{Engine, Options, Probe};

use crate::agents::{Agents, Patience};
use crate::call::ADMIN;
use crate::config::Config;
use crate::handlers::Handlers;
use crate::identity::Identity;
use crate::nodes::lease::Lease;
use crate::platform::audit::Audit;
use crate::platform::events::Feed;
use crate::platform::secrets::Secrets;
use crate::platform::settings::Settings;
use crate::platform::{jobs, metrics::Metrics};
use crate::{compute, hardware, network, platform, storage};

/// The server.
pub struct App {
    /// Folders and addresses.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// Workflows.
    pub engine: Engine<App>,
    /// Connections to agents.
    pub agents: Agents,
    /// Global settings.
    pub settings: Settings,
    /// Sealing of secrets.
    pub secrets: Secrets,
    /// Sessions, passwords, access keys.
    pub identity: Identity,
    /// The message bus.
    pub bus: crate::bus::Connection,
    /// Followers of the event log.
    pub feed: Feed,
    /// How many resources of each type there are.
    pub counts: platform::counts::Counts,
    /// Audit writer.
    pub audit: Audit,
    /// Results that are polled next.
    pub recent: platform::recent::Recent,
    /// One handler per operation.
    pub handlers: Handlers,
    /// Counters for Prometheus.
    pub metrics: Metrics,
    /// What hosts confirmed about their networks.
    pub networks: network::apply::Memory,
    /// Tokens of open consoles.
    pub consoles: compute::console::Consoles,
    /// Simulated machines.
    pub hardware: hardware::Hardware,
    /// What accounts use and volumes take, without adding it up anew.
    pub sums: platform::sums::Sums,
    /// All hosts in memory, to find one for a VM.
    pub placement: compute::placement::Placement,
    /// What is being done to storage right now.
    pub storage: storage::Memory,
    /// Uuid of this management node.
    pub node: String,
    /// The right to lead, if this is one of several servers.
    pub lease: Option<Arc<Lease>>,
    /// When the process began to serve.
    pub started: Instant,
    /// Port of the page, once it is open.
    pub(crate) page_port: AtomicU16,
}

/// What makes one of several servers the one that leads.
pub struct Leading {
    /// Its row.
    pub node: String,
    /// Its right; what it did not renew in time is refused.
    pub lease: Arc<Lease>,
    /// Where agents find the servers that live.
    pub servers: tokio::sync::watch::Receiver<Vec<String>>,
}

/// What tests change about a server.
#[derive(Default, Clone)]
pub struct Tuning {
    /// The fault harness.
    pub probe: Option<Arc<dyn Probe>>,
    /// Tries of a failing undo.
    pub undo_tries: Option<u32>,
    /// Pause between tries of an undo.
    pub undo_pause: Option<std::time::Duration>,
    /// Periodic work is left out.
    pub no_periodic: bool,
    /// Cheap password hashes.
    pub fast_hash: bool,
    /// What is on simulated machines already, from an earlier server.
    pub machines: Option<cairn_simhost::SimCloud>,
    /// Simulated machines run there, not in this process.
    pub elsewhere: Option<Arc<dyn hardware::Elsewhere>>,
    /// How long calls wait for agents that are not connected.
    pub patience: Option<Patience>,
}

impl App {
    /// Port of the page, where consoles are served.
    pub fn page_port(&self) -> u16 {
        self.page_port.load(Ordering::Relaxed)
    }

    /// How dates are written in results that are kept for a poll, which decides in which form it reads them.
    pub fn dates(&self) -> cairn_query::DateStyle {
        cairn_query::DateStyle::Rfc3339
    }

    /// How dates are written for a request that says so or nothing (`X-Cairn-Time`).
    pub fn dates_for(&self, asked: Option<&str>) -> cairn_query::DateStyle {
        if asked == Some("rfc3339") {
            return cairn_query::DateStyle::Rfc3339;
        }
        cairn_query::DateStyle::Legacy { offset_minutes: self.settings.offset_minutes() }
    }

    /// Opens the database, takes up what had not ended, and starts periodic work. Serves nothing yet.
    pub async fn start(config: Config, tuning: Tuning) -> Result<Arc<Self>> {
        Self::begin(config, tuning, None).await
    }

    /// The same for one of several servers, which has the lead. Every write asks first whether it still has it.
    pub async fn lead(config: Config, tuning: Tuning, leading: Leading) -> Result<Arc<Self>> {
        Self::begin(config, tuning, Some(leading)).await
    }

    async fn begin(config: Config, tuning: Tuning, leading: Option<Leading>) -> Result<Arc<Self>> {
        private_folder(&config)?;
        let store = open_store(&config)?;
        if let Some(Leading { node, lease, .. }) = &leading {
            let (node, epoch) = (node.clone(), lease.epoch);
            store.set_guard(move |tx| crate::nodes::store::still_leads(tx, &node, epoch));
        }
        let secrets = Secrets::open(&config.data_dir.join("secret.key"))?;
        let settings = Settings::load(&store, &secrets).await?;
        let identity = Identity::new(tuning.fast_hash);
        // A hash takes long on purpose; only the first start needs one.
        let is_first =
            store.read(|tx| Ok(!tx.exists("SELECT 1 FROM account WHERE uuid = ?", params![ADMIN])?)).await?;
        let first_password = match is_first {
            true => identity.hash_blocking(&crate::identity::password::client_digest("password"))?,
            false => String::new(),
        };
        let known = leading.as_ref().map(|l| (l.node.clone(), l.lease.epoch));
        let (node, epoch) = store.write(move |tx| join(tx, &first_password, known.clone())).await?;
        let options = Options {
            server: node.clone(),
            epoch,
            undo_tries: tuning.undo_tries.unwrap_or(8),
            undo_pause: tuning.undo_pause.unwrap_or(std::time::Duration::from_millis(500)),
            probe: tuning.probe.clone(),
        };
        let engine = Engine::new(store.clone(), options);
        register(&engine);
        let agents = Agents::new(&config, epoch, tuning.patience.unwrap_or_default())?;
        let lease = leading.map(|leading| {
            agents.lead(leading.lease.clone(), leading.servers);
            leading.lease
        });
        let sums = platform::sums::Sums::start(&store);
        let placement = compute::placement::Placement::start(&store, &sums).await?;
        let app = Arc::new(Self {
            bus: crate::bus::Connection::default(),
            feed: Feed::start(store.clone()).await?,
            counts: platform::counts::Counts::start(&store, placement.clone()),
            placement,
            sums,
            audit: Audit::start(store.clone()),
            recent: platform::recent::Recent::default(),
            handlers: Handlers::all(),
            metrics: Metrics::default(),
            networks: network::apply::Memory::default(),
            consoles: compute::console::Consoles::default(),
            hardware: hardware::Hardware::new(tuning.machines.clone(), tuning.elsewhere.clone()),
            storage: storage::Memory::default(),
            started: Instant::now(),
            page_port: AtomicU16::new(config.page.port()),
            config,
            store,
            engine,
            agents,
            settings,
            secrets,
            identity,
            node,
            lease,
        });
        app.engine.attach(&app);
        app.agents.attach(&app);
        app.engine.recover().await?;
        // Their agents dial at once, which begins runs: those of the journal take their places first.
        storage::simulator::restart(&app).await?;
        hardware::simulator::restart(&app).await?;
        app.store.write(jobs::fail_orphans).await?;
        if !tuning.no_periodic {
            platform::periodic::start(&app);
        }
        Ok(app)
    }
}

/// Opens the database that the configuration names.
pub(crate) fn open_store(config: &Config) -> Result<Store> {
    match &config.store {
        Some(url) => Store::connect(url, 2),
        None => Store::open(&config.data_dir.join("cairn.db"), 2),
    }
}

/// Makes the data folder.
pub(crate) fn private_folder(config: &Config) -> Result<()> {
    std::fs::create_dir_all(&config.data_dir).map_err(|e| {
        Fault::internal(format!("{} can't be made", config.data_dir.display())).for_operator(e)
    })?;
    // The database holds sessions: the folder is nobody else's, whatever umask the server was started with.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&config.data_dir, private)
        .map_err(|e| Fault::internal("the data folder can't be made private").for_operator(e))
}

/// Name of this machine.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Registers this server as the management node with a new epoch, unless it is `known` as one of several already, and the
/// admin account on the first start.
fn join(tx: &mut dyn Tx, first_password: &str, known: Option<(String, i64)>) -> Result<(String, i64)> {
    let now = time::now_ms();
    if !tx.exists("SELECT 1 FROM account WHERE uuid = ?", params![ADMIN])? {
        crate::identity::account::insert(tx, ADMIN, "admin", None, "SystemAdmin", first_password)?;
    }
    platform::first_rows(tx)?;
    if let Some(known) = known {
        return Ok(known);
    }
    let host = host_name();
    let known = tx.query_opt("SELECT uuid, epoch FROM management_node ORDER BY uuid LIMIT 1", params![])?;
    match known {
        Some(row) => {
            let (uuid, epoch) = (row.text("uuid")?, next_epoch(row.int("epoch")?, now));
            let sql = "UPDATE management_node SET epoch = ?, host_name = ?, join_ms = ?, heart_beat_ms = ?, state = 'RUNNING' WHERE uuid = ?";
            tx.execute(sql, params![epoch, &host, now, now, &uuid])?;
            Ok((uuid, epoch))
        }
        None => {
            let uuid = new_uuid();
            let sql = "INSERT INTO management_node (uuid, host_name, state, epoch, join_ms, heart_beat_ms) VALUES (?, ?, 'RUNNING', ?, ?, ?)";
            let epoch = next_epoch(0, now);
            tx.execute(sql, params![&uuid, &host, epoch, now, now])?;
            Ok((uuid, epoch))
        }
    }
}

/// Agents obey the highest epoch that they have seen. It follows the clock, so that it is past that also when the database was
/// restored from a backup that knew only an earlier one.
fn next_epoch(last: i64, now_ms: i64) -> i64 {
    (last + 1).max(now_ms / 1000)
}

/// Every workflow there is.
fn register(engine: &Engine<App>) {
    hardware::register(engine);
    storage::register(engine);
    network::register(engine);
    compute::register(engine);
    crate::identity::register(engine);
}
