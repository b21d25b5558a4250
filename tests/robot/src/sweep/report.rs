//! What a sweep has to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn_testkit::scenarios::Scenario;
use serde_json::{Value, json};

use crate::wire::Spot;

/// Kills, what was covered by them, and what went wrong.
#[derive(Default)]
pub struct Report {
    /// Steps by workflow, as the engine has them.
    pub registered: BTreeMap<String, Vec<String>>,
    /// How long it took.
    pub took: Duration,
    kills: usize,
    covered: BTreeSet<Spot>,
    failures: Vec<String>,
}

impl Report {
    /// The server was killed there and everything was well afterwards.
    pub fn killed(&mut self, spot: &Spot) {
        self.kills += 1;
        self.covered.insert(spot.clone());
    }

    /// Something went wrong.
    pub fn fail(&mut self, scenario: &Scenario, spot: &str, why: &str) {
        let line = format!("{}: {spot}: {why}", scenario.title);
        println!("FAILED {line}");
        self.failures.push(line);
    }

    /// Steps of the engine at which the server was never killed and recovered; `undo`: while they were taken back.
    pub fn missing(&self, undo: bool) -> Vec<String> {
        let covered: BTreeSet<(&str, &str)> = self
            .covered
            .iter()
            .filter(|s| s.undo == undo)
            .map(|s| (s.workflow.as_str(), s.step.as_str()))
            .collect();
        let all =
            self.registered.iter().flat_map(|(w, steps)| steps.iter().map(move |s| (w.as_str(), s.as_str())));
        let what = if undo { " (undo)" } else { "" };
        all.filter(|pair| !covered.contains(pair)).map(|(w, s)| format!("{w} {s}{what}")).collect()
    }

    /// Kills after which something was wrong.
    pub fn leaks(&self) -> usize {
        self.failures.len()
    }

    /// The failures, one line each and more below it.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The figures.
    pub fn figures(&self) -> Value {
        let steps: usize = self.registered.values().map(Vec::len).sum();
        json!({
            "crash_sweep_leaks": self.leaks(), "kills": self.kills, "points": self.covered.len(),
            "workflows": self.registered.len(), "steps": steps,
            "steps_missing": self.missing(false).len() + self.missing(true).len(),
            "seconds": (self.took.as_secs_f64() * 10.0).round() / 10.0,
        })
    }
}
