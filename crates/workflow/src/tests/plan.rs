//! BEY-01: a plan shows what would be done and leaves nothing.

use super::*;

#[tokio::test]
async fn bey_01_a_plan_shows_its_steps_and_leaves_no_row() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    process.start(Build::new("first")).await.wait().await.unwrap();
    let calls = bed.outside.calls();
    let plan = process.engine.plan(Build::new("a")).await.unwrap();
    let steps: Vec<&str> = plan.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(steps, ["Claim", "Number", "Make", "Wire"]);
    assert_eq!(plan.steps[1].text, "take number Some(2)");
    assert_eq!(plan.steps[1].why, "it is the next one");
    assert_eq!((plan.creates.len(), plan.facts["number"].as_i64()), (1, Some(2)));

    assert_eq!(bed.thing("a").await, None);
    assert_eq!(bed.count("SELECT count(*) FROM run").await, 1);
    assert_eq!(bed.count("SELECT count(*) FROM ended").await, 1);
    assert_eq!(bed.outside.calls(), calls, "a plan touches nothing outside");
    // The same can then be done, with the same number.
    let answer = process.start(Build::new("a")).await.wait().await.unwrap();
    assert_eq!(answer["number"], 2);
}

#[tokio::test]
async fn bey_01_a_plan_says_why_it_would_fail() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let fault = process.engine.plan(Build::failing_at("a", "Number")).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.cause.unwrap().details.as_str()), ("TOY.1000", "Number fails"));
    process.start(Build::new("a")).await.wait().await.unwrap();
    assert!(process.engine.plan(Build::new("a")).await.is_err(), "the thing exists already");
    assert_eq!(bed.count("SELECT count(*) FROM run").await, 1);
}

#[tokio::test]
async fn bey_01_the_plan_of_a_parent_has_the_steps_of_its_child() {
    let bed = Bed::new().await;
    let process = bed.process(1, None);
    let plan = process.engine.plan(child::Outer::new("a")).await.unwrap();
    let steps: Vec<&str> = plan.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(steps, ["Claim", "Number", "Make", "Wire", "Note"]);
    assert_eq!(plan.steps[4].text, "thing a is Ready", "later steps see the rows of earlier ones");
    assert_eq!(
        bed.count("SELECT count(*) FROM run").await + bed.count("SELECT count(*) FROM thing").await,
        0
    );
}
