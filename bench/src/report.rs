//! The table and `target/bench/latest.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::metrics::{METRICS, Metric, find};

/// Figures of one run.
pub struct Report {
    values: BTreeMap<&'static str, (f64, String)>,
    /// Figures at other sizes than those of the table: name, value, unit, how.
    others: Vec<(String, f64, String, String)>,
    whole: bool,
}

/// The checkout that this program was built from.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

impl Report {
    /// An empty one. `whole`: every scenario is run, so that earlier figures are void.
    pub fn new(whole: bool) -> Self {
        Self { values: BTreeMap::new(), others: Vec::new(), whole }
    }

    /// Notes a figure and how it was measured.
    pub fn put(&mut self, metric: &'static str, value: f64, how: impl Into<String>) {
        debug_assert!(find(metric).is_some(), "{metric} is not in the table");
        self.values.insert(metric, (rounded(value), how.into()));
    }

    /// Notes a figure whose name holds its size. One that is not in the table, because this run is smaller, is shown apart and
    /// not written.
    pub fn put_named(&mut self, name: &str, unit: &str, value: f64, how: impl Into<String>) {
        match find(name) {
            Some(metric) => self.put(metric.name, value, how),
            None => self.others.push((name.into(), rounded(value), unit.into(), how.into())),
        }
    }

    /// The table of what was measured.
    pub fn table(&self) -> String {
        let mut out = row(&["metric", "value", "unit", "must", "goal", "", "how measured"]);
        out.push_str(&format!("\n{}", "-".repeat(120)));
        for metric in METRICS {
            if let Some((value, how)) = self.values.get(metric.name) {
                let (must, goal) = (metric.bound(metric.must), metric.bound(metric.goal));
                let cells =
                    [metric.name, &figure(*value), metric.unit, &must, &goal, metric.judge(*value), how];
                out.push_str(&format!("\n{}", row(&cells)));
            }
        }
        for (name, value, unit, how) in &self.others {
            out.push_str(&format!("\n{}", row(&[name, &figure(*value), unit, "", "", "", how])));
        }
        out
    }

    /// Which figures are missed, in one sentence.
    pub fn verdict(&self) -> String {
        let judged = || METRICS.iter().filter_map(|m| Some((m, self.values.get(m.name)?.0)));
        let missed: Vec<String> =
            judged().filter(|(m, v)| !m.reaches(*v, m.must)).map(|(m, v)| missed(m, v)).collect();
        let goals = judged().filter(|(m, v)| m.goal.is_some() && m.reaches(*v, m.goal)).count();
        let with_goal = judged().filter(|(m, _)| m.goal.is_some()).count();
        let tail = format!("goals reached: {goals} of {with_goal}");
        if missed.is_empty() {
            return format!("every must is reached, of {} figures measured; {tail}", self.values.len());
        }
        format!("MISSED {} of {}: {}; {tail}", missed.len(), self.values.len(), missed.join("; "))
    }

    /// Writes `{"metric": value}`. Figures of scenarios that were not asked for stay as an earlier run left them.
    pub fn write(&self) -> Result<PathBuf> {
        let path = checkout().join("target/bench/latest.json");
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let earlier = std::fs::read_to_string(&path).ok().filter(|_| !self.whole);
        let mut all: BTreeMap<String, Value> =
            earlier.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        all.extend(self.values.iter().map(|(metric, (value, _))| ((*metric).to_owned(), json!(value))));
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        Ok(path)
    }
}

fn missed(metric: &Metric, value: f64) -> String {
    format!("{} is {} {} and must be {}", metric.name, figure(value), metric.unit, metric.bound(metric.must))
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn row(cells: &[&str; 7]) -> String {
    let [metric, value, unit, must, goal, judged, how] = cells;
    format!("{metric:25} {value:>8} {unit:5} {must:>8} {goal:>8}  {judged:6}  {how}").trim_end().to_owned()
}
