//! The table, `target/bench/latest.json`, and `measured.json` beside it, which says when and at which commit each figure was
//! measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cairn_types::time;
use serde_json::{Value, json};

use crate::metrics::{METRICS, Metric, find};

/// Figures of one run.
pub struct Report {
    values: BTreeMap<&'static str, (f64, String)>,
    /// Figures at other sizes than those of the table: name, value, unit, how.
    others: Vec<(String, f64, String, String)>,
    /// Scenarios that broke off.
    broken: Vec<String>,
    whole: bool,
}

/// The checkout that this program was built from.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

impl Report {
    /// An empty one. `whole`: every scenario is run, so that earlier figures are void.
    pub fn new(whole: bool) -> Self {
        Self { values: BTreeMap::new(), others: Vec::new(), broken: Vec::new(), whole }
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

    /// Notes a scenario that broke off: some of its figures are missing.
    pub fn broke_off(&mut self, scenario: &str) {
        self.broken.push(scenario.to_owned());
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

    /// Which figures are missed and which scenarios broke off, in one sentence.
    pub fn verdict(&self) -> String {
        let judged = || METRICS.iter().filter_map(|m| Some((m, self.values.get(m.name)?.0)));
        let missed: Vec<String> =
            judged().filter(|(m, v)| !m.reaches(*v, m.must)).map(|(m, v)| missed(m, v)).collect();
        let goals = judged().filter(|(m, v)| m.goal.is_some() && m.reaches(*v, m.goal)).count();
        let with_goal = judged().filter(|(m, _)| m.goal.is_some()).count();
        let tail = format!("goals reached: {goals} of {with_goal}");
        let all = self.values.len();
        let verdict = match (missed.len(), self.broken.is_empty()) {
            (0, true) => format!("every must is reached, of {all} figures measured; {tail}"),
            (0, false) => format!("no must is missed by the {all} figures that were measured; {tail}"),
            (count, _) => format!("MISSED {count} of {all}: {}; {tail}", missed.join("; ")),
        };
        if self.broken.is_empty() {
            return verdict;
        }
        format!("could not be measured: {}; {verdict}", self.broken.join(", "))
    }

    /// Writes `{"metric": value}` to `latest.json`, and to `measured.json` at which commit and when each was measured. Figures of
    /// scenarios that were not asked for stay as an earlier run left them.
    pub fn write(&self, commit: &str) -> Result<PathBuf> {
        let folder = checkout().join("target/bench");
        std::fs::create_dir_all(&folder)?;
        self.write_to(&folder, commit)
    }

    fn write_to(&self, folder: &Path, commit: &str) -> Result<PathBuf> {
        let now = time::rfc3339(time::now_ms());
        let measured = |value: f64| json!({ "value": value, "commit": commit, "measuredAt": now });
        self.merge(&folder.join("measured.json"), measured)?;
        let path = folder.join("latest.json");
        self.merge(&path, |value| json!(value))?;
        Ok(path)
    }

    /// Puts the figures into a file beside those of earlier runs.
    fn merge(&self, path: &Path, entry: impl Fn(f64) -> Value) -> Result<()> {
        let earlier = std::fs::read_to_string(path).ok().filter(|_| !self.whole);
        let mut all: BTreeMap<String, Value> =
            earlier.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        all.extend(self.values.iter().map(|(metric, (value, _))| ((*metric).to_owned(), entry(*value))));
        Ok(std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&all)?))?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_broke_off_is_named_and_nothing_is_called_reached() {
        let mut report = Report::new(true);
        report.put("zone_create_p50_ms", 2.0, "");
        assert_eq!(report.verdict(), "every must is reached, of 1 figures measured; goals reached: 0 of 0");
        report.broke_off("cloud-1m");
        let verdict = report.verdict();
        assert!(verdict.starts_with("could not be measured: cloud-1m; no must is missed"), "{verdict}");
        report.put("zone_create_p99_ms", 11.0, "");
        let verdict = report.verdict();
        assert!(verdict.starts_with("could not be measured: cloud-1m; MISSED 1 of 2: zone_create_p99_ms"));
    }

    #[test]
    fn figures_of_earlier_runs_stay_with_the_commit_that_they_were_measured_at() {
        let folder = tempfile::tempdir().unwrap();
        let write = |whole: bool, metric, value, commit| {
            let mut report = Report::new(whole);
            report.put(metric, value, "");
            report.write_to(folder.path(), commit).unwrap();
        };
        let read = |name: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(folder.path().join(name)).unwrap()).unwrap()
        };
        write(true, "zone_create_p50_ms", 2.0, "old");
        write(false, "zone_create_p99_ms", 9.0, "new");
        assert_eq!(read("latest.json"), json!({ "zone_create_p50_ms": 2.0, "zone_create_p99_ms": 9.0 }));
        let measured = read("measured.json");
        assert_eq!(measured["zone_create_p50_ms"]["commit"], "old");
        assert_eq!(measured["zone_create_p99_ms"]["commit"], "new");
        assert!(measured["zone_create_p99_ms"]["measuredAt"].as_str().is_some_and(|t| t.starts_with("20")));
        write(true, "server_start_ms", 100.0, "third");
        assert_eq!(read("latest.json"), json!({ "server_start_ms": 100.0 }));
        assert_eq!(read("measured.json").as_object().map(serde_json::Map::len), Some(1));
    }
}
