//! The process with the agents, seen from the one that watches it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_simhost::{CloudSnapshot, SimCloud};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use super::wire::{Ask, Orders, Say, Spot};

/// The process answers what it is asked within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process shall do, now and after its next start.
pub struct Apart {
    folder: PathBuf,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// By the agent's uuid.
    served: BTreeMap<String, Ask>,
    simulated: Option<Ask>,
    /// To the process that runs.
    lines: Option<mpsc::UnboundedSender<Ask>>,
}

impl Apart {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the process, and what it shall serve again to the one after it.
    pub fn tell(&self, ask: Ask) {
        let mut told = self.told();
        match &ask {
            Ask::Serve { agent, .. } => drop(told.served.insert(agent.clone(), ask.clone())),
            Ask::End { agent } => drop(told.served.remove(agent)),
            Ask::Simulate { .. } => told.simulated = Some(ask.clone()),
            Ask::Drop { .. } | Ask::Plot { .. } | Ask::Seen => {}
        }
        if let Some(lines) = &told.lines {
            // One that is dead hears it when it has started again.
            let _ = lines.send(ask);
        }
    }

    /// A new process: it hears everything that is to be served.
    fn attach(&self, lines: mpsc::UnboundedSender<Ask>) {
        let mut told = self.told();
        for ask in told.served.values().chain(&told.simulated) {
            let _ = lines.send(ask.clone());
        }
        told.lines = Some(lines);
    }

    /// What is on the machines after the last command.
    pub fn snapshot(&self) -> Result<CloudSnapshot> {
        let (cloud, file) = (SimCloud::default(), Orders::machines(&self.folder));
        if file.exists() {
            cloud.restore(&std::fs::read_to_string(file)?)?;
        }
        Ok(cloud.snapshot())
    }
}

/// The end of the process, and where it killed itself.
pub type End = watch::Receiver<Option<Option<Spot>>>;

/// How the process ended.
#[derive(Debug, Clone)]
pub struct Death {
    /// Where it killed itself.
    pub spot: Option<Spot>,
    /// It was killed and did not end by itself.
    pub by_signal: bool,
}

/// The process with the agents.
pub struct Herd {
    apart: Arc<Apart>,
    seed: u64,
    forget: bool,
    running: Option<Running>,
}

struct Running {
    child: Child,
    replies: mpsc::UnboundedReceiver<Say>,
    end: End,
}

impl Herd {
    /// Starts it, without agents. `forget`: what is on the hosts ends with the process.
    pub async fn start(folder: &Path, seed: u64, forget: bool) -> Result<Self> {
        let apart = Arc::new(Apart { folder: folder.to_owned(), told: Mutex::default() });
        let mut herd = Self { apart, seed, forget, running: None };
        herd.boot(None).await?;
        Ok(herd)
    }

    /// What it shall do.
    pub fn apart(&self) -> Arc<Apart> {
        self.apart.clone()
    }

    /// Starts the process over what is on the machines; `kill` is plotted from the start.
    pub async fn boot(&mut self, kill: Option<Spot>) -> Result<()> {
        let folder = &self.apart.folder;
        let orders = Orders { folder: folder.clone(), seed: self.seed, kill, forget: self.forget };
        let log = std::fs::File::options().create(true).append(true).open(folder.join("agents.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("agents")
            .arg(serde_json::to_string(&orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the agents can't be started")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.context("no input")?, output.context("no output")?);
        let (lines, asks) = mpsc::unbounded_channel();
        let (sender, replies) = mpsc::unbounded_channel();
        let (died, end) = watch::channel(None);
        tokio::spawn(write(input, asks));
        tokio::spawn(listen(output, sender, died));
        self.apart.attach(lines);
        self.running = Some(Running { child, replies, end });
        Ok(())
    }

    async fn ask(&mut self, ask: Ask) -> Result<Say> {
        let running = self.running.as_mut().context("no agents run")?;
        self.apart.tell(ask);
        let reply = tokio::time::timeout(PATIENCE, running.replies.recv()).await;
        reply.context("the agents do not answer their watcher")?.context("the agents are gone")
    }

    /// From now on this kills the process.
    pub async fn plot(&mut self, kill: Option<Spot>) -> Result<()> {
        self.ask(Ask::Plot { kill }).await.map(drop)
    }

    /// Moments that were passed since the plot was set.
    pub async fn seen(&mut self) -> Result<Vec<Spot>> {
        match self.ask(Ask::Seen).await? {
            Say::Seen { spots } => Ok(spots),
            other => bail!("the agents said {other:?}"),
        }
    }

    /// Serves the hosts of an answer of `AddSimulatorHosts` as `cairn-agent --simulate` does.
    pub fn simulate(&self, answer: &Value) -> Result<()> {
        let credentials = self.apart.folder.join("credentials");
        std::fs::create_dir_all(&credentials)?;
        for agent in answer["agents"].as_array().context("no agents")? {
            let mut identity = agent.clone();
            for name in ["ca", "server", "serverName"] {
                identity[name] = answer[name].clone();
            }
            let file = format!("{}.json", agent["uuid"].as_str().context("no uuid")?);
            std::fs::write(credentials.join(file), identity.to_string())?;
        }
        let hosts = answer["hostUuids"].as_array().map_or(0, Vec::len);
        self.apart.tell(Ask::Simulate { credentials, hosts });
        Ok(())
    }

    /// Something that can be waited on meanwhile: the end of the process.
    pub fn end(&self) -> Option<End> {
        self.running.as_ref().map(|r| r.end.clone())
    }

    /// Waits for the end of the process; none if it does not come.
    pub async fn death(&mut self, patience: Duration) -> Option<Death> {
        let running = self.running.as_mut()?;
        let spot = {
            let end = tokio::time::timeout(patience, running.end.wait_for(Option::is_some)).await.ok()?;
            end.ok()?.clone().flatten()
        };
        let status = running.child.wait().await.ok()?;
        self.running = None;
        Some(Death { spot, by_signal: status.signal() == Some(9) })
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(self.apart.folder.join("agents.log")).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Passes on what is asked, until the process is gone.
async fn write(mut input: ChildStdin, mut asks: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = asks.recv().await {
        let line = format!("{}\n", serde_json::to_string(&ask).unwrap_or_default());
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Takes in what the process says until its output ends, which is when it ends.
async fn listen(
    output: ChildStdout,
    replies: mpsc::UnboundedSender<Say>,
    died: watch::Sender<Option<Option<Spot>>>,
) {
    let (mut lines, mut killed) = (BufReader::new(output).lines(), None);
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Say::Killing { spot }) => killed = Some(spot),
            Ok(reply) => drop(replies.send(reply)),
            Err(e) => eprintln!("the agents said something strange: {e}: {line}"),
        }
    }
    died.send_replace(Some(killed));
}
