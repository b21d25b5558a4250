//! Every workflow with a fault at every step (BEY-02): the step fails before or after its work, the server dies there or while
//! it is taken back, every undo runs twice, every undo fails once. Afterwards the call has ended, nothing is held or half
//! done, what is on the machines is what the rows say, and a change that failed has left every row as it was.

mod stage;

use cairn_testkit::scenarios::{Group, SCENARIOS};
use cairn_testkit::{Cloud, Trouble};

use stage::Stage;

#[tokio::test]
async fn bey_02_every_workflow_has_a_scenario() {
    let cloud = Cloud::start().await;
    let known: Vec<&str> = SCENARIOS.iter().map(|s| s.workflow).collect();
    let missing: Vec<_> = cloud.app().engine.workflows().into_iter().filter(|w| !known.contains(w)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "workflows that the fault harness does not run");
}

/// What a scenario is put through whose workflow another one plays in full.
const BRIEF: [Trouble; 3] = [Trouble::FailAfter, Trouble::CrashBefore, Trouble::CrashAfterUndo];

/// Runs all scenarios of a group; `FAULTS=word` picks those whose name has the word.
async fn sweep(group: Group) {
    let mut stage = Stage::new().await;
    let (only, mut failures, mut count) = (std::env::var("FAULTS").unwrap_or_default(), Vec::new(), 0);
    for scenario in SCENARIOS.iter().filter(|s| s.group == group && s.title.contains(&only)) {
        let begun = std::time::Instant::now();
        let steps = stage.record(scenario).await;
        let mut variants = 0;
        for (index, step) in steps.iter().enumerate() {
            for trouble in Trouble::ALL.into_iter().filter(|t| !scenario.is_brief || BRIEF.contains(t)) {
                variants += 1;
                if let Err(text) = stage.variant(scenario, index, steps.len(), trouble).await {
                    println!("{}: {step} {trouble:?}: {text}", scenario.title);
                    failures.push(format!("{}: {step} {trouble:?}: {text}", scenario.title));
                    stage = Stage::new().await;
                }
            }
        }
        count += variants;
        println!(
            "{:40} {:25} {} steps, {variants} variants, {:?}",
            scenario.title,
            scenario.workflow,
            steps.len(),
            begun.elapsed()
        );
    }
    assert!(failures.is_empty(), "{} of {count} variants failed\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn bey_02_vms_survive_every_fault() {
    sweep(Group::Vm).await;
}

#[tokio::test]
async fn bey_02_networks_survive_every_fault() {
    sweep(Group::Network).await;
}

#[tokio::test]
async fn bey_02_storage_survives_every_fault() {
    sweep(Group::Storage).await;
}

#[tokio::test]
async fn bey_02_hardware_survives_every_fault() {
    sweep(Group::Hardware).await;
}
