//! A toy host program over a real store, and toy workflows that use every kind of step.

mod child;
mod crash;
mod fence;
mod plan;
mod queue;
mod stuck;
mod toy;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cairn_store::scratch::Scratch;
use cairn_store::{Store, Tx, params};
use cairn_types::{Fault, Result, code};
use serde_json::Value;
use tokio::sync::watch;

use crate::*;
use toy::Build;

/// What lies outside the database: it survives crashes, and its commands are idempotent.
#[derive(Default)]
struct Outside {
    /// Things that are made, and what else is there of each.
    made: Mutex<BTreeMap<String, BTreeSet<&'static str>>>,
    /// Everything that was asked for, in order.
    calls: Mutex<Vec<String>>,
    /// `step/thing` that waits for ever, until it is taken out.
    stalled: OnceLock<watch::Sender<BTreeSet<String>>>,
    /// Steps whose undo fails.
    broken: Mutex<BTreeSet<&'static str>>,
}

impl Outside {
    fn stalls(&self) -> &watch::Sender<BTreeSet<String>> {
        self.stalled.get_or_init(|| watch::Sender::new(BTreeSet::new()))
    }

    /// From now on this step of this thing waits until [`Outside::release`].
    fn stall(&self, step: &str, thing: &str) {
        self.stalls().send_if_modified(|s| s.insert(format!("{step}/{thing}")));
    }

    fn release(&self, step: &str, thing: &str) {
        self.stalls().send_if_modified(|s| s.remove(&format!("{step}/{thing}")));
    }

    async fn pass(&self, step: &str, thing: &str) {
        let key = format!("{step}/{thing}");
        self.calls.lock().unwrap().push(key.clone());
        let _ = self.stalls().subscribe().wait_for(|s| !s.contains(&key)).await;
    }

    /// Waits until a step has come so far.
    async fn wait_for(&self, call: &str) {
        for _ in 0..30_000 {
            if self.calls().iter().any(|c| c == call) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{call} never came; {:?}", self.calls());
    }

    fn put(&self, thing: &str, what: &'static str) {
        self.made.lock().unwrap().entry(thing.to_owned()).or_default().insert(what);
    }

    fn take(&self, thing: &str, what: &'static str) {
        let mut made = self.made.lock().unwrap();
        if let Some(parts) = made.get_mut(thing) {
            parts.remove(what);
            if parts.is_empty() {
                made.remove(thing);
            }
        }
    }

    fn undo_works(&self, step: &'static str) -> Result<()> {
        if self.broken.lock().unwrap().contains(step) {
            return Err(Fault::operation("the undo is broken"));
        }
        Ok(())
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// The host program: one per engine, as a process would be.
struct Toy {
    outside: Arc<Outside>,
}

impl Env for Toy {
    fn run_changed(&self, tx: &mut dyn Tx, run: &RunInfo) -> Result<()> {
        tx.execute("INSERT INTO changed VALUES (?, ?)", params![run.uuid, run.state.as_str()])?;
        Ok(())
    }

    fn run_ended(&self, tx: &mut dyn Tx, run: &RunInfo, outcome: &Result<Value>) -> Result<()> {
        let (ok, code) = match outcome {
            Ok(answer) => (Some(answer.to_string()), None),
            Err(f) => (None, Some(f.code.clone())),
        };
        tx.execute("INSERT INTO ended VALUES (?, ?, ?)", params![run.uuid, ok, code])?;
        Ok(())
    }
}

/// What happens at which moments.
#[derive(Default)]
struct Script {
    acts: Mutex<Vec<(String, Act)>>,
    /// Every moment, in order.
    seen: Mutex<Vec<String>>,
}

impl Script {
    /// At the next `moment` (`Make do before`), this happens, once.
    fn on(moment: &str, act: Act) -> Arc<Self> {
        let script = Self::default();
        script.acts.lock().unwrap().push((moment.to_owned(), act));
        Arc::new(script)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Probe for Script {
    fn at(&self, at: &At<'_>) -> Act {
        let dir = if at.undo { "undo" } else { "do" };
        let when = if at.after { "after" } else { "before" };
        let moment = format!("{} {dir} {when}", at.step);
        self.seen.lock().unwrap().push(moment.clone());
        let mut acts = self.acts.lock().unwrap();
        let found = acts.iter().position(|(m, _)| *m == moment);
        found.map_or(Act::Go, |i| acts.remove(i).1)
    }
}

/// A database file and what lies outside: what stays when a process goes.
struct Bed {
    _scratch: Scratch,
    store: Store,
    outside: Arc<Outside>,
}

/// A process: an engine and its host program.
struct Process {
    engine: Engine<Toy>,
    _toy: Arc<Toy>,
}

impl Bed {
    async fn new() -> Self {
        let scratch = Scratch::new();
        let store = scratch.open(1).unwrap();
        let tables = |tx: &mut dyn Tx| {
            tx.execute("CREATE TABLE thing (uuid TEXT PRIMARY KEY, run TEXT, state TEXT, number BIGINT, wired BIGINT)", &[])?;
            tx.execute("CREATE TABLE changed (run TEXT, state TEXT)", &[])?;
            tx.execute("CREATE TABLE ended (run TEXT, answer TEXT, code TEXT)", &[])
        };
        store.write(tables).await.unwrap();
        Self { _scratch: scratch, store, outside: Arc::default() }
    }

    fn process(&self, epoch: i64, probe: Option<Arc<Script>>) -> Process {
        self.process_with(epoch, probe.map(|p| p as Arc<dyn Probe>))
    }

    fn process_with(&self, epoch: i64, probe: Option<Arc<dyn Probe>>) -> Process {
        let options = Options {
            server: format!("server{epoch}"),
            epoch,
            undo_tries: 2,
            undo_pause: Duration::from_millis(1),
            probe,
        };
        let engine = Engine::new(self.store.clone(), options);
        engine.register::<Build>();
        engine.register::<child::Outer>();
        engine.register::<child::Tear>();
        let toy = Arc::new(Toy { outside: self.outside.clone() });
        engine.attach(&toy);
        Process { engine, _toy: toy }
    }

    /// A process that has taken up what another left.
    async fn recovered(&self, epoch: i64, probe: Option<Arc<Script>>) -> Process {
        let process = self.process(epoch, probe);
        process.engine.recover().await.unwrap();
        process
    }

    async fn run(&self, run: RunId) -> RunInfo {
        self.store.read(move |tx| journal::find(tx, run)).await.unwrap().unwrap()
    }

    /// Waits until a run has ended or is Stuck.
    async fn end_of(&self, run: RunId) -> RunInfo {
        for _ in 0..30_000 {
            let info = self.run(run).await;
            if !matches!(info.state, RunState::Running | RunState::Undoing) {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("run {run} does not end: {:?}", self.run(run).await);
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.store.read(move |tx| tx.query_int(sql, &[])).await.unwrap()
    }

    /// How often who waits for a run was told that it ended, and with which code.
    async fn told(&self, run: RunId) -> Vec<Option<String>> {
        let rows = move |tx: &mut dyn Tx| tx.query("SELECT code FROM ended WHERE run = ?", params![run]);
        self.store.read(rows).await.unwrap().iter().map(|r| r.opt_text("code").unwrap()).collect()
    }

    async fn thing(&self, uuid: &'static str) -> Option<(String, Option<i64>, i64)> {
        let find = move |tx: &mut dyn Tx| tx.query_opt("SELECT * FROM thing WHERE uuid = ?", params![uuid]);
        let row = self.store.read(find).await.unwrap()?;
        Some((row.text("state").unwrap(), row.opt_int("number").unwrap(), row.int("wired").unwrap()))
    }

    /// The thing is built, each of its transactions having happened once.
    async fn assert_built(&self, uuid: &'static str) {
        assert_eq!(self.thing(uuid).await, Some(("Ready".into(), Some(1), 1)));
        assert_eq!(self.outside.made.lock().unwrap()[uuid], BTreeSet::from(["made", "wired"]));
    }

    async fn assert_nothing_left(&self) {
        assert_eq!(self.count("SELECT count(*) FROM thing").await, 0);
        assert!(self.outside.made.lock().unwrap().is_empty(), "{:?}", self.outside.made);
    }
}

impl Process {
    async fn start<W: Workflow<Env = Toy>>(&self, w: W) -> Handle {
        self.engine.start(w, Start::default()).await.unwrap()
    }
}
