//! The crash sweep (BEY-02): the server's process kills itself at every moment of every step of every workflow, going on and
//! going back, and is started again. Afterwards the call has ended, nothing is held or half done, and what is on the machines
//! is what the rows say.

pub mod agents;
mod report;
mod stage;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use cairn_testkit::scenarios::{SCENARIOS, Scenario};

use crate::wire::Point;
pub use report::Report;
use stage::{Stage, Variant};

/// What of the sweep is run.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Scenarios with this word in their title or workflow; empty: all.
    pub only: String,
    /// Only one moment of each step, going on and going back.
    pub is_short: bool,
    /// Hosts come back empty, where agents are killed.
    pub forget: bool,
    /// Servers at once.
    pub workers: usize,
}

/// Runs the sweep.
pub async fn run(choice: &Choice) -> Result<Report> {
    let begun = Instant::now();
    let chosen: Vec<&'static Scenario> = SCENARIOS
        .iter()
        .filter(|s| s.title.contains(&choice.only) || s.workflow.contains(&choice.only))
        .collect();
    let queue = Arc::new(Mutex::new(VecDeque::from(chosen)));
    let report = Arc::new(Mutex::new(Report::default()));
    let mut workers = Vec::new();
    for n in 0..choice.workers.max(1) {
        let (queue, report, choice) = (queue.clone(), report.clone(), choice.clone());
        workers.push(tokio::spawn(async move { work(n, &queue, &report, &choice).await }));
    }
    for worker in workers {
        worker.await??;
    }
    let mut report = std::mem::take(&mut *lock(&report));
    report.took = begun.elapsed();
    Ok(report)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one scenario after the other until none is left.
async fn work(
    seed: usize,
    queue: &Mutex<VecDeque<&'static Scenario>>,
    report: &Mutex<Report>,
    choice: &Choice,
) -> Result<()> {
    let mut stage = Stage::new(seed).await?;
    lock(report).registered = stage.steps();
    loop {
        let Some(scenario) = lock(queue).pop_front() else { return Ok(()) };
        let begun = Instant::now();
        let variants = match stage.record(scenario).await {
            Ok(variants) => variants,
            Err(e) => {
                lock(report).fail(scenario, "without a kill", &format!("{e:#}"));
                stage = Stage::new(seed).await?;
                continue;
            }
        };
        let wanted = |v: &&Variant| !(choice.is_short || scenario.is_brief) || is_short(&v.spot.point);
        let mut count = 0;
        for variant in variants.iter().filter(wanted) {
            count += 1;
            match stage.variant(scenario, variant).await {
                Ok(()) => lock(report).killed(&variant.spot),
                Err(e) => {
                    lock(report).fail(scenario, &variant.spot.to_string(), &format!("{e:#}"));
                    stage = Stage::new(seed).await?;
                }
            }
        }
        println!(
            "{:40} {:27} {count:3} kills, {:.1} s",
            scenario.title,
            scenario.workflow,
            begun.elapsed().as_secs_f64()
        );
    }
}

/// The moment after the work was done and before anybody but the machines knows.
fn is_short(point: &Point) -> bool {
    matches!(point, Point::After)
}
