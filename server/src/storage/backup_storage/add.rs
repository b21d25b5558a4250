//! Adding a backup storage: its row, an agent that serves it, and the agent's word that it does.

use std::time::Duration;

use cairn_api::agent::image_store::ConnectImageStore;
use cairn_api::ops::storage::{AddImageStoreBackupStorage, AddLocalImageStore, AddSimulatorBackupStorage};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ENTITY, IMAGE_STORE, SIMULATOR, Store, answer, assign, deploy, ready, remove_rows};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::call::{Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::hardware::ssh;
use crate::platform::tags;
use crate::rows;
use crate::storage::answer::Dates;
use crate::storage::{check, simulator};

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<AddImageStoreBackupStorage, _>(add_by_ssh);
    h.run::<AddLocalImageStore, _>(add_local);
    h.run::<AddSimulatorBackupStorage, _>(add_simulated);
}

/// Who shall serve the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum By {
    /// The agent of a host.
    Host(Id<kind::Host>),
    /// The agent of the server's own machine.
    ThisMachine,
    /// The agent of the machine with the store's hostname; one is deployed if there is none.
    Ssh,
    /// A simulated agent with this much room.
    Simulated(u64),
}

/// Adds a backup storage. Done when its agent serves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AddBackupStorage {
    uuid: Id<kind::BackupStorage>,
    name: String,
    description: Option<String>,
    url: String,
    by: By,
    hostname: Option<String>,
    username: Option<String>,
    ssh_port: Option<i64>,
    password_sealed: Option<String>,
    total: i64,
    available: i64,
    system_tags: Vec<String>,
    user_tags: Vec<String>,
    dates: Dates,
    /// This run made the row.
    is_registered: bool,
    agent: Option<String>,
}

impl AddBackupStorage {
    fn new(call: &Call, uuid: Option<&str>, name: &str, url: String, by: By) -> Result<Self> {
        Ok(Self {
            uuid: opt_id("resourceUuid", uuid)?.unwrap_or_default(),
            name: name.to_owned(),
            description: None,
            url,
            by,
            hostname: None,
            username: None,
            ssh_port: None,
            password_sealed: None,
            total: 0,
            available: 0,
            system_tags: call.system_tags.clone(),
            user_tags: call.user_tags.clone(),
            dates: call.dates.into(),
            is_registered: false,
            agent: None,
        })
    }
}

async fn add_by_ssh(call: Call, op: AddImageStoreBackupStorage) -> Result<Launch> {
    check::only_type(op.r#type.as_deref(), IMAGE_STORE)?;
    let url = check::folder("url", &op.url)?;
    let mut add = AddBackupStorage::new(&call, op.resource_uuid.as_deref(), &op.name, url, By::Ssh)?;
    add.description = op.description;
    add.hostname = Some(check::hostname("hostname", &op.hostname)?);
    ssh::check_user(&op.username)?;
    add.username = Some(op.username);
    add.ssh_port = Some(op.ssh_port);
    add.password_sealed = Some(call.app.secrets.seal(&op.password)?);
    Ok(Launch::run(add))
}

async fn add_local(call: Call, op: AddLocalImageStore) -> Result<Launch> {
    let by = match opt_id("hostUuid", op.host_uuid.as_deref())? {
        Some(host) => By::Host(host),
        None => By::ThisMachine,
    };
    let url = check::folder("url", &op.url)?;
    let mut add = AddBackupStorage::new(&call, op.resource_uuid.as_deref(), &op.name, url, by)?;
    add.description = op.description;
    Ok(Launch::run(add))
}

async fn add_simulated(call: Call, op: AddSimulatorBackupStorage) -> Result<Launch> {
    check::only_type(op.r#type.as_deref(), SIMULATOR)?;
    let (total, available) = (op.total_capacity, op.available_capacity);
    if total < 0 || available < 0 || available > total {
        let text = "totalCapacity and availableCapacity must not be negative, and no more can be available than there is";
        return Err(Fault::argument(text).with("parameter", "availableCapacity"));
    }
    let by = By::Simulated(u64::try_from(available).unwrap_or(0));
    // Clients of the simulator write all sorts of addresses.
    let url = check::folder("url", &op.url).unwrap_or_else(|_| "/simulated".into());
    let mut add = AddBackupStorage::new(&call, op.resource_uuid.as_deref(), &op.name, url, by)?;
    (add.description, add.total, add.available) = (op.description, total, available);
    Ok(Launch::run(add))
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Register,
    FindAgent,
    Connect,
}
use Step::{Connect, FindAgent, Register};

impl Workflow for AddBackupStorage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "backup-storage.add/1";
    const STEPS: &'static [Step] = &[Register, FindAgent, Connect];

    fn about(&self) -> About {
        About::resource(self.uuid, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Register, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.register(tx)).await,
            (Register, Dir::Undo) => cx.tx(self, |w, tx| w.unregister(tx)).await,

            (FindAgent, Dir::Do) => self.find_agent(cx).await,
            (FindAgent, Dir::Undo) if matches!(self.by, By::Ssh) => {
                deploy::dismiss(cx.env(), self.uuid).await
            }
            // An agent that was there before stays.
            (FindAgent, Dir::Undo) => Ok(()),
            (FindAgent, Dir::Plan) => {
                cx.tell("FindAgent", self.agent_in_words(), "");
                Ok(())
            }

            (Connect, Dir::Do) => self.connect(cx).await,
            (Connect, Dir::Undo) => self.disconnect(cx).await,
            (Connect, Dir::Plan) => {
                cx.tell("Connect", format!("the agent would make {} and serve it", self.url), "");
                Ok(())
            }
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        answer(tx, self.uuid, self.dates)
    }
}

impl AddBackupStorage {
    fn is_simulated(&self) -> bool {
        matches!(self.by, By::Simulated(_))
    }

    fn agent_in_words(&self) -> String {
        match &self.by {
            By::Host(host) => format!("the agent of host {host} would serve it"),
            By::ThisMachine => "the agent of this machine would serve it".into(),
            By::Ssh => format!(
                "the agent of {0} would serve it; one is deployed by SSH if there is none",
                self.hostname.as_deref().unwrap_or_default()
            ),
            By::Simulated(_) => "a simulated agent would serve it".into(),
        }
    }

    fn register(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if let By::Host(host) = &self.by {
            rows::claim(tx, "HostVO", *host)?;
        }
        let now = time::now_ms();
        let kind = if self.is_simulated() { SIMULATOR } else { IMAGE_STORE };
        rows::register(tx, ENTITY, self.uuid, None)?;
        let sql = "INSERT INTO backup_storage (uuid, name, description, url, type, state, status, hostname, username, ssh_port,
                     password_sealed, total_capacity, available_capacity, create_ms, last_op_ms)
                   VALUES (?, ?, ?, ?, ?, 'Enabled', 'Connecting', ?, ?, ?, ?, ?, ?, ?, ?)";
        tx.execute(
            sql,
            params![
                self.uuid,
                &self.name,
                self.description.clone(),
                &self.url,
                kind,
                self.hostname.clone(),
                self.username.clone(),
                self.ssh_port,
                self.password_sealed.clone(),
                self.total,
                self.available,
                now,
                now
            ],
        )?;
        self.is_registered = true;
        tags::store(tx, ENTITY, self.uuid, &self.system_tags, &self.user_tags)
    }

    fn unregister(&self, tx: &mut dyn Tx) -> Result<()> {
        // A uuid that was in use belongs to somebody else.
        if self.is_registered { remove_rows(tx, self.uuid) } else { Ok(()) }
    }

    async fn find_agent(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let deployed = match &self.by {
            By::Ssh => self.deploy(cx).await?,
            By::Host(_) | By::ThisMachine | By::Simulated(_) => None,
        };
        let agents = cx.env().agents.clone();
        cx.tx(self, move |w, tx| {
            let (agent, hostname, host) = match &w.by {
                By::Host(host) => of_host(tx, *host)?,
                By::ThisMachine => of_this_machine(tx, &agents)?,
                By::Ssh => {
                    let hostname = w.hostname.clone().unwrap_or_default();
                    let (agent, host) = match deployed.clone() {
                        Some(agent) => (agent, None),
                        None => {
                            at(tx, &hostname)?.ok_or_else(|| Fault::internal("the agent is gone again"))?
                        }
                    };
                    (agent, hostname, host)
                }
                By::Simulated(_) => (w.uuid.to_string(), String::new(), None),
            };
            only_one(tx, &agent, w.uuid, &w.url)?;
            w.agent = Some(agent.clone());
            let hostname = Some(hostname).filter(|h| !h.is_empty());
            let sql = "UPDATE backup_storage SET agent_uuid = ?, hostname = ?, host_uuid = ? WHERE uuid = ?";
            tx.execute(sql, params![agent, hostname, host, w.uuid])?;
            Ok(())
        })
        .await
    }

    /// Deploys an agent on the store's machine, unless one of ours is there.
    async fn deploy(&self, cx: &mut Cx<App>) -> Result<Option<String>> {
        let hostname = self.hostname.clone().unwrap_or_default();
        let name = hostname.clone();
        if let Some((agent, host)) = cx.read(move |tx| at(tx, &name)).await? {
            let app = cx.env();
            let is_here =
                host.map_or_else(|| app.agents.is_connected(&agent), |h| app.agents.is_connected(h));
            if is_here {
                return Ok(None);
            }
        }
        cx.effect().await?;
        let app = cx.env().clone();
        deploy::deploy(&app, cx.run(), self.uuid).await.map(Some)
    }

    async fn connect(&mut self, cx: &mut Cx<App>) -> Result<()> {
        cx.effect().await?;
        let app = cx.env().clone();
        if let By::Simulated(room) = self.by {
            simulator::start(&app, self.uuid, room);
            simulator::wait(&app, self.uuid).await?;
        } else {
            assign(&app, self.agent.as_deref().unwrap_or_default(), None).await?;
            app.agents.wait_for(self.uuid, Duration::from_secs(30)).await;
        }
        let reply = cx.agent(self.uuid, "connect", &ConnectImageStore { path: self.url.clone() }).await?;
        cx.tx(self, move |w, tx| {
            let store = Store::find(tx, w.uuid)?;
            ready(tx, &store, &reply)
        })
        .await
    }

    async fn disconnect(&self, cx: &mut Cx<App>) -> Result<()> {
        let app = cx.env().clone();
        match (&self.by, &self.agent) {
            (By::Simulated(_), _) => simulator::stop(&app, self.uuid),
            (_, Some(agent)) => assign(&app, agent, Some(self.uuid)).await?,
            (_, None) => {}
        }
        Ok(())
    }
}

type Found = (String, String, Option<Id<kind::Host>>);

fn of_host(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<Found> {
    let row =
        tx.query_opt("SELECT agent_uuid, management_ip, status FROM host WHERE uuid = ?", params![host])?;
    let row = row.ok_or_else(|| Fault::not_found("HostVO", host))?;
    match row.opt_text("agent_uuid")? {
        Some(agent) if row.text("status")? == "Connected" => {
            Ok((agent, row.text("management_ip")?, Some(host)))
        }
        _ => {
            let text = format!(
                "host {host} is not connected, so its agent can't serve an image store; reconnect it first"
            );
            Err(Fault::new(code::BS_CONNECT, text).with("uuid", host.to_string()))
        }
    }
}

/// The agent of this machine.
fn of_this_machine(tx: &mut dyn Tx, agents: &crate::agents::Agents) -> Result<Found> {
    present_here(tx, agents)?.ok_or_else(|| {
        let text = "no agent of this machine is connected; add this machine as a host first, or name a host with hostUuid";
        Fault::new(code::BS_CONNECT, text)
    })
}

/// The local agent that is connected, with the host that it serves if it serves one.
pub(super) fn present_here(tx: &mut dyn Tx, agents: &crate::agents::Agents) -> Result<Option<Found>> {
    let sql = "SELECT a.uuid, h.uuid AS host, h.management_ip FROM agent a LEFT JOIN host h ON h.agent_uuid = a.uuid
               WHERE a.local = 1 ORDER BY h.uuid IS NULL, a.create_ms DESC";
    for row in tx.query(sql, params![])? {
        let agent: String = row.text("uuid")?;
        if agents.is_dialled(&agent) {
            let address = row.opt_text("management_ip")?.unwrap_or_else(|| "127.0.0.1".into());
            return Ok(Some((agent, address, row.opt_id("host")?)));
        }
    }
    Ok(None)
}

/// The agent of the machine with this address: that of a host, or of another image store.
fn at(tx: &mut dyn Tx, hostname: &str) -> Result<Option<(String, Option<Id<kind::Host>>)>> {
    let sql = "SELECT agent_uuid, uuid FROM host WHERE management_ip = ? AND agent_uuid IS NOT NULL AND status = 'Connected'";
    if let Some(row) = tx.query_opt(sql, params![hostname])? {
        return Ok(Some((row.text("agent_uuid")?, Some(row.id("uuid")?))));
    }
    let sql = "SELECT agent_uuid FROM backup_storage WHERE hostname = ? AND agent_uuid IS NOT NULL AND status = 'Connected'";
    let row = tx.query_opt(sql, params![hostname])?;
    row.map(|r| Ok((r.text("agent_uuid")?, None))).transpose()
}

/// Two stores in one folder would count and delete each other's images.
pub(super) fn only_one(tx: &mut dyn Tx, agent: &str, uuid: Id<kind::BackupStorage>, url: &str) -> Result<()> {
    let sql = "SELECT uuid FROM backup_storage WHERE agent_uuid = ? AND uuid <> ? AND
               (url = ? OR substr(url, 1, CAST(? AS INTEGER)) = ? OR substr(?, 1, length(url) + 1) = url || '/')";
    let below = format!("{url}/");
    let length = below.chars().count();
    match tx.query_opt(sql, params![agent, uuid, url, length, &below, url])? {
        Some(row) => {
            let other = row.text("uuid")?;
            let text = format!(
                "the folder {url} of this machine overlaps with that of backup storage {other}; choose another"
            );
            Err(Fault::argument(text).with("parameter", "url").with("uuid", other))
        }
        None => Ok(()),
    }
}

/// The uuid that a call names, for other files of this resource.
pub(super) fn store_id(uuid: &str) -> Result<Id<kind::BackupStorage>> {
    id("uuid", uuid)
}
