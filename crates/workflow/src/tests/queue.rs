//! One queue per resource: in order, fair, and nobody waits for another resource.

use super::*;

fn in_queue(thing: &str, queue: &str) -> Build {
    Build { queue: queue.into(), ..Build::new(thing) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_of_a_resource_go_one_by_one_in_the_order_in_which_they_came() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let names: Vec<String> = (0..30).map(|n| format!("t{n:02}")).collect();
    bed.outside.stall("Make", "t00");
    let mut handles = Vec::new();
    for name in &names {
        handles.push(process.start(in_queue(name, "q")).await);
    }
    assert_eq!(process.engine.live_count(), 30);
    bed.outside.release("Make", "t00");
    for handle in handles {
        handle.wait().await.unwrap();
    }
    let expected: Vec<String> =
        names.iter().flat_map(|n| [format!("Make/{n}"), format!("Wire/{n}")]).collect();
    assert_eq!(bed.outside.calls(), expected);
    assert_eq!(process.engine.live_count(), 0);
}

#[tokio::test]
async fn a_hung_resource_delays_no_other() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "hung");
    let hung = process.start(Build::new("hung")).await;
    let behind = process.start(in_queue("behind", "hung")).await;
    for n in 0..20 {
        process.start(Build::new(&format!("free{n}"))).await.wait().await.unwrap();
    }
    assert!(!bed.outside.calls().contains(&"Make/behind".to_owned()));
    bed.outside.release("Make", "hung");
    hung.wait().await.unwrap();
    behind.wait().await.unwrap();
}

#[tokio::test]
async fn a_run_without_a_queue_waits_for_nobody() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let first = process.start(in_queue("a", "")).await;
    process.start(in_queue("b", "")).await.wait().await.unwrap();
    bed.outside.release("Make", "a");
    first.wait().await.unwrap();
}

#[tokio::test]
async fn a_run_cancelled_in_line_passes_its_turn_on() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("Make", "a");
    let first = process.start(in_queue("a", "q")).await;
    let second = process.start(in_queue("b", "q")).await;
    let third = process.start(in_queue("c", "q")).await;
    process.engine.cancel(second.run()).await.unwrap();
    bed.outside.release("Make", "a");
    first.wait().await.unwrap();
    assert!(second.wait().await.unwrap_err().has_code(code::RUN_CANCELLED));
    third.wait().await.unwrap();
    assert_eq!(bed.thing("b").await, None);
}

#[tokio::test]
async fn a_failed_run_passes_its_turn_on_only_when_it_is_taken_back() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    bed.outside.stall("unMake", "a");
    let first = process.start(Build::failing_at("a", "Make")).await;
    let second = process.start(in_queue("b", "a")).await;
    bed.outside.wait_for("unMake/a").await;
    assert!(!bed.outside.calls().contains(&"Make/b".to_owned()));
    bed.outside.release("unMake", "a");
    assert!(first.wait().await.is_err());
    second.wait().await.unwrap();
}

#[tokio::test]
async fn bey_02_after_a_crash_what_was_at_work_goes_first_then_the_line_in_its_order() {
    let bed = Bed::new().await;
    let first = bed.process(1, None);
    bed.outside.stall("Make", "t9");
    let mut runs = vec![];
    // The first in line has the youngest id: order is not the order of ids.
    let mut ids: Vec<RunId> = (0..5).map(|_| RunId::new()).collect();
    ids.reverse();
    for (n, id) in ids.iter().enumerate() {
        let name = format!("t{}", 9 - n);
        let start = Start { uuid: Some(*id), ..Start::default() };
        runs.push(first.engine.start(in_queue(&name, "q"), start).await.unwrap().run());
        if n == 0 {
            bed.outside.wait_for("Make/t9").await;
        }
        // The line is kept by the millisecond in which each came.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first.engine.halt();
    bed.outside.release("Make", "t9");
    bed.outside.calls.lock().unwrap().clear();
    let second = bed.recovered(2, None).await;
    for run in runs {
        assert_eq!(bed.end_of(run).await.state, RunState::Done);
    }
    let made: Vec<String> = bed.outside.calls().into_iter().filter(|c| c.starts_with("Make")).collect();
    // The old process lets go of its stalled step, and that may be noted too.
    let order: Vec<&String> = made.iter().skip_while(|c| *c != "Make/t9").collect();
    assert_eq!(order, ["Make/t9", "Make/t8", "Make/t7", "Make/t6", "Make/t5"]);
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_runs_at_once_over_few_resources_all_end_and_leave_empty_queues() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let mut handles = Vec::new();
    for n in 0..200 {
        let name = format!("n{n}");
        let w = if n % 3 == 0 { Build::failing_at(&name, "Wire") } else { Build::new(&name) };
        handles.push((n, process.start(Build { queue: format!("q{}", n % 7), ..w }).await));
    }
    for (n, handle) in handles {
        assert_eq!(handle.wait().await.is_err(), n % 3 == 0);
    }
    assert_eq!(bed.count("SELECT count(*) FROM thing WHERE state = 'Ready'").await, 133);
    assert_eq!(bed.count("SELECT count(*) FROM ended").await, 200);
    assert_eq!(process.engine.live_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queue_is_held_only_while_no_run_has_it_and_runs_come_after_it_in_their_order() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let held = process.engine.try_hold("q").expect("a free queue can be held");
    assert!(process.engine.try_hold("q").is_none(), "it is held once");
    let other = process.engine.try_hold("r").expect("another queue is free");
    // Runs wait behind it, and nobody else is delayed.
    let first = process.start(in_queue("a", "q")).await;
    let second = process.start(in_queue("b", "q")).await;
    process.start(in_queue("free", "")).await.wait().await.unwrap();
    assert_eq!(process.engine.live_count(), 2);
    assert!(!bed.outside.calls().iter().any(|c| c == "Make/a"), "it works in a queue that is held");
    // Whoever lets go gives the turn to the first in line, not to the next who tries.
    bed.outside.stall("Make", "a");
    drop(held);
    assert!(process.engine.try_hold("q").is_none(), "a run waits for it");
    bed.outside.wait_for("Make/a").await;
    assert!(process.engine.try_hold("q").is_none(), "a run is at work in it");
    bed.outside.release("Make", "a");
    first.wait().await.unwrap();
    second.wait().await.unwrap();
    // The end of a run is told a moment before its queue is left.
    let mut again = None;
    for _ in 0..2000 {
        again = process.engine.try_hold("q");
        if again.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(again.is_some(), "an idle queue is free");
    drop((again, other));
    process.engine.halt();
    assert!(process.engine.try_hold("q").is_none(), "nothing begins in an engine that has ended");
}

#[tokio::test]
async fn a_hold_is_passed_over_by_a_run_that_gave_up_waiting() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let held = process.engine.try_hold("q").unwrap();
    let gone = process.start(in_queue("gone", "q")).await;
    process.engine.cancel(gone.run()).await.unwrap();
    drop(held);
    assert!(gone.wait().await.unwrap_err().has_code(code::RUN_CANCELLED));
    process.start(in_queue("next", "q")).await.wait().await.unwrap();
    assert_eq!(bed.thing("gone").await, None);
}

/// Two parents, each in its own queue, start a child in the other's queue at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_parents_that_want_each_others_queues_do_not_wait_for_ever() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    for round in 0..10 {
        let outer = |thing: &str, own: &str, other: &str| child::Outer {
            queue: format!("{own}{round}"),
            child_queue: format!("{other}{round}"),
            ..child::Outer::new(&format!("{thing}{round}"))
        };
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        bed.outside.stall("Inner", &a);
        bed.outside.stall("Inner", &b);
        let first = process.start(outer("a", "left", "right")).await;
        let second = process.start(outer("b", "right", "left")).await;
        bed.outside.wait_for(&format!("Inner/{a}")).await;
        bed.outside.wait_for(&format!("Inner/{b}")).await;
        bed.outside.release("Inner", &a);
        bed.outside.release("Inner", &b);
        let both = async { (first.wait().await, second.wait().await) };
        let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
        let (first, second) = ended.expect("one of the two gives way");
        let refused: Vec<&Fault> = [&first, &second].into_iter().filter_map(|r| r.as_ref().err()).collect();
        assert_eq!(refused.len(), 1, "one gives way and the other is done: {first:?} {second:?}");
        assert!(
            refused[0].has_code(code::RUN_CIRCLE) && refused[0].details.contains("try it again"),
            "{:?}",
            refused[0]
        );
        let gone: &str = if first.is_err() { a.leak() } else { b.leak() };
        assert_eq!(bed.thing(gone).await, None, "what gave way left nothing");
        // Nobody is in the way now.
        let again = if first.is_err() { outer("a", "left", "right") } else { outer("b", "right", "left") };
        process.start(again).await.wait().await.unwrap();
    }
    assert_eq!(process.engine.live_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_circle_of_three_parents_is_found_and_a_chain_is_none() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let outer = |thing: &str, own: &str, other: &str| child::Outer {
        queue: own.into(),
        child_queue: other.into(),
        ..child::Outer::new(thing)
    };
    for thing in ["a", "b", "c"] {
        bed.outside.stall("Inner", thing);
    }
    let mut runs = Vec::new();
    for (thing, own, other) in [("a", "1", "2"), ("b", "2", "3"), ("c", "3", "1")] {
        runs.push(process.start(outer(thing, own, other)).await);
        bed.outside.wait_for(&format!("Inner/{thing}")).await;
    }
    // A chain: it waits for the end of it, and for nothing more.
    let chained = process.start(outer("d", "4", "1")).await;
    for thing in ["a", "b", "c"] {
        bed.outside.release("Inner", thing);
    }
    let all = async {
        let mut ended = Vec::new();
        for run in runs {
            ended.push(run.wait().await);
        }
        (ended, chained.wait().await)
    };
    let (ended, chained) =
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("the circle is broken");
    let refused: Vec<&Fault> = ended.iter().filter_map(|r| r.as_ref().err()).collect();
    assert!(refused.len() == 1 && refused[0].has_code(code::RUN_CIRCLE), "{ended:?}");
    chained.unwrap();
    assert_eq!(process.engine.live_count(), 0);
}
