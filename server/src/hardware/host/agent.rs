//! Bringing an agent to its machine, by whatever way the host is reached.

use std::sync::Arc;
use std::time::Duration;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{Engine, RunId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::present;
use super::store::HostRow;
use crate::agents::Credentials;
use crate::app::App;
use crate::hardware::{simulator, ssh};
use crate::platform::secrets::write_private;

/// How long a deployed agent has to dial in.
pub(super) const CALLBACK: Duration = Duration::from_secs(60);

/// How the machine of a host is reached. Secrets are sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum How {
    /// By SSH.
    Ssh {
        /// User.
        username: String,
        /// Port.
        ssh_port: u16,
        /// Password: for the log-in if there is no key, and for sudo.
        password_sealed: Option<String>,
        /// Private key.
        key_sealed: Option<String>,
    },
    /// It is the server's own machine.
    Local,
    /// It is in memory.
    Simulator,
}

impl How {
    /// How a host that is there already is reached. `None`: only by its agent.
    pub(super) fn of(row: &HostRow) -> Option<Self> {
        if row.hypervisor_type == "Simulator" {
            // An agent with a certificate lives in a process of its own, which is not this server's to start.
            return (!row.has_papers).then_some(Self::Simulator);
        }
        let Some(username) = row.username.clone() else { return Some(Self::Local) };
        // A host that was added with a key by an earlier version, which did not keep it.
        row.password_sealed.as_ref().or(row.key_sealed.as_ref())?;
        Some(Self::Ssh {
            username,
            ssh_port: row.ssh_port.and_then(|p| u16::try_from(p).ok()).unwrap_or(22),
            password_sealed: row.password_sealed.clone(),
            key_sealed: row.key_sealed.clone(),
        })
    }

    /// The log-in, if it is one by SSH.
    pub(super) fn login(&self, app: &App, address: &str) -> Result<Option<ssh::Login>> {
        let Self::Ssh { username, ssh_port, password_sealed, key_sealed } = self else { return Ok(None) };
        let open = |sealed: &Option<String>| sealed.as_ref().map(|s| app.secrets.open_sealed(s)).transpose();
        Ok(Some(ssh::Login {
            host: address.to_owned(),
            port: *ssh_port,
            user: username.clone(),
            password: open(password_sealed)?,
            private_key: open(key_sealed)?,
        }))
    }
}

/// A certificate that was issued to an agent, kept sealed in the journal until it is deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Papers {
    pub(super) fingerprint: String,
    sealed: String,
}

impl Papers {
    pub(super) fn issue(app: &App, agent: &str) -> Result<Self> {
        let c = app.agents.authority().issue(agent)?;
        let text = json!([c.ca, c.certificate, c.key]).to_string();
        Ok(Self { fingerprint: c.fingerprint, sealed: app.secrets.seal(&text)? })
    }

    fn open(&self, app: &App) -> Result<Credentials> {
        let text = app.secrets.open_sealed(&self.sealed)?;
        let damaged =
            |e: serde_json::Error| Fault::internal("a kept certificate can't be read").for_operator(e);
        let (ca, certificate, key): (String, String, String) =
            serde_json::from_str(&text).map_err(damaged)?;
        Ok(Credentials { ca, certificate, key, fingerprint: self.fingerprint.clone() })
    }
}

/// Lets only this certificate in for the agent; tells which one it was before.
pub(super) fn admit(
    tx: &mut dyn Tx,
    agent: &str,
    fingerprint: &str,
    is_local: bool,
) -> Result<Option<String>> {
    let known = tx.query_opt("SELECT fingerprint FROM agent WHERE uuid = ?", params![agent])?;
    let before = known.map(|r| r.text("fingerprint")).transpose()?;
    if before.is_some() {
        tx.execute("UPDATE agent SET fingerprint = ? WHERE uuid = ?", params![fingerprint, agent])?;
    } else {
        let sql = "INSERT INTO agent (uuid, fingerprint, local, create_ms) VALUES (?, ?, ?, ?)";
        tx.execute(sql, params![agent, fingerprint, is_local, time::now_ms()])?;
    }
    Ok(before)
}

/// A machine to which an agent is brought.
pub(super) struct Machine<'a> {
    pub(super) host: Id<kind::Host>,
    pub(super) agent: &'a str,
    pub(super) address: &'a str,
    pub(super) how: &'a How,
}

impl Machine<'_> {
    /// Brings agent and credentials there and starts it. May be done again.
    pub(super) async fn enrol(&self, app: &Arc<App>, run: RunId, papers: Option<&Papers>) -> Result<()> {
        let papers = || papers.ok_or_else(|| Fault::internal("an agent has no certificate"));
        match self.how {
            How::Simulator => simulator::start(app, self.host, self.agent).await,
            How::Local => {
                let credentials = papers()?.open(app)?;
                let server = advertised(app, "127.0.0.1").await;
                write_local(app, self.agent, &server, &credentials)?;
                // One that came back by itself meanwhile.
                present::tell_targets(app, self.agent, None).await
            }
            How::Ssh { .. } => {
                let credentials = papers()?.open(app)?;
                let login = self.how.login(app, self.address)?;
                let login = login.ok_or_else(|| Fault::internal("no log-in"))?;
                let engine = app.engine.clone();
                let progress = move |percent: u8, text: &str| note(&engine, run, percent, text);
                let deployment = ssh::Deployment {
                    data_dir: &app.config.data_dir,
                    role: ssh::Role::Host,
                    resource: self.host.to_string(),
                    agent: self.agent,
                    server: advertised(app, self.address).await,
                    credentials: &credentials,
                    progress: &progress,
                };
                ssh::deploy(&deployment, login).await
            }
        }
    }

    /// Takes [`Machine::enrol`] back, as far as the machine can be reached. It may be gone, which is as well.
    pub(super) async fn dismiss(&self, app: &Arc<App>) -> Result<()> {
        match self.how {
            How::Simulator => simulator::end(app, self.agent),
            How::Local => present::remove_local(app),
            How::Ssh { .. } => {
                if let Some(login) = self.how.login(app, self.address)?
                    && let Err(f) = ssh::remove(&app.config.data_dir, &self.host.to_string(), login).await
                {
                    tracing::warn!(host = %self.host, error = %f, "the agent of host {} could not be removed", self.host);
                }
                ssh::forget(&app.config.data_dir, &self.host.to_string());
            }
        }
        app.agents.drop_link(self.agent);
        Ok(())
    }

    /// Waits until the agent serves the host: `HOST.8004` if it does not.
    pub(super) async fn wait(&self, app: &Arc<App>) -> Result<()> {
        if app.agents.wait_for(self.host, CALLBACK).await {
            return Ok(());
        }
        let seconds = CALLBACK.as_secs();
        let text = match self.how {
            How::Local => format!(
                "the agent of this machine did not connect within {seconds} s; start cairn-agent with the folder that the server \
                 was given as --local-agent-dir, and look at its log"
            ),
            How::Ssh { .. } | How::Simulator => {
                let server = advertised(app, self.address).await;
                format!(
                    "the agent on {} was started but did not call back within {seconds} s; it must reach this server at {server}: \
                     check firewalls, routes and clocks",
                    self.address
                )
            }
        };
        let mut fault = Fault::new(code::HOST_NO_CALLBACK, text).with("managementIp", self.address);
        if let Ok(Some(login)) = self.how.login(app, self.address) {
            fault = fault.for_operator(ssh::log(&app.config.data_dir, &self.host.to_string(), login).await);
        }
        Err(fault)
    }
}

fn note(engine: &Engine<App>, run: RunId, percent: u8, text: &str) {
    engine.note_progress(run, percent, text);
}

/// Where an agent on that machine finds this server. May ask the name service, which may take its time.
async fn advertised(app: &Arc<App>, towards: &str) -> String {
    let (agents, towards) = (app.agents.clone(), towards.to_owned());
    tokio::task::spawn_blocking(move || agents.advertised(&towards)).await.unwrap_or_default()
}

fn write_local(app: &App, agent: &str, server: &str, credentials: &Credentials) -> Result<()> {
    let dir = &app.config.local_agent_dir;
    std::fs::create_dir_all(dir)
        .map_err(|e| Fault::operation("the folder of this machine's agent can't be made").for_operator(e))?;
    for (name, content) in ssh::files(agent, server, credentials)? {
        write_private(&dir.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// An address under which others reach this machine.
pub(super) fn own_address() -> String {
    let own = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| {
        // Nothing is sent: the kernel only chooses the way.
        s.connect(("192.0.2.1", 9))?;
        s.local_addr()
    });
    own.map_or_else(|_| "127.0.0.1".to_owned(), |a| a.ip().to_string())
}

/// `{"inventory": …}` of a host at the end of a run.
pub(super) fn answer(app: &App, tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<Value> {
    crate::inventory::answer(tx, "HostInventory", host, app.dates())
}
