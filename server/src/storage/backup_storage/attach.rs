//! Letting a zone use the images of a backup storage, and ending that. VMs that exist are not affected (BS-02).

use cairn_api::ops::storage::{AttachBackupStorageToZone, DetachBackupStorageFromZone};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::{Value, json};

use super::{ENTITY, answer};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::rows;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<AttachBackupStorageToZone>(attach);
    h.change::<DetachBackupStorageFromZone>(detach_from_zone);
}

fn attach(call: &Call, tx: &mut dyn Tx, op: &AttachBackupStorageToZone) -> Result<Value> {
    let store: Id<kind::BackupStorage> = id("backupStorageUuid", &op.backup_storage_uuid)?;
    let zone: Id<kind::Zone> = id("zoneUuid", &op.zone_uuid)?;
    rows::claim(tx, ENTITY, store)?;
    rows::claim(tx, "ZoneVO", zone)?;
    if is_attached(tx, store, zone)? {
        let text = format!("backup storage {store} is attached to zone {zone} already");
        return Err(Fault::new(code::BS_ATTACH, text));
    }
    let now = time::now_ms();
    let sql = "INSERT INTO backup_storage_zone_ref (backup_storage_uuid, zone_uuid, create_ms, last_op_ms) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![store, zone, now, now])?;
    rows::changed(tx, ENTITY, store, &json!({ "attached": zone }))?;
    answer(tx, store, call.dates.into())
}

fn is_attached(tx: &mut dyn Tx, store: Id<kind::BackupStorage>, zone: Id<kind::Zone>) -> Result<bool> {
    let sql = "SELECT 1 FROM backup_storage_zone_ref WHERE backup_storage_uuid = ? AND zone_uuid = ?";
    tx.exists(sql, params![store, zone])
}

fn detach_from_zone(call: &Call, tx: &mut dyn Tx, op: &DetachBackupStorageFromZone) -> Result<Value> {
    let store: Id<kind::BackupStorage> = id("backupStorageUuid", &op.backup_storage_uuid)?;
    let zone: Id<kind::Zone> = id("zoneUuid", &op.zone_uuid)?;
    if !is_attached(tx, store, zone)? {
        let text = format!("backup storage {store} is not attached to zone {zone}");
        return Err(Fault::new(code::BS_DETACH, text));
    }
    detach(tx, store, zone)?;
    answer(tx, store, call.dates.into())
}

/// Ends the use of a backup storage by a zone, in the caller's transaction. A link that is gone is a success.
pub fn detach(tx: &mut dyn Tx, store: Id<kind::BackupStorage>, zone: Id<kind::Zone>) -> Result<()> {
    let sql = "DELETE FROM backup_storage_zone_ref WHERE backup_storage_uuid = ? AND zone_uuid = ?";
    if tx.execute(sql, params![store, zone])? == 0 {
        return Ok(());
    }
    rows::changed(tx, ENTITY, store, &json!({ "detached": zone }))
}
