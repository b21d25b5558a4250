//! Changing what a primary storage is called and whether it is used.

use cairn_api::ops::storage::{ChangePrimaryStorageState, UpdatePrimaryStorage};
use cairn_store::{Tx, Value as Column, params};
use cairn_types::{Fault, Id, Result, code, kind};
use serde_json::Value;

use super::{ENTITY, INVENTORY, LOCAL, Storage, in_the_way, vms_at_work};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::storage::check;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<UpdatePrimaryStorage>(update);
    h.change::<ChangePrimaryStorageState>(change_state);
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdatePrimaryStorage) -> Result<Value> {
    let uuid: Id<kind::PrimaryStorage> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, uuid)?;
    let url = match &op.url {
        Some(url) => new_url(tx, uuid, url)?,
        None => None,
    };
    let columns = [
        ("name", op.name.clone().map(Column::from)),
        ("description", op.description.clone().map(Column::from)),
        ("url", url.clone().map(Column::from)),
        ("mount_path", url.map(Column::from)),
    ];
    rows::update(tx, ENTITY, uuid, &columns)?;
    inventory::answer(tx, INVENTORY, uuid, call.dates)
}

/// The new address, if it is another one; only while no cluster uses the storage, since volumes lie under the old one.
fn new_url(tx: &mut dyn Tx, uuid: Id<kind::PrimaryStorage>, url: &str) -> Result<Option<String>> {
    let known = Storage::find(tx, uuid)?;
    let url = if known.r#type == LOCAL { check::folder("url", url)? } else { url.to_owned() };
    if url == known.url {
        return Ok(None);
    }
    let sql = "SELECT 1 FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ?";
    if tx.exists(sql, params![uuid])? {
        let text = format!(
            "primary storage {uuid} is attached to a cluster, so its url can't change; detach it first"
        );
        return Err(Fault::new(code::IN_USE, text));
    }
    if tx.exists("SELECT 1 FROM volume WHERE primary_storage_uuid = ?", params![uuid])? {
        let text = format!("volumes lie on primary storage {uuid} under its present url; delete them first");
        return Err(Fault::new(code::IN_USE, text));
    }
    Ok(Some(url))
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangePrimaryStorageState) -> Result<Value> {
    let uuid: Id<kind::PrimaryStorage> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, uuid)?;
    let state = match op.state_event.as_str() {
        "enable" => "Enabled",
        "disable" => "Disabled",
        "maintain" => {
            let vms = vms_at_work(tx, uuid, None)?;
            if !vms.is_empty() {
                let what = format!("primary storage {uuid} can't go into maintenance:");
                return Err(in_the_way(code::IN_USE, &what, &vms));
            }
            "Maintenance"
        }
        "deleting" => "Deleting",
        other => {
            return Err(
                Fault::argument(format!("stateEvent {other:?} is unknown")).with("parameter", "stateEvent")
            );
        }
    };
    rows::update(tx, ENTITY, uuid, &[("state", Some(state.into()))])?;
    inventory::answer(tx, INVENTORY, uuid, call.dates)
}
