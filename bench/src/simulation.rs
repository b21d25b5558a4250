//! Hosts that `cairn-agent --simulate` serves, in a process of its own, over mutual TLS: what a measurement says of the server's
//! processor time and memory is then the server's alone.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::interrupt;
use crate::server::{processor_s, program};

/// Hosts that one call adds at most.
const BULK: usize = 10_000;
/// Connections that one call makes certificates for, so that its answer is not too large to read at once.
const CERTIFICATES: usize = 2000;
/// How long the hosts have to connect.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What each host is made of.
pub struct Shape {
    /// Processors.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory: i64,
}

/// Hosts to simulate.
pub struct Crowd<'a> {
    /// Uuid of the cluster that they join.
    pub cluster: &'a str,
    /// How many they are.
    pub hosts: usize,
    /// Most of them that share a connection: 1 to 1,000.
    pub per_agent: usize,
    /// What each is made of; without one the server's choice.
    pub shape: Option<Shape>,
}

/// Registers hosts in their cluster and keeps the credentials of their agents in a folder, one file for each agent, as
/// `cairn host add-simulators --save-credentials` does.
pub fn register(api: &Api, crowd: &Crowd, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let bulk = BULK.min(crowd.per_agent * CERTIFICATES);
    for made in (0..crowd.hosts).step_by(bulk) {
        interrupt::check()?;
        let mut params = json!({
            "clusterUuid": crowd.cluster, "count": bulk.min(crowd.hosts - made), "hostsPerAgent": crowd.per_agent,
            "firstNumber": made + 1,
        });
        if let Some(shape) = &crowd.shape {
            params["cpuNum"] = shape.cpus.into();
            params["memorySize"] = shape.memory.into();
        }
        let answer = api.call("POST", "/cairn/hosts/simulators", Some(json!({ "params": params })))?;
        keep_credentials(&answer, folder)?;
    }
    Ok(())
}

fn keep_credentials(answer: &Value, folder: &Path) -> Result<()> {
    for agent in answer["agents"].as_array().context("agents with credentials")? {
        let mut identity = agent.clone();
        for shared in ["ca", "server", "serverName"] {
            identity[shared] = answer[shared].clone();
        }
        let uuid = agent["uuid"].as_str().context("an agent's uuid")?;
        std::fs::write(folder.join(format!("{uuid}.json")), identity.to_string())?;
    }
    Ok(())
}

/// The process; it ends when this is dropped.
pub struct Simulation {
    child: Child,
    log: PathBuf,
}

impl Simulation {
    /// Registers hosts, serves them, and waits until all are Connected and no others. Their files are in `folder`, the log is
    /// beside it.
    pub fn of(api: &Api, crowd: &Crowd, folder: &Path) -> Result<Self> {
        register(api, crowd, folder)?;
        let mut simulation = Self::start(crowd.hosts, folder, &[])?;
        simulation.wait(api, crowd.hosts)?;
        Ok(simulation)
    }

    /// Serves the hosts whose credentials are in a folder; `more` are arguments for the program.
    pub fn start(hosts: usize, folder: &Path, more: &[&str]) -> Result<Self> {
        let log = folder.with_extension("log");
        let out = File::create(&log)?;
        let mut command = Command::new(program("cairn-agent"));
        command.args(["--simulate", &hosts.to_string(), "--credentials"]).arg(folder).args(more);
        // A group of its own: Ctrl-C is for the bench, which then ends the process.
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{:?} can't be started; build it first", command.get_program()))?;
        Ok(Self { child, log })
    }

    /// Waits until that many hosts are Connected, as the API tells.
    pub fn wait(&mut self, api: &Api, hosts: usize) -> Result<()> {
        wait_connected(api, hosts, PATIENCE, || {
            if self.child.try_wait()?.is_some() {
                bail!("the simulation ended: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
            }
            Ok(())
        })
    }

    /// Processor time that the process has used so far, in seconds.
    pub fn processor_s(&self) -> Result<f64> {
        processor_s(self.child.id())
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until exactly that many hosts are Connected. Fails after `patience`, and with what `check` finds between two looks.
pub fn wait_connected(
    api: &Api,
    hosts: usize,
    patience: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        interrupt::check()?;
        let connected = connected(api)?;
        if connected == hosts as u64 {
            return Ok(());
        }
        check()?;
        ensure!(Instant::now() < end, "{connected} of {hosts} hosts are Connected after {patience:?}");
        // A count of a million takes its time too.
        std::thread::sleep(Duration::from_millis(if hosts > 50_000 { 2000 } else { 100 }));
    }
}

/// Hosts that are Connected.
pub fn connected(api: &Api) -> Result<u64> {
    let answer: Value = api.call("GET", "/hosts?q=status=Connected&count=true", None)?;
    answer["total"].as_u64().with_context(|| format!("no count in {answer}"))
}
