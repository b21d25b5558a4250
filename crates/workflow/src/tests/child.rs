//! Runs that belong to a step of another run.

use serde::{Deserialize, Serialize};

use super::*;

/// Builds a thing by a child run, then notes that it did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Outer {
    pub(super) thing: String,
    pub(super) queue: String,
    pub(super) child_queue: String,
    pub(super) child_fails_at: String,
    pub(super) fails: bool,
    pub(super) panics_in_undo: bool,
    pub(super) undo_by_child: bool,
    pub(super) answer: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OuterStep {
    Inner,
    Note,
}

impl Outer {
    pub(super) fn new(thing: &str) -> Self {
        let (thing, queue) = (thing.to_owned(), thing.to_owned());
        Self { child_queue: queue.clone(), thing, queue, ..Self::default() }
    }

    pub(super) fn failing(thing: &str) -> Self {
        Self { fails: true, ..Self::new(thing) }
    }

    /// The child waits in another queue than its parent.
    fn apart(thing: &str) -> Self {
        Self { queue: format!("outer-{thing}"), ..Self::new(thing) }
    }

    fn build(&self) -> Build {
        let (queue, fails_at) = (self.child_queue.clone(), self.child_fails_at.clone());
        Build { queue, fails_at, ..Build::new(&self.thing) }
    }

    async fn undo(&mut self, cx: &mut Cx<Toy>) -> Result<()> {
        assert!(!self.panics_in_undo, "the undo panics");
        if self.undo_by_child {
            return cx.child(Tear { thing: self.thing.clone() }).await.map(|_| ());
        }
        let outside = cx.env().outside.clone();
        outside.pass("unInner", &self.thing).await;
        for what in ["wired", "made"] {
            outside.take(&self.thing, what);
        }
        cx.tx(self, |w, tx| tx.execute("DELETE FROM thing WHERE uuid = ?", params![&w.thing]).map(|_| ()))
            .await
    }
}

impl Workflow for Outer {
    type Env = Toy;
    type Step = OuterStep;
    const NAME: &'static str = "toy.outer/1";
    const STEPS: &'static [OuterStep] = &[OuterStep::Inner, OuterStep::Note];

    fn about(&self) -> About {
        About {
            queue: self.queue.clone(),
            resource_uuid: self.thing.clone(),
            resource_type: "ThingVO".into(),
        }
    }

    async fn step(&mut self, cx: &mut Cx<Toy>, step: OuterStep, dir: Dir) -> Result<()> {
        match (step, dir) {
            (OuterStep::Inner, Dir::Do) => {
                let outside = cx.env().outside.clone();
                outside.pass("Inner", &self.thing).await;
                // A world that has changed: the step, done again, asks for no child.
                if !outside.broken.lock().unwrap().contains("Inner") {
                    self.answer = cx.child(self.build()).await?;
                }
                Ok(())
            }
            (OuterStep::Inner, Dir::Undo) => self.undo(cx).await,
            (OuterStep::Inner, Dir::Plan) => cx.child(self.build()).await.map(|_| ()),
            (OuterStep::Note, Dir::Do) => {
                cx.env().outside.pass("Note", &self.thing).await;
                if self.fails {
                    return Err(Fault::operation("Note fails"));
                }
                cx.tx(self, |_, _| Ok(())).await
            }
            (OuterStep::Note, Dir::Undo) => Ok(()),
            (OuterStep::Note, Dir::Plan) => {
                let uuid = self.thing.clone();
                let state = move |tx: &mut dyn Tx| {
                    let row = tx.query_opt("SELECT state FROM thing WHERE uuid = ?", params![&uuid])?;
                    row.map(|r| r.text("state")).transpose()
                };
                let state = cx.read(state).await?.unwrap_or_default();
                cx.tell("Note", format!("thing {} is {state}", self.thing), "");
                Ok(())
            }
        }
    }

    fn result(&self, _env: &Toy, _tx: &mut dyn Tx) -> Result<Value> {
        Ok(self.answer.clone())
    }
}

/// Takes a thing down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tear {
    thing: String,
}

impl Workflow for Tear {
    type Env = Toy;
    type Step = ();
    const NAME: &'static str = "toy.tear/1";
    const STEPS: &'static [()] = &[()];

    fn about(&self) -> About {
        About { queue: self.thing.clone(), ..About::default() }
    }

    async fn step(&mut self, cx: &mut Cx<Toy>, _step: (), dir: Dir) -> Result<()> {
        if dir != Dir::Do {
            return Ok(());
        }
        cx.effect().await?;
        let outside = cx.env().outside.clone();
        outside.pass("Tear", &self.thing).await;
        outside.undo_works("Tear")?;
        for what in ["wired", "made"] {
            outside.take(&self.thing, what);
        }
        cx.tx(self, |w, tx| tx.execute("DELETE FROM thing WHERE uuid = ?", params![&w.thing]).map(|_| ()))
            .await
    }
}

async fn child_of(bed: &Bed, parent: RunId) -> RunInfo {
    let find = move |tx: &mut dyn Tx| {
        let rows = tx.query("SELECT * FROM run WHERE parent_uuid = ?", params![parent.to_string()])?;
        rows.iter().map(RunInfo::from_row).collect::<Result<Vec<_>>>()
    };
    let mut children = bed.store.read(find).await.unwrap();
    assert_eq!(children.len(), 1, "{children:?}");
    children.remove(0)
}

#[tokio::test]
async fn a_child_with_the_queue_of_its_parent_does_not_deadlock() {
    for outer in [Outer::new("a"), Outer::apart("a")] {
        let bed = Bed::new().await;
        let process = bed.process(1, None);
        let handle = process.start(outer).await;
        let run = handle.run();
        let answer = tokio::time::timeout(Duration::from_secs(5), handle.wait()).await.unwrap().unwrap();
        assert_eq!(answer["state"], "Ready");
        bed.assert_built("a").await;
        assert_eq!(child_of(&bed, run).await.state, RunState::Done);
    }
}

#[tokio::test]
async fn a_child_that_fails_fails_its_parent() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let handle = process.start(Outer { child_fails_at: "Wire".into(), ..Outer::new("a") }).await;
    let run = handle.run();
    assert!(handle.wait().await.unwrap_err().has_code("TOY.1000"));
    assert_eq!(child_of(&bed, run).await.state, RunState::Failed);
    assert_eq!(bed.run(run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
}

/// The moments of parent and child of a run that is left alone.
async fn moments_of(w: Outer) -> Vec<String> {
    let bed = Bed::new().await;
    let script = Arc::new(Script::default());
    let process = bed.process(1, Some(script.clone()));
    let _ = process.start(w).await.wait().await;
    script.seen()
}

#[tokio::test]
async fn bey_02_crash_at_every_step_of_parent_and_child_finds_the_child_again() {
    for outer in [Outer::new("a"), Outer::apart("a")] {
        let moments = moments_of(outer.clone()).await;
        assert_eq!(moments.len(), 14);
        for moment in &moments[..13] {
            let bed = Bed::new().await;
            let script = Script::on(moment, Act::Crash);
            let first = bed.process(1, Some(script.clone()));
            let handle = first.start(outer.clone()).await;
            let run = handle.run();
            assert!(handle.wait().await.is_err_and(|f| f.code == code::RUN_SERVER_STOPPED), "{moment}");
            assert!(script.acts.lock().unwrap().is_empty(), "{moment}");
            let second = bed.recovered(2, None).await;
            let info = bed.end_of(run).await;
            assert_eq!(info.state, RunState::Done, "{moment}");
            bed.assert_built("a").await;
            let child = child_of(&bed, run).await;
            assert_eq!(child.state, RunState::Done, "{moment}");
            for uuid in [run, child.uuid] {
                assert_eq!(bed.told(uuid).await, [None], "{moment}");
            }
            // The answer of the child reached the parent, whichever process asked for it.
            let saved: Outer = serde_json::from_str(&info.data).unwrap();
            assert_eq!(saved.answer["state"], "Ready", "{moment}");
            drop(second);
        }
    }
}

#[tokio::test]
async fn bey_02_crash_at_every_step_of_parent_and_child_that_fail() {
    for (outer, what) in [
        (Outer::failing("a"), "the parent fails"),
        (Outer { child_fails_at: "Wire".into(), ..Outer::apart("a") }, "the child fails"),
    ] {
        for moment in moments_of(outer.clone()).await {
            let bed = Bed::new().await;
            let first = bed.process(1, Some(Script::on(&moment, Act::Crash)));
            let run = first.start(outer.clone()).await.run();
            for _ in 0..2000 {
                if first.engine.is_halted() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            assert!(first.engine.is_halted(), "{what}: {moment} was not reached");
            let second = bed.recovered(2, None).await;
            assert_eq!(bed.end_of(run).await.state, RunState::Failed, "{what}: {moment}");
            bed.assert_nothing_left().await;
            assert_eq!(bed.told(run).await.len(), 1, "{what}: {moment}");
            let open = "SELECT count(*) FROM run WHERE state NOT IN ('Done', 'Failed')";
            assert_eq!(bed.count(open).await, 0, "{what}: {moment}");
            drop(second);
        }
    }
}

#[tokio::test]
async fn cancel_of_a_parent_reaches_the_child_that_is_at_work() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let handle = process.start(Outer::apart("a")).await;
    let run = handle.run();
    bed.outside.wait_for("Make/a").await;
    process.engine.cancel(run).await.unwrap();
    bed.outside.release("Make", "a");
    assert!(handle.wait().await.unwrap_err().has_code(code::RUN_CANCELLED));
    assert!(!bed.outside.calls().contains(&"Wire/a".to_owned()));
    assert_eq!(child_of(&bed, run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn at_its_deadline_a_parent_waits_for_its_child_before_it_takes_anything_back() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let start = Start { deadline: Some(Duration::from_millis(1000)), ..Start::default() };
    let handle = process.engine.start(Outer::apart("a"), start).await.unwrap();
    let run = handle.run();
    bed.outside.wait_for("Make/a").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!bed.outside.calls().contains(&"unInner/a".to_owned()), "{:?}", bed.outside.calls());
    bed.outside.release("Make", "a");
    assert!(handle.wait().await.unwrap_err().has_code(code::RUN_DEADLINE));
    assert_eq!(child_of(&bed, run).await.state, RunState::Failed);
    let calls = bed.outside.calls();
    let at = |call: &str| calls.iter().position(|c| c == call);
    assert!(at("unMake/a") < at("unInner/a"), "{calls:?}");
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn bey_02_after_a_crash_past_the_deadline_the_child_is_not_forgotten() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let start = Start { deadline: Some(Duration::from_millis(1000)), ..Start::default() };
    let run = first.engine.start(Outer::apart("a"), start).await.unwrap().run();
    bed.outside.wait_for("Make/a").await;
    first.engine.halt();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    bed.outside.release("Make", "a");
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.end_of(run).await.state, RunState::Failed);
    assert_eq!(child_of(&bed, run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
    drop(second);
}

#[tokio::test]
async fn bey_02_after_a_crash_a_child_keeps_its_place_before_those_behind_it() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "a");
    // The child holds queue `a`; another run of `a` waits behind it, and is older than the parent.
    let uuid = RunId::new();
    let parent = first.start(Outer::apart("a")).await.run();
    bed.outside.wait_for("Make/a").await;
    let start = Start { uuid: Some(uuid), ..Start::default() };
    let behind =
        first.engine.start(Build { queue: "a".into(), ..Build::new("b") }, start).await.unwrap().run();
    first.engine.halt();
    bed.outside.calls.lock().unwrap().clear();
    bed.outside.release("Make", "a");
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.end_of(behind).await.state, RunState::Done);
    assert_eq!(bed.end_of(parent).await.state, RunState::Done);
    let calls = bed.outside.calls();
    let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
    assert!(at("Wire/a") < at("Make/b"), "{calls:?}");
    drop(second);
}

#[tokio::test]
async fn a_child_that_is_stuck_ends_its_parents_wait_and_the_parent_is_told_once() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.broken.lock().unwrap().insert("Make");
    let handle = process.start(Outer { child_fails_at: "Wire".into(), ..Outer::new("a") }).await;
    let run = handle.run();
    let fault = handle.wait().await.unwrap_err();
    assert!(fault.has_code(code::RUN_STUCK));
    assert_eq!(bed.run(run).await.state, RunState::Failed, "its own undo worked");
    assert_eq!(bed.told(run).await, [Some(code::RUN_STUCK.into())]);
    assert_eq!(child_of(&bed, run).await.state, RunState::Stuck);
}

#[tokio::test]
async fn an_undo_by_a_child_that_failed_gets_a_new_child_when_it_is_tried_again() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.broken.lock().unwrap().insert("Tear");
    let handle = process.start(Outer { undo_by_child: true, ..Outer::failing("a") }).await;
    let run = handle.run();
    assert_eq!(handle.wait().await.unwrap_err().code, code::RUN_STUCK);
    assert_eq!(bed.outside.calls().iter().filter(|c| *c == "Tear/a").count(), 2, "one child per try");
    bed.outside.broken.lock().unwrap().clear();
    process.engine.retry(run).await.unwrap().wait().await.unwrap_err();
    assert_eq!(bed.run(run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn bey_02_crash_in_the_child_of_an_undo_finds_it_again() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Tear", "a");
    let run = first.start(Outer { undo_by_child: true, ..Outer::failing("a") }).await.run();
    bed.outside.wait_for("Tear/a").await;
    first.engine.halt();
    bed.outside.release("Tear", "a");
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.end_of(run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
    let tears = "SELECT count(*) FROM run WHERE name = 'toy.tear' AND state = 'Done'";
    assert_eq!((bed.count(tears).await, bed.count("SELECT count(*) FROM run").await), (1, 3));
    drop(second);
}

#[tokio::test]
async fn a_cancelled_parent_gets_no_new_child() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Inner", "a");
    let handle = process.start(Outer::apart("a")).await;
    bed.outside.wait_for("Inner/a").await;
    process.engine.cancel(handle.run()).await.unwrap();
    bed.outside.release("Inner", "a");
    assert!(handle.wait().await.unwrap_err().has_code(code::RUN_CANCELLED));
    assert_eq!(bed.count("SELECT count(*) FROM run").await, 1);
}

#[tokio::test]
async fn bey_02_after_a_crash_a_parent_waits_for_a_child_that_it_no_longer_asks_for() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let run = first.start(Outer::apart("a")).await.run();
    bed.outside.wait_for("Make/a").await;
    first.engine.halt();
    bed.outside.broken.lock().unwrap().insert("Inner");
    let second = bed.recovered(2, None).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!bed.outside.calls().contains(&"Note/a".to_owned()));
    bed.outside.release("Make", "a");
    assert_eq!(bed.end_of(run).await.state, RunState::Done);
    assert_eq!(child_of(&bed, run).await.state, RunState::Done);
    bed.assert_built("a").await;
    drop(second);
}
