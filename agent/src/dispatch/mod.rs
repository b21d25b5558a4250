//! From command to result: nothing is done twice, nothing of an older server is done at all.
//!
//! - A command id that runs is joined: its one result goes to whoever is connected when it ends.
//! - A command id that has ended gets the kept result again, also after a restart of the agent, until the server
//!   acknowledges it.
//! - A command with an epoch below the highest seen for its target is refused.
//! - A command that comes, or whose turn comes, when its caller has been told that it failed is refused and not kept: asked
//!   again it is done.
//! - Commands with the same lane (a VM, a volume, a network) run one after the other in the order they came.

mod clock;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cairn_api::agent::{AgentFrame, Command, Target};
use cairn_types::{Fault, code};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::drivers::{Call, Drivers};
use crate::lanes::Lanes;
use crate::ops;
use clock::{Clock, stale};
use kept::Kept;

/// Where frames for the server go. Without a connection they are dropped: results are kept elsewhere, states are
/// listed anew after each connect.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<Option<mpsc::UnboundedSender<AgentFrame>>>>);

impl Outbox {
    /// Sends a frame if there is a connection.
    pub fn send(&self, frame: AgentFrame) {
        if let Some(out) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            let _ = out.send(frame);
        }
    }

    /// Frames go to this connection from now on; none: nowhere.
    pub fn connect(&self, to: Option<mpsc::UnboundedSender<AgentFrame>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Whether frames have somewhere to go.
    pub fn is_connected(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Runs commands.
pub struct Dispatcher {
    drivers: Drivers,
    outbox: Outbox,
    lanes: Lanes,
    kept: Kept,
    targets: Mutex<Vec<Target>>,
    running: Mutex<HashMap<String, Running>>,
    clock: Clock,
}

/// A command under way.
struct Running {
    cancel: watch::Sender<bool>,
    /// Nobody waits for its beginning after this; none: whenever.
    begin_by: Option<Instant>,
}

impl Dispatcher {
    /// With what an earlier process kept in `state`.
    pub fn open(state: &Path, drivers: Drivers, lanes: Lanes, outbox: Outbox) -> io::Result<Arc<Self>> {
        let kept = Kept::open(state)?;
        let targets = Mutex::new(kept.targets());
        Ok(Arc::new(Self {
            drivers,
            outbox,
            lanes,
            kept,
            targets,
            running: Mutex::default(),
            clock: Clock::default(),
        }))
    }

    /// The targets served.
    pub fn targets(&self) -> Vec<Target> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server has changed what this agent serves.
    pub fn set_targets(&self, targets: Vec<Target>) {
        if let Err(e) = self.kept.set_targets(&targets) {
            tracing::warn!("the list of targets could not be kept: {e}");
        }
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// A server said its time when it welcomed this agent.
    pub fn set_clock(&self, now_ms: u64) {
        self.clock.set(now_ms);
    }

    /// Sends all results that the server has not acknowledged; after a connect.
    pub fn resend(&self) {
        for (id, result) in self.kept.results() {
            self.outbox.send(result_frame(id, result));
        }
    }

    /// The server has stored these results.
    pub fn acknowledge(&self, ids: &[String]) {
        if let Err(e) = self.kept.forget(ids) {
            tracing::warn!("acknowledged results could not be removed: {e}");
        }
    }

    /// Nobody waits for the command any more.
    pub fn cancel(&self, id: &str) {
        if let Some(running) = self.running().get(id) {
            running.cancel.send_replace(true);
        }
    }

    /// Takes a command. Its result is sent when it ends; this returns at once.
    pub fn command(self: &Arc<Self>, command: Command) {
        // One lock over all three looks: an end is kept before it is taken off this list.
        let mut running = self.running();
        let begin_by = self.clock.instant(command.begin_by_ms);
        if let Some(running) = running.get_mut(&command.id) {
            // Somebody waits for it anew.
            running.begin_by = begin_by;
            return;
        }
        if let Some(result) = self.kept.result(&command.id) {
            self.outbox.send(result_frame(command.id, result));
            return;
        }
        let (cancel, cancelled) = watch::channel(false);
        match self.prepare(&command, cancelled) {
            Ok(prepared) => {
                running.insert(command.id.clone(), Running { cancel, begin_by });
                self.start(command, prepared);
            }
            // Not kept: asked again, the answer may be another (a target assigned in the meantime).
            Err(fault) => self.outbox.send(result_frame(command.id, Err(fault))),
        }
    }

    fn prepare(&self, command: &Command, cancelled: watch::Receiver<bool>) -> Result<ops::Prepared, Fault> {
        let target = self.targets().into_iter().find(|t| t.uuid == command.target);
        let wrong = || {
            Fault::new(code::AGENT_WRONG_TARGET, format!("the agent does not serve {}", command.target))
                .with("target", command.target.as_str())
        };
        let target = target.ok_or_else(wrong)?;
        let (outbox, id) = (self.outbox.clone(), command.id.clone());
        let tell = move |percent: u8, text: &str| {
            outbox.send(AgentFrame::Progress { id: id.clone(), percent, text: text.to_owned() });
        };
        let prepared = ops::prepare(&self.drivers, command, Call::new(cancelled, Arc::new(tell)))?;
        if prepared.kind != target.kind {
            return Err(wrong());
        }
        if self.clock.is_past(command.receive_by_ms) {
            return Err(stale(command));
        }
        self.kept.admit_epoch(&command.target, command.epoch)?;
        Ok(prepared)
    }

    fn start(self: &Arc<Self>, command: Command, prepared: ops::Prepared) {
        let this = self.clone();
        let lane = prepared.lane.clone();
        let work = async move { this.execute(command, prepared).await };
        match lane {
            Some(lane) => self.lanes.push(&lane, work),
            None => {
                tokio::spawn(work);
            }
        }
    }

    async fn execute(self: Arc<Self>, command: Command, prepared: ops::Prepared) {
        let started = Instant::now();
        if self.is_unwanted(&command.id) {
            self.running().remove(&command.id);
            let result = Err(stale(&command));
            log_end(&command, &result, 0);
            return self.outbox.send(result_frame(command.id, result));
        }
        // While it waited in its lane a newer server may have taken the target over.
        let result = match self.kept.admit_epoch(&command.target, command.epoch) {
            Ok(()) => tokio::spawn(prepared.work).await.unwrap_or_else(|e| {
                Err(Fault::internal(format!("{} failed by a mistake of the agent", command.op))
                    .for_operator(e))
            }),
            Err(fault) => Err(fault),
        };
        log_end(&command, &result, started.elapsed().as_millis());
        if let Err(e) = self.kept.keep(&command, &result) {
            tracing::error!(id = command.id, "the result of a command could not be kept: {e}");
        }
        self.running().remove(&command.id);
        self.outbox.send(result_frame(command.id, result));
    }

    /// Whether the caller went while the command waited in its lane.
    fn is_unwanted(&self, id: &str) -> bool {
        let running = self.running();
        let begin_by = running.get(id).and_then(|r| r.begin_by);
        begin_by.is_some_and(|end| Instant::now() > end)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_end(command: &Command, result: &Result<Value, Fault>, took_ms: u128) {
    let (op, run, id, target) = (&command.op, &command.run, &command.id, &command.target);
    match result {
        Ok(_) if run.is_empty() => tracing::debug!(%id, target, took_ms, "{op} done"),
        Ok(_) => tracing::info!(%id, run, target, took_ms, "{op} done"),
        Err(f) => {
            let operator = f.operator.as_deref().unwrap_or_default();
            tracing::warn!(%id, run, target, took_ms, code = f.code, operator, "{op} failed: {}", f.details);
        }
    }
}

fn result_frame(id: String, result: Result<Value, Fault>) -> AgentFrame {
    match result {
        Ok(value) => AgentFrame::Result { id, ok: Some(value), err: None },
        Err(fault) => AgentFrame::Result { id, ok: None, err: Some(fault) },
    }
}
