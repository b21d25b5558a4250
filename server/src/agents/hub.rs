//! Which connection serves which target, and commands on their way.
//!
//! A command that loses its connection waits a while for the agent to come back and is sent again under the same id; the
//! agent does nothing twice. Silence for three heartbeats is loss.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use cairn_api::agent::{AgentOp, Command, ServerFrame, Target};
use cairn_types::{Fault, Id, Result, code, kind, random_uuid};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::authority::{Authority, fingerprint};
use super::link::{self, Link};
use super::serve::{self, Identity};
use super::twice::Twice;
use crate::app::App;
use crate::config::Config;
use crate::nodes::lease::Lease;

/// How long a call waits for a lost agent to come back before it gives up.
const COME_BACK: Duration = Duration::from_secs(10);
/// After the server's own start agents get this long to dial in.
const FIRST_DIAL: Duration = Duration::from_secs(30);

/// How often a command is sent again that an agent refused as stale, and the first pause before that.
const STALE_TRIES: u32 = 5;
const STALE_PAUSE: Duration = Duration::from_millis(100);

/// Told how far a command is.
pub type OnProgress = Arc<dyn Fn(u8, &str) + Send + Sync>;

/// How a command is sent.
#[derive(Default, Clone)]
pub struct CallOptions {
    /// Command id; empty: a new random one.
    pub id: String,
    /// Workflow run that asks.
    pub run: String,
    /// Instead of the operation's own.
    pub timeout: Option<Duration>,
    /// Told how far the command is.
    pub on_progress: Option<OnProgress>,
}

/// All connections to agents.
#[derive(Clone)]
pub struct Agents {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) authority: Authority,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) epoch: u64,
    pub(super) app: OnceLock<Weak<App>>,
    pub(super) lead: OnceLock<Lead>,
    /// By the bits of their uuids: there may be a million.
    pub(super) targets: RwLock<HashMap<u128, Arc<Link>>>,
    pub(super) links: Mutex<HashMap<String, Arc<Link>>>,
    pub(super) changes: watch::Sender<u64>,
    /// Which agents were said to replace a connection that stood.
    pub(super) twice: Mutex<Twice>,
    advertised: Mutex<String>,
    started: Instant,
    patience: Patience,
}

/// What the leader of several servers knows.
pub(super) struct Lead {
    pub(super) lease: Arc<Lease>,
    pub(super) servers: watch::Receiver<Vec<String>>,
}

/// How long calls wait for agents that are not connected.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one that was connected when the call was made.
    pub come_back: Duration,
    /// For any, soon after the server's own start.
    pub first_dial: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { come_back: COME_BACK, first_dial: FIRST_DIAL }
    }
}

impl Agents {
    /// Opens the authority. Nothing listens yet.
    pub fn new(config: &Config, epoch: i64, patience: Patience) -> Result<Self> {
        let authority = Authority::open(&config.data_dir.join("pki"))?;
        let tls = authority.server_config()?;
        let inner = Inner {
            authority,
            tls,
            epoch: u64::try_from(epoch).unwrap_or(0),
            app: OnceLock::new(),
            lead: OnceLock::new(),
            targets: RwLock::default(),
            links: Mutex::default(),
            changes: watch::channel(0).0,
            twice: Mutex::default(),
            advertised: Mutex::new(config.agents_advertised.clone()),
            started: Instant::now(),
            patience,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Gives the hub the server that it reports to.
    pub fn attach(&self, app: &Arc<App>) {
        let _ = self.inner.app.set(Arc::downgrade(app));
    }

    /// This is one of several servers: it commands nobody once its lease is over, and agents hear of the others.
    pub(crate) fn lead(&self, lease: Arc<Lease>, servers: watch::Receiver<Vec<String>>) {
        let _ = self.inner.lead.set(Lead { lease, servers });
    }

    /// The certificate authority.
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// `host:port` at which an agent on a machine finds this server: as configured, or by this server's address towards
    /// that machine.
    pub fn advertised(&self, towards: &str) -> String {
        if let Some(lead) = self.inner.lead.get() {
            return lead.servers.borrow().join(",");
        }
        let configured = self.inner.advertised.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(port) = configured.strip_prefix(':') else { return configured };
        let own = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| {
            s.connect((towards, 9))?;
            s.local_addr()
        });
        let ip = own.map_or_else(|_| "127.0.0.1".to_owned(), |a| a.ip().to_string());
        format!("{ip}:{port}")
    }

    /// Accepts agents on this port.
    pub fn listen(&self, listener: TcpListener, address: SocketAddr) {
        {
            let mut advertised = self.inner.advertised.lock().unwrap_or_else(PoisonError::into_inner);
            if advertised.is_empty() {
                // No host yet: it depends on the machine that dials; see `advertised`.
                *advertised = format!(":{}", address.port());
            }
        }
        let hub = self.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let _ = stream.set_nodelay(true);
                        tokio::spawn(hub.clone().secure(stream, peer));
                    }
                    Err(e) => {
                        tracing::warn!(error = %e, "an agent's connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
    }

    /// Serves a connection of an agent that was accepted elsewhere, to its end.
    pub(crate) async fn accept(&self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        self.clone().secure(stream, peer).await;
    }

    async fn secure(self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.inner.tls.clone());
        match tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await {
            Ok(Ok(tls)) => {
                let certs = tls.get_ref().1.peer_certificates();
                let Some(seen) = certs.and_then(|c| c.first()).map(|c| fingerprint(c)) else { return };
                serve::serve(self, tls, Identity::Certificate(seen, peer)).await;
            }
            Ok(Err(e)) => tracing::warn!(%peer, error = %e, "TLS with an agent failed"),
            Err(_) => tracing::warn!(%peer, "an agent did not finish TLS in time"),
        }
    }

    /// Serves a connection from within this process (simulated hosts).
    pub fn serve_internal<S>(&self, stream: S, agent: String)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        tokio::spawn(serve::serve(self.clone(), stream, Identity::Internal(agent)));
    }

    pub(super) fn app(&self) -> Option<Arc<App>> {
        self.inner.app.get().and_then(Weak::upgrade)
    }

    fn link_of(&self, target: &str) -> Option<Arc<Link>> {
        self.link_with(link::key(target)?)
    }

    fn link_with(&self, target: u128) -> Option<Arc<Link>> {
        self.inner.targets.read().unwrap_or_else(PoisonError::into_inner).get(&target).cloned()
    }

    /// Those of many hosts that a connection serves now.
    pub fn connected(&self, hosts: &[Id<kind::Host>]) -> Vec<Id<kind::Host>> {
        let all = self.inner.targets.read().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().filter(|h| all.contains_key(&h.as_u128())).copied().collect()
    }

    /// A host may not be what its status says: it is looked at with the next heartbeat.
    pub fn doubt(&self, host: Id<kind::Host>) {
        if let Some(link) = self.link_with(host.as_u128()) {
            link.doubt();
        }
    }

    /// Whether a connection serves the target now.
    pub fn is_connected(&self, target: impl ToString) -> bool {
        self.link_of(&target.to_string()).is_some()
    }

    /// How many agents are connected.
    pub fn count(&self) -> usize {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether the agent is connected, whatever it serves.
    pub fn is_dialled(&self, agent: &str) -> bool {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner).contains_key(agent)
    }

    /// Uuid of the agent that serves the target now.
    pub fn agent_of(&self, target: impl ToString) -> Option<String> {
        self.link_of(&target.to_string()).map(|l| l.agent.clone())
    }

    /// Waits until a connection serves the target.
    pub async fn wait_for(&self, target: impl ToString, how_long: Duration) -> bool {
        let target = target.to_string();
        let mut changes = self.inner.changes.subscribe();
        let wait = async {
            while !self.is_connected(&target) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(how_long, wait).await;
        self.is_connected(&target)
    }

    /// Lets a connected agent serve one more target, or no longer one.
    pub fn assign(&self, agent: &str, targets: Vec<Target>) {
        let link = self.inner.links.lock().unwrap_or_else(PoisonError::into_inner).get(agent).cloned();
        if let Some(link) = link {
            link.set_targets(&self.inner, &targets);
            link.send(ServerFrame::Targets { targets });
        }
    }

    /// Lets whoever serves a target serve it no longer, and the rest as before.
    pub fn withdraw(&self, target: impl ToString) {
        let Some(key) = link::key(&target.to_string()) else { return };
        if let Some(link) = self.link_with(key) {
            link.withdraw(&self.inner, key);
        }
    }

    /// Tells the agent of a target that nobody wants a command's result any more; it may stop what leaves nothing half done.
    pub fn cancel(&self, target: impl ToString, id: &str) {
        if let Some(link) = self.link_of(&target.to_string()) {
            link.send(ServerFrame::Cancel { id: id.to_owned() });
        }
    }

    /// Ends the connection of an agent; it will dial again.
    pub fn drop_link(&self, agent: &str) {
        let link = self.inner.links.lock().unwrap_or_else(PoisonError::into_inner).get(agent).cloned();
        if let Some(link) = link {
            link.close();
        }
    }

    /// Sends a command and waits for its end.
    pub async fn call<O: AgentOp>(
        &self,
        target: impl ToString,
        op: &O,
        options: CallOptions,
    ) -> Result<O::Reply> {
        let target = target.to_string();
        let args = serde_json::to_value(op)
            .map_err(|e| Fault::internal(format!("{} can't be sent: {e}", O::NAME)))?;
        let timeout = options.timeout.unwrap_or(Duration::from_millis(O::TIMEOUT_MS));
        let reply = self.call_raw(&target, O::NAME, args, timeout, options).await?;
        serde_json::from_value(reply).map_err(|e| {
            Fault::internal(format!("the agent's answer to {} can't be read", O::NAME)).for_operator(e)
        })
    }

    /// Sends a command by name.
    pub async fn call_raw(
        &self,
        target: &str,
        op: &str,
        args: Value,
        timeout: Duration,
        options: CallOptions,
    ) -> Result<Value> {
        let id = if options.id.is_empty() { random_uuid() } else { options.id.clone() };
        let end = Instant::now() + timeout;
        let mut command = Command {
            id,
            target: target.to_owned(),
            run: options.run.clone(),
            epoch: self.inner.epoch,
            op: op.to_owned(),
            args,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            receive_by_ms: 0,
            begin_by_ms: self.inner.clock_ms(end),
        };
        let Patience { come_back, first_dial } = self.inner.patience;
        let mut patience = come_back;
        if self.inner.started.elapsed() < first_dial {
            patience = first_dial;
        } else if !self.is_connected(target) {
            patience = Duration::ZERO;
        }
        let mut stale = 0;
        loop {
            let link = match self.link_of(target) {
                Some(link) => link,
                None if self
                    .wait_for(target, patience.min(end.saturating_duration_since(Instant::now())))
                    .await =>
                {
                    continue;
                }
                None => return Err(disconnected(target)),
            };
            // If the connection goes at once, the caller hears of it after this time at the earliest.
            command.receive_by_ms = self.inner.clock_ms((Instant::now() + come_back).min(end));
            self.inner.check_lead()?;
            match link.request(command.clone(), end, options.on_progress.clone()).await {
                Some(Err(f)) if f.code == code::AGENT_STALE => {
                    // The agent was held up, and is there: nothing was done yet, and somebody still waits.
                    stale += 1;
                    if stale > STALE_TRIES {
                        return Err(disconnected(target).for_operator(f));
                    }
                    tokio::time::sleep(STALE_PAUSE * stale).await;
                }
                Some(result) => return result,
                // The connection went away. Send the same command again once it is back.
                None => patience = come_back,
            }
            if Instant::now() >= end {
                return Err(late(op, target, timeout));
            }
        }
    }
}

impl Inner {
    /// An error once the lease of this server is over.
    pub(super) fn check_lead(&self) -> Result<()> {
        self.lead.get().map_or(Ok(()), |lead| lead.lease.check())
    }

    /// The clock by which commands say until when they are wanted. Never 0, which means no time.
    pub(super) fn clock_ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// `HOST.1011` with cause `HOST.1010`.
pub(crate) fn disconnected(target: &str) -> Fault {
    let cause = Fault::new(code::HOST_DISCONNECTED, format!("no agent serves {target} now"))
        .with("uuid", target)
        .retry();
    let text = format!("host {target} is not connected; check its agent and network, then try again");
    Fault::new(code::HOST_GC_ELIGIBLE, text).with("uuid", target).caused_by(cause)
}

pub(super) fn late(op: &str, target: &str, timeout: Duration) -> Fault {
    let text = format!("the agent of {target} did not finish {op} within {} s", timeout.as_secs());
    Fault::new(code::TIMEOUT, text).with("uuid", target).retry()
}

/// What waits for the end of a command.
pub(super) struct Pending {
    pub(super) end: mpsc::UnboundedSender<Result<Value>>,
    pub(super) on_progress: Option<OnProgress>,
}
