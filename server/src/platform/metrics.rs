//! Counters for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::app::App;

/// Upper bounds of the latency buckets, in milliseconds.
const BUCKETS_MS: [u64; 8] = [1, 3, 10, 30, 100, 300, 1000, 10_000];

#[derive(Default, Clone)]
struct Series {
    ok: u64,
    failed: u64,
    total_us: u64,
    buckets: [u64; BUCKETS_MS.len()],
}

/// Counts of calls by operation.
#[derive(Default)]
pub struct Metrics {
    calls: Mutex<BTreeMap<&'static str, Series>>,
}

impl Metrics {
    /// Counts a call.
    pub fn call(&self, action: &'static str, ok: bool, took: Duration) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let series = calls.entry(action).or_default();
        if ok {
            series.ok += 1;
        } else {
            series.failed += 1;
        }
        series.total_us += u64::try_from(took.as_micros()).unwrap_or(0);
        for (count, bound) in series.buckets.iter_mut().zip(BUCKETS_MS) {
            if took <= Duration::from_millis(bound) {
                *count += 1;
            }
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self, app: &App) -> String {
        let mut out = String::new();
        out.push_str("# HELP cairn_up_seconds Seconds since this server began to serve.\n# TYPE cairn_up_seconds gauge\n");
        let _ = writeln!(out, "cairn_up_seconds {}", app.started.elapsed().as_secs());
        out.push_str(
            "# HELP cairn_agents_connected Agents that are connected.\n# TYPE cairn_agents_connected gauge\n",
        );
        let _ = writeln!(out, "cairn_agents_connected {}", app.agents.count());
        out.push_str("# HELP cairn_runs_live Workflow runs at work or waiting for their turn.\n# TYPE cairn_runs_live gauge\n");
        let _ = writeln!(out, "cairn_runs_live {}", app.engine.live_count());
        out.push_str(
            "# HELP cairn_resident_bytes Resident memory of the server.\n# TYPE cairn_resident_bytes gauge\n",
        );
        let _ = writeln!(out, "cairn_resident_bytes {}", resident_bytes());
        let bus = crate::bus::health(app);
        if bus != "off" {
            out.push_str("# HELP cairn_bus_connected Whether the message bus can be reached.\n# TYPE cairn_bus_connected gauge\n");
            let _ = writeln!(out, "cairn_bus_connected {}", u8::from(bus == "connected"));
        }
        self.render_calls(&mut out);
        out
    }

    fn render_calls(&self, out: &mut String) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        out.push_str("# HELP cairn_calls_total API calls by operation and outcome.\n# TYPE cairn_calls_total counter\n");
        for (action, s) in &calls {
            let _ = writeln!(out, "cairn_calls_total{{action=\"{action}\",outcome=\"ok\"}} {}", s.ok);
            let _ = writeln!(out, "cairn_calls_total{{action=\"{action}\",outcome=\"failed\"}} {}", s.failed);
        }
        out.push_str(
            "# HELP cairn_call_seconds Time until the first answer.\n# TYPE cairn_call_seconds histogram\n",
        );
        for (action, s) in &calls {
            for (count, bound) in s.buckets.iter().zip(BUCKETS_MS) {
                let (whole, milli) = (bound / 1000, bound % 1000);
                let _ = writeln!(
                    out,
                    "cairn_call_seconds_bucket{{action=\"{action}\",le=\"{whole}.{milli:03}\"}} {count}"
                );
            }
            let all = s.ok + s.failed;
            let _ = writeln!(out, "cairn_call_seconds_bucket{{action=\"{action}\",le=\"+Inf\"}} {all}");
            let (whole, micro) = (s.total_us / 1_000_000, s.total_us % 1_000_000);
            let _ = writeln!(out, "cairn_call_seconds_sum{{action=\"{action}\"}} {whole}.{micro:06}");
            let _ = writeln!(out, "cairn_call_seconds_count{{action=\"{action}\"}} {all}");
        }
    }
}

/// Resident memory of this process; 0 if the system does not tell.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4096
}
