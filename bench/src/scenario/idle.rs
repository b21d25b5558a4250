//! Resident memory of server and agent on an installation like that of `make run`, with one VM, after ten seconds in which
//! nobody called.

use std::time::Duration;

use anyhow::{Context, Result};
use cairn_lab::Lab;
use serde_json::json;

use crate::interrupt;
use crate::report::Report;

const QUIET: u64 = 10;

pub(super) fn measure(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let vm = lab.create_vm("idle", json!({}), &[])?;
    for _ in 0..QUIET {
        std::thread::sleep(Duration::from_secs(1));
        interrupt::check()?;
    }
    let how =
        format!("anonymous and file pages of the process after {QUIET} s without a call, one host, one VM");
    let server = resident_mib(lab.server_pid().context("the server runs")?)?;
    let agent = resident_mib(lab.agent_pid().context("the agent runs")?)?;
    report.put("server_idle_mib", server.0 + server.1, format!("{how} ({:.1} + {:.1})", server.0, server.1));
    report.put("agent_idle_mib", agent.0 + agent.1, format!("{how} ({:.1} + {:.1})", agent.0, agent.1));
    super::vm_create::remove(lab, vm["uuid"].as_str().unwrap_or_default())
}

/// Anonymous and file pages of a process, in MiB.
fn resident_mib(pid: u32) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    };
    Ok((field("RssAnon:")?, field("RssFile:")?))
}
