//! Where a test may interfere: before and after each step.

/// A moment in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<'a> {
    /// [`crate::Workflow::NAME`].
    pub workflow: &'a str,
    /// Name of the step.
    pub step: &'a str,
    /// Its position.
    pub index: usize,
    /// True while undoing.
    pub undo: bool,
    /// False before the step, true after it.
    pub after: bool,
}

/// A moment within a step, between what the step does outside and what the database knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Inner {
    /// The journal says that the step has begun; nothing outside the database was touched yet.
    Noted,
    /// The commands are through; the step's transaction was not handed in yet.
    BeforeCommit,
    /// The step's transaction is on disk; the run does not know it yet.
    Committed,
}

/// What shall happen at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing special.
    Go,
    /// The step fails.
    Fail,
    /// The process is gone: the run stops at once and nothing more is written.
    Crash,
    /// Run the step a second time.
    Twice,
}

/// Decides what happens. Used by the fault harness only; a server has none.
pub trait Probe: Send + Sync + 'static {
    /// Asked before and after every step of every run.
    fn at(&self, moment: &At<'_>) -> Act;

    /// Told of moments within a step, where nothing but the end of the process can be arranged.
    fn within(&self, _moment: &At<'_>, _inner: Inner) {}
}
