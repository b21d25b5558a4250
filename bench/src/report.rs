//! The table and `target/bench/latest.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

/// What must be reached, in the order of the table: metric, unit, at most.
const METRICS: &[(&str, &str, f64)] = &[
    ("vm_create_over_virsh_ms", "ms", 150.0),
    ("zone_create_p50_ms", "ms", 3.0),
    ("zone_create_p99_ms", "ms", 10.0),
    ("query_uuid_p50_ms", "ms", 1.0),
    ("server_idle_mib", "MiB", 60.0),
    ("agent_idle_mib", "MiB", 40.0),
    ("server_start_ms", "ms", 1000.0),
    ("cargo_check_edit_s", "s", 10.0),
];

/// Figures of one run.
pub struct Report {
    values: BTreeMap<&'static str, (f64, String)>,
    whole: bool,
}

/// The checkout that this program was built from.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

impl Report {
    /// An empty one. `whole`: every scenario is run, so that earlier figures are void.
    pub fn new(whole: bool) -> Self {
        Self { values: BTreeMap::new(), whole }
    }

    /// Notes a figure and how it was measured.
    pub fn put(&mut self, metric: &'static str, value: f64, how: impl Into<String>) {
        debug_assert!(METRICS.iter().any(|m| m.0 == metric), "{metric} is not in the table");
        self.values.insert(metric, ((value * 1000.0).round() / 1000.0, how.into()));
    }

    /// The table of what was measured.
    pub fn table(&self) -> String {
        let mut out = row(&["metric", "value", "unit", "must", "", "how measured"]);
        out.push_str(&format!("\n{}", "-".repeat(100)));
        for (metric, unit, must) in METRICS {
            if let Some((value, how)) = self.values.get(metric) {
                let judged = if value <= must { "ok" } else { "MISSED" };
                let (value, must) = (figure(*value), format!("<= {must}"));
                out.push_str(&format!("\n{}", row(&[metric, &value, unit, &must, judged, how])));
            }
        }
        out
    }

    /// Which figures are missed, in one sentence.
    pub fn verdict(&self) -> String {
        let missed: Vec<String> = METRICS
            .iter()
            .filter_map(|(metric, unit, must)| {
                let (value, _) = self.values.get(metric).filter(|(v, _)| v > must)?;
                Some(format!("{metric} is {} {unit} and must be at most {must}", figure(*value)))
            })
            .collect();
        if missed.is_empty() {
            return format!("all {} figures measured are reached", self.values.len());
        }
        format!("MISSED {} of {}: {}", missed.len(), self.values.len(), missed.join("; "))
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

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn row(cells: &[&str; 6]) -> String {
    let [metric, value, unit, must, judged, how] = cells;
    format!("{metric:24} {value:>8} {unit:4} {must:>8}  {judged:6}  {how}").trim_end().to_owned()
}
