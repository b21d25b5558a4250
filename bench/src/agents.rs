//! Simulated hosts in a process of their own, `cairn-agent --simulate`: what a measurement says of the server's processor time
//! and memory is then the server's alone.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::interrupt;
use crate::server::{Server, processor_s, program};

/// Most hosts that one call adds.
const AT_ONCE: usize = 10_000;
/// Hosts that share a connection.
const PER_CONNECTION: usize = 1000;

/// What each host is made of.
pub struct Shape {
    /// Processors.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory: i64,
}

/// The process. It ends when this is dropped.
pub struct Agents {
    child: Child,
}

impl Agents {
    /// Adds hosts to a cluster, starts the process that plays them, and waits until all are Connected. `dir` keeps its
    /// credentials and its log.
    pub fn start(
        server: &Server,
        api: &Api,
        dir: &Path,
        cluster: &str,
        (hosts, shape): (usize, &Shape),
    ) -> Result<Self> {
        let credentials = dir.join("agents");
        std::fs::create_dir(&credentials)?;
        for first in (0..hosts).step_by(AT_ONCE) {
            let params = json!({
                "clusterUuid": cluster, "count": AT_ONCE.min(hosts - first), "name": "host-{n}", "firstNumber": first,
                "cpuNum": shape.cpus, "memorySize": shape.memory, "hostsPerAgent": PER_CONNECTION,
            });
            let answer = api.call("POST", "/cairn/hosts/simulators", Some(json!({ "params": params })))?;
            keep(&credentials, &answer)?;
        }
        let log = File::create(dir.join("agents.log"))?;
        let mut command = Command::new(program("cairn-agent"));
        command.args(["--simulate", &hosts.to_string(), "--server", &server.agents.to_string()]);
        command.arg("--credentials").arg(&credentials);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("{:?} can't be started; build it first", command.get_program()))?;
        let mut agents = Self { child };
        agents.wait(api, hosts, &dir.join("agents.log"))?;
        Ok(agents)
    }

    fn wait(&mut self, api: &Api, hosts: usize, log: &Path) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = api.call("GET", "/hosts?q=status=Connected&count=true", None)?;
            if answer["total"].as_u64().and_then(|n| usize::try_from(n).ok()) == Some(hosts) {
                return Ok(());
            }
            let text = || std::fs::read_to_string(log).unwrap_or_default();
            ensure!(self.child.try_wait()?.is_none(), "the simulated hosts ended: {}", text());
            ensure!(
                began.elapsed() < Duration::from_secs(300),
                "not all hosts connect: {answer}; {}",
                text()
            );
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processor time that the process has used so far, in seconds.
    pub fn processor_s(&self) -> Result<f64> {
        processor_s(self.child.id())
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes one file for each agent, as `cairn host add-simulators --save-credentials` does.
fn keep(folder: &Path, answer: &Value) -> Result<()> {
    for agent in answer["agents"].as_array().context("agents with credentials")? {
        let mut file = agent.clone();
        for shared in ["server", "serverName", "ca"] {
            file[shared] = answer[shared].clone();
        }
        let uuid = agent["uuid"].as_str().context("an agent's uuid")?;
        std::fs::write(folder.join(format!("{uuid}.json")), file.to_string())?;
    }
    Ok(())
}
