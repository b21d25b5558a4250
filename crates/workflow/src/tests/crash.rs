//! BEY-02: a kill at any moment, a new process over the same database, and the run is finished or taken back.

use super::*;

/// Every moment of a run that is left alone.
async fn moments_of(w: &Build) -> Vec<String> {
    let bed = Bed::new().await;
    let script = Arc::new(Script::default());
    let process = bed.process(1, Some(script.clone()));
    let _ = process.start(w.clone()).await.wait().await;
    script.seen()
}

/// Crashes at a moment, then, in the process that takes over, at a second one, and lets the third process finish.
async fn crash_at(w: &Build, first: &str, second: Option<&str>) -> (Bed, RunInfo) {
    let bed = Bed::new().await;
    let script = Script::on(first, Act::Crash);
    let process = bed.process(1, Some(script.clone()));
    let handle = process.start(w.clone()).await;
    let run = handle.run();
    let lost = handle.wait().await;
    assert!(script.acts.lock().unwrap().is_empty(), "{first} was not reached");
    // A crash after the last transaction comes too late for the waiting caller only.
    assert!(lost.is_err_and(|f| f.code == code::RUN_SERVER_STOPPED), "{first}");
    let mut epoch = 2;
    if let Some(second) = second {
        let script = Script::on(second, Act::Crash);
        let process = bed.recovered(epoch, Some(script.clone())).await;
        for _ in 0..2000 {
            let is_over = !matches!(bed.run(run).await.state, RunState::Running | RunState::Undoing);
            if script.acts.lock().unwrap().is_empty() || is_over {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        process.engine.halt();
        epoch += 1;
    }
    let process = bed.recovered(epoch, None).await;
    let info = bed.end_of(run).await;
    drop(process);
    (bed, info)
}

async fn assert_finished(first: &str, second: Option<&str>) {
    let (bed, info) = crash_at(&Build::new("a"), first, second).await;
    assert_eq!(info.state, RunState::Done, "{first} {second:?}");
    bed.assert_built("a").await;
    assert_eq!(bed.told(info.uuid).await, [None], "{first} {second:?}");
}

async fn assert_taken_back(w: &Build, first: &str, second: Option<&str>) {
    let (bed, info) = crash_at(w, first, second).await;
    assert_eq!(info.state, RunState::Failed, "{first} {second:?}");
    bed.assert_nothing_left().await;
    assert_eq!(bed.told(info.uuid).await, [Some("TOY.1000".into())], "{first} {second:?}");
}

#[tokio::test]
async fn bey_02_crash_at_every_step_of_a_run_that_goes_well() {
    let moments = moments_of(&Build::new("a")).await;
    assert_eq!(moments.len(), 10);
    // After the last transaction the run has ended; there is nothing to crash any more.
    for moment in &moments[..9] {
        assert_finished(moment, None).await;
    }
}

#[tokio::test]
async fn bey_02_crash_at_every_step_and_every_undo_of_a_run_that_fails() {
    for step in ["Number", "Make", "Wire", "Finish"] {
        let w = Build::failing_at("a", step);
        let moments = moments_of(&w).await;
        assert!(moments.iter().any(|m| m == "Claim undo after"));
        for moment in &moments {
            assert_taken_back(&w, moment, None).await;
        }
    }
}

#[tokio::test]
async fn bey_02_crash_twice_at_every_pair_of_moments() {
    let moments = moments_of(&Build::new("a")).await;
    for (n, first) in moments[..9].iter().enumerate() {
        for second in &moments[n..9] {
            assert_finished(first, Some(second)).await;
        }
    }
    let w = Build::failing_at("a", "Make");
    let moments = moments_of(&w).await;
    for (n, first) in moments.iter().enumerate() {
        for second in &moments[n..] {
            assert_taken_back(&w, first, Some(second)).await;
        }
    }
}

#[tokio::test]
async fn bey_02_crash_between_the_effect_and_the_transaction_of_a_step() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Wire", "a");
    let run = first.start(Build::new("a")).await.run();
    bed.outside.wait_for("Wire/a").await;
    first.engine.halt();
    assert_eq!(bed.run(run).await.high, 3, "the journal knows that Wire has begun");
    bed.outside.release("Wire", "a");
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.end_of(run).await.state, RunState::Done);
    bed.assert_built("a").await;
    assert_eq!(bed.outside.calls().iter().filter(|c| *c == "Wire/a").count(), 2);
    drop(second);
}

#[tokio::test]
async fn bey_02_crash_of_one_run_stops_every_run_of_the_process() {
    let bed = Bed::new().await;
    let script = Script::on("Number do before", Act::Crash);
    let process = bed.process(1, Some(script));
    let handles = [process.start(Build::new("a")).await, process.start(Build::new("a")).await];
    let runs = handles.each_ref().map(Handle::run);
    for handle in handles {
        assert!(
            handle.wait().await.is_err_and(|f| f.code == code::RUN_SERVER_STOPPED || f.code == "TOY.1000")
        );
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bed.run(runs[1]).await.state, RunState::Running);
    assert_eq!(
        process.engine.start(Build::new("b"), Start::default()).await.err().unwrap().code,
        code::NOT_READY
    );
    let second = bed.recovered(2, None).await;
    assert_eq!(bed.end_of(runs[0]).await.state, RunState::Done);
    // The second builder of the same thing finds it taken. Its Claim did nothing, and its undo must not take the first one's.
    assert_eq!(bed.end_of(runs[1]).await.state, RunState::Failed);
    drop(second);
}

#[tokio::test]
async fn a_child_id_and_a_command_id_are_the_same_after_a_crash() {
    let bed = Bed::new().await;
    let ids = |engine: &Engine<Toy>, env: &Arc<Toy>, run: &RunInfo| {
        let mut cx = Cx::new(engine.clone(), env.clone(), run.clone(), vec![]);
        cx.begin_step(3, Dir::Do);
        let first = cx.stable_id("start");
        cx.begin_step(3, Dir::Undo);
        (first, cx.stable_id("start"))
    };
    let first = bed.process(1, None);
    let handle = first.start(Build::new("a")).await;
    let run = bed.run(handle.run()).await;
    let second = bed.process(2, None);
    let before = ids(&first.engine, &first._toy, &run);
    assert_eq!(before, ids(&second.engine, &second._toy, &run));
    assert_ne!(before.0, before.1);
    handle.wait().await.unwrap();
}
