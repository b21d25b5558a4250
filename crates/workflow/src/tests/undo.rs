//! The order of steps, failure, cancel, deadline.

use futures_util::FutureExt;
use serde_json::json;

use super::*;

const FORWARD: [&str; 10] = [
    "Claim do before",
    "Claim do after",
    "Number do before",
    "Number do after",
    "Make do before",
    "Make do after",
    "Wire do before",
    "Wire do after",
    "Finish do before",
    "Finish do after",
];

#[tokio::test]
async fn steps_run_in_order_and_the_answer_is_that_of_the_last_transaction() {
    let bed = Bed::new().await;
    let script = Arc::new(Script::default());
    let process = bed.process(1, Some(script.clone()));
    let handle = process.start(Build::new("a")).await;
    let run = handle.run();
    let answer = handle.wait().await.unwrap();
    assert_eq!(answer, json!({ "thing": "a", "state": "Ready", "number": 1 }));
    assert_eq!(script.seen(), FORWARD);
    bed.assert_built("a").await;
    let info = bed.run(run).await;
    assert_eq!((info.state, info.progress, info.done), (RunState::Done, 100, 5));
    assert_eq!(bed.told(run).await, [None]);
    assert!(!process.engine.is_live(run));
}

#[tokio::test]
async fn a_failing_step_is_undone_itself_and_all_before_it_newest_first() {
    let bed = Bed::new().await;
    let script = Arc::new(Script::default());
    let process = bed.process(1, Some(script.clone()));
    let handle = process.start(Build::failing_at("a", "Wire")).await;
    let run = handle.run();
    let fault = handle.wait().await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.cause.unwrap().details.as_str()), ("TOY.1000", "Wire fails"));
    let undone: Vec<String> = script.seen().into_iter().filter(|m| m.ends_with("undo before")).collect();
    assert_eq!(undone, ["Wire undo before", "Make undo before", "Number undo before", "Claim undo before"]);
    bed.assert_nothing_left().await;
    let info = bed.run(run).await;
    assert_eq!((info.state, info.high), (RunState::Failed, -1));
    assert_eq!(bed.told(run).await, [Some("TOY.1000".into())]);
}

#[tokio::test]
async fn a_step_that_failed_before_it_did_anything_is_undone_too() {
    let bed = Bed::new().await;
    let script = Arc::new(Script::default());
    let process = bed.process(1, Some(script.clone()));
    process.start(Build::failing_at("a", "Number")).await.wait().await.unwrap_err();
    let undone: Vec<String> = script.seen().into_iter().filter(|m| m.ends_with("undo before")).collect();
    assert_eq!(undone, ["Number undo before", "Claim undo before"]);
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn bey_02_fail_before_and_after_every_step_leaves_nothing() {
    for moment in &FORWARD[..9] {
        let bed = Bed::new().await;
        let script = Script::on(moment, Act::Fail);
        let process = bed.process(1, Some(script.clone()));
        let handle = process.start(Build::new("a")).await;
        let run = handle.run();
        assert!(handle.wait().await.is_err(), "{moment}");
        assert!(script.acts.lock().unwrap().is_empty(), "{moment} was not reached");
        assert_eq!(bed.run(run).await.state, RunState::Failed, "{moment}");
        assert_eq!(bed.told(run).await.len(), 1, "{moment}");
        bed.assert_nothing_left().await;
    }
}

#[tokio::test]
async fn a_failure_after_the_last_transaction_is_too_late_to_matter() {
    let bed = Bed::new().await;
    let process = bed.process(1, Some(Script::on("Finish do after", Act::Fail)));
    process.start(Build::new("a")).await.wait().await.unwrap();
    bed.assert_built("a").await;
}

#[tokio::test]
async fn bey_02_every_undo_may_run_twice() {
    for step in ["Wire", "Make", "Number", "Claim"] {
        let bed = Bed::new().await;
        let script = Script::on(&format!("{step} undo before"), Act::Twice);
        let process = bed.process(1, Some(script.clone()));
        let handle = process.start(Build::failing_at("a", "Wire")).await;
        let run = handle.run();
        assert!(handle.wait().await.is_err());
        assert!(script.acts.lock().unwrap().is_empty(), "the undo of {step} was not reached");
        assert_eq!(bed.run(run).await.state, RunState::Failed);
        bed.assert_nothing_left().await;
    }
}

#[tokio::test]
async fn a_step_that_panics_has_failed() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let handle = process.start(Build { panics_at: "Make".into(), ..Build::new("a") }).await;
    let run = handle.run();
    let fault = tokio::time::timeout(Duration::from_secs(5), handle.wait()).await.unwrap().unwrap_err();
    assert!(fault.has_code(code::INTERNAL), "{fault}");
    assert_eq!(bed.run(run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn cancel_takes_effect_between_steps_and_takes_everything_back() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let handle = process.start(Build::new("a")).await;
    let run = handle.run();
    bed.outside.wait_for("Make/a").await;
    process.engine.cancel(run).await.unwrap();
    bed.outside.release("Make", "a");
    let fault = handle.wait().await.unwrap_err();
    assert!(fault.has_code(code::RUN_CANCELLED), "{fault}");
    assert!(!bed.outside.calls().contains(&"Wire/a".to_owned()));
    bed.assert_nothing_left().await;
    assert_eq!(process.engine.cancel(run).await.unwrap_err().code, code::RUN_STATE);
}

#[tokio::test]
async fn a_cancelled_run_is_taken_back_also_after_a_restart() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let run = first.start(Build::new("a")).await.run();
    bed.outside.wait_for("Make/a").await;
    first.engine.cancel(run).await.unwrap();
    first.engine.halt();
    let second = bed.recovered(2, None).await;
    let info = bed.end_of(run).await;
    assert!(info.error.unwrap().has_code(code::RUN_CANCELLED));
    bed.assert_nothing_left().await;
    drop(second);
}

fn within(ms: u64) -> Start {
    Start { deadline: Some(Duration::from_millis(ms)), ..Start::default() }
}

#[tokio::test]
async fn a_run_that_passes_its_deadline_is_taken_back() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Wire", "a");
    let handle = process.engine.start(Build::new("a"), within(500)).await.unwrap();
    let run = handle.run();
    let fault = handle.wait().await.unwrap_err();
    assert!(fault.has_code(code::RUN_DEADLINE), "{fault}");
    assert_eq!(bed.run(run).await.state, RunState::Failed);
    bed.assert_nothing_left().await;
}

/// Blocks the writer thread just before a step, so that the step's transaction is handed in but not yet run.
struct Blocker {
    before: &'static str,
    store: Store,
    until: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Probe for Blocker {
    fn at(&self, at: &At<'_>) -> Act {
        if at.step == self.before && !at.after && !at.undo {
            let until = self.until.lock().unwrap().take().unwrap();
            let wait = move |_: &mut dyn Tx| {
                let _ = until.recv();
                Ok(())
            };
            // The first poll hands the work in; nobody waits for its answer.
            let _ = self.store.write(wait).now_or_never();
        }
        Act::Go
    }
}

/// A run whose deadline passes while the transaction of this step is under way.
async fn late_in(before: &'static str) -> (Bed, Result<Value>, RunInfo) {
    let bed = Bed::new().await;
    let (release, until) = std::sync::mpsc::channel();
    let blocker = Blocker { before, store: bed.store.clone(), until: Mutex::new(Some(until)) };
    let process = bed.process_with(1, Some(Arc::new(blocker)));
    let handle = process.engine.start(Build::new("a"), within(1000)).await.unwrap();
    let run = handle.run();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        let _ = release.send(());
    });
    let outcome = handle.wait().await;
    let info = bed.run(run).await;
    (bed, outcome, info)
}

#[tokio::test]
async fn a_deadline_during_the_last_transaction_finds_the_run_done() {
    let (bed, outcome, info) = late_in("Finish").await;
    assert_eq!(outcome.unwrap()["state"], "Ready");
    assert_eq!(info.state, RunState::Done);
    assert_eq!(bed.told(info.uuid).await, [None]);
    bed.assert_built("a").await;
}

#[tokio::test]
async fn a_deadline_during_a_transaction_keeps_the_data_that_it_wrote() {
    let (bed, outcome, info) = late_in("Number").await;
    assert!(outcome.unwrap_err().has_code(code::RUN_DEADLINE));
    assert_eq!(info.state, RunState::Failed);
    let saved: Build = serde_json::from_str(&info.data).unwrap();
    assert_eq!(saved.number, Some(1), "the undo knew the number");
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_run_to_go_on() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let uuid = RunId::new();
    let start = Start { uuid: Some(uuid), ..Start::default() };
    let given_up = tokio::time::timeout(Duration::ZERO, process.engine.start(Build::new("a"), start)).await;
    assert!(given_up.is_err());
    while bed.count("SELECT count(*) FROM run").await == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bed.end_of(uuid).await.state, RunState::Done);
}

#[tokio::test]
async fn a_start_that_is_not_admitted_leaves_no_row() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let refuse = |_: &mut dyn Tx, _: &RunInfo| Err(Fault::new(code::QUOTA_EXCEEDING, "no"));
    let refused = process.engine.start_with(Build::new("a"), Start::default(), refuse).await;
    assert_eq!(refused.err().unwrap().code, code::QUOTA_EXCEEDING);
    assert_eq!(bed.count("SELECT count(*) FROM run").await, 0);
    assert_eq!(bed.count("SELECT count(*) FROM changed").await, 0);
}
