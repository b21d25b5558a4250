//! A server in a process of its own, and in this one the simulated machines that outlive it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cairn_simhost::SimCloud;
use cairn_store::Tx;
use cairn_testkit::Api;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::agents::{Fleet, Herd, Here};
use crate::serve::{Orders, socket};
use crate::wire::{Ask, Plot, Say, Spot};

/// A server starts, and answers what it is asked, within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server's process ended.
#[derive(Debug, Clone)]
pub struct Death {
    /// Where it killed itself.
    pub spot: Option<Spot>,
    /// It was killed and did not end by itself.
    pub by_signal: bool,
}

/// A server that can be killed, with its machines.
pub struct Rig {
    /// The admin account, logged in.
    pub admin: Api,
    /// What is on the machines, unless they are simulated in a process of their own.
    pub machines: SimCloud,
    /// That process.
    pub herd: Option<Herd>,
    /// Steps by workflow, as the server knows them.
    pub steps: BTreeMap<String, Vec<String>>,
    /// Address of the API, `host:port`.
    pub address: String,
    terms: Terms,
    agents: Arc<Fleet>,
    server: Option<Server>,
    folder: TempDir,
}

/// How servers of a rig run.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Decides what the machines leave to chance.
    pub seed: u64,
    /// With periodic work.
    pub periodic: bool,
    /// An error of the server that is planted: see [`Orders::plant`].
    pub plant: Option<(String, String)>,
    /// The machines are simulated in a process of their own, that can be killed.
    pub apart: bool,
    /// What is on the hosts of that process ends with it.
    pub forget: bool,
}

struct Server {
    child: Child,
    input: ChildStdin,
    replies: mpsc::UnboundedReceiver<Say>,
    end: watch::Receiver<Option<Option<Spot>>>,
}

impl Rig {
    /// A server over an empty database.
    pub async fn start(terms: Terms) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cairn-robot-").tempdir()?;
        let machines = SimCloud::new(terms.seed);
        let here = Here::new(machines.clone(), socket(folder.path()));
        let (agents, herd) = if terms.apart {
            let herd = Herd::start(folder.path(), terms.seed, terms.forget).await?;
            (Fleet::Apart(herd.apart()), Some(herd))
        } else {
            (Fleet::Here(here), None)
        };
        let mut rig = Self {
            admin: Api::new(""),
            machines,
            herd,
            steps: BTreeMap::new(),
            address: String::new(),
            terms,
            agents: Arc::new(agents),
            server: None,
            folder,
        };
        rig.boot(None).await?;
        let admin = rig.nobody().log_in("admin", "password").await;
        rig.admin = admin.map_err(|f| anyhow::anyhow!("the admin can't log in: {f}"))?;
        Ok(rig)
    }

    /// A client without a session.
    pub fn nobody(&self) -> Api {
        Api::new(&self.address)
    }

    /// Starts the server over what is there. One that kills itself may be gone before it serves.
    pub async fn boot(&mut self, plot: Option<Plot>) -> Result<()> {
        let may_die = plot.as_ref().is_some_and(|p| p.kill.is_some());
        let Terms { periodic, plant, .. } = self.terms.clone();
        let orders = Orders { folder: self.folder.path().to_owned(), plot, periodic, plant };
        let log = self.folder.path().join("server.log");
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(serde_json::to_string(&orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the server can't be started")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.context("no input")?, output.context("no output")?);
        let (sender, replies) = mpsc::unbounded_channel();
        let (died, end) = watch::channel(None);
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(listen(output, self.agents.clone(), sender, died, ready));
        self.server = Some(Server { child, input, replies, end });
        let ready = tokio::time::timeout(PATIENCE, is_ready).await.ok().and_then(Result::ok);
        let Some((api, steps)) = ready else {
            if may_die && self.end().is_some_and(|e| e.borrow().is_some()) {
                return Ok(());
            }
            bail!("the server did not start; its log ends with\n{}", self.log_tail(20));
        };
        self.admin = self.admin.at(&api);
        self.address = api;
        self.steps = steps;
        Ok(())
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn server(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("no server runs")
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Say> {
        let server = self.server()?;
        let line = format!("{}\n", serde_json::to_string(ask)?);
        server.input.write_all(line.as_bytes()).await.context("the server is gone")?;
        let reply = tokio::time::timeout(PATIENCE, server.replies.recv()).await;
        reply.context("the server does not answer its watcher")?.context("the server is gone")
    }

    /// From now on this goes wrong.
    pub async fn plot(&mut self, plot: Option<Plot>) -> Result<()> {
        self.ask(&Ask::Plot { plot }).await.map(|_| ())
    }

    /// Moments that the server passed since the plot was set, and whether the plot's step has failed.
    pub async fn seen(&mut self) -> Result<(Vec<Spot>, bool)> {
        match self.ask(&Ask::Seen).await? {
            Say::Seen { spots, is_hit } => Ok((spots, is_hit)),
            other => bail!("the server said {other:?}"),
        }
    }

    /// What is at work now, what is kept for machines that can be reached, and who has no connection; none: nothing.
    pub async fn unrest(&mut self) -> Result<Option<String>> {
        let Say::Calm { live, kept, away } = self.ask(&Ask::Calm).await? else { bail!("that is no answer") };
        let mut away = self.agents.away().unwrap_or(away);
        if !away.is_empty() {
            // Nobody waits for the agent of what was deleted.
            let sql = "SELECT uuid FROM host UNION ALL SELECT uuid FROM backup_storage";
            let rows = self.look(move |tx| tx.query(sql, &[])).await?;
            let known: Vec<String> = rows.iter().filter_map(|r| r.text("uuid").ok()).collect();
            away.retain(|uuid| known.contains(uuid));
        }
        let is_calm = live == 0 && kept == 0 && away.is_empty();
        let agents =
            if away.is_empty() { String::new() } else { format!(", without a connection: {away:?}") };
        Ok((!is_calm).then(|| format!("{live} runs are at work, {kept} commands are kept{agents}")))
    }

    /// Waits until nothing is at work twice in a row; false if that takes too long.
    pub async fn converged(&mut self, patience: Duration) -> Result<bool> {
        let (end, mut calm) = (Instant::now() + patience, 0);
        while Instant::now() < end {
            calm = if self.unrest().await?.is_none() { calm + 1 } else { 0 };
            if calm == 2 {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        Ok(false)
    }

    /// Waits for the end of the server's process, which somebody else brings about; none if it does not come.
    pub async fn death(&mut self, patience: Duration) -> Option<Death> {
        let server = self.server.as_mut()?;
        let spot = {
            let end = tokio::time::timeout(patience, server.end.wait_for(Option::is_some)).await.ok()?;
            end.ok()?.clone().flatten()
        };
        let status = server.child.wait().await.ok()?;
        self.server = None;
        Some(Death { spot, by_signal: std::os::unix::process::ExitStatusExt::signal(&status) == Some(9) })
    }

    /// Something that can be waited on while calls are made: the end of the server's process.
    pub fn end(&self) -> Option<watch::Receiver<Option<Option<Spot>>>> {
        self.server.as_ref().map(|s| s.end.clone())
    }

    /// Kills the server's process, wherever it is.
    pub async fn kill(&mut self) -> Result<()> {
        self.server()?.child.start_kill().context("the server can't be killed")?;
        self.death(PATIENCE).await.context("the server did not end")?;
        Ok(())
    }

    /// Looks at the database. Nothing holds it open afterwards: the next start finds it as the kill left it.
    pub async fn look<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut dyn Tx) -> cairn_types::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.folder.path().join("cairn.db");
        let work = move || -> cairn_types::Result<T> {
            let mut tx = cairn_store::look(&path)?;
            tx.execute("BEGIN", &[])?;
            f(tx.as_mut())
        };
        let found = tokio::task::spawn_blocking(work).await?;
        found.map_err(|f| anyhow::anyhow!("{f} ({:?})", f.operator))
    }

    /// Whether what is on the hosts ends with the process of their agents.
    pub fn forgets(&self) -> bool {
        self.terms.forget
    }

    /// Ends the connection of a host's agent, which dials again.
    pub fn drop_connection(&self, host: &str) {
        self.agents.drop_connection(host);
    }

    /// One line for each thing that must not be when nothing is at work.
    pub async fn violations(&self) -> Result<Vec<String>> {
        let snapshot = self.agents.snapshot()?;
        let mut lines = snapshot.violations();
        lines.extend(self.look(move |tx| cairn_testkit::row_violations(tx, &snapshot)).await?);
        if self.forgets() {
            // The server keeps the rows of disks that a host has lost: an operator may bring the host's files back.
            lines.retain(|l| !l.ends_with("has a row and no file"));
        }
        Ok(lines)
    }
}

type Started = (String, BTreeMap<String, Vec<String>>);

/// Takes in what the server says until its output ends, which is when it ends.
async fn listen(
    output: ChildStdout,
    agents: Arc<Fleet>,
    replies: mpsc::UnboundedSender<Say>,
    died: watch::Sender<Option<Option<Spot>>>,
    ready: oneshot::Sender<Started>,
) {
    let (mut lines, mut ready, mut killed) = (BufReader::new(output).lines(), Some(ready), None);
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Say::Ready { api, steps }) => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send((api, steps));
                }
            }
            Ok(Say::Serve { agent, target, shape, room_bytes }) => {
                agents.serve(&agent, &target, shape, room_bytes);
            }
            Ok(Say::End { agent }) => agents.end(&agent),
            Ok(Say::Killing { spot }) => killed = Some(spot),
            Ok(reply) => drop(replies.send(reply)),
            Err(e) => eprintln!("the server said something strange: {e}: {line}"),
        }
    }
    died.send_replace(Some(killed));
    drop(ready);
}
