//! Connecting a backup storage again. If its agent is gone and we may log in to its machine, the agent is deployed again.

use std::time::Duration;

use cairn_api::ops::storage::{ReconnectBackupStorage as ReconnectOp, ReconnectImageStoreBackupStorage};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::add::{only_one, present_here, store_id};
use super::{ENTITY, Store, answer, assign, connect, deploy};
use crate::app::App;
use crate::call::Call;
use crate::handlers::{Handlers, Launch};
use crate::storage::answer::Dates;
use crate::storage::simulator;

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<ReconnectOp, _>(reconnect);
    h.run::<ReconnectImageStoreBackupStorage, _>(reconnect_image_store);
}

async fn reconnect(call: Call, op: ReconnectOp) -> Result<Launch> {
    Ok(Launch::run(ReconnectBackupStorage::new(&call, store_id(&op.uuid)?)))
}

async fn reconnect_image_store(call: Call, op: ReconnectImageStoreBackupStorage) -> Result<Launch> {
    let uuid = store_id(&op.uuid)?;
    if call.app.store.read(move |tx| Store::find(tx, uuid)).await?.is_simulated() {
        return Err(
            Fault::argument(format!("backup storage {uuid} is no image store")).with("parameter", "uuid")
        );
    }
    Ok(Launch::run(ReconnectBackupStorage::new(&call, uuid)))
}

/// Connects a backup storage again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReconnectBackupStorage {
    uuid: Id<kind::BackupStorage>,
    dates: Dates,
}

impl ReconnectBackupStorage {
    fn new(call: &Call, uuid: Id<kind::BackupStorage>) -> Self {
        Self { uuid, dates: call.dates.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    FindAgent,
    Connect,
}
use Step::{Connect, FindAgent};

impl Workflow for ReconnectBackupStorage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "backup-storage.reconnect/1";
    const STEPS: &'static [Step] = &[FindAgent, Connect];

    fn about(&self) -> About {
        About::resource(self.uuid, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (FindAgent, Dir::Do) => self.find_agent(cx).await,
            (Connect, Dir::Do) => {
                cx.effect().await?;
                // What the agent says is written whatever becomes of this run.
                connect(cx.env(), self.uuid).await.map_err(|f| {
                    Fault::new(
                        code::BS_CONNECT,
                        format!("backup storage {} could not be connected", self.uuid),
                    )
                    .caused_by(f)
                })
            }
            (Connect, Dir::Plan) => {
                cx.tell("Connect", "its agent would be asked to serve it", "");
                Ok(())
            }
            // A store that is connected stays so.
            (FindAgent | Connect, Dir::Undo) | (FindAgent, Dir::Plan) => Ok(()),
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        answer(tx, self.uuid, self.dates)
    }
}

impl ReconnectBackupStorage {
    async fn find_agent(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (app, uuid) = (cx.env().clone(), self.uuid);
        let store = cx.read(move |tx| Store::find(tx, uuid)).await?;
        if app.agents.is_connected(uuid) {
            return Ok(());
        }
        cx.effect().await?;
        if store.is_simulated() {
            simulator::start(&app, uuid, store.free_bytes);
            return simulator::wait(&app, uuid).await;
        }
        if let Some(agent) = &store.agent {
            assign(&app, agent, None).await?;
            if app.agents.wait_for(uuid, Duration::from_secs(1)).await {
                return Ok(());
            }
        }
        if self.bind_to_this_machine(cx, &store).await? {
            return Ok(());
        }
        if !deploy::is_possible(&app, uuid).await? {
            let text = format!(
                "the agent of backup storage {uuid} is not connected; start it on its machine, or reconnect its host"
            );
            return Err(Fault::new(code::BS_CONNECT, text).with("uuid", uuid.to_string()));
        }
        let agent = deploy::deploy(&app, cx.run(), uuid).await?;
        cx.tx(self, move |w, tx| {
            tx.execute("UPDATE backup_storage SET agent_uuid = ? WHERE uuid = ?", params![&agent, w.uuid])
                .map(|_| ())
        })
        .await?;
        app.agents.wait_for(uuid, Duration::from_secs(30)).await;
        Ok(())
    }

    /// A store of this machine is served by whatever agent the machine has now: it may be another one than when the store
    /// was added.
    async fn bind_to_this_machine(&mut self, cx: &mut Cx<App>, store: &Store) -> Result<bool> {
        let (app, uuid, store) = (cx.env().clone(), self.uuid, store.clone());
        if !cx.read(move |tx| is_local(tx, uuid)).await? {
            return Ok(false);
        }
        let agents = app.agents.clone();
        let Some((agent, hostname, host)) = cx.read(move |tx| present_here(tx, &agents)).await? else {
            return Ok(false);
        };
        let name = agent.clone();
        // Without a host its address is what it was.
        let hostname = host.map(|_| hostname);
        cx.tx(self, move |w, tx| {
            only_one(tx, &name, w.uuid, &store.url)?;
            let sql = "UPDATE backup_storage SET agent_uuid = ?, hostname = coalesce(?, hostname), host_uuid = ? WHERE uuid = ?";
            tx.execute(sql, params![&name, hostname.clone(), host, w.uuid])?;
            let sql = "DELETE FROM agent WHERE local = 1 AND uuid <> ?
                       AND NOT EXISTS (SELECT 1 FROM host h WHERE h.agent_uuid = agent.uuid)
                       AND NOT EXISTS (SELECT 1 FROM backup_storage b WHERE b.agent_uuid = agent.uuid)";
            tx.execute(sql, params![&name]).map(|_| ())
        })
        .await?;
        assign(&app, &agent, None).await?;
        app.agents.wait_for(uuid, Duration::from_secs(5)).await;
        Ok(true)
    }
}

/// Whether the store's folder is on the server's own machine.
fn is_local(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<bool> {
    let sql = "SELECT 1 FROM backup_storage b LEFT JOIN agent a ON a.uuid = b.agent_uuid
               WHERE b.uuid = ? AND (a.local = 1 OR (a.uuid IS NULL AND b.username IS NULL AND b.host_uuid IS NULL))";
    tx.exists(sql, params![uuid])
}
