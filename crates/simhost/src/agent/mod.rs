//! The agent's side of the protocol, apart from the connection: fencing by epoch, no command done twice, results kept until
//! they are acknowledged, and the faults that tests set.

mod control;
mod lane;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_api::agent::image_store::{FetchImage, OpenUpload};
use cairn_api::agent::storage::CacheImage;
use cairn_api::agent::{AgentEvent, AgentFrame, AgentOp, Command, ServerFrame, Target, TargetKind};
use cairn_types::{Fault, Result, code, id};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use self::lane::{Lane, Waiting};
use crate::fault::Trouble;
use crate::host::HostShape;
use crate::witness::Moment;
use crate::world::{World, unknown_op, wrong_target};

/// Ends of uploads that wait for the next connection, at most.
const WAITING_EVENTS: usize = 10_000;

/// Whether the agent may be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) is_open: bool,
    /// A change ends the connection that stands.
    pub(crate) generation: u64,
}

/// One agent.
pub(crate) struct Core {
    pub(crate) uuid: String,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) shape: Arc<HostShape>,
    pub(crate) gate: watch::Sender<Gate>,
    /// Heartbeats are left out.
    pub(crate) is_silent: AtomicBool,
    released: watch::Sender<u64>,
    /// Changes when commands were cancelled or forgotten.
    ended: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    targets: Vec<(Arc<str>, TargetKind)>,
    /// Those that the server lets us serve.
    served: HashSet<Arc<str>>,
    kept: HashMap<String, Kept>,
    /// Counts finished commands, so that kept results are sent again in their order.
    finished: u64,
    failing: BTreeMap<Arc<str>, Fault>,
    vanished: HashSet<Arc<str>>,
    /// Where something is under way.
    lanes: HashMap<lane::Key, Lane>,
    /// Counts lanes.
    opened: u64,
    out: Option<mpsc::UnboundedSender<AgentFrame>>,
    waiting_events: VecDeque<AgentFrame>,
    boot: String,
    /// What the server's clock showed when.
    clock: Option<(Instant, u64)>,
    /// The process is stopped: what came since.
    frozen: Option<Vec<ServerFrame>>,
}

/// A command that was seen.
struct Kept {
    target: Arc<str>,
    /// Its result with its place in the order; `None` while it is under way.
    result: Option<(u64, AgentFrame)>,
}

impl Core {
    pub(crate) fn new(
        uuid: String,
        world: Arc<Mutex<World>>,
        shape: Arc<HostShape>,
        targets: Vec<(Arc<str>, TargetKind)>,
    ) -> Self {
        let state = State { targets, boot: id::random_uuid(), ..State::default() };
        Self {
            uuid,
            world,
            shape,
            gate: watch::Sender::new(Gate { is_open: true, generation: 0 }),
            is_silent: AtomicBool::new(false),
            released: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn hello(&self) -> AgentFrame {
        let state = self.state();
        let target = |(uuid, kind): &(Arc<str>, TargetKind)| Target { uuid: uuid.to_string(), kind: *kind };
        AgentFrame::Hello {
            protocols: cairn_api::agent::PROTOCOLS.to_vec(),
            agent: self.uuid.clone(),
            version: concat!(env!("CARGO_PKG_VERSION"), "-simulated").into(),
            targets: state.targets.iter().map(target).collect(),
            boot: state.boot.clone(),
        }
    }

    /// A connection stands. Whatever was not acknowledged is sent again.
    pub(crate) fn attach(&self) -> mpsc::UnboundedReceiver<AgentFrame> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state();
        let mut results: Vec<_> = state.kept.values().filter_map(|k| k.result.clone()).collect();
        results.sort_by_key(|(order, _)| *order);
        let events = std::mem::take(&mut state.waiting_events);
        for frame in results.into_iter().map(|(_, frame)| frame).chain(events) {
            let _ = sender.send(frame);
        }
        state.out = Some(sender);
        receiver
    }

    /// The connection is gone.
    pub(crate) fn detach(&self, receiver: &mpsc::UnboundedReceiver<AgentFrame>) {
        let mut state = self.state();
        // A newer connection may have taken its place.
        if receiver.sender_strong_count() > 0 {
            state.out = None;
        }
    }

    pub(crate) fn heartbeat(&self) -> Option<AgentFrame> {
        if self.is_silent.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state();
        let failing = state.failing.iter().map(|(uuid, fault)| (uuid.to_string(), fault.clone())).collect();
        Some(AgentFrame::Heartbeat { failing })
    }

    /// Serves these targets from now on; makes those that are new.
    pub(crate) fn assign(self: &Arc<Self>, targets: Vec<Target>) {
        let mut world = lock(&self.world);
        let mut served = HashSet::new();
        let mut new = Vec::new();
        for target in targets {
            let uuid: Arc<str> = target.uuid.into();
            match target.kind {
                TargetKind::Host => world.add_host(&uuid, &self.shape),
                TargetKind::ImageStore => world.add_store(&uuid),
            }
            if let Some(common) = world.common_mut(&uuid) {
                // Made now, or there since before its agent ended.
                if common.agent.strong_count() == 0 {
                    new.push((uuid.clone(), target.kind));
                }
                common.agent = Arc::downgrade(self);
            }
            served.insert(uuid);
        }
        drop(world);
        let mut state = self.state();
        state.targets.extend(new);
        state.served = served;
    }

    /// The server welcomed this agent, and said its time.
    pub(crate) fn set_clock(&self, now_ms: u64) {
        self.state().clock = (now_ms > 0).then(|| (Instant::now(), now_ms));
    }

    /// Whether that time of the server is over.
    fn is_past(&self, at_ms: u64) -> bool {
        let clock = self.state().clock;
        let gone = |(then, then_ms): (Instant, u64)| {
            Duration::from_millis(at_ms.saturating_sub(then_ms)) < then.elapsed()
        };
        at_ms > 0 && clock.is_some_and(gone)
    }

    pub(crate) fn receive(self: &Arc<Self>, frame: ServerFrame) {
        if let Some(held) = &mut self.state().frozen {
            return held.push(frame);
        }
        match frame {
            ServerFrame::Command(command) => self.command(command),
            ServerFrame::Cancel { id } => self.cancel(&id),
            ServerFrame::Acknowledge { ids } => self.acknowledge(&ids),
            ServerFrame::Targets { targets } | ServerFrame::Welcome { targets, .. } => self.assign(targets),
            // Who dials these agents knows the servers already.
            ServerFrame::Servers { .. } => {}
            ServerFrame::Refuse { .. } => self.drop_connection(),
        }
    }

    fn command(self: &Arc<Self>, command: Command) {
        if self.is_past(command.receive_by_ms) {
            let fault = Fault::new(code::AGENT_STALE, format!("nobody waits for {} any more", command.op));
            return self.send(result_frame(&command.id, Err(fault.retry())));
        }
        let target = match self.admit(&command) {
            Ok(target) => target,
            // Nothing was done, so the id stays free for a server that may do it.
            Err(fault) => return self.send(result_frame(&command.id, Err(fault))),
        };
        if !self.note(&command.id, &target) {
            return;
        }
        let (wait, trouble) = self.treatment(&command, &target);
        let released = self.released.subscribe();
        self.take_turn(Waiting { command, target, wait, trouble, released });
    }

    /// Carries a command out, after what came before it about the same thing.
    fn take_turn(self: &Arc<Self>, one: Waiting) {
        let key = lane::key(&one.command, &one.target);
        let mut state = self.state();
        if let Some(lane) = key.as_ref().and_then(|key| state.lanes.get_mut(key)) {
            return lane.waiting.push_back(one);
        }
        if one.wait.is_zero() && one.trouble != Some(Trouble::Hang) {
            drop(state);
            return self.finish(one.command, &one.target, one.trouble);
        }
        state.opened += 1;
        let number = state.opened;
        let lane = key.map(|key| {
            state.lanes.insert(key.clone(), Lane { number, waiting: VecDeque::new() });
            (key, number)
        });
        drop(state);
        tokio::spawn(self.clone().drain(lane, one));
    }

    fn admit(&self, command: &Command) -> Result<Arc<str>> {
        let served = self.state().served.get(command.target.as_str()).cloned();
        let target = served.ok_or_else(|| wrong_target(&command.target))?;
        let mut world = lock(&self.world);
        let common = world.common_mut(&target).ok_or_else(|| wrong_target(&target))?;
        common.admit(&target, command.epoch)?;
        if world.knows(&target, &command.op) { Ok(target) } else { Err(unknown_op(&command.op)) }
    }

    /// Remembers a command. False if it was seen: then its result is sent again, or will come.
    fn note(&self, id: &str, target: &Arc<str>) -> bool {
        let mut state = self.state();
        if let Some(kept) = state.kept.get(id) {
            let again = kept.result.as_ref().map(|(_, frame)| frame.clone());
            drop(state);
            if let Some(frame) = again {
                self.send(frame);
            }
            return false;
        }
        state.kept.insert(id.to_owned(), Kept { target: target.clone(), result: None });
        true
    }

    /// How long the command takes and what goes wrong with it.
    fn treatment(&self, command: &Command, target: &Arc<str>) -> (Duration, Option<Trouble>) {
        let (is_vanished, failing) = {
            let state = self.state();
            (state.vanished.contains(target), state.failing.get(target).cloned())
        };
        let mut guard = lock(&self.world);
        let world = &mut *guard;
        let latency = world.rules.latency(target, &command.op, &mut world.dice);
        let deaf = world.deaf_guest_ms(target, &command.op, &command.args);
        let wait = latency + Duration::from_millis(deaf);
        if is_vanished {
            return (wait, Some(Trouble::Hang));
        }
        let failing = failing.filter(|_| command.op.starts_with("vm."));
        (wait, world.rules.strike(target, &command.op).or(failing.map(Trouble::Fail)))
    }

    async fn work(&self, command: &Command, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait / 2).await;
        if command.op == FetchImage::NAME || command.op == CacheImage::NAME {
            self.send(AgentFrame::Progress { id: command.id.clone(), percent: 50, text: "copying".into() });
        }
        tokio::time::sleep(wait - wait / 2).await;
    }

    fn finish(self: &Arc<Self>, command: Command, target: &Arc<str>, trouble: Option<Trouble>) {
        if self.is_over(&command.id) {
            return;
        }
        let (id, op) = (command.id.clone(), command.op.clone());
        let witness = lock(&self.world).witness.clone();
        let see = |moment| witness.iter().for_each(|w| w.at(target, &op, moment));
        see(Moment::Received);
        let result = match &trouble {
            Some(Trouble::Fail(fault)) => Err(fault.clone()),
            // A newer server may have taken the target over meanwhile.
            _ => self.admit(&command).and_then(|_| self.execute(command, target)),
        };
        let result = match &trouble {
            Some(Trouble::FailAfter(fault)) => Err(fault.clone()),
            _ => result,
        };
        see(Moment::Done);
        tracing::debug!(target = %target, %op, command = %id, ok = result.is_ok(), "{target} carried out {op}");
        let frame = result_frame(&id, result);
        let mut state = self.state();
        state.finished += 1;
        let order = state.finished;
        if let Some(kept) = state.kept.get_mut(&id) {
            kept.result = Some((order, frame.clone()));
        }
        if trouble == Some(Trouble::DropResult) {
            state.out = None;
        }
        drop(state);
        match trouble {
            Some(Trouble::DropResult) => self.drop_connection(),
            Some(Trouble::RestartAgent) => self.restart(),
            _ => self.send(frame),
        }
    }

    /// Whether a command was cancelled, or forgotten with a restart.
    fn is_over(&self, id: &str) -> bool {
        self.state().kept.get(id).is_none_or(|k| k.result.is_some())
    }

    fn execute(self: &Arc<Self>, command: Command, target: &Arc<str>) -> Result<Value> {
        let upload = (command.op == OpenUpload::NAME).then(|| {
            let image = command.args.get("image").and_then(Value::as_str).unwrap_or_default().to_owned();
            (image, command.args.get("beginWithinMs").and_then(Value::as_u64).unwrap_or(0))
        });
        let mut events = Vec::new();
        let result = lock(&self.world).execute(target, &command.op, command.args, &mut events);
        self.tell(target, events);
        if let (Some((image, begin_within_ms)), Ok(_)) = (upload, &result) {
            self.expect_upload(target.clone(), image, Duration::from_millis(begin_within_ms));
        }
        result
    }

    /// An upload that has not begun in time has failed.
    fn expect_upload(self: &Arc<Self>, target: Arc<str>, image: String, within: Duration) {
        let upload = |world: &World| world.stores.get(&target).and_then(|s| s.uploads.get(&image)).cloned();
        let Some(opened) = upload(&lock(&self.world)) else { return };
        let core = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(within).await;
            let late = Fault::new(code::IMAGE_UPLOAD_LATE, format!("no byte of image {image} came in time"));
            let event = {
                let mut world = lock(&core.world);
                let store = world.stores.get_mut(&target);
                store.and_then(|s| {
                    let same =
                        s.uploads.get(&image).is_some_and(|u| u.number == opened.number && !u.has_begun);
                    same.then(|| s.fail_upload(&image, late)).flatten()
                })
            };
            core.tell(&target, event);
        });
    }

    /// Sends events of a target.
    pub(crate) fn tell(&self, target: &Arc<str>, events: impl IntoIterator<Item = AgentEvent>) {
        for event in events {
            self.send(AgentFrame::Event { target: target.to_string(), event });
        }
    }

    fn send(&self, frame: AgentFrame) {
        let mut state = self.state();
        let refused = match &state.out {
            Some(out) => out.send(frame).err().map(|e| e.0),
            None => Some(frame),
        };
        // Results are kept anyway and VM states are read again; the end of an upload is told only once.
        if let Some(frame @ AgentFrame::Event { event: AgentEvent::Upload { .. }, .. }) = refused
            && state.waiting_events.len() < WAITING_EVENTS
        {
            state.waiting_events.push_back(frame);
        }
    }

    fn cancel(&self, id: &str) {
        let frame = result_frame(
            id,
            Err(Fault::new(code::TIMEOUT, "the command was cancelled before it did anything")),
        );
        let mut state = self.state();
        state.finished += 1;
        let order = state.finished;
        match state.kept.get_mut(id) {
            Some(kept) if kept.result.is_none() => kept.result = Some((order, frame.clone())),
            _ => return,
        }
        drop(state);
        self.ended.send_modify(|n| *n += 1);
        self.send(frame);
    }

    fn acknowledge(&self, ids: &[String]) {
        let mut state = self.state();
        for id in ids {
            if state.kept.get(id).is_some_and(|k| k.result.is_some()) {
                state.kept.remove(id);
            }
        }
    }
}

fn result_frame(id: &str, result: Result<Value>) -> AgentFrame {
    let (ok, err) = match result {
        Ok(value) => (Some(value), None),
        Err(fault) => (None, Some(fault)),
    };
    AgentFrame::Result { id: id.to_owned(), ok, err }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
