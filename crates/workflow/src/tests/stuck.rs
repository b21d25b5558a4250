//! An undo that keeps failing: Stuck, retry, abandon.

use super::*;

async fn stuck(bed: &Bed, process: &Process) -> RunId {
    bed.outside.broken.lock().unwrap().insert("Make");
    let handle = process.start(Build::failing_at("a", "Wire")).await;
    let run = handle.run();
    let fault = handle.wait().await.unwrap_err();
    assert_eq!(fault.code, code::RUN_STUCK);
    let causes: Vec<&str> = fault.causes.iter().map(|c| c.code.as_str()).collect();
    assert_eq!(causes, ["TOY.1000", code::OPERATION_ERROR]);
    run
}

#[tokio::test]
async fn an_undo_that_fails_once_is_tried_again() {
    let bed = Bed::new().await;
    let script = Script::on("Make undo before", Act::Fail);
    let process = bed.process(1, Some(script.clone()));
    let handle = process.start(Build::failing_at("a", "Wire")).await;
    assert_eq!(handle.wait().await.unwrap_err().code, "TOY.1000");
    assert_eq!(script.seen().iter().filter(|m| *m == "Make undo before").count(), 2);
    bed.assert_nothing_left().await;
}

#[tokio::test]
async fn bey_02_an_undo_that_keeps_failing_leaves_the_run_stuck_until_a_retry() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let run = stuck(&bed, &process).await;
    let info = bed.run(run).await;
    assert_eq!((info.state, info.high), (RunState::Stuck, 2), "Wire is taken back, Make is not");
    assert!(!process.engine.is_live(run));

    let again = process.engine.retry(run).await.unwrap().wait().await.unwrap_err();
    assert_eq!(again.code, code::RUN_STUCK);
    assert_eq!(again.causes[0].code, "TOY.1000", "the first error stays the first");

    bed.outside.broken.lock().unwrap().clear();
    let end = process.engine.retry(run).await.unwrap().wait().await.unwrap_err();
    assert_eq!(end.code, "TOY.1000");
    let info = bed.run(run).await;
    assert_eq!((info.state, info.error.unwrap().code.as_str()), (RunState::Failed, "TOY.1000"));
    bed.assert_nothing_left().await;
    assert_eq!(bed.told(run).await, [Some(code::RUN_STUCK.into())], "told once, when it got stuck");
    assert_eq!(process.engine.retry(run).await.err().unwrap().code, code::RUN_STATE);
}

#[tokio::test]
async fn bey_02_crash_during_a_retry_tells_nobody_twice() {
    for moment in ["Make undo before", "Make undo after", "Number undo before", "Claim undo after"] {
        let bed = Bed::new().await;
        let first = bed.process(1, None);
        let run = stuck(&bed, &first).await;
        first.engine.halt();
        bed.outside.broken.lock().unwrap().clear();
        let second = bed.recovered(2, Some(Script::on(moment, Act::Crash))).await;
        assert_eq!(bed.run(run).await.state, RunState::Stuck, "a restart alone does not retry");
        assert!(second.engine.retry(run).await.unwrap().wait().await.is_err());
        let third = bed.recovered(3, None).await;
        assert_eq!(bed.end_of(run).await.state, RunState::Failed);
        bed.assert_nothing_left().await;
        assert_eq!(bed.told(run).await.len(), 1, "{moment}");
        drop(third);
    }
}

#[tokio::test]
async fn a_stuck_run_holds_up_nobody_and_can_be_abandoned() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let run = stuck(&bed, &process).await;
    process.start(Build { queue: "a".into(), ..Build::new("b") }).await.wait().await.unwrap();

    let refuse = |_: &mut dyn Tx, _: &RunInfo| Err(Fault::operation("not yet"));
    assert!(process.engine.abandon(run, refuse).await.is_err());
    assert_eq!(bed.run(run).await.state, RunState::Stuck);
    let clean = |tx: &mut dyn Tx, run: &RunInfo| {
        tx.execute("DELETE FROM thing WHERE uuid = ?", params![&run.resource_uuid]).map(|_| ())
    };
    process.engine.abandon(run, clean).await.unwrap();
    assert_eq!(bed.run(run).await.state, RunState::Failed);
    assert_eq!(bed.thing("a").await, None);
    assert_eq!(bed.told(run).await.len(), 1);
    assert_eq!(process.engine.abandon(run, clean).await.unwrap_err().code, code::RUN_STATE);
}

#[tokio::test]
async fn an_undo_that_panics_is_a_failed_undo() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let handle = process.start(child::Outer { panics_in_undo: true, ..child::Outer::failing("a") }).await;
    assert_eq!(handle.wait().await.unwrap_err().code, code::RUN_STUCK);
}
