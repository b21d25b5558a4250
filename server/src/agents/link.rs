//! One connection to an agent: what it serves, and who waits for its results.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_api::agent::{AgentEvent, Command, ServerFrame, Target, TargetKind};
use cairn_types::{Id, Result, kind};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::hub::{Inner, OnProgress, Pending, late};

/// A connection.
pub(super) struct Link {
    pub(super) agent: String,
    /// Where the agent dials from; `None`: it lives in this process.
    pub(super) peer: Option<SocketAddr>,
    pub(super) out: mpsc::UnboundedSender<ServerFrame>,
    /// Who waits for a command by its id: more than one while a repeated step asks again before its first try gave up.
    pub(super) pending: Mutex<HashMap<String, Vec<Pending>>>,
    pub(super) served: Mutex<Served>,
    pub(super) events: mpsc::UnboundedSender<(String, AgentEvent)>,
    pub(super) closing: Notify,
    pub(super) closed: AtomicBool,
    /// Hosts of this connection are being connected, or compared with their status.
    pub(super) is_looking: AtomicBool,
    /// The first heartbeat from then on has the status of all hosts looked at.
    pub(super) look_at: Mutex<Instant>,
    /// The agent has to be told that it serves less.
    pub(super) owes_targets: AtomicBool,
}

/// What a connection serves, in the order of the uuids.
pub(super) type Served = Arc<[(u128, TargetKind)]>;

/// Several targets that go within this time are told to the agent at once.
const TELL: Duration = Duration::from_millis(50);

/// The bits of a target's uuid.
pub(super) fn key(target: &str) -> Option<u128> {
    target.parse::<Id<kind::AnyResource>>().ok().map(Id::as_u128)
}

pub(super) fn served(targets: &[Target]) -> Served {
    let mut all: Vec<_> = targets.iter().filter_map(|t| Some((key(&t.uuid)?, t.kind))).collect();
    all.sort_unstable_by_key(|t| t.0);
    all.into()
}

pub(super) fn hosts(served: &[(u128, TargetKind)]) -> Vec<Id<kind::Host>> {
    served.iter().filter(|t| t.1 == TargetKind::Host).map(|t| Id::from_u128(t.0)).collect()
}

pub(super) fn stores(served: &[(u128, TargetKind)]) -> impl Iterator<Item = String> {
    let of_stores = served.iter().filter(|t| t.1 == TargetKind::ImageStore);
    of_stores.map(|t| Id::<kind::AnyResource>::from_u128(t.0).to_string())
}

pub(super) fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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

    pub(super) fn serves(&self, target: &str) -> bool {
        let Some(key) = key(target) else { return false };
        lock(&self.served).binary_search_by_key(&key, |t| t.0).is_ok()
    }

    /// Targets that this connection serves still (a newer one may have taken some).
    pub(super) fn release(self: &Arc<Self>, inner: &Inner) -> Vec<(u128, TargetKind)> {
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
