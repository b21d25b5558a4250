//! The fault harness: what goes wrong at which step of which workflow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_workflow::{Act, At, Probe};
use tokio::sync::watch;

/// What goes wrong around one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It fails before it does anything.
    FailBefore,
    /// It does its work and fails.
    FailAfter,
    /// It does its work and fails, and every undo runs twice.
    UndoTwice,
    /// It does its work and fails, and every undo fails at its first try.
    UndoFailsOnce,
    /// The server dies before it.
    CrashBefore,
    /// The server dies after it.
    CrashAfter,
    /// It does its work and fails, and the server dies before its undo.
    CrashBeforeUndo,
    /// It does its work and fails, and the server dies after its undo.
    CrashAfterUndo,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::UndoTwice,
        Self::UndoFailsOnce,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashBeforeUndo,
        Self::CrashAfterUndo,
    ];

    /// Whether the server dies.
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::CrashBeforeUndo | Self::CrashAfterUndo)
    }

    /// Whether the step's own failure is part of it.
    pub const fn fails(self) -> bool {
        !matches!(self, Self::CrashBefore | Self::CrashAfter)
    }
}

/// One step of one workflow, and what goes wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the workflow.
    pub workflow: String,
    /// Position of the step.
    pub index: usize,
    /// What goes wrong.
    pub trouble: Trouble,
    /// The end of this step ends the run: where the trouble is with the undo, the step fails before its work.
    pub is_end: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} step {} {:?}", self.workflow, self.index, self.trouble)
    }
}

#[derive(Default)]
struct State {
    armed: Option<Fault>,
    /// The step was reached.
    is_hit: bool,
    /// The first try of this undo has failed already.
    failed_undo: Option<usize>,
    /// Steps begun, by workflow and position.
    seen: BTreeMap<(String, usize), String>,
}

/// A probe that records every step and lets one go wrong. Outlives the servers it is given to.
pub struct Faults {
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { state: Mutex::default(), crashed: watch::channel(false).0 }
    }
}

impl Faults {
    /// A probe without a fault.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this goes wrong, once.
    pub fn arm(&self, fault: Fault) {
        let mut state = self.state();
        state.armed = Some(fault);
        state.is_hit = false;
        state.failed_undo = None;
        self.crashed.send_replace(false);
    }

    /// Nothing goes wrong any more. Tells whether the step was reached.
    pub fn disarm(&self) -> bool {
        let mut state = self.state();
        state.armed = None;
        state.is_hit
    }

    /// Whether the step was reached.
    pub fn is_hit(&self) -> bool {
        self.state().is_hit
    }

    /// Waits until the server was made to die; false if it does not come to that.
    pub async fn crashed(&self, patience: Duration) -> bool {
        let mut crashed = self.crashed.subscribe();
        tokio::time::timeout(patience, crashed.wait_for(|c| *c)).await.is_ok()
    }

    /// Names of the steps that this workflow was seen to begin, in order.
    pub fn steps(&self, workflow: &str) -> Vec<String> {
        let state = self.state();
        state.seen.iter().filter(|((w, _), _)| w == workflow).map(|(_, step)| step.clone()).collect()
    }

    fn crash(&self) -> Act {
        self.crashed.send_replace(true);
        Act::Crash
    }
}

impl Probe for Faults {
    fn at(&self, moment: &At<'_>) -> Act {
        let mut state = self.state();
        if !moment.undo && !moment.after {
            state.seen.insert((moment.workflow.to_owned(), moment.index), moment.step.to_owned());
        }
        let Some(fault) = state.armed.clone().filter(|f| f.workflow == moment.workflow) else {
            return Act::Go;
        };
        if !moment.undo {
            return self.forward(&mut state, &fault, moment);
        }
        if !state.is_hit {
            return Act::Go;
        }
        match fault.trouble {
            Trouble::UndoTwice if !moment.after => Act::Twice,
            Trouble::UndoFailsOnce if !moment.after && state.failed_undo != Some(moment.index) => {
                state.failed_undo = Some(moment.index);
                Act::Fail
            }
            Trouble::CrashBeforeUndo if !moment.after && moment.index == fault.index => {
                state.armed = None;
                self.crash()
            }
            Trouble::CrashAfterUndo if moment.after && moment.index == fault.index => {
                state.armed = None;
                self.crash()
            }
            _ => Act::Go,
        }
    }
}

impl Faults {
    fn forward(&self, state: &mut State, fault: &Fault, moment: &At<'_>) -> Act {
        let is_after = !fault.is_end && !matches!(fault.trouble, Trouble::FailBefore | Trouble::CrashBefore);
        if state.is_hit || moment.index != fault.index || moment.after != is_after {
            return Act::Go;
        }
        state.is_hit = true;
        match fault.trouble {
            Trouble::CrashBefore | Trouble::CrashAfter => {
                state.armed = None;
                self.crash()
            }
            _ => Act::Fail,
        }
    }
}
