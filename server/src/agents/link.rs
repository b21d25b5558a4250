//! One connection to an agent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_api::agent::{
    AgentEvent, AgentFrame, Command, HEARTBEAT_S, PROTOCOLS, ServerFrame, Target, TargetKind,
};
use cairn_link::{FrameReader, FrameWriter, split};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::hub::{Agents, Inner, OnProgress, Pending, late};
use crate::app::App;

/// How the other side proved who it is.
pub(super) enum Identity {
    /// Fingerprint of its certificate.
    Certificate(String),
    /// It lives in this process.
    Internal(String),
}

/// A connection.
pub(super) struct Link {
    pub(super) agent: String,
    out: mpsc::UnboundedSender<ServerFrame>,
    /// Who waits for a command by its id: more than one while a repeated step asks again before its first try gave up.
    pending: Mutex<HashMap<String, Vec<Pending>>>,
    served: Mutex<Served>,
    events: mpsc::UnboundedSender<(String, AgentEvent)>,
    closing: Notify,
    closed: AtomicBool,
    /// Hosts of this connection are being connected, or compared with their status.
    is_looking: AtomicBool,
    /// The first heartbeat from then on has the status of all hosts looked at.
    look_at: Mutex<Instant>,
    /// The agent has to be told that it serves less.
    owes_targets: AtomicBool,
}

/// What a connection serves, in the order of the uuids.
pub(super) type Served = Arc<[(u128, TargetKind)]>;

/// While all hosts of a connection are Connected and well their status is looked at so often.
const LOOK: Duration = Duration::from_secs(30);
/// Several targets that go within this time are told to the agent at once.
const TELL: Duration = Duration::from_millis(50);

/// The bits of a target's uuid.
pub(super) fn key(target: &str) -> Option<u128> {
    target.parse::<Id<kind::AnyResource>>().ok().map(Id::as_u128)
}

fn served(targets: &[Target]) -> Served {
    let mut all: Vec<_> = targets.iter().filter_map(|t| Some((key(&t.uuid)?, t.kind))).collect();
    all.sort_unstable_by_key(|t| t.0);
    all.into()
}

fn hosts(served: &[(u128, TargetKind)]) -> Vec<Id<kind::Host>> {
    served.iter().filter(|t| t.1 == TargetKind::Host).map(|t| Id::from_u128(t.0)).collect()
}

fn stores(served: &[(u128, TargetKind)]) -> impl Iterator<Item = String> {
    let of_stores = served.iter().filter(|t| t.1 == TargetKind::ImageStore);
    of_stores.map(|t| Id::<kind::AnyResource>::from_u128(t.0).to_string())
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(super) fn send(&self, frame: ServerFrame) {
        // A closed channel means that the connection is ending; whoever waits hears of it.
        let _ = self.out.send(frame);
    }

    pub(super) fn close(&self) {
        self.closing.notify_waiters();
        self.closing.notify_one();
    }

    /// Sends a command, unless it is on its way already for somebody else; `None` when the connection ended before the result
    /// came. The command is cancelled when nobody is left who waits for it.
    pub(super) async fn request(
        &self,
        command: Command,
        end: Instant,
        on_progress: Option<OnProgress>,
    ) -> Option<Result<Value>> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (id, op, target) = (command.id.clone(), command.op.clone(), command.target.clone());
        let is_first = {
            let mut pending = lock(&self.pending);
            let waiting = pending.entry(id.clone()).or_default();
            waiting.push(Pending { end: sender, on_progress });
            waiting.len() == 1
        };
        if self.closed.load(Ordering::Acquire) {
            lock(&self.pending).remove(&id);
            return None;
        }
        let wait = Duration::from_millis(command.timeout_ms);
        if is_first {
            self.send(ServerFrame::Command(command));
        }
        match tokio::time::timeout_at(end, receiver.recv()).await {
            Ok(Some(result)) => {
                self.send(ServerFrame::Acknowledge { ids: vec![id] });
                Some(result)
            }
            Ok(None) => None,
            Err(_) => {
                drop(receiver);
                if self.is_unwanted(&id) {
                    self.send(ServerFrame::Cancel { id });
                }
                Some(Err(late(&op, &target, wait)))
            }
        }
    }

    /// Forgets those who wait for a command no more; whether nobody is left.
    fn is_unwanted(&self, id: &str) -> bool {
        let mut pending = lock(&self.pending);
        let Some(waiting) = pending.get_mut(id) else { return false };
        waiting.retain(|w| !w.end.is_closed());
        let is_unwanted = waiting.is_empty();
        if is_unwanted {
            pending.remove(id);
        }
        is_unwanted
    }

    /// Takes over the targets, away from any older connection.
    pub(super) fn set_targets(self: &Arc<Self>, inner: &Inner, wanted: &[Target]) {
        let next = served(wanted);
        let mut all = inner.targets.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *lock(&self.served), next.clone());
        for (uuid, _) in before.iter() {
            if all.get(uuid).is_some_and(|link| Arc::ptr_eq(link, self)) {
                all.remove(uuid);
            }
        }
        for (uuid, _) in next.iter() {
            all.insert(*uuid, self.clone());
        }
        drop(all);
        self.doubt();
        inner.changes.send_modify(|n| *n += 1);
    }

    /// No longer serves a target. The agent hears of it a moment later, of many at once.
    pub(super) fn withdraw(self: &Arc<Self>, inner: &Inner, target: u128) {
        {
            let mut all = inner.targets.write().unwrap_or_else(PoisonError::into_inner);
            if all.get(&target).is_some_and(|link| Arc::ptr_eq(link, self)) {
                all.remove(&target);
            }
            let mut served = lock(&self.served);
            *served = served.iter().filter(|t| t.0 != target).copied().collect();
        }
        if self.owes_targets.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(TELL).await;
            link.owes_targets.store(false, Ordering::Release);
            let served = lock(&link.served).clone();
            let name = |uuid| Id::<kind::AnyResource>::from_u128(uuid).to_string();
            let targets = served.iter().map(|(uuid, kind)| Target { uuid: name(*uuid), kind: *kind });
            link.send(ServerFrame::Targets { targets: targets.collect() });
        });
    }

    /// Has the status of all its hosts looked at with the next heartbeat.
    pub(super) fn doubt(&self) {
        *lock(&self.look_at) = Instant::now();
    }

    fn serves(&self, target: &str) -> bool {
        let Some(key) = key(target) else { return false };
        lock(&self.served).binary_search_by_key(&key, |t| t.0).is_ok()
    }

    /// Targets that this connection serves still (a newer one may have taken some).
    fn release(self: &Arc<Self>, inner: &Inner) -> Vec<(u128, TargetKind)> {
        self.closed.store(true, Ordering::Release);
        let mut all = inner.targets.write().unwrap_or_else(PoisonError::into_inner);
        let mut lost = Vec::new();
        for target in lock(&self.served).iter() {
            if all.get(&target.0).is_some_and(|l| Arc::ptr_eq(l, self)) {
                all.remove(&target.0);
                lost.push(*target);
            }
        }
        drop(all);
        let mut links = lock(&inner.links);
        if links.get(&self.agent).is_some_and(|l| Arc::ptr_eq(l, self)) {
            links.remove(&self.agent);
        }
        drop(links);
        // Everybody who waits for a result sees the end of the channel.
        lock(&self.pending).clear();
        inner.changes.send_modify(|n| *n += 1);
        lost
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<S>(hub: Agents, stream: S, identity: Identity)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut reader, mut writer) = split(stream);
    let Some(app) = hub.app() else { return };
    let (link, targets, mut outbox) = match greet(&hub, &app, &mut reader, identity).await {
        Ok(Some(greeted)) => greeted,
        Ok(None) => return,
        Err(fault) => {
            tracing::warn!(error = %fault, "an agent was turned away");
            let _ = writer.send(&ServerFrame::Refuse { fault }).await;
            let _ = writer.close().await;
            return;
        }
    };
    let heartbeat_s = heartbeat_s(&app);
    let welcome = ServerFrame::Welcome {
        protocol: PROTOCOLS[0],
        server: app.node.clone(),
        targets: targets.clone(),
        now_ms: hub.inner.clock_ms(Instant::now()),
        heartbeat_s,
    };
    if writer.send(&welcome).await.is_ok() {
        tracing::info!(agent = %link.agent, targets = targets.len(), "agent {} connected", link.agent);
        link.set_targets(&hub.inner, &targets);
        if let Some(old) = lock(&hub.inner.links).insert(link.agent.clone(), link.clone()) {
            old.close();
        }
        drop(targets);
        arrived(&app, &link);
        drop(app);
        tell_servers(&hub, &link);
        let silence = silence_after(heartbeat_s);
        let why = talk(&hub, &link, &mut reader, &mut writer, &mut outbox, silence).await;
        tracing::warn!(agent = %link.agent, why, "agent {} is gone: {why}", link.agent);
    }
    let lost = link.release(&hub.inner);
    if let Some(app) = hub.app() {
        crate::hardware::watch::hosts_gone(&app, hosts(&lost)).await;
        for store in stores(&lost) {
            crate::storage::backup_storage::gone(&app, &store).await;
        }
    }
}

/// How often agents that connect now shall beat.
fn heartbeat_s(app: &App) -> u64 {
    u64::try_from(app.settings.int("cairn", "agent.heartbeatInterval")).unwrap_or(HEARTBEAT_S).max(1)
}

/// Three heartbeats. An agent of an older version beats as the protocol says, whatever the welcome says.
fn silence_after(heartbeat_s: u64) -> Duration {
    Duration::from_secs(heartbeat_s.max(HEARTBEAT_S) * 3)
}

type Greeted = (Arc<Link>, Vec<Target>, mpsc::UnboundedReceiver<ServerFrame>);

async fn greet<R: AsyncRead + Unpin>(
    hub: &Agents,
    app: &Arc<App>,
    reader: &mut FrameReader<R>,
    identity: Identity,
) -> Result<Option<Greeted>> {
    let broken = |e: &dyn std::fmt::Display| {
        Fault::new(code::HOST_PROTOCOL, "the agent's first frame can't be read").for_operator(e)
    };
    let first =
        timeout(Duration::from_secs(10), reader.next::<AgentFrame>()).await.map_err(|e| broken(&e))?;
    let Some(first) = first.map_err(|e| broken(&e))? else { return Ok(None) };
    let AgentFrame::Hello { protocols, agent, version, .. } = first else {
        return Err(Fault::new(code::HOST_PROTOCOL, "the agent's first frame must be its hello"));
    };
    if !protocols.iter().any(|p| PROTOCOLS.contains(p)) {
        let text = format!(
            "the agent speaks protocol versions {protocols:?}, this server {PROTOCOLS:?}; upgrade the older one"
        );
        return Err(Fault::new(code::HOST_PROTOCOL, text));
    }
    let targets: Vec<Target> = match identity {
        Identity::Internal(known) if known == agent => targets_of(app, agent.clone()).await?,
        Identity::Internal(_) => return Err(Fault::denied("an agent in this process has another name")),
        Identity::Certificate(fingerprint) => {
            admit(app, agent.clone(), fingerprint, version).await?;
            targets_of(app, agent.clone()).await?
        }
    };
    let (out, outbox) = mpsc::unbounded_channel();
    let (events, mut incoming) = mpsc::unbounded_channel();
    let hub = hub.clone();
    // Events of one connection are taken one after the other, so that Off never overtakes Running.
    tokio::spawn(async move {
        while let Some((target, event)) = incoming.recv().await {
            let Some(app) = hub.app() else { return };
            crate::hardware::watch::event(app, target, event).await;
        }
    });
    let link = Link {
        events,
        agent,
        out,
        pending: Mutex::default(),
        served: Mutex::new(served(&targets)),
        closing: Notify::new(),
        closed: AtomicBool::new(false),
        is_looking: AtomicBool::new(false),
        look_at: Mutex::new(Instant::now()),
        owes_targets: AtomicBool::new(false),
    };
    Ok(Some((Arc::new(link), targets, outbox)))
}

/// Only an agent whose certificate was issued for it and not withdrawn since.
async fn admit(app: &Arc<App>, agent: String, fingerprint: String, version: String) -> Result<()> {
    let check = move |tx: &mut dyn Tx| {
        let sql = "UPDATE agent SET version = ? WHERE uuid = ? AND fingerprint = ?";
        if tx.execute(sql, params![&version, &agent, &fingerprint])? == 1 {
            return Ok(());
        }
        Err(Fault::denied(format!(
            "agent {agent} is not known here, or its certificate was replaced; add the host again"
        )))
    };
    app.store.write(check).await
}

/// What an agent serves: hosts and image stores that name it.
pub(crate) async fn targets_of(app: &Arc<App>, agent: String) -> Result<Vec<Target>> {
    app.store
        .read(move |tx| {
            let mut targets = Vec::new();
            for (table, kind) in [("host", TargetKind::Host), ("backup_storage", TargetKind::ImageStore)] {
                for row in
                    tx.query(&format!("SELECT uuid FROM {table} WHERE agent_uuid = ?"), params![&agent])?
                {
                    targets.push(Target { uuid: row.text("uuid")?, kind });
                }
            }
            Ok(targets)
        })
        .await
}

/// Longest silence of a leader towards its agents.
const BEAT: Duration = Duration::from_secs(3);

/// One of several servers tells the agent where the others are, again and again: so the agent hears that this one lives.
fn tell_servers(hub: &Agents, link: &Arc<Link>) {
    let Some(lead) = hub.inner.lead.get() else { return };
    let (mut servers, link) = (lead.servers.clone(), Arc::downgrade(link));
    let beat_ms = u64::try_from(BEAT.as_millis()).unwrap_or(0);
    tokio::spawn(async move {
        loop {
            let addresses = servers.borrow_and_update().clone();
            let Some(link) = link.upgrade().filter(|l| !l.closed.load(Ordering::Acquire)) else { return };
            link.send(ServerFrame::Servers { addresses, beat_ms });
            drop(link);
            if let Ok(Err(_)) = timeout(BEAT, servers.changed()).await {
                return;
            }
        }
    });
}

/// Passes frames on until the connection ends; says why it did.
async fn talk<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    hub: &Agents,
    link: &Arc<Link>,
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    outbox: &mut mpsc::UnboundedReceiver<ServerFrame>,
    silence: Duration,
) -> &'static str {
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            frame = reader.next::<AgentFrame>() => match frame {
                Ok(Some(frame)) => {
                    heard = Instant::now();
                    receive(hub, link, frame);
                }
                Ok(None) => return "it closed the connection",
                Err(_) => return "the connection broke",
            },
            Some(frame) = outbox.recv() => {
                if writer.push(&frame).is_err() {
                    return "a command is too large";
                }
                while let Ok(more) = outbox.try_recv() {
                    if writer.push(&more).is_err() {
                        return "a command is too large";
                    }
                }
                // A process that was stopped must not wake up with commands in its hands.
                if hub.inner.check_lead().is_err() {
                    return "this server does not lead any more";
                }
                match timeout(silence, writer.flush()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return "the connection broke",
                    Err(_) => return "it takes no more commands",
                }
            }
            () = tokio::time::sleep_until(heard + silence) => return "it was silent for three heartbeats",
            () = link.closing.notified() => return "the server closed the connection",
        }
    }
}

fn receive(hub: &Agents, link: &Arc<Link>, frame: AgentFrame) {
    match frame {
        AgentFrame::Result { id, ok, err } => {
            let result = match (ok, err) {
                (_, Some(fault)) => Err(fault),
                (Some(value), None) => Ok(value),
                (None, None) => Ok(Value::Null),
            };
            match lock(&link.pending).remove(&id) {
                Some(waiting) => waiting.iter().for_each(|w| drop(w.end.send(result.clone()))),
                // Nobody waits any more (the server restarted since); a repeated step asks again under the same id.
                None => tracing::debug!(%id, "a result came that nobody waits for"),
            }
        }
        AgentFrame::Progress { id, percent, text } => {
            let told: Vec<OnProgress> = {
                let pending = lock(&link.pending);
                let waiting = pending.get(&id).map_or(&[][..], Vec::as_slice);
                waiting.iter().filter_map(|w| w.on_progress.clone()).collect()
            };
            told.iter().for_each(|f| f(percent, &text));
        }
        AgentFrame::Event { target, event } => {
            if link.serves(&target) {
                let _ = link.events.send((target, event));
            }
        }
        AgentFrame::Heartbeat { failing } => {
            if !failing.is_empty() || Instant::now() >= *lock(&link.look_at) {
                look(hub, link, failing);
            }
        }
        AgentFrame::Hello { .. } => tracing::warn!(agent = %link.agent, "an agent said hello twice"),
    }
}

/// Compares the hosts of a connection with their status, unless that is being done.
fn look(hub: &Agents, link: &Arc<Link>, failing: Vec<(String, Fault)>) {
    if link.is_looking.swap(true, Ordering::AcqRel) {
        return;
    }
    let (hub, link) = (hub.clone(), link.clone());
    tokio::spawn(async move {
        // A doubt that comes while this looks counts for the next time.
        *lock(&link.look_at) = Instant::now() + LOOK;
        let served = hosts(&lock(&link.served));
        if let Some(app) = hub.app()
            && !crate::hardware::watch::heartbeat(&app, &link.agent, &served, failing).await
        {
            link.doubt();
        }
        link.is_looking.store(false, Ordering::Release);
    });
}

/// A connection serves its targets now.
fn arrived(app: &Arc<App>, link: &Arc<Link>) {
    let served = lock(&link.served).clone();
    for store in stores(&served) {
        tokio::spawn(crate::storage::backup_storage::arrived(app.clone(), store));
    }
    let hosts = hosts(&served);
    if hosts.is_empty() {
        return;
    }
    link.is_looking.store(true, Ordering::Release);
    let (app, link) = (app.clone(), link.clone());
    tokio::spawn(async move {
        crate::hardware::watch::hosts_arrived(app, hosts).await;
        link.is_looking.store(false, Ordering::Release);
    });
}
