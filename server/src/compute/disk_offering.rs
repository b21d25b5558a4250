//! Disk offerings: sizes of volumes (OFF-02).

use cairn_api::ops::storage::{
    ChangeDiskOfferingState, CreateDiskOffering, DeleteDiskOffering, UpdateDiskOffering,
};
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, time};
use serde_json::{Value, json};

use super::instance_offering::state_after;
use crate::call::{Call, id, opt_id};
use crate::handlers::Handlers;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<CreateDiskOffering>(create);
    h.change::<UpdateDiskOffering>(update);
    h.change::<ChangeDiskOfferingState>(change_state);
    h.change::<DeleteDiskOffering>(delete);
}

fn create(call: &Call, tx: &mut dyn Tx, op: &CreateDiskOffering) -> Result<Value> {
    let uuid: Id<kind::DiskOffering> =
        opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    rows::register(tx, "DiskOfferingVO", uuid, Some(call.caller.account))?;
    let now = time::now_ms();
    let sql = "INSERT INTO disk_offering (uuid, name, description, disk_size, sort_key, state, type, allocator_strategy,
               create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, 'Enabled', 'zstack', ?, ?, ?)";
    let strategy = op.allocation_strategy.clone();
    tx.execute(
        sql,
        params![uuid, &op.name, op.description.clone(), op.disk_size, op.sort_key, strategy, now, now],
    )?;
    inventory::answer(tx, "DiskOfferingInventory", uuid, call.dates)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateDiskOffering) -> Result<Value> {
    let uuid: Id<kind::DiskOffering> = id("uuid", &op.uuid)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, "DiskOfferingVO", uuid, &columns)?;
    inventory::answer(tx, "DiskOfferingInventory", uuid, call.dates)
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangeDiskOfferingState) -> Result<Value> {
    let uuid: Id<kind::DiskOffering> = id("uuid", &op.uuid)?;
    rows::update(tx, "DiskOfferingVO", uuid, &[("state", Some(state_after(&op.state_event).into()))])?;
    inventory::answer(tx, "DiskOfferingInventory", uuid, call.dates)
}

/// Volumes made from it stay; with setting `volume.diskOffering.setNullWhenDeleting` they forget it.
fn delete(call: &Call, tx: &mut dyn Tx, op: &DeleteDiskOffering) -> Result<Value> {
    let uuid: Id<kind::DiskOffering> = id("uuid", &op.uuid)?;
    if call.app.settings.bool("volume", "diskOffering.setNullWhenDeleting") {
        tx.execute(
            "UPDATE volume SET disk_offering_uuid = NULL WHERE disk_offering_uuid = ?",
            params![uuid],
        )?;
    }
    rows::remove(tx, "DiskOfferingVO", uuid)?;
    Ok(json!({}))
}
