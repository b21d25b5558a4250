//! The server's clock, as far as commands are measured by it: a command says until when somebody waits for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_api::agent::Command;
use cairn_types::{Fault, code};

/// What the server's clock showed at some moment of ours. Neither clock is one that people set.
#[derive(Default)]
pub struct Clock(Mutex<Option<(Instant, u64)>>);

impl Clock {
    /// The server's clock shows this now. 0: it has none.
    pub fn set(&self, now_ms: u64) {
        let known = (now_ms > 0).then(|| (Instant::now(), now_ms));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// A time of the server in ours; none if it is no time or in doubt.
    pub fn instant(&self, at_ms: u64) -> Option<Instant> {
        let (then, then_ms) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        match at_ms {
            0 => None,
            // It was over when the connection began.
            at if at < then_ms => Some(then),
            at => then.checked_add(Duration::from_millis(at - then_ms)),
        }
    }

    /// Whether that time is over.
    pub fn is_past(&self, at_ms: u64) -> bool {
        self.instant(at_ms).is_some_and(|at| Instant::now() > at)
    }
}

/// The refusal of a command that nobody waits for any more.
pub fn stale(command: &Command) -> Fault {
    let text = format!("{} came when nobody waited for it any more, and was not carried out", command.op);
    Fault::new(code::AGENT_STALE, text).with("target", command.target.as_str()).retry()
}
