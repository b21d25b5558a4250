//! What a step sees: its transaction, its effects, children, progress and the plan.

use std::sync::{Arc, Mutex, PoisonError};

use cairn_store::{Rehearsal, Tx};
use cairn_types::{Fault, Result, code};
use serde_json::Value;

use crate::engine::{Engine, Start};
use crate::erased::data_of;
use crate::journal::{self, RunInfo, RunState};
use crate::plan::{Plan, PlanStep, PlannedResource};
use crate::probe::{At, Inner};
use crate::{Dir, Env, RunId, Workflow};

/// Shared by a plan and the plans of its children.
pub(crate) struct Planning {
    pub(crate) rehearsal: Rehearsal,
    pub(crate) plan: Mutex<Plan>,
}

/// The context of a step.
pub struct Cx<E: Env> {
    pub(crate) engine: Engine<E>,
    pub(crate) env: Arc<E>,
    pub(crate) run: RunInfo,
    pub(crate) index: usize,
    pub(crate) dir: Dir,
    pub(crate) planning: Option<Arc<Planning>>,
    /// Queues that this run and its ancestors hold.
    pub(crate) held: Vec<String>,
    /// The step's transaction is committed.
    pub(crate) committed: bool,
    /// The answer, once the run has ended well.
    pub(crate) outcome: Option<Value>,
    /// The run was found after a restart, and none of its steps has ended since.
    pub(crate) is_taken_up: bool,
    children: usize,
    /// Where the part of the run that is at work begins and ends, in percent of the run.
    span: Option<(u8, u8)>,
}

impl<E: Env> Cx<E> {
    pub(crate) fn new(engine: Engine<E>, env: Arc<E>, run: RunInfo, held: Vec<String>) -> Self {
        Self {
            engine,
            env,
            run,
            index: 0,
            dir: Dir::Do,
            planning: None,
            held,
            committed: false,
            outcome: None,
            is_taken_up: false,
            children: 0,
            span: None,
        }
    }

    pub(crate) fn begin_step(&mut self, index: usize, dir: Dir) {
        self.index = index;
        self.dir = dir;
        self.committed = false;
        self.span = None;
        self.children = 0;
    }

    /// What the host program gives.
    pub fn env(&self) -> &Arc<E> {
        &self.env
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run.uuid
    }

    /// The run's journal row as far as this step knows it.
    pub fn info(&self) -> &RunInfo {
        &self.run
    }

    /// True while a plan is made.
    pub fn is_plan(&self) -> bool {
        self.planning.is_some()
    }

    /// An id that is the same each time this step of this run asks for it: for commands to agents.
    pub fn stable_id(&self, what: &str) -> String {
        let dir = if self.dir == Dir::Undo { "undo" } else { "do" };
        format!("{}-{}-{dir}-{what}", self.run.uuid, self.index)
    }

    /// The transaction of this step. `f` gets the workflow's data to change; data, rows and the note that the step is
    /// done are committed together. At most once per step, as the last thing a `Do` does.
    pub async fn tx<W, T, F>(&mut self, w: &mut W, f: F) -> Result<T>
    where
        W: Workflow<Env = E>,
        T: Send + 'static,
        F: FnMut(&mut W, &mut dyn Tx) -> Result<T> + Send + 'static,
    {
        self.tx_opening(w, None, f).await
    }

    /// Like [`Cx::tx`], and notes that the steps up to `through` have begun, which spares each of them a write. If the run
    /// fails before one of them has begun it is undone all the same, as after a `Do` that did nothing.
    pub async fn tx_opening<W, T, F>(&mut self, w: &mut W, through: Option<W::Step>, mut f: F) -> Result<T>
    where
        W: Workflow<Env = E>,
        T: Send + 'static,
        F: FnMut(&mut W, &mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let base = w.clone();
        if let Some(planning) = &self.planning {
            let work = move |tx: &mut dyn Tx| {
                let mut copy = base.clone();
                f(&mut copy, tx).map(|v| (copy, v))
            };
            let (copy, value) = planning.rehearsal.run(work).await?;
            *w = copy;
            return Ok(value);
        }
        self.engine.check_alive()?;
        let mut next = self.after_step(W::STEPS.len());
        if let Some(at) = through.and_then(|step| W::STEPS.iter().position(|s| *s == step)) {
            next.high = next.high.max(i64::try_from(at).unwrap_or(i64::MAX));
        }
        let (owner, env) = (self.engine.owner(), self.env.clone());
        let work = move |tx: &mut dyn Tx| {
            let mut copy = base.clone();
            let mut next = next.clone();
            let value = f(&mut copy, tx)?;
            next.data = data_of(&copy)?;
            let outcome = if next.state == RunState::Done { Some(copy.result(&env, tx)?) } else { None };
            if let Some(answer) = &outcome {
                next.keep_result(answer);
            }
            journal::save(tx, &owner, &next)?;
            if let Some(answer) = &outcome {
                env.run_ended(tx, &next, &Ok(answer.clone()))?;
            }
            env.run_changed(tx, &next)?;
            Ok((copy, value, next, outcome))
        };
        self.note(Inner::BeforeCommit);
        let (copy, value, next, outcome) = self.engine.store().write(work).await?;
        self.note(Inner::Committed);
        *w = copy;
        self.run = next;
        self.committed = true;
        self.outcome = outcome;
        Ok(value)
    }

    /// The journal row as it will be when this step's transaction is committed.
    fn after_step(&self, steps: usize) -> RunInfo {
        let mut next = self.run.clone();
        if self.dir == Dir::Do {
            let index = i64::try_from(self.index).unwrap_or(i64::MAX);
            next.high = next.high.max(index);
            next.done = index + 1;
            if self.index + 1 == steps {
                next.state = RunState::Done;
                next.progress = 100;
            }
        }
        next
    }

    /// Must be called before a step touches anything but the database: notes in the journal that the step has begun.
    pub async fn effect(&mut self) -> Result<()> {
        if self.is_plan() {
            return Err(Fault::internal("a plan must not touch anything"));
        }
        let index = i64::try_from(self.index).unwrap_or(i64::MAX);
        if self.dir == Dir::Do && self.run.high < index {
            let mut next = self.run.clone();
            next.high = index;
            next.done = next.done.max(index);
            self.run = self.engine.persist(next).await?;
        }
        self.note(Inner::Noted);
        Ok(())
    }

    /// Tells the fault harness, if there is one, where within the step the run is.
    fn note(&self, inner: Inner) {
        if let Some(probe) = &self.engine.options().probe {
            let step = self.run.steps.get(self.index).map_or("", String::as_str);
            let undo = self.dir == Dir::Undo;
            let moment = At { workflow: &self.run.workflow, step, index: self.index, undo, after: false };
            probe.within(&moment, inner);
        }
    }

    /// Reads rows as this run sees them.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        match &self.planning {
            Some(planning) => planning.rehearsal.run(f).await,
            None => self.engine.store().read(f).await,
        }
    }

    /// Starts a run that belongs to this step and waits for it. After a crash the same child is found again.
    pub async fn child<W: Workflow<Env = E>>(&mut self, w: W) -> Result<Value> {
        self.children += 1;
        let nth = self.children.to_string();
        self.child_for(&nth, w).await
    }

    /// Like [`Cx::child`] where the list of children may be shorter when the step is done again: `key`, not the position,
    /// tells the children of the step apart.
    pub async fn child_for<W: Workflow<Env = E>>(&mut self, key: &str, w: W) -> Result<Value> {
        if let Some(planning) = self.planning.clone() {
            return Box::pin(self.engine.plan_child(w, planning)).await.map(|()| Value::Null);
        }
        self.effect().await?;
        let start = Start {
            uuid: Some(self.next_child(key).await?),
            account: self.run.account.clone(),
            parent: Some(self.run.uuid.to_string()),
            held: self.held.clone(),
            ..Start::default()
        };
        let (engine, parent, is_do) = (self.engine.clone(), self.run.uuid, self.dir == Dir::Do);
        let admit = move |_: &mut dyn Tx, _: &RunInfo| {
            if is_do && engine.is_cancelled(parent) {
                return Err(Fault::new(code::RUN_CANCELLED, "the operation was cancelled by its user"));
            }
            Ok(())
        };
        Box::pin(self.engine.start_with(w, start, admit)).await?.wait().await
    }

    /// The id of the child that this call stands for. An undo that is tried again gets a new child for one that failed.
    async fn next_child(&self, key: &str) -> Result<RunId> {
        let (parent, index, dir, key) = (self.run.uuid, self.index, self.dir, key.to_owned());
        if dir != Dir::Undo {
            return Ok(child_id(parent, index, dir, &key, 0));
        }
        let find = move |tx: &mut dyn Tx| {
            let mut attempt = 0;
            loop {
                let id = child_id(parent, index, dir, &key, attempt);
                if journal::find(tx, id)?.is_none_or(|r| r.state != RunState::Failed) {
                    return Ok(id);
                }
                attempt += 1;
            }
        };
        self.engine.store().read(find).await
    }

    /// Tells how far the run is, 0..=100. Lossy and cheap.
    pub fn progress(&mut self, percent: u8, text: &str) {
        self.run.progress = i64::from(percent.min(100));
        self.engine.note_progress(self.run.uuid, percent.min(100), text);
    }

    /// What comes now takes the run from one percentage to another, whatever the number of its steps.
    pub fn progress_span(&mut self, from: u8, to: u8, text: &str) {
        self.span = Some((from.min(100), to.min(100)));
        self.run.progress = i64::from(from.min(100));
        self.engine.note_step_progress(self.run.uuid, self.index, from.min(100), text);
    }

    /// Where the run will stand when the next step begins, for a step that names a span: it may be seen before that does.
    pub fn progress_of_next(&self, percent: u8, text: &str) {
        self.engine.note_step_progress(self.run.uuid, self.index + 1, percent.min(100), text);
    }

    /// Where somebody else, such as an agent, tells how far the work of this step is, 0..=100. It moves the run through the
    /// span that was named, or through the step.
    pub fn progress_within(&self) -> impl Fn(u8, &str) + Send + Sync + use<E> {
        let (engine, run, index) = (self.engine.clone(), self.run.uuid, self.index);
        let steps = self.run.steps.len().max(1);
        let at = |step: usize| u8::try_from(step * 100 / steps).unwrap_or(100).min(100);
        let (from, to) = self.span.unwrap_or((at(index), at(index + 1)));
        move |percent, text| {
            let way = u16::from(to.saturating_sub(from)) * u16::from(percent.min(100)) / 100;
            let percent = from + u8::try_from(way).unwrap_or(0);
            engine.note_step_progress(run, index, percent, text);
        }
    }

    /// Adds a line to the plan; does nothing otherwise.
    pub fn tell(&self, step: &str, text: impl Into<String>, why: impl Into<String>) {
        self.with_plan(|p| p.steps.push(PlanStep { step: step.into(), text: text.into(), why: why.into() }));
    }

    /// Adds a resource that would come into being to the plan.
    pub fn creates(&self, resource_type: &str, uuid: impl ToString, name: &str) {
        let resource = planned(resource_type, uuid, name);
        self.with_plan(|p| p.creates.push(resource));
    }

    /// Adds a resource that would go to the plan.
    pub fn deletes(&self, resource_type: &str, uuid: impl ToString, name: &str) {
        let resource = planned(resource_type, uuid, name);
        self.with_plan(|p| p.deletes.push(resource));
    }

    /// Adds a fact to the plan.
    pub fn fact(&self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        self.with_plan(|p| {
            p.facts.insert(name.to_owned(), value);
        });
    }

    fn with_plan(&self, f: impl FnOnce(&mut Plan)) {
        if let Some(planning) = &self.planning {
            f(&mut planning.plan.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn planned(resource_type: &str, uuid: impl ToString, name: &str) -> PlannedResource {
    PlannedResource { resource_type: resource_type.into(), uuid: uuid.to_string(), name: name.into() }
}

/// The id of a child: made from its parent, step and position, so that a repeated step finds the same child.
fn child_id(parent: RunId, index: usize, dir: Dir, key: &str, attempt: usize) -> RunId {
    let text = format!("{parent}/{index}/{dir:?}/{key}/{attempt}");
    // FNV-1a, 128 bits: stable over releases, unlike the hashers of the standard library.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    // Keep the time part of the parent, so that children stay ordered with it.
    let time = parent.as_u128() & !((1u128 << 80) - 1);
    let tail = (hash & ((1u128 << 80) - 1) & !(0xf << 76) & !(0x3 << 62)) | (0x7 << 76) | (0x2 << 62);
    RunId::from_u128(time | tail)
}
