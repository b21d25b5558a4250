//! What hosts and image stores have in common as targets of the protocol.

use std::sync::Weak;

use cairn_types::{Fault, Result, code};

use crate::agent::Core;

/// The part of a target's state that is not about what it holds.
#[derive(Default)]
pub(crate) struct Common {
    /// The agent that serves it.
    pub(crate) agent: Weak<Core>,
    /// Highest epoch seen.
    pub(crate) epoch: u64,
    /// Commands carried out, not counting repeats.
    pub(crate) commands: u64,
}

impl Common {
    /// Refuses commands of a server that no longer owns the target, and remembers newer ones.
    pub(crate) fn admit(&mut self, target: &str, epoch: u64) -> Result<()> {
        if epoch < self.epoch {
            let text =
                format!("the command comes from epoch {epoch}, but {target} has seen epoch {}", self.epoch);
            return Err(Fault::new(code::AGENT_OLD_EPOCH, text).with("epoch", self.epoch));
        }
        self.epoch = epoch;
        Ok(())
    }
}
