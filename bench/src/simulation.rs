//! Hosts that `cairn-agent --simulate` serves, in a process of its own, over mutual TLS.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::interrupt;
use crate::server::program;

/// Hosts that one call adds at most.
const BULK: usize = 10_000;
/// Connections that one call makes certificates for, so that its answer is not too large to read at once.
const CERTIFICATES: usize = 2000;
/// How long the hosts have to connect.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Registers hosts in a cluster and keeps the credentials of their agents in a folder.
pub fn register(api: &Api, cluster: &str, hosts: usize, per_agent: usize, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let bulk = BULK.min(per_agent * CERTIFICATES);
    let mut made = 0;
    while made < hosts {
        interrupt::check()?;
        let count = bulk.min(hosts - made);
        let params = json!({ "clusterUuid": cluster, "count": count, "hostsPerAgent": per_agent, "firstNumber": made + 1 });
        let answer = api.call("POST", "/cairn/hosts/simulators", Some(json!({ "params": params })))?;
        for agent in answer["agents"].as_array().context("agents")? {
            let mut identity = agent.clone();
            for name in ["ca", "server", "serverName"] {
                identity[name] = answer[name].clone();
            }
            let file = format!("{}.json", agent["uuid"].as_str().context("a uuid")?);
            std::fs::write(folder.join(file), identity.to_string())?;
        }
        made += count;
    }
    Ok(())
}

/// The process; it ends with this.
pub struct Simulation {
    child: Child,
    log: PathBuf,
}

impl Simulation {
    /// Serves the hosts of a folder.
    pub fn start(hosts: usize, folder: &Path, more: &[&str]) -> Result<Self> {
        let log = folder.with_extension("log");
        let out = File::create(&log)?;
        let mut command = Command::new(program("cairn-agent"));
        command.args(["--simulate", &hosts.to_string(), "--credentials"]).arg(folder).args(more);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let child = command.spawn().context("cairn-agent can't be started; build it first")?;
        Ok(Self { child, log })
    }

    /// Waits until that many hosts are Connected, as the API tells.
    pub fn wait(&mut self, api: &Api, hosts: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            let connected = connected(api)?;
            if connected == hosts as u64 {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() {
                bail!("the simulation ended: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
            }
            ensure!(Instant::now() < end, "{connected} of {hosts} hosts are Connected after {PATIENCE:?}");
            // A count of a million takes its time too.
            std::thread::sleep(Duration::from_millis(if hosts > 50_000 { 2000 } else { 200 }));
        }
    }
}

/// Hosts that are Connected.
pub fn connected(api: &Api) -> Result<u64> {
    let answer: Value = api.call("GET", "/hosts?q=status=Connected&count=true", None)?;
    answer["total"].as_u64().with_context(|| format!("no count in {answer}"))
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
