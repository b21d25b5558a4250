//! Backup storage: where images are kept. An image store is a role of an agent: whole files with checksums, served over
//! HTTP to the hosts.

mod add;
mod attach;
pub mod delete;
mod deploy;
mod reconnect;
mod update;

use std::sync::Arc;

use cairn_api::agent::image_store::{ConnectImageStore, ImageStoreReady};
use cairn_store::{Row, Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::Engine;
use serde_json::{Value, json};

pub use attach::detach;

use super::answer::Dates;
use super::{check, image, simulator};
use crate::agents::{CallOptions, targets_of};
use crate::app::App;
use crate::handlers::Handlers;
use crate::platform::stuck;
use crate::{cascade, inventory, rows};

/// Name of the resource type.
pub(super) const ENTITY: &str = "BackupStorageVO";
/// An agent's image store.
pub const IMAGE_STORE: &str = "ImageStoreBackupStorage";
/// A store in memory.
pub const SIMULATOR: &str = "SimulatorBackupStorage";
/// Every kind there is.
pub const TYPES: &[&str] = &[IMAGE_STORE, SIMULATOR];

pub(super) fn handlers(h: &mut Handlers) {
    add::handlers(h);
    update::handlers(h);
    attach::handlers(h);
    reconnect::handlers(h);
    delete::handlers(h);
}

pub(super) fn register(engine: &Engine<App>) {
    engine.register::<add::AddBackupStorage>();
    engine.register::<reconnect::ReconnectBackupStorage>();
    engine.register::<delete::DeleteBackupStorage>();
}

/// What work on a store needs to know of it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) uuid: Id<kind::BackupStorage>,
    pub(super) name: String,
    /// Folder on its machine.
    pub(super) url: String,
    pub(super) r#type: String,
    pub(super) state: String,
    pub(super) status: String,
    pub(super) agent: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) http_port: u16,
    pub(super) free_bytes: u64,
}

impl Store {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            uuid: row.id("uuid")?,
            name: row.text("name")?,
            url: row.text("url")?,
            r#type: row.text("type")?,
            state: row.text("state")?,
            status: row.text("status")?,
            agent: row.opt_text("agent_uuid")?,
            hostname: row.opt_text("hostname")?,
            http_port: u16::try_from(row.opt_int("http_port")?.unwrap_or(0)).unwrap_or(0),
            free_bytes: row.bytes("available_capacity")?,
        })
    }

    pub(super) fn find_opt(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<Option<Self>> {
        let row = tx.query_opt("SELECT * FROM backup_storage WHERE uuid = ?", params![uuid])?;
        row.as_ref().map(Self::from_row).transpose()
    }

    pub(super) fn find(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<Self> {
        Self::find_opt(tx, uuid)?.ok_or_else(|| Fault::not_found(ENTITY, uuid))
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.r#type == SIMULATOR
    }

    /// The address of something on the store's HTTP server.
    pub(super) fn http(&self, path: &str) -> String {
        let host = self.hostname.as_deref().unwrap_or("127.0.0.1");
        format!("http://{}{path}", check::host_port(host, self.http_port))
    }
}

/// `{"inventory": …}` of a store, as its kind shows itself.
pub(super) fn answer(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>, dates: Dates) -> Result<Value> {
    let store = Store::find(tx, uuid)?;
    let inventory =
        if store.is_simulated() { "BackupStorageInventory" } else { "ImageStoreBackupStorageInventory" };
    inventory::answer(tx, inventory, uuid, dates.into())
}

/// Lets the store's agent know what it serves. `without`: leave this store out.
async fn assign(app: &Arc<App>, agent: &str, without: Option<Id<kind::BackupStorage>>) -> Result<()> {
    let mut targets = targets_of(app, agent.to_owned()).await?;
    targets.retain(|t| without.is_none_or(|w| w.to_string() != t.uuid));
    app.agents.assign(agent, targets);
    Ok(())
}

/// Writes that the store serves, with what its agent said.
fn ready(tx: &mut dyn Tx, store: &Store, ready: &ImageStoreReady) -> Result<()> {
    let was = tx.query_opt(
        "SELECT status, total_capacity, available_capacity, http_port FROM backup_storage WHERE uuid = ?",
        params![store.uuid],
    )?;
    let Some(was) = was else { return Ok(()) };
    let (total, free) = (ready.capacity.total_bytes, ready.capacity.available_bytes);
    // The size of a simulated store is what its creator said, unless he left that open.
    let total = if store.is_simulated() { was.bytes("total_capacity")?.max(free) } else { total };
    let sql = "UPDATE backup_storage SET status = 'Connected', status_reason = NULL, total_capacity = ?,
                 available_capacity = ?, http_port = ? WHERE uuid = ?
               AND (status <> 'Connected' OR total_capacity <> ? OR available_capacity <> ? OR http_port IS NULL OR http_port <> ?)";
    let port = ready.http_port;
    tx.execute(sql, params![total, free, port, store.uuid, total, free, port])?;
    if was.text("status")? == "Connected" {
        return Ok(());
    }
    rows::changed(tx, ENTITY, store.uuid, &json!({ "status": "Connected" }))
}

/// Writes that the store can't be reached, and why.
fn lost(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>, why: &str) -> Result<()> {
    let sql = "UPDATE backup_storage SET status = 'Disconnected', status_reason = ?, last_op_ms = ?
               WHERE uuid = ? AND status <> 'Disconnected'";
    if tx.execute(sql, params![why, time::now_ms(), uuid])? == 1 {
        return rows::changed(tx, ENTITY, uuid, &json!({ "status": "Disconnected", "statusReason": why }));
    }
    let sql = "UPDATE backup_storage SET status_reason = ? WHERE uuid = ? AND (status_reason IS NULL OR status_reason <> ?)";
    tx.execute(sql, params![why, uuid, why]).map(|_| ())
}

/// Removes a store's rows, and those of images that lie only there. A store that is gone is a success.
fn remove_rows(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<()> {
    if !rows::exists(tx, ENTITY, &uuid.to_string())? {
        return Ok(());
    }
    cascade::unlink(tx, ENTITY, uuid)?;
    rows::remove(tx, ENTITY, uuid)
}

/// Asks the store's agent to serve, and writes how that went.
pub(super) async fn connect(app: &Arc<App>, uuid: Id<kind::BackupStorage>) -> Result<()> {
    let Some(store) = app.store.read(move |tx| Store::find_opt(tx, uuid)).await? else { return Ok(()) };
    let op = ConnectImageStore { path: store.url.clone() };
    let answer = app.agents.call(uuid, &op, CallOptions::default()).await;
    let (agents, said) = (app.agents.clone(), answer.clone());
    app.store
        .write(move |tx| match &said {
            // What an agent said before its connection went is no evidence for now.
            Ok(_) if !agents.is_connected(uuid) => Ok(()),
            Ok(r) => ready(tx, &store, r),
            Err(f) => lost(tx, uuid, &f.details),
        })
        .await?;
    answer.map(|_| ())
}

/// A connection serves the image store now.
pub async fn arrived(app: Arc<App>, storage: String) {
    let Ok(uuid) = storage.parse() else { return };
    if let Err(f) = welcome(&app, uuid).await {
        tracing::warn!(store = storage, error = %f, "image store {storage} could not be connected");
    }
}

async fn welcome(app: &Arc<App>, uuid: Id<kind::BackupStorage>) -> Result<()> {
    connect(app, uuid).await?;
    stuck::retry_because_of(app, uuid);
    let Some(store) = app.store.read(move |tx| Store::find_opt(tx, uuid)).await? else { return Ok(()) };
    if store.is_simulated() {
        simulator::refill(app, &store).await?;
    }
    image::upload::resume(app, &store).await
}

/// No connection serves the image store any more.
pub async fn gone(app: &Arc<App>, storage: &str) {
    let Ok(uuid) = storage.parse() else { return };
    let noted = app.store.write(move |tx| lost(tx, uuid, "its agent is not connected")).await;
    if let Err(f) = noted {
        tracing::error!(store = storage, error = %f, "the loss of image store {storage} could not be written");
    }
}

/// Looks at every store: one without a connection is Disconnected, the others say how much room they have.
pub(super) async fn check_all(app: &Arc<App>) -> Result<()> {
    let all = app
        .store
        .read(|tx| tx.query("SELECT uuid FROM backup_storage WHERE deleting_run IS NULL", params![]))
        .await?;
    for row in all {
        let uuid: Id<kind::BackupStorage> = row.id("uuid")?;
        if app.agents.is_connected(uuid) {
            if let Err(f) = connect(app, uuid).await {
                tracing::warn!(store = %uuid, error = %f, "image store {uuid} does not answer as it should");
            }
        } else {
            gone(app, &uuid.to_string()).await;
        }
    }
    Ok(())
}
