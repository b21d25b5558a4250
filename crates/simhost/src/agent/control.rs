//! What tests do to an agent and its targets, and what they see of it.

use std::sync::Arc;

use cairn_types::{Fault, id};

use super::Core;

impl Core {
    /// Results that were not acknowledged, and commands under way.
    pub(crate) fn kept(&self) -> usize {
        self.state().kept.len()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state().out.is_some()
    }

    pub(crate) fn open(&self, is_open: bool) {
        self.gate.send_modify(|g| g.is_open = is_open);
    }

    pub(crate) fn drop_connection(&self) {
        self.gate.send_modify(|g| g.generation += 1);
    }

    /// The agent's process dies and starts again: what is on the hosts stays, its memory of commands is gone.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.kept.clear();
        state.lanes.clear();
        state.out = None;
        state.boot = id::random_uuid();
        drop(state);
        self.ended.send_modify(|n| *n += 1);
        self.drop_connection();
    }

    /// The agent's process is stopped: it takes nothing in.
    pub(crate) fn freeze(&self) {
        self.state().frozen.get_or_insert_default();
    }

    /// The process goes on, with what lies in its socket.
    pub(crate) fn thaw(self: &Arc<Self>) {
        let held = self.state().frozen.take().unwrap_or_default();
        held.into_iter().for_each(|frame| self.receive(frame));
    }

    /// Lets hung commands go on.
    pub(crate) fn release(&self) {
        self.released.send_modify(|n| *n += 1);
    }

    /// Names a target in heartbeats as failing, or no longer; a heartbeat goes out at once.
    pub(crate) fn set_failing(&self, target: &Arc<str>, fault: Option<Fault>) {
        let mut state = self.state();
        match fault {
            Some(fault) => state.failing.insert(target.clone(), fault),
            None => state.failing.remove(target),
        };
        drop(state);
        if let Some(frame) = self.heartbeat() {
            self.send(frame);
        }
    }

    /// Forgets every command of a target, as a restart of its agent would.
    pub(crate) fn forget(&self, target: &Arc<str>) {
        let mut state = self.state();
        state.kept.retain(|_, k| k.target != *target);
        state.lanes.retain(|(of, _), _| of != target);
        drop(state);
        self.ended.send_modify(|n| *n += 1);
    }

    pub(crate) fn set_vanished(&self, target: &Arc<str>, is_vanished: bool) {
        let mut state = self.state();
        if is_vanished {
            state.vanished.insert(target.clone())
        } else {
            state.vanished.remove(target)
        };
    }

    /// Whether the agent serves nothing else.
    pub(crate) fn is_alone(&self) -> bool {
        self.state().targets.len() <= 1
    }
}
