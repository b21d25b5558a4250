//! The life of one of several servers: it joins, renews its lease each second, follows or leads, and leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::Store;
use cairn_types::{Fault, Result, code};
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::front::{Front, Role, Serving};
use super::lease::Lease;
use super::peers::Port;
use super::store::{self, Addresses, Leader, Me, View};
use crate::agents::authority::Authority;
use crate::app::{App, Leading, Tuning};
use crate::bus::{self, Bus};
use crate::config::Config;
use crate::http::Served;
use crate::platform::secrets::Secrets;

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Least pause between two rounds.
const CALM: Duration = Duration::from_millis(20);
/// Rounds between two looks for the rows of servers that are gone.
const TIDY: u64 = 10;
/// How long a server waits at its start for a database that can't be opened.
const DATABASE: Duration = Duration::from_secs(60);
/// How long a server that stops waits for what it tells the others to be sent.
const TOLD: Duration = Duration::from_millis(500);
/// Servers tell each other on it that the lead was taken or given back.
const SUBJECT: &str = "cairn.nodes.changed";

/// How the life of a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Stopped,
    /// It led and another server leads now. What it has in memory is worth nothing: it must start again.
    LostLead,
}

/// One of several servers.
struct Node {
    config: Config,
    tuning: Tuning,
    me: Me,
    /// For membership only, so that renewals wait for nothing else.
    store: Store,
    role: watch::Sender<Role>,
    bus: Option<Arc<dyn Bus>>,
    lease: Option<Arc<Lease>>,
    starting: Option<JoinHandle<Result<Arc<App>>>>,
    servers: watch::Sender<Vec<String>>,
    /// There is a reason to look at once.
    told: Arc<Notify>,
}

/// Serves until it is asked to stop or loses the lead. `opened` hears where it listens.
pub async fn serve(
    config: Config,
    tuning: Tuning,
    opened: impl FnOnce(Served) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<Ended> {
    crate::app::private_folder(&config)?;
    let store = open_store(&config).await?;
    let secrets = Arc::new(Secrets::open(&config.data_dir.join("secret.key"))?);
    agree(&config, &store, &secrets).await?;
    let (role, seen) = watch::channel(Role::Waiting);
    let (served, addresses) = open_ports(&config, &Front::new(seen, secrets)).await?;
    let me = Me {
        uuid: store::uuid_of(&config.data_dir)?,
        host_name: crate::app::host_name(),
        addresses,
        lease_ms: i64::try_from(config.lease.as_millis()).unwrap_or(5000),
    };
    let entering = me.clone();
    store.write(move |tx| store::join(tx, &entering)).await?;
    tracing::info!(node = %me.uuid, lease_ms = me.lease_ms, "server {} joined", me.uuid);
    opened(served);
    let bus = match &config.nats {
        Some(address) => Some(bus::connect(address, &format!("cairn-node {}", me.uuid)).await?),
        None => None,
    };
    let servers = watch::channel(Vec::new()).0;
    let node = Node {
        config,
        tuning,
        me,
        store,
        role,
        bus,
        lease: None,
        starting: None,
        servers,
        told: Arc::default(),
    };
    node.live(stop).await
}

/// Opens the database, which may be starting too.
async fn open_store(config: &Config) -> Result<Store> {
    let begun = Instant::now();
    loop {
        match crate::app::open_store(config) {
            Ok(store) => return Ok(store),
            Err(f) if begun.elapsed() > DATABASE => return Err(f),
            Err(f) => {
                tracing::warn!(error = %f, detail = ?f.operator, "the database can't be opened; trying again");
            }
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// All servers must be able to open what one sealed, and agents must trust all of them.
async fn agree(config: &Config, store: &Store, secrets: &Secrets) -> Result<()> {
    let authority = Authority::open(&config.data_dir.join("pki"))?.fingerprint();
    let key = secrets.fingerprint();
    store
        .write(move |tx| {
            store::agree(tx, "key file", &key)?;
            store::agree(tx, "certificate authority", &authority)
        })
        .await
}

async fn open_ports(config: &Config, front: &Front) -> Result<(Served, Addresses)> {
    let bound = |address: SocketAddr| async move {
        let listener = crate::http::bind(address).await?;
        let local = listener.local_addr();
        let local = local.map_err(|e| Fault::internal("a port has no address").for_operator(e))?;
        Ok::<(TcpListener, SocketAddr), Fault>((listener, local))
    };
    let (api, api_at) = bound(config.api).await?;
    let (page, page_at) = bound(config.page).await?;
    let (agents, agents_at) = bound(config.agents).await?;
    let (peers, peers_at) = bound(config.peers).await?;
    front.listen(api, Port::Api);
    front.listen(page, Port::Page);
    front.listen(agents, Port::Agents);
    front.listen_to_peers(peers);
    let told = |at: SocketAddr| super::address::advertised(config, at);
    let agents_told = match config.agents_advertised.as_str() {
        "" => told(agents_at),
        configured => configured.to_owned(),
    };
    let addresses =
        Addresses { api: told(api_at), page: told(page_at), agents: agents_told, peers: told(peers_at) };
    Ok((Served { api: api_at, page: page_at, agents: agents_at }, addresses))
}

impl Node {
    async fn live(mut self, stop: impl Future<Output = ()> + Send) -> Result<Ended> {
        tokio::pin!(stop);
        let told = self.told.clone();
        self.listen_to_others().await?;
        for round in 0_u64.. {
            if let Some(ended) = self.round().await? {
                return Ok(ended);
            }
            if self.lease.is_some() && round % TIDY == 0 {
                let lease_ms = self.me.lease_ms;
                let _ = self.store.write(move |tx| store::tidy(tx, lease_ms)).await;
            }
            tokio::select! {
                () = tokio::time::sleep(ROUND.min(self.config.lease / 4)) => {}
                // Whoever tells often is not heard more often than this.
                () = told.notified() => tokio::time::sleep(CALM).await,
                () = &mut stop => return self.leave().await,
            }
        }
        Ok(Ended::Stopped)
    }

    /// One round of membership. A database that can't be reached now is asked again; meanwhile the lease runs out.
    async fn round(&mut self) -> Result<Option<Ended>> {
        let (me, held, asked) = (self.me.clone(), self.lease.as_ref().map(|l| l.epoch), Instant::now());
        let tick = self.store.write(move |tx| store::tick(tx, &me, held));
        match tokio::time::timeout(self.config.lease, tick).await {
            Ok(Ok(view)) => return self.saw(view, asked).await,
            Ok(Err(f)) => tracing::warn!(error = %f, detail = ?f.operator, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the database did not answer in time; the lease was not renewed"),
        }
        Ok(None)
    }

    async fn saw(&mut self, view: View, asked: Instant) -> Result<Option<Ended>> {
        self.servers.send_if_modified(|known| {
            let is_new = *known != view.agents;
            known.clone_from(&view.agents);
            is_new
        });
        if !view.is_mine {
            if self.lease.is_some() {
                tracing::error!("server {} lost the lead; it starts again", self.me.uuid);
                return Ok(Some(Ended::LostLead));
            }
            self.follow(view.leader);
            return Ok(None);
        }
        match (&self.lease, view.leader) {
            (Some(lease), _) => lease.renew(asked, self.config.lease),
            (None, Some(leader)) => self.take_up(leader.epoch, asked).await?,
            (None, None) => {}
        }
        self.check_start().await
    }

    fn follow(&self, leader: Option<Leader>) {
        let next = match leader {
            Some(Leader { peers, epoch, node }) => {
                let is_new = !matches!(&*self.role.borrow(), Role::Following { epoch: e, .. } if *e == epoch);
                if is_new {
                    tracing::info!(epoch, "server {node} leads; connections are passed on to {peers}");
                }
                if !is_new {
                    return;
                }
                Role::Following { peers, epoch }
            }
            // The last leader may serve still what it has; a new one ends that.
            None => return,
        };
        self.role.send_replace(next);
    }

    /// This server leads from now on: it begins as a single one does after a restart.
    async fn take_up(&mut self, epoch: i64, asked: Instant) -> Result<()> {
        tracing::info!(epoch, "server {} leads", self.me.uuid);
        self.role.send_replace(Role::Waiting);
        let lease = Arc::new(Lease::new(epoch, asked, self.config.lease));
        self.lease = Some(lease.clone());
        let leading = Leading { node: self.me.uuid.clone(), lease, servers: self.servers.subscribe() };
        let (config, tuning) = (self.config.clone(), self.tuning.clone());
        // Beside the renewals, which go on meanwhile.
        let told = self.told.clone();
        self.starting = Some(tokio::spawn(async move {
            let app = App::lead(config, tuning, leading).await;
            told.notify_one();
            app
        }));
        self.tell_others().await;
        Ok(())
    }

    async fn check_start(&mut self) -> Result<Option<Ended>> {
        let Some(starting) = self.starting.take_if(|s| s.is_finished()) else { return Ok(None) };
        let started = starting.await.map_err(|e| Fault::internal("the start broke off").for_operator(e))?;
        let app = match started {
            Ok(app) => app,
            Err(f) if f.has_code(code::NOT_READY) => {
                tracing::error!(error = %f, "server {} lost the lead before it served", self.me.uuid);
                return Ok(Some(Ended::LostLead));
            }
            Err(f) => return Err(f),
        };
        let epoch = self.lease.as_ref().map_or(0, |l| l.epoch);
        bus::start(&app).await?;
        self.role.send_replace(Role::Leading(Arc::new(Serving::new(app, epoch))));
        tracing::info!(epoch, "server {} serves", self.me.uuid);
        Ok(None)
    }

    async fn leave(self) -> Result<Ended> {
        // What comes from now on waits for the next leader.
        let role = self.role.send_replace(Role::Waiting);
        if let Role::Leading(serving) = role {
            serving.close().await;
        }
        if let Some(lease) = &self.lease {
            lease.end();
        }
        let (node, held) = (self.me.uuid.clone(), self.lease.as_ref().map(|l| l.epoch));
        let gone = self.store.write(move |tx| store::leave(tx, &node, held));
        if tokio::time::timeout(Duration::from_secs(2), gone).await.is_err() {
            tracing::warn!("the lease could not be given back; it runs out by itself");
        }
        self.tell_others().await;
        if let Some(bus) = self.bus.as_ref().filter(|b| b.is_connected()) {
            // It must be on its way before the process ends.
            let _ = tokio::time::timeout(TOLD, bus.flush()).await;
        }
        Ok(Ended::Stopped)
    }

    /// Others look at once instead of at their next round. Without a bus they are a second late.
    async fn tell_others(&self) {
        if let Some(bus) = self.bus.as_ref().filter(|b| b.is_connected()) {
            let _ = bus.publish(SUBJECT, self.me.uuid.clone().into_bytes()).await;
        }
    }

    async fn listen_to_others(&self) -> Result<()> {
        let Some(bus) = &self.bus else { return Ok(()) };
        let (mut news, told) = (bus.subscribe(SUBJECT, None).await?, self.told.clone());
        tokio::spawn(async move {
            while news.next().await.is_some() {
                told.notify_one();
            }
        });
        Ok(())
    }
}
