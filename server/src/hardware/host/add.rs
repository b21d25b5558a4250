//! Adds a host: its row, an agent on its machine, the first connection (HOST-01). When any of it fails, nothing is left.

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ENTITY;
use super::agent::{self, How, Machine, Papers};
use super::connect::ConnectHost;
use super::present;
use super::store::{self, NewHost, NewLogin};
use crate::app::App;
use crate::platform::tags;
use crate::{cascade, rows};

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddHost {
    /// The host's uuid.
    pub host: Id<kind::Host>,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Address.
    pub management_ip: String,
    /// How the machine is reached.
    pub how: How,
    /// Processors and memory of a simulated host.
    pub size: Option<(u32, u64)>,
    /// System tags of the call.
    pub system_tags: Vec<String>,
    /// User tags of the call.
    pub user_tags: Vec<String>,
    /// The agent's uuid.
    pub agent: String,
    papers: Option<Papers>,
    /// The machine had this agent already.
    #[serde(default)]
    is_known: bool,
    /// It is connected, and keeps its certificate.
    #[serde(default)]
    takes_up: bool,
    /// Its certificate before it got a new one.
    #[serde(default)]
    old_fingerprint: Option<String>,
    /// What lay in the folder of this machine's agent, sealed.
    #[serde(default)]
    replaced: Option<String>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its row: the address is taken, the cluster can't go.
    Reserve,
    /// Its agent gets a certificate.
    Certify,
    /// The agent gets there.
    Deploy,
    /// It dials in.
    AwaitAgent,
    /// The host is read, prepared and Connected: the end.
    Connect,
}

use Step::{AwaitAgent, Certify, Connect, Deploy, Reserve};

/// What a call gives.
pub struct Wanted<'a> {
    /// Uuid, if the caller chose one.
    pub uuid: Option<Id<kind::Host>>,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Name.
    pub name: &'a str,
    /// Description.
    pub description: Option<String>,
    /// Address.
    pub management_ip: String,
    /// How the machine is reached.
    pub how: How,
}

impl Workflow for AddHost {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "host.add/1";
    const STEPS: &'static [Step] = &[Reserve, Certify, Deploy, AwaitAgent, Connect];

    fn about(&self) -> About {
        About::resource(self.host, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Reserve, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.reserve(tx)).await,
            (Reserve, Dir::Undo) => cx.tx(self, |w, tx| w.release(tx)).await,

            (Certify, Dir::Do) => self.certify(cx).await,
            (Certify, Dir::Plan) => Ok(()),
            (Certify, Dir::Undo) => cx.tx(self, |w, tx| w.withdraw(tx)).await,

            (Deploy, Dir::Do) => {
                cx.progress(3, "preparing the agent");
                cx.effect().await?;
                if self.takes_up {
                    present::take_up(cx.env(), &self.machine()).await
                } else {
                    self.machine().enrol(cx.env(), cx.run(), self.papers.as_ref()).await
                }
            }
            (Deploy, Dir::Plan) => {
                cx.tell("Deploy", self.intention(), "");
                Ok(())
            }
            (Deploy, Dir::Undo) => self.dismiss(cx).await,

            (AwaitAgent, Dir::Do) => {
                cx.progress(85, "waiting for the agent to call back");
                cx.effect().await?;
                self.machine().wait(cx.env()).await
            }
            (AwaitAgent, Dir::Plan) => Ok(()),
            // It only waited.
            (AwaitAgent, Dir::Undo) => Ok(()),

            (Connect, Dir::Do) => {
                cx.progress(90, "reading what the host is and preparing it");
                cx.child(ConnectHost::new(self.host)).await.map(|_| ())
            }
            (Connect, Dir::Plan) => {
                cx.tell(
                    "Connect",
                    "read what the host is, and make the storage folders and networks of its cluster there",
                    "",
                );
                Ok(())
            }
            // The rows that it wrote go with the host's own.
            (Connect, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        agent::answer(env, tx, self.host)
    }

    fn failure(&self, cause: Fault) -> Fault {
        if cause.code == code::INVALID_ARGUMENT || cause.code == code::UUID_TAKEN {
            return cause;
        }
        let text = format!("host {:?} could not be added: {}", self.name, cause.details);
        Fault::new(code::HOST_ADD, text).with("managementIp", self.management_ip.as_str()).caused_by(cause)
    }
}

impl AddHost {
    /// Adds a host.
    pub fn new(wanted: Wanted<'_>, call: &crate::call::Call) -> Self {
        Self {
            host: wanted.uuid.unwrap_or_default(),
            cluster: wanted.cluster,
            name: wanted.name.to_owned(),
            description: wanted.description,
            management_ip: wanted.management_ip,
            how: wanted.how,
            size: None,
            system_tags: call.system_tags.clone(),
            user_tags: call.user_tags.clone(),
            agent: cairn_types::new_uuid(),
            papers: None,
            is_known: false,
            takes_up: false,
            old_fingerprint: None,
            replaced: None,
        }
    }

    fn machine(&self) -> Machine<'_> {
        Machine { host: self.host, agent: &self.agent, address: &self.management_ip, how: &self.how }
    }

    fn intention(&self) -> String {
        match &self.how {
            How::Ssh { username, ssh_port, .. } => format!(
                "log in to {} at port {ssh_port} as {username}, install missing packages, copy and start the agent",
                self.management_ip
            ),
            How::Local => "give the agent of this machine its certificate".into(),
            How::Simulator => "start a host in memory".into(),
        }
    }

    fn reserve(&mut self, tx: &mut dyn Tx) -> Result<()> {
        let login = match &self.how {
            How::Ssh { username, ssh_port, password_sealed, key_sealed } => NewLogin {
                username: Some(username),
                ssh_port: Some(i64::from(*ssh_port)),
                password_sealed: password_sealed.as_deref(),
                key_sealed: key_sealed.as_deref(),
            },
            How::Local | How::Simulator => NewLogin::default(),
        };
        match self.how {
            How::Local => present::refuse_second_local(tx)?,
            How::Ssh { .. } => present::refuse_store_machine(tx, &self.management_ip)?,
            How::Simulator => {}
        }
        if let Some(agent) = present::find(tx, &self.how, &self.management_ip)? {
            (self.agent, self.is_known) = (agent, true);
        }
        let hypervisor_type = if matches!(self.how, How::Simulator) { "Simulator" } else { "KVM" };
        let new = NewHost {
            uuid: self.host,
            cluster: self.cluster,
            name: &self.name,
            description: self.description.as_deref(),
            management_ip: &self.management_ip,
            hypervisor_type,
            login,
            agent: &self.agent,
        };
        store::insert(tx, &new)?;
        if let Some((cpus, memory)) = self.size {
            let sql = "UPDATE host SET cpu_num = ?, total_cpu = ?, total_memory = ? WHERE uuid = ?";
            tx.execute(sql, params![cpus, cpus, memory, self.host])?;
        }
        tags::store(tx, ENTITY, self.host, &self.system_tags, &self.user_tags)
    }

    fn release(&mut self, tx: &mut dyn Tx) -> Result<()> {
        // Only its own host: a uuid that was taken belongs to another one, which has another agent.
        let own = "SELECT 1 FROM host WHERE uuid = ? AND agent_uuid = ?";
        if !tx.exists(own, params![self.host, &self.agent])? {
            return Ok(());
        }
        cascade::unlink(tx, ENTITY, self.host)?;
        rows::remove(tx, ENTITY, self.host)
    }

    async fn certify(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if matches!(self.how, How::Simulator) {
            // It lives in this process and needs no certificate.
            return Ok(());
        }
        if self.is_known && cx.env().agents.is_dialled(&self.agent) {
            return cx
                .tx(self, |w, _| {
                    w.takes_up = true;
                    Ok(())
                })
                .await;
        }
        let papers = Papers::issue(cx.env(), &self.agent)?;
        let is_local = matches!(self.how, How::Local);
        let replaced = if is_local { present::read_local(cx.env())? } else { None };
        cx.tx(self, move |w, tx| {
            w.old_fingerprint = agent::admit(tx, &w.agent, &papers.fingerprint, is_local)?;
            w.papers = Some(papers.clone());
            w.replaced.clone_from(&replaced);
            Ok(())
        })
        .await
    }

    /// The certificate counts no more; the one that the agent had before counts again.
    fn withdraw(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if let Some(fingerprint) = &self.old_fingerprint {
            let sql = "UPDATE agent SET fingerprint = ? WHERE uuid = ?";
            tx.execute(sql, params![fingerprint, &self.agent])?;
        } else if !self.is_known {
            tx.execute("DELETE FROM agent WHERE uuid = ?", params![&self.agent])?;
        }
        Ok(())
    }

    /// The agent goes; one that was there before stays, and is who it was.
    async fn dismiss(&self, cx: &mut Cx<App>) -> Result<()> {
        let app = cx.env().clone();
        if self.takes_up {
            return present::tell_targets(&app, &self.agent, Some(self.host)).await;
        }
        if matches!(self.how, How::Local) {
            present::restore_local(&app, self.replaced.as_deref())?;
            app.agents.drop_link(&self.agent);
            return Ok(());
        }
        self.machine().dismiss(&app).await
    }
}
