//! A server that lost its right can write nothing.

use super::*;

#[tokio::test]
async fn bey_02_an_older_epoch_writes_nothing_more() {
    let bed = Bed::new().await;
    let old = bed.process(1, None);
    bed.outside.stall("Wire", "a");
    let handle = old.start(Build::new("a")).await;
    let run = handle.run();
    bed.outside.wait_for("Wire/a").await;

    // Another server takes over; the old one does not know, and goes on.
    let new = bed.recovered(2, None).await;
    bed.outside.release("Wire", "a");
    assert_eq!(bed.end_of(run).await.state, RunState::Done);
    assert_eq!(handle.wait().await.unwrap_err().code, code::RUN_SERVER_STOPPED);
    bed.assert_built("a").await;
    assert_eq!(bed.told(run).await, [None]);
    assert!(!bed.outside.calls().iter().any(|c| c.starts_with("un")), "the old server took nothing back");
    drop(new);
}

#[tokio::test]
async fn an_older_epoch_does_not_take_over_what_a_newer_one_owns() {
    let bed = Bed::new().await;
    let new = bed.process(5, None);
    bed.outside.stall("Wire", "a");
    let run = new.start(Build::new("a")).await.run();
    bed.outside.wait_for("Wire/a").await;
    let old = bed.process(4, None);
    assert_eq!(old.engine.recover().await.unwrap(), 0);
    bed.outside.release("Wire", "a");
    assert_eq!(bed.end_of(run).await.state, RunState::Done);
    bed.assert_built("a").await;
}

#[tokio::test]
async fn a_server_that_was_started_again_elsewhere_begins_nothing() {
    let bed = Bed::new().await;
    let old = bed.process(1, None);
    let restarted = |tx: &mut dyn Tx| {
        let sql = "INSERT INTO management_node (uuid, host_name, epoch, join_ms, heart_beat_ms) VALUES ('server1', 'h', 2, 0, 0)";
        tx.execute(sql, &[])
    };
    bed.store.write(restarted).await.unwrap();
    let refused = old.engine.start(Build::new("a"), Start::default()).await;
    assert_eq!(refused.err().unwrap().code, code::RUN_STATE);
    assert_eq!(bed.count("SELECT count(*) FROM run").await, 0);
}

#[tokio::test]
async fn an_older_epoch_can_neither_retry_nor_abandon() {
    let bed = Bed::new().await;
    let old = bed.process(1, None);
    bed.outside.broken.lock().unwrap().insert("Make");
    let handle = old.start(Build::failing_at("a", "Wire")).await;
    let run = handle.run();
    assert!(handle.wait().await.is_err());
    let new = bed.recovered(2, None).await;
    assert_eq!(old.engine.retry(run).await.err().unwrap().code, code::RUN_STATE);
    assert_eq!(old.engine.abandon(run, |_, _| Ok(())).await.unwrap_err().code, code::RUN_STATE);
    assert_eq!(bed.run(run).await.state, RunState::Stuck);
    drop(new);
}

#[tokio::test]
async fn a_run_of_an_unknown_workflow_stays_for_a_program_that_knows_it() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let run = first.start(Build::new("a")).await.run();
    bed.outside.wait_for("Make/a").await;
    first.engine.halt();
    let rename = |from: &'static str, to: &'static str| {
        let sql = "UPDATE run SET workflow = ? WHERE workflow = ?";
        bed.store.write(move |tx| tx.execute(sql, params![to, from]))
    };
    rename("toy.build/1", "toy.build/9").await.unwrap();
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.run(run).await.state, RunState::Running);
    second.engine.halt();
    rename("toy.build/9", "toy.build/1").await.unwrap();
    bed.outside.release("Make", "a");
    let third = bed.recovered(3, None).await;
    assert_eq!(bed.end_of(run).await.state, RunState::Done);
    drop(third);
}
