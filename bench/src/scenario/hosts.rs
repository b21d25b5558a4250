//! Simulated hosts in number, in a process of their own behind mutual TLS: a million over a thousand connections, and five
//! thousand with a connection each. The time of the registration is that from the first call until the API says that all of
//! them are Connected. Then nobody calls, and the processor time of the server over two minutes of heartbeats is what they
//! cost. The agents beat as often as the server asks for.
//!
//! Their cluster has local primary storage and a flat network, so that each host that is Connected could run a VM.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::interrupt;
use crate::report::Report;
use crate::scale::scaled;
use crate::server::{Server, data_dir};
use crate::simulation::{self, Crowd, Simulation};
use crate::world::{RANGE, furnished_zone};

const MILLION: usize = 1_000_000;
const SEPARATE: usize = 5000;
/// Between the last host that is Connected and the measuring.
const SETTLE: Duration = Duration::from_secs(20);
/// Heartbeats are measured for this long.
const WATCH: Duration = Duration::from_secs(120);

/// What the hosts have, for the texts.
const FURNISHED: &str = "their cluster has local storage, an L2 and an L3 network with a range";

/// What a crowd of hosts costs.
struct Cost {
    /// Until all were Connected, and until all rows were there.
    took: Duration,
    added: Duration,
    mib: f64,
    peak_mib: f64,
    cores: f64,
}

pub(super) fn million(report: &mut Report) -> Result<()> {
    let hosts = scaled(MILLION)?;
    let cost = crowd(hosts, 1000, &[])?;
    let size = if hosts == MILLION { "1m".to_owned() } else { hosts.to_string() };
    let (took, added) = (cost.took.as_secs_f64(), cost.added.as_secs_f64());
    let how = format!(
        "from the first call until all {hosts} were Connected; rows after {added:.1} s, then {} connections, one process; {FURNISHED}",
        hosts.div_ceil(1000)
    );
    report.put_named(&format!("register_{size}_hosts_s"), "s", took, how);
    let how = format!(
        "resident, {} s after the last host was Connected; at most {:.0}; {FURNISHED}",
        SETTLE.as_secs(),
        cost.peak_mib
    );
    report.put_named(&format!("server_mib_{size}_hosts"), "MiB", cost.mib, how);
    let how = format!("over {} s in which each connection beats for its hosts every 10 s", WATCH.as_secs());
    report.put_named(&format!("heartbeat_{size}_cores"), "cores", cost.cores, how);
    Ok(())
}

pub(super) fn separate(report: &mut Report) -> Result<()> {
    let hosts = scaled(SEPARATE)?;
    let cost = crowd(hosts, 1, &["--heartbeat", "10s"])?;
    let how = format!(
        "resident, with {hosts} connections of mutual TLS; at most {:.0}; {FURNISHED}",
        cost.peak_mib
    );
    report.put_named(&format!("agents_{hosts}_mib"), "MiB", cost.mib, how);
    let how = format!("over {} s, each beats every 10 s", WATCH.as_secs());
    report.put_named(&format!("agents_{hosts}_cores"), "cores", cost.cores, how);
    let how = "from the first call until all were Connected";
    report.put_named(&format!("register_{hosts}_agents_s"), "s", cost.took.as_secs_f64(), how);
    Ok(())
}

/// Registers hosts, has them served, and watches the server.
fn crowd(hosts: usize, per_agent: usize, more: &[&str]) -> Result<Cost> {
    let dir = data_dir()?;
    let server = Server::start(dir.path())?;
    let api = server.admin()?;
    let (_, cluster, _) = furnished_zone(&api, RANGE)?;
    let folder = dir.path().join("agents");
    eprintln!("  registering {hosts} hosts");
    let began = Instant::now();
    let crowd = Crowd { cluster: &cluster, hosts, per_agent, shape: None };
    simulation::register(&api, &crowd, &folder)?;
    let added = began.elapsed();
    eprintln!("  rows after {:.1} s; connecting them", added.as_secs_f64());
    let mut simulation = Simulation::start(hosts, &folder, more)?;
    simulation.wait(&api, hosts)?;
    let took = began.elapsed();
    eprintln!(
        "  all Connected after {:.1} s, {:.1} s of the server's processor time",
        took.as_secs_f64(),
        server.processor_s()?
    );
    pause(SETTLE)?;
    let (mib, _) = server.memory_mib()?;
    let (begin, before) = (Instant::now(), server.processor_s()?);
    pause(WATCH)?;
    let cores = (server.processor_s()? - before) / begin.elapsed().as_secs_f64();
    let peak_mib = server.memory_mib()?.1;
    let still = simulation::connected(&api)?;
    ensure!(still == hosts as u64, "{still} of {hosts} hosts are Connected still; {}", server.log());
    Ok(Cost { took, added, mib, peak_mib, cores })
}

fn pause(time: Duration) -> Result<()> {
    let end = Instant::now().checked_add(time).context("a moment")?;
    while Instant::now() < end {
        interrupt::check()?;
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
