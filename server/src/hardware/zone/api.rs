//! The calls about zones.

use cairn_api::ops::hardware as ops;
use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Id, Result, kind, time};
use serde_json::Value;

use super::delete::DeleteZone;
use crate::call::{Call, id};
use crate::handlers::{Handlers, Launch};
use crate::hardware::{cluster, enabled_by, set_enabled};
use crate::{inventory, rows};

const ENTITY: &str = "ZoneVO";

pub(in crate::hardware) fn handlers(h: &mut Handlers) {
    h.change(create);
    h.change(update);
    h.change(change_state);
    h.run(delete);
}

fn answer(call: &Call, tx: &mut dyn Tx, zone: Id<kind::Zone>) -> Result<Value> {
    inventory::answer(tx, "ZoneInventory", zone, call.dates)
}

fn create(call: &Call, tx: &mut dyn Tx, op: &ops::CreateZone) -> Result<Value> {
    let zone: Id<kind::Zone> =
        crate::call::opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let now = time::now_ms();
    rows::register(tx, ENTITY, zone, None)?;
    let sql =
        "INSERT INTO zone (uuid, name, description, state, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![zone, &op.name, op.description.clone(), EnabledState::Enabled, now, now])?;
    answer(call, tx, zone)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &ops::UpdateZone) -> Result<Value> {
    let zone: Id<kind::Zone> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, zone)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, ENTITY, zone, &columns)?;
    answer(call, tx, zone)
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ops::ChangeZoneState) -> Result<Value> {
    let zone: Id<kind::Zone> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, zone)?;
    let state = enabled_by(&op.state_event);
    set_enabled(tx, ENTITY, zone, state)?;
    for row in tx.query("SELECT uuid FROM cluster WHERE zone_uuid = ? ORDER BY uuid", params![zone])? {
        cluster::set_state(tx, row.id("uuid")?, state)?;
    }
    answer(call, tx, zone)
}

async fn delete(_call: Call, op: ops::DeleteZone) -> Result<Launch> {
    Ok(Launch::run(DeleteZone::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}
