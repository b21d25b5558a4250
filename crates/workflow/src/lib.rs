//! The step engine. It knows nothing about VMs.
//!
//! A [`Workflow`] is a struct of plain data and a list of steps; each step has a `Do`, an `Undo` and a `Plan`. The engine
//! keeps a journal row per run, so that after a kill at any instruction the run is finished or undone.
//!
//! The rules a step keeps, and what the engine gives for them:
//!
//! - A step is *either* one transaction ([`Cx::tx`]), *or* effects elsewhere (agent calls after [`Cx::effect`]), *or*
//!   effects followed by one transaction. The transaction of a step commits together with the note that the step is
//!   done and with the workflow's data. So a transaction happens exactly once; effects may happen again after a
//!   crash and must be idempotent.
//! - Before the first effect of a step the journal knows that the step has begun. After a failure every step that
//!   has begun is undone, the failed one too, newest first. An undo takes back only what this run did, may run twice,
//!   and may run after a `Do` that did nothing.
//! - The transaction of the last step also ends the run. There is no instant at which the work is done and the run is not.
//! - Runs of one queue (a resource's uuid) go one after the other, in the order in which they came. A run never holds
//!   two queues; what else it needs it claims by compare-and-set in its transactions.
//! - Work that is begun anew by itself after a crash, such as connecting what has dialled in, may take queues without a run
//!   ([`Engine::try_hold`]), never waiting for one.

mod control;
mod cx;
mod drive;
mod engine;
mod erased;
mod journal;
mod plan;
mod probe;
mod queue;

use std::fmt::Debug;
use std::future::Future;

use cairn_store::Tx;
use cairn_types::{Fault, Id, Result, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use cx::Cx;
pub use engine::{Engine, Handle, Hold, Options, Reported, Start};
pub use journal::{RunInfo, RunState};
pub use plan::{FieldChange, Plan, PlanStep, PlannedChange, PlannedResource};
pub use probe::{Act, At, Inner, Probe};

/// What a step is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dir {
    /// The work.
    Do,
    /// Take back what this run did in this step, if anything.
    Undo,
    /// Say what `Do` would do, and leave its rows in a transaction that is thrown away, for the later steps to see.
    Plan,
}

/// What a run is about: shown to users, used for its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Runs with the same queue go one after the other: the uuid of the primary resource.
    pub queue: String,
    /// The resource that is worked on.
    pub resource_uuid: String,
    /// Its type, such as `VmInstanceVO`.
    pub resource_type: String,
}

impl About {
    /// A run that works on one resource, in the queue of that resource.
    pub fn resource(uuid: impl std::fmt::Display, resource_type: &str) -> Self {
        let uuid = uuid.to_string();
        Self { queue: uuid.clone(), resource_uuid: uuid, resource_type: resource_type.to_owned() }
    }
}

/// What the host program of the engine gives: a place for what must happen in the engine's own transactions.
pub trait Env: Send + Sync + 'static {
    /// Called in the transaction in which a run begins, moves on, or ends.
    fn run_changed(&self, tx: &mut dyn Tx, run: &RunInfo) -> Result<()>;
    /// Called in the transaction in which a run ends, before [`Env::run_changed`]; once for each run. A run that gets Stuck
    /// ends so for those who wait; a later retry or abandon is told by [`Env::run_changed`] only.
    fn run_ended(&self, tx: &mut dyn Tx, run: &RunInfo, outcome: &Result<Value>) -> Result<()>;
    /// Called in a rehearsal before its first step; what it returns comes back in [`Env::plan_made`].
    fn plan_begins(&self, _tx: &mut dyn Tx) -> Result<i64> {
        Ok(0)
    }
    /// Called in a rehearsal after its last step, to add to the plan what its transactions did.
    fn plan_made(&self, _tx: &mut dyn Tx, _begun: i64, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }
    /// Called after [`Env::plan_made`] with the committed state, which the rehearsal began from and which can't change while
    /// it lasts: to compare what is with what would be.
    fn plan_compared(&self, _tx: &mut dyn Tx, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }
}

/// A change that is more than one transaction.
pub trait Workflow: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the host program gives to steps.
    type Env: Env;
    /// The steps; their `Debug` form is their name.
    type Step: Copy + Debug + PartialEq + Send + Sync + 'static;
    /// Name and version, such as `vm.start/1`. Bump the version if stored runs can't resume.
    const NAME: &'static str;
    /// The steps in order.
    const STEPS: &'static [Self::Step];

    /// What this run is about.
    fn about(&self) -> About;

    /// One step in one direction.
    fn step(
        &mut self,
        cx: &mut Cx<Self::Env>,
        step: Self::Step,
        dir: Dir,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The answer to the caller, read in the transaction that ends the run.
    fn result(&self, _env: &Self::Env, _tx: &mut dyn Tx) -> Result<Value> {
        Ok(Value::Object(serde_json::Map::new()))
    }

    /// The error to the caller when the run fails: wraps what a step said in the operation's own code.
    fn failure(&self, cause: Fault) -> Fault {
        cause
    }
}

/// Uuid of a run.
pub type RunId = Id<kind::Run>;

#[cfg(test)]
mod tests;
