//! Starts runs, drives them forward or back, and takes them up again after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use cairn_store::{Store, Tx};
use cairn_types::{Fault, Result, code, time};
use serde_json::Value;
use tokio::sync::watch;

use crate::cx::Cx;
use crate::erased::{Erased, Loader, data_of, load, step_names};
use crate::journal::{self, Owner, RunInfo, RunState};
use crate::probe::Probe;
use crate::queue::{Place, Queues, Turn};
use crate::{Env, RunId, Workflow};

/// How an engine behaves.
#[derive(Clone)]
pub struct Options {
    /// Uuid of this server.
    pub server: String,
    /// Its epoch; higher at each start.
    pub epoch: i64,
    /// How often a failing undo is tried before the run is Stuck.
    pub undo_tries: u32,
    /// Pause before the second try; doubles each time.
    pub undo_pause: Duration,
    /// The fault harness, in tests.
    pub probe: Option<Arc<dyn Probe>>,
}

/// What comes with a start.
#[derive(Default)]
pub struct Start {
    /// The run's id, if it must be a certain one.
    pub uuid: Option<RunId>,
    /// Account that asks.
    pub account: String,
    /// API job that waits.
    pub job: Option<String>,
    /// Run that starts this one.
    pub parent: Option<String>,
    /// Undo the run after this long.
    pub deadline: Option<Duration>,
    /// Queues that ancestors hold, so that a child does not wait for its parent.
    pub held: Vec<String>,
}

/// The right to work on a resource without a run; runs that want it wait until this is dropped.
///
/// It is not in the journal: after a crash the queue is free and the work is forgotten. So it is only for work that is begun
/// anew by itself, whose effects may happen again, and that leaves no row in between two states.
pub struct Hold {
    _turn: Turn,
}

pub(crate) type Outcome = Result<Value>;

pub(crate) struct Live {
    pub(crate) cancel: AtomicBool,
    end: watch::Sender<Option<Outcome>>,
    progress: Mutex<Reported>,
}

struct Inner<E: Env> {
    store: Store,
    env: OnceLock<Weak<E>>,
    options: Options,
    queues: Queues,
    loaders: Mutex<HashMap<&'static str, Loader<E>>>,
    steps: Mutex<BTreeMap<&'static str, Vec<String>>>,
    live: Mutex<HashMap<RunId, Arc<Live>>>,
    /// Places in line of children that a restart found and that their parents will ask for.
    reserved: Mutex<HashMap<RunId, Place>>,
    is_halted: AtomicBool,
}

/// The engine; cheap to clone.
pub struct Engine<E: Env> {
    inner: Arc<Inner<E>>,
}

impl<E: Env> Clone for Engine<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

/// How far a live run is.
#[derive(Debug, Clone, Default)]
pub struct Reported {
    /// 0..=100.
    pub percent: u8,
    /// What is being done.
    pub text: String,
    /// While this step lasts, the percentage is exact; otherwise it is the least that is known.
    pub step: Option<usize>,
}

/// A started run.
pub struct Handle {
    run: RunId,
    end: watch::Receiver<Option<Outcome>>,
}

impl Handle {
    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Result<Value> {
        let gone = || {
            Fault::new(
                code::RUN_SERVER_STOPPED,
                "the server stopped; the operation goes on after its restart",
            )
            .retry()
        };
        let end = self.end.wait_for(Option::is_some).await.map_err(|_| gone())?;
        end.clone().unwrap_or_else(|| Err(gone()))
    }
}

impl<E: Env> Engine<E> {
    /// An engine over a store. Register all workflows and [`Engine::attach`] before use.
    pub fn new(store: Store, options: Options) -> Self {
        let inner = Inner {
            store,
            env: OnceLock::new(),
            options,
            queues: Queues::default(),
            loaders: Mutex::default(),
            steps: Mutex::default(),
            live: Mutex::default(),
            reserved: Mutex::default(),
            is_halted: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Gives the engine its host program, which usually holds the engine itself.
    pub fn attach(&self, env: &Arc<E>) {
        let _ = self.inner.env.set(Arc::downgrade(env));
    }

    /// Makes a workflow known, so that its runs can be taken up after a restart.
    pub fn register<W: Workflow<Env = E>>(&self) {
        lock(&self.inner.loaders).insert(W::NAME, load::<W>);
        lock(&self.inner.steps).insert(W::NAME, step_names::<W>());
    }

    /// Every registered workflow with the names of its steps, in order.
    pub fn steps(&self) -> BTreeMap<&'static str, Vec<String>> {
        lock(&self.inner.steps).clone()
    }

    /// Names of all registered workflows.
    pub fn workflows(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = lock(&self.inner.loaders).keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { server: self.inner.options.server.clone(), epoch: self.inner.options.epoch }
    }

    pub(crate) fn env(&self) -> Result<Arc<E>> {
        self.inner.env.get().and_then(Weak::upgrade).ok_or_else(stopping)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn live(&self) -> &Mutex<HashMap<RunId, Arc<Live>>> {
        &self.inner.live
    }

    /// Leaves every run where it stands, as if the process had gone: nothing more is begun or written. What was left is
    /// taken up by the next start.
    pub fn halt(&self) {
        self.inner.is_halted.store(true, Ordering::Release);
    }

    /// Takes a queue if no run is at work in it or waits for it. Never waits.
    pub fn try_hold(&self, queue: &str) -> Option<Hold> {
        if self.is_halted() {
            return None;
        }
        self.inner.queues.try_enter(queue).map(|turn| Hold { _turn: turn })
    }

    /// Whether every run was left where it stands, see [`Engine::halt`].
    pub fn is_halted(&self) -> bool {
        self.inner.is_halted.load(Ordering::Acquire)
    }

    pub(crate) fn check_alive(&self) -> Result<()> {
        if self.is_halted() { Err(stopping()) } else { Ok(()) }
    }

    pub(crate) fn is_cancelled(&self, run: RunId) -> bool {
        lock(&self.inner.live).get(&run).is_some_and(|l| l.cancel.load(Ordering::Acquire))
    }

    /// Starts a run.
    pub async fn start<W: Workflow<Env = E>>(&self, w: W, start: Start) -> Result<Handle> {
        self.start_with(w, start, |_, _| Ok(())).await
    }

    /// Starts a run; `admit` runs in the transaction that writes its journal row, and can refuse. A caller that goes away
    /// meanwhile changes nothing: what is in the journal is driven.
    pub async fn start_with<W, F>(&self, w: W, start: Start, admit: F) -> Result<Handle>
    where
        W: Workflow<Env = E>,
        F: FnMut(&mut dyn Tx, &RunInfo) -> Result<()> + Send + 'static,
    {
        let engine = self.clone();
        let begun = tokio::spawn(async move { engine.begin(w, start, admit).await });
        begun.await.map_err(|_| stopping())?
    }

    async fn begin<W, F>(&self, w: W, start: Start, mut admit: F) -> Result<Handle>
    where
        W: Workflow<Env = E>,
        F: FnMut(&mut dyn Tx, &RunInfo) -> Result<()> + Send + 'static,
    {
        self.check_alive()?;
        let run = self.new_run(&w, &start)?;
        let (uuid, owner, env) = (run.uuid, self.owner(), self.env()?);
        // A child takes its place before it is in the journal: one that may not wait has never been.
        let early = if start.held.is_empty() { None } else { Some(self.place(&run.queue, &start.held)?) };
        let insert = move |tx: &mut dyn Tx| {
            if let Some(known) = journal::find(tx, run.uuid)? {
                return Ok((known, false));
            }
            journal::insert(tx, &owner, &run)?;
            admit(tx, &run)?;
            env.run_changed(tx, &run)?;
            Ok((run.clone(), true))
        };
        let (run, is_new) = self.inner.store.write(insert).await?;
        if !is_new {
            drop(early);
            return self.attach_to(run, start.held);
        }
        let place = match early {
            Some(place) => place,
            None => self.place(&run.queue, &[])?,
        };
        Ok(self.launch(uuid, Box::new(w), run, place, start.held, false))
    }

    pub(crate) fn new_run<W: Workflow<Env = E>>(&self, w: &W, start: &Start) -> Result<RunInfo> {
        let about = w.about();
        Ok(RunInfo {
            uuid: start.uuid.unwrap_or_default(),
            workflow: W::NAME.to_owned(),
            queue: about.queue,
            resource_uuid: about.resource_uuid,
            resource_type: about.resource_type,
            account: start.account.clone(),
            state: RunState::Running,
            data: data_of(w)?,
            steps: step_names::<W>(),
            high: -1,
            done: 0,
            error: None,
            cancel: false,
            job: start.job.clone(),
            parent: start.parent.clone(),
            deadline_ms: start
                .deadline
                .map(|d| time::now_ms() + i64::try_from(d.as_millis()).unwrap_or(i64::MAX / 2)),
            progress: 0,
            result: None,
        })
    }

    /// A child that exists already: it ended, it is at work, or it has to be taken up.
    pub(crate) fn attach_to(&self, run: RunInfo, held: Vec<String>) -> Result<Handle> {
        if let Some(live) = lock(&self.inner.live).get(&run.uuid) {
            return Ok(Handle { run: run.uuid, end: live.end.subscribe() });
        }
        match run.state {
            RunState::Done => Ok(ended(run.uuid, Ok(run.result.unwrap_or(Value::Null)))),
            RunState::Failed | RunState::Stuck => {
                let error = run.error.clone().unwrap_or_else(|| Fault::internal("the child run failed"));
                Ok(ended(run.uuid, Err(error)))
            }
            RunState::Running | RunState::Undoing => self.take_up(run, held),
        }
    }

    pub(crate) fn take_up(&self, run: RunInfo, held: Vec<String>) -> Result<Handle> {
        let loader = lock(&self.inner.loaders).get(run.workflow.as_str()).copied();
        let loader =
            loader.ok_or_else(|| Fault::internal(format!("workflow {} is unknown", run.workflow)))?;
        let workflow = loader(&run.data)?;
        let reserved = lock(&self.inner.reserved).remove(&run.uuid);
        let place = match reserved {
            Some(place) => place,
            None => self.place(&run.queue, &held)?,
        };
        Ok(self.launch(run.uuid, workflow, run, place, held, true))
    }

    fn place(&self, queue: &str, held: &[String]) -> Result<Place> {
        if queue.is_empty() || held.iter().any(|h| h == queue) {
            return Ok(self.inner.queues.none());
        }
        self.inner.queues.enter(queue, held).ok_or_else(|| {
            let text = format!(
                "the operation needs {queue}, whose operation in turn waits for this one; this one was taken back, try it again"
            );
            Fault::new(code::RUN_CIRCLE, text).with("queue", queue).with("held", held.to_vec()).retry()
        })
    }

    fn launch(
        &self,
        uuid: RunId,
        workflow: Box<dyn Erased<E>>,
        run: RunInfo,
        place: Place,
        mut held: Vec<String>,
        is_taken_up: bool,
    ) -> Handle {
        let (sender, end) = watch::channel(None);
        let live =
            Arc::new(Live { cancel: AtomicBool::new(run.cancel), end: sender, progress: Mutex::default() });
        lock(&self.inner.live).insert(uuid, live.clone());
        held.push(run.queue.clone());
        let engine = self.clone();
        tokio::spawn(async move {
            let Some(turn) = place.turn().await else { return };
            let outcome = match engine.check_alive().and_then(|()| engine.env()) {
                Ok(env) => {
                    let mut cx = Cx::new(engine.clone(), env, run, held);
                    cx.is_taken_up = is_taken_up;
                    engine.drive(workflow, cx, &live).await
                }
                Err(f) => Err(Some(f)),
            };
            drop(turn);
            lock(&engine.inner.live).remove(&uuid);
            match outcome {
                Ok(outcome) => drop(live.end.send_replace(Some(outcome))),
                // As if the process had gone: who waits hears that the server stopped.
                Err(None) => {}
                Err(Some(f)) => {
                    tracing::error!(run = %uuid, error = %f, "run {uuid} was left to the next start")
                }
            }
        });
        Handle { run: uuid, end }
    }

    /// Takes up every run that had not ended. Call once, before new runs start.
    pub async fn recover(&self) -> Result<usize> {
        let owner = self.owner();
        let adopt = move |tx: &mut dyn Tx| {
            journal::adopt(tx, &owner)?;
            journal::unfinished(tx, &owner)
        };
        let runs = self.inner.store.write(adopt).await?;
        let count = runs.len();
        let at_work: HashMap<RunId, RunInfo> =
            runs.iter().filter(|r| r.state != RunState::Stuck).map(|r| (r.uuid, r.clone())).collect();
        // All take their places before any begins, so that what was at work on a resource goes first there.
        let mut free = Vec::new();
        for run in runs.into_iter().filter(|r| r.state != RunState::Stuck) {
            let ancestors = ancestors(&run, &at_work);
            let held: Vec<String> = ancestors.iter().map(|a| a.queue.clone()).collect();
            // One that can't take its place now asks for it when its parent is at work.
            match self.place(&run.queue, &held) {
                Ok(place) => drop(lock(&self.inner.reserved).insert(run.uuid, place)),
                Err(f) => tracing::warn!(run = %run.uuid, error = %f, "run {} has no place yet", run.uuid),
            }
            // A child is taken up by its parent; one whose parent has ended goes on alone.
            if ancestors.is_empty() {
                free.push(run);
            }
        }
        for run in free {
            let uuid = run.uuid;
            if let Err(f) = self.take_up(run, Vec::new()) {
                lock(&self.inner.reserved).remove(&uuid);
                tracing::error!(run = %uuid, error = %f, "run {uuid} can't be taken up");
            }
        }
        Ok(count)
    }

    /// Progress of a run that is at work.
    pub fn progress(&self, run: RunId) -> Option<Reported> {
        lock(&self.inner.live).get(&run).map(|l| lock(&l.progress).clone())
    }

    /// Notes how far a run is. Lossy and cheap.
    pub fn note_progress(&self, run: RunId, percent: u8, text: &str) {
        if let Some(live) = lock(&self.inner.live).get(&run) {
            *lock(&live.progress) = Reported { percent, text: text.to_owned(), step: None };
        }
    }

    /// The same, where it is known how far the whole run is while this step lasts.
    pub(crate) fn note_step_progress(&self, run: RunId, step: usize, percent: u8, text: &str) {
        if let Some(live) = lock(&self.inner.live).get(&run) {
            *lock(&live.progress) = Reported { percent, text: text.to_owned(), step: Some(step) };
        }
    }

    /// How many runs are at work or wait for their turn.
    pub fn live_count(&self) -> usize {
        lock(&self.inner.live).len()
    }

    /// Whether a run is at work or waits for its turn.
    pub fn is_live(&self, run: RunId) -> bool {
        lock(&self.inner.live).contains_key(&run)
    }

    /// Writes where a run stands, however long the database takes to come back; fails only when the run is lost.
    pub(crate) async fn persist(&self, run: RunInfo) -> Result<RunInfo> {
        let mut pause = Duration::from_millis(50);
        loop {
            self.check_alive()?;
            let (owner, env, next) = (self.owner(), self.env()?, run.clone());
            let save = move |tx: &mut dyn Tx| {
                journal::save(tx, &owner, &next)?;
                env.run_changed(tx, &next)
            };
            match self.inner.store.write(save).await {
                Ok(()) => return Ok(run),
                Err(f) if f.has_code(code::RUN_STATE) || f.has_code(code::NOT_READY) => return Err(f),
                Err(f) => {
                    tracing::error!(run = %run.uuid, error = %f, "the journal of run {} can't be written", run.uuid)
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// The unfinished runs above a run, nearest first.
fn ancestors<'a>(run: &RunInfo, runs: &'a HashMap<RunId, RunInfo>) -> Vec<&'a RunInfo> {
    let parent =
        |r: &RunInfo| r.parent.as_ref().and_then(|p| p.parse::<RunId>().ok()).and_then(|p| runs.get(&p));
    std::iter::successors(parent(run), |r| parent(r)).take(runs.len()).collect()
}

fn stopping() -> Fault {
    Fault::new(code::NOT_READY, "the server is stopping").retry()
}

fn ended(run: RunId, outcome: Outcome) -> Handle {
    Handle { run, end: watch::channel(Some(outcome)).1 }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
