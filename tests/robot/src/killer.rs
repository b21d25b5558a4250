//! The probe that kills its own process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_workflow::{Act, At, Inner, Probe};

use crate::wire::{Plot, Point, Say, Spot};

/// Notes every moment that runs pass, and ends the process at one of them as `kill -9` does.
#[derive(Default)]
pub struct Killer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plot: Option<Plot>,
    is_hit: bool,
    seen: BTreeSet<Spot>,
}

impl Killer {
    /// One with a plot from the start.
    pub fn new(plot: Option<Plot>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { plot, ..State::default() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the plot, and forgets what was seen.
    pub fn plot(&self, plot: Option<Plot>) {
        let mut state = self.state();
        state.plot = plot;
        state.seen.clear();
        state.is_hit = false;
    }

    /// Moments passed, and whether the plot's step has failed.
    pub fn seen(&self) -> (Vec<Spot>, bool) {
        let state = self.state();
        (state.seen.iter().cloned().collect(), state.is_hit)
    }

    /// Notes a moment, and ends the process if it is the one.
    fn pass(&self, moment: &At<'_>, point: Point) {
        let spot = Spot {
            workflow: moment.workflow.to_owned(),
            index: moment.index,
            step: moment.step.to_owned(),
            undo: moment.undo,
            point,
        };
        let mut state = self.state();
        if state.plot.as_ref().and_then(|p| p.kill.as_ref()) == Some(&spot) {
            die(spot);
        }
        state.seen.insert(spot);
    }
}

/// Says so and is gone. Nothing of this process runs after the signal.
fn die(spot: Spot) -> ! {
    crate::serve::say(&Say::Killing { spot });
    // SAFETY: sends a signal to this process; no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

impl Probe for Killer {
    fn at(&self, moment: &At<'_>) -> Act {
        self.pass(moment, if moment.after { Point::After } else { Point::Before });
        let mut state = self.state();
        let Some(fail) = state.plot.as_ref().and_then(|p| p.fail.clone()) else { return Act::Go };
        let is_there = !moment.undo && moment.workflow == fail.workflow && moment.index == fail.index;
        if !is_there || moment.after == fail.before || state.is_hit {
            return Act::Go;
        }
        state.is_hit = true;
        Act::Fail
    }

    fn within(&self, moment: &At<'_>, inner: Inner) {
        let point = match inner {
            Inner::Noted => Point::Noted,
            Inner::BeforeCommit => Point::BeforeCommit,
            Inner::Committed => Point::Committed,
        };
        self.pass(moment, point);
    }
}
