//! Adds a host: its row, an agent on its machine, the first connection (HOST-01). When any of it fails, nothing is left.

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ENTITY;
use super::agent::{self, How, Machine, Papers};
use super::connect::ConnectHost;
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
        let host = self.host.to_string();
        About { queue: host.clone(), resource_uuid: host, resource_type: ENTITY.into() }
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Reserve, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.reserve(tx)).await,
            (Reserve, Dir::Undo) => cx.tx(self, |w, tx| w.release(tx)).await,

            (Certify, Dir::Do) => self.certify(cx).await,
            (Certify, Dir::Plan) => Ok(()),
            (Certify, Dir::Undo) => {
                cx.tx(self, |w, tx| {
                    tx.execute("DELETE FROM agent WHERE uuid = ?", params![&w.agent])?;
                    Ok(())
                })
                .await
            }

            (Deploy, Dir::Do) => {
                cx.progress(3, "preparing the agent");
                cx.effect().await?;
                self.machine().enrol(cx.env(), cx.run(), self.papers.as_ref()).await
            }
            (Deploy, Dir::Plan) => {
                cx.tell("Deploy", self.intention(), "");
                Ok(())
            }
            (Deploy, Dir::Undo) => self.machine().dismiss(cx.env()).await,

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
            How::Local => refuse_second_local(tx)?,
            How::Ssh { .. } => refuse_store_machine(tx, &self.management_ip)?,
            How::Simulator => {}
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
        let papers = Papers::issue(cx.env(), &self.agent)?;
        cx.tx(self, move |w, tx| {
            agent::admit(tx, &w.agent, &papers.fingerprint, matches!(w.how, How::Local))?;
            w.papers = Some(papers.clone());
            Ok(())
        })
        .await
    }
}

/// A machine has one agent. One that was deployed for an image store would be overwritten, and the store lost.
fn refuse_store_machine(tx: &mut dyn Tx, address: &str) -> Result<()> {
    let sql = "SELECT uuid, name FROM backup_storage WHERE hostname = ? AND agent_uuid = uuid";
    let Some(row) = tx.query_opt(sql, params![address])? else { return Ok(()) };
    let (uuid, name) = (row.text("uuid")?, row.text("name")?);
    let text = format!(
        "{address} has the agent of backup storage {name:?} ({uuid}) already; delete that, add the host, then add the backup \
         storage again: the agent of the host serves it, and the files of its images stay"
    );
    Err(Fault::new(code::HOST_AGENT_TAKEN, text).with("uuid", uuid))
}

/// There is one machine that the server runs on.
fn refuse_second_local(tx: &mut dyn Tx) -> Result<()> {
    let sql = "SELECT h.uuid, h.name FROM host h JOIN agent a ON a.uuid = h.agent_uuid WHERE a.local = 1";
    let Some(row) = tx.query_opt(sql, params![])? else { return Ok(()) };
    let text = format!("this machine is host {:?} ({}) already", row.text("name")?, row.text("uuid")?);
    Err(Fault::new(code::HOST_DUPLICATE, text).with("uuid", row.text("uuid")?))
}
