//! Commands about one thing never overtake each other, as with a real agent: what waits or hangs holds up what comes after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::storage::{CacheImage, UncacheImage};
use cairn_api::agent::vm::{ListVms, ReadConsole};
use cairn_api::agent::{AgentOp, Command};
use serde_json::Value;
use tokio::sync::watch;

use super::Core;
use crate::fault::Trouble;

/// A target and a thing on it.
pub(super) type Key = (Arc<str>, String);

/// A command with what is to happen to it.
pub(super) struct Waiting {
    pub(super) command: Command,
    pub(super) target: Arc<str>,
    pub(super) wait: Duration,
    pub(super) trouble: Option<Trouble>,
    /// Since the command came.
    pub(super) released: watch::Receiver<u64>,
}

/// What came while something about the same thing was under way.
pub(super) struct Lane {
    /// Tells it from one of the same key before a restart.
    pub(super) number: u64,
    pub(super) waiting: VecDeque<Waiting>,
}

/// The thing that a command is about, by the same rule as the agent; none: it waits for nobody.
pub(super) fn key(command: &Command, target: &Arc<str>) -> Option<Key> {
    let text = |pointer: &str| command.args.pointer(pointer).and_then(Value::as_str);
    let (area, _) = command.op.split_once('.')?;
    let thing = match area {
        _ if [ListVms::NAME, ReadConsole::NAME].contains(&command.op.as_str()) => None,
        "storage" if [CacheImage::NAME, UncacheImage::NAME].contains(&command.op.as_str()) => {
            let thing = text("/image").zip(text("/storagePath"));
            return thing.map(|(image, at)| (target.clone(), format!("{area}/{image} {at}")));
        }
        "network" => Some(""),
        "vm" => text("/vm").or_else(|| text("/spec/vm")),
        "volume" => text("/volume"),
        "imageStore" => text("/image"),
        _ => None,
    };
    thing.map(|thing| (target.clone(), format!("{area}/{thing}")))
}

impl Core {
    /// Carries a command out that takes time or hangs, and after it what came for the same thing.
    pub(super) async fn drain(self: Arc<Self>, lane: Option<(Key, u64)>, first: Waiting) {
        let mut next = Some(first);
        while let Some(one) = next {
            self.carry_out(one).await;
            next = lane.as_ref().and_then(|(key, number)| self.after(key, *number));
        }
    }

    async fn carry_out(self: &Arc<Self>, one: Waiting) {
        let Waiting { command, target, wait, trouble, mut released } = one;
        self.work(&command, wait).await;
        if trouble == Some(Trouble::Hang) {
            // The senders live as long as this agent, so this ends by a release, by its end, or not at all.
            let mut ended = self.ended.subscribe();
            while !self.is_over(&command.id) {
                tokio::select! {
                    _ = released.changed() => break,
                    _ = ended.changed() => {}
                }
            }
        }
        self.finish(command, &target, trouble.filter(|t| *t != Trouble::Hang));
    }

    fn after(&self, key: &Key, number: u64) -> Option<Waiting> {
        let mut state = self.state();
        let lane = state.lanes.get_mut(key).filter(|lane| lane.number == number)?;
        let next = lane.waiting.pop_front();
        if next.is_none() {
            state.lanes.remove(key);
        }
        next
    }
}
