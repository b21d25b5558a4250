//! Changing what a backup storage is called, how it is logged in to, and whether it is used.

use cairn_api::ops::storage::{ChangeBackupStorageState, UpdateBackupStorage, UpdateImageStoreBackupStorage};
use cairn_store::{Tx, Value as Column};
use cairn_types::{Fault, Result};
use serde_json::Value;

use super::add::store_id;
use super::{ENTITY, Store, answer};
use crate::call::Call;
use crate::handlers::Handlers;
use crate::hardware::ssh;
use crate::rows;
use crate::storage::check;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<UpdateBackupStorage>(update);
    h.change::<UpdateImageStoreBackupStorage>(update_image_store);
    h.change::<ChangeBackupStorageState>(change_state);
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateBackupStorage) -> Result<Value> {
    let uuid = store_id(&op.uuid)?;
    rows::claim(tx, ENTITY, uuid)?;
    let columns = [
        ("name", op.name.clone().map(Column::from)),
        ("description", op.description.clone().map(Column::from)),
    ];
    rows::update(tx, ENTITY, uuid, &columns)?;
    answer(tx, uuid, call.dates.into())
}

fn update_image_store(call: &Call, tx: &mut dyn Tx, op: &UpdateImageStoreBackupStorage) -> Result<Value> {
    let uuid = store_id(&op.uuid)?;
    rows::claim(tx, ENTITY, uuid)?;
    if Store::find(tx, uuid)?.is_simulated() {
        return Err(
            Fault::argument(format!("backup storage {uuid} is no image store")).with("parameter", "uuid")
        );
    }
    op.username.as_deref().map_or(Ok(()), ssh::check_user)?;
    let hostname = op.hostname.as_deref().map(|h| check::hostname("hostname", h)).transpose()?;
    let password = op.password.as_deref().map(|p| call.app.secrets.seal(p)).transpose()?;
    let columns = [
        ("name", op.name.clone().map(Column::from)),
        ("description", op.description.clone().map(Column::from)),
        ("hostname", hostname.map(Column::from)),
        ("username", op.username.clone().map(Column::from)),
        ("ssh_port", op.ssh_port.map(Column::from)),
        ("password_sealed", password.map(Column::from)),
    ];
    rows::update(tx, ENTITY, uuid, &columns)?;
    answer(tx, uuid, call.dates.into())
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangeBackupStorageState) -> Result<Value> {
    let uuid = store_id(&op.uuid)?;
    rows::claim(tx, ENTITY, uuid)?;
    let state = if op.state_event == "enable" { "Enabled" } else { "Disabled" };
    rows::update(tx, ENTITY, uuid, &[("state", Some(state.into()))])?;
    answer(tx, uuid, call.dates.into())
}
