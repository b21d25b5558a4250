//! Serving the connection of an agent, from its hello to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_api::agent::{AgentFrame, HEARTBEAT_S, PROTOCOLS, ServerFrame, Target, TargetKind};
use cairn_link::{FrameReader, FrameWriter, split};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, code};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::hub::{Agents, OnProgress};
use super::link::{Link, hosts, lock, served, stores};
use crate::app::App;

/// How the other side proved who it is.
pub(super) enum Identity {
    /// Fingerprint of its certificate, and where it dials from.
    Certificate(String, SocketAddr),
    /// It lives in this process.
    Internal(String),
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
        let old = lock(&hub.inner.links).insert(link.agent.clone(), link.clone());
        if let Some(old) = old {
            tell_replaced(&hub, &old, &link);
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

/// Two processes with the identity of one agent throw each other off for ever; only the addresses tell them apart.
fn tell_replaced(hub: &Agents, old: &Link, new: &Link) {
    let (Some(from), Some(stood)) = (new.peer, old.peer) else { return };
    if old.closed.load(Ordering::Acquire) || !lock(&hub.inner.twice).is_due(&new.agent, Instant::now()) {
        return;
    }
    tracing::warn!(
        agent = %new.agent, peer = %from, replaced = %stood,
        "agent {} connected again from {from} while its connection from {stood} stood: is the identity in use twice?",
        new.agent
    );
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
    let peer = match &identity {
        Identity::Certificate(_, peer) => Some(*peer),
        Identity::Internal(_) => None,
    };
    let targets: Vec<Target> = match identity {
        Identity::Internal(known) if known == agent => targets_of(app, agent.clone()).await?,
        Identity::Internal(_) => return Err(Fault::denied("an agent in this process has another name")),
        Identity::Certificate(fingerprint, _) => {
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
        peer,
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

/// While all hosts of a connection are Connected and well their status is looked at so often.
const LOOK: Duration = Duration::from_secs(30);

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
