//! Primary storage: where volumes live. A local one is a folder on every host of the clusters it is attached to.

mod add;
mod attach;
pub mod delete;
mod reconnect;
mod update;

use cairn_api::agent::storage::ConnectLocalStorage;
use cairn_store::{Row, Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::Engine;

pub use attach::detach;

use crate::app::App;
use crate::handlers::Handlers;

/// Name of the resource type.
pub(super) const ENTITY: &str = "PrimaryStorageVO";
/// Its inventory.
pub(super) const INVENTORY: &str = "PrimaryStorageInventory";
/// Folders on hosts.
pub const LOCAL: &str = "LocalStorage";
/// Storage of simulated hosts: each of them reaches the same files.
pub const SIMULATOR: &str = "SimulatorPrimaryStorage";
/// Every kind there is.
pub const TYPES: &[&str] = &[LOCAL, SIMULATOR];
/// Strategies by which a primary storage can be chosen.
pub const STRATEGIES: &[&str] = &["DefaultPrimaryStorageAllocationStrategy", "LocalPrimaryStorageStrategy"];

pub(super) fn handlers(h: &mut Handlers) {
    add::handlers(h);
    update::handlers(h);
    attach::handlers(h);
    reconnect::handlers(h);
    delete::handlers(h);
}

pub(super) fn register(engine: &Engine<App>) {
    engine.register::<attach::AttachPrimaryStorage>();
    engine.register::<attach::DetachPrimaryStorage>();
    engine.register::<reconnect::MeasurePrimaryStorage>();
    engine.register::<delete::DeletePrimaryStorage>();
}

/// What work on hosts needs to know of a primary storage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storage {
    pub(crate) uuid: Id<kind::PrimaryStorage>,
    /// Folder on each host.
    pub(super) url: String,
    pub(super) r#type: String,
}

impl Storage {
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { uuid: row.id("uuid")?, url: row.text("url")?, r#type: row.text("type")? })
    }

    /// What makes it ready on a host.
    pub(super) fn connect_command(&self) -> ConnectLocalStorage {
        ConnectLocalStorage { path: self.url.clone(), shared: self.r#type == SIMULATOR }
    }

    pub(super) fn find(tx: &mut dyn Tx, uuid: Id<kind::PrimaryStorage>) -> Result<Self> {
        let row =
            tx.query_opt("SELECT uuid, url, type FROM primary_storage WHERE uuid = ?", params![uuid])?;
        row.as_ref().map_or_else(|| Err(Fault::not_found(ENTITY, uuid)), Self::from_row)
    }
}

/// Hosts of all clusters that the storage is attached to, or of one of them.
pub(super) fn hosts(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    cluster: Option<Id<kind::Cluster>>,
) -> Result<Vec<Id<kind::Host>>> {
    let sql =
        "SELECT h.uuid FROM host h JOIN primary_storage_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               WHERE r.primary_storage_uuid = ? AND (? IS NULL OR r.cluster_uuid = ?) ORDER BY h.uuid";
    tx.query(sql, params![storage, cluster, cluster])?.iter().map(|r| r.id("uuid")).collect()
}

/// VMs with a volume on the storage that are on, or may be on, in one cluster or anywhere.
pub(super) fn vms_at_work(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    cluster: Option<Id<kind::Cluster>>,
) -> Result<Vec<Id<kind::Vm>>> {
    let sql = "SELECT DISTINCT m.uuid, m.state FROM vm_instance m JOIN volume v ON v.vm_instance_uuid = m.uuid
               LEFT JOIN host h ON h.uuid = m.host_uuid
               WHERE v.primary_storage_uuid = ? AND (? IS NULL OR coalesce(h.cluster_uuid, m.cluster_uuid) = ?) ORDER BY m.uuid";
    let mut found = Vec::new();
    for row in tx.query(sql, params![storage, cluster, cluster])? {
        if row.parse::<VmState>("state")?.holds_capacity() {
            found.push(row.id("uuid")?);
        }
    }
    Ok(found)
}

/// Names VMs in the way of something.
pub(super) fn in_the_way(code: &str, what: &str, vms: &[Id<kind::Vm>]) -> Fault {
    let named: Vec<String> = vms.iter().map(ToString::to_string).collect();
    let shown = named.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if named.len() > 5 { format!(" and {} more", named.len() - 5) } else { String::new() };
    Fault::new(code, format!("{what} VMs that use it are on: {shown}{more}; stop them first"))
        .with("vms", named)
}

/// Refuses a storage that is on its way out by state.
fn must_not_be_deleting(tx: &mut dyn Tx, uuid: Id<kind::PrimaryStorage>) -> Result<()> {
    let sql = "SELECT 1 FROM primary_storage WHERE uuid = ? AND state = 'Deleting'";
    if tx.exists(sql, params![uuid])? {
        return Err(Fault::new(
            code::DELETING,
            format!("primary storage {uuid} is in state Deleting; enable it first"),
        ));
    }
    Ok(())
}
