//! Every figure that is promised: what it must be, and what it shall become.

/// One figure.
pub struct Metric {
    /// Its name in the table and in the JSON file.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What must be reached; none: it is only shown.
    pub must: Option<f64>,
    /// What is aimed at.
    pub goal: Option<f64>,
    /// More is better; otherwise less is.
    pub more_is_better: bool,
}

impl Metric {
    /// Whether a value reaches a bound; so it does if there is none.
    pub fn reaches(&self, value: f64, bound: Option<f64>) -> bool {
        bound.is_none_or(|b| if self.more_is_better { value >= b } else { value <= b })
    }

    /// `MISSED`, `ok`, or `goal` if that is reached too.
    pub fn judge(&self, value: f64) -> &'static str {
        match (self.must, self.goal) {
            (None, None) => "",
            _ if !self.reaches(value, self.must) => "MISSED",
            (_, Some(_)) if self.reaches(value, self.goal) => "goal",
            _ => "ok",
        }
    }

    /// `<= 60`.
    pub fn bound(&self, bound: Option<f64>) -> String {
        let sign = if self.more_is_better { ">=" } else { "<=" };
        bound.map_or(String::new(), |b| format!("{sign} {b}"))
    }
}

/// The metric of this name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

const fn most(name: &'static str, unit: &'static str, must: f64, goal: f64) -> Metric {
    Metric { name, unit, must: Some(must), goal: Some(goal), more_is_better: false }
}

const fn must(name: &'static str, unit: &'static str, must: f64) -> Metric {
    Metric { name, unit, must: Some(must), goal: None, more_is_better: false }
}

const fn shown(name: &'static str, unit: &'static str) -> Metric {
    Metric { name, unit, must: None, goal: None, more_is_better: false }
}

/// All of them, in the order of the table.
pub const METRICS: &[Metric] = &[
    must("vm_create_over_virsh_ms", "ms", 150.0),
    must("zone_create_p50_ms", "ms", 3.0),
    must("zone_create_p99_ms", "ms", 10.0),
    must("query_uuid_p50_ms", "ms", 1.0),
    must("server_idle_mib", "MiB", 60.0),
    must("agent_idle_mib", "MiB", 40.0),
    must("server_start_ms", "ms", 1000.0),
    must("cargo_check_edit_s", "s", 10.0),
    shown("create_1_vm_s", "s"),
    shown("create_10_vm_s", "s"),
    shown("create_100_vm_s", "s"),
    shown("create_1000_vm_s", "s"),
    most("create_10000_vms_s", "s", 60.0, 10.0),
    most("vm_create_p50_ms", "ms", 20.0, 5.0),
    most("vm_create_p99_ms", "ms", 60.0, 15.0),
    shown("query_load_p99_ms", "ms"),
    must("allocate_1m_p99_ms", "ms", 5.0),
    must("allocate_1m_tiny_p99_ms", "ms", 5.0),
    must("allocate_1m_full_p99_ms", "ms", 5.0),
    must("allocate_1m_refused_p99_ms", "ms", 5.0),
    shown("allocate_1m_build_s", "s"),
    shown("allocate_1m_build_mib", "MiB"),
    most("register_1m_hosts_s", "s", 1200.0, 180.0),
    most("server_mib_1m_hosts", "MiB", 3072.0, 1024.0),
    most("heartbeat_1m_cores", "cores", 1.0, 0.33),
    most("agents_5000_mib", "MiB", 1024.0, 256.0),
    most("agents_5000_cores", "cores", 0.5, 0.1),
    Metric {
        name: "create_rate_1m_vs_1k_pct",
        unit: "%",
        must: Some(60.0),
        goal: Some(95.0),
        more_is_better: true,
    },
    most("query_name_1m_p99_ms", "ms", 50.0, 5.0),
    most("query_nested_1m_p99_ms", "ms", 50.0, 5.0),
    most("query_page_1m_p99_ms", "ms", 50.0, 5.0),
    shown("query_sorted_1m_p99_ms", "ms"),
    shown("load_1m_s", "s"),
    shown("server_mib_1m_vms", "MiB"),
    most("restart_empty_ms", "ms", 1000.0, 300.0),
    most("restart_1m_s", "s", 60.0, 10.0),
    must("crash_sweep_leaks", "", 0.0),
    must("robot_violations", "", 0.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_judged_by_its_bounds() {
        for (name, value, word) in [
            ("create_10000_vms_s", 9.0, "goal"),
            ("create_10000_vms_s", 10.5, "ok"),
            ("create_10000_vms_s", 60.5, "MISSED"),
            ("create_rate_1m_vs_1k_pct", 96.0, "goal"),
            ("create_rate_1m_vs_1k_pct", 60.0, "ok"),
            ("create_rate_1m_vs_1k_pct", 59.0, "MISSED"),
            ("zone_create_p50_ms", 2.0, "ok"),
            ("create_1_vm_s", 2.0, ""),
            ("robot_violations", 0.0, "ok"),
        ] {
            assert_eq!(find(name).unwrap().judge(value), word, "{name} {value}");
        }
    }
}
