//! Instance offerings: CPU and memory that VMs made from them have (OFF-01).

use cairn_api::ops::compute::{
    ChangeInstanceOfferingState, CreateInstanceOffering, DeleteInstanceOffering, UpdateInstanceOffering,
};
use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Fault, Id, Result, kind, size, time};
use serde_json::{Value, json};

use crate::call::{Call, id, opt_id};
use crate::handlers::Handlers;
use crate::{inventory, rows};

/// Strategies that a host can be chosen by.
pub const STRATEGIES: &[&str] = &[
    "DefaultHostAllocatorStrategy",
    "LeastVmPreferredHostAllocatorStrategy",
    "LastHostPreferredAllocatorStrategy",
    "MostFreeMemory",
];

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<CreateInstanceOffering>(create);
    h.change::<UpdateInstanceOffering>(update);
    h.change::<ChangeInstanceOfferingState>(change_state);
    h.change::<DeleteInstanceOffering>(delete);
}

fn create(call: &Call, tx: &mut dyn Tx, op: &CreateInstanceOffering) -> Result<Value> {
    let least = i64::try_from(16 * size::MIB).unwrap_or(0);
    if op.memory_size < least {
        return Err(
            Fault::argument("memorySize must be at least 16 MiB, in bytes").with("parameter", "memorySize")
        );
    }
    let strategy = op.allocator_strategy.as_deref().filter(|s| !s.is_empty()).unwrap_or(STRATEGIES[0]);
    if !STRATEGIES.contains(&strategy) {
        let text = format!("allocatorStrategy {strategy:?} is unknown; known are {}", STRATEGIES.join(", "));
        return Err(Fault::argument(text).with("parameter", "allocatorStrategy"));
    }
    let uuid: Id<kind::InstanceOffering> =
        opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    rows::register(tx, "InstanceOfferingVO", uuid, Some(call.caller.account))?;
    let now = time::now_ms();
    let sql = "INSERT INTO instance_offering (uuid, name, description, cpu_num, memory_size, type, allocator_strategy, sort_key,
               state, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Enabled', ?, ?)";
    let kind = op.r#type.clone().filter(|t| !t.is_empty()).unwrap_or_else(|| "UserVm".into());
    tx.execute(
        sql,
        params![
            uuid,
            &op.name,
            op.description.clone(),
            op.cpu_num,
            op.memory_size,
            kind,
            strategy,
            op.sort_key,
            now,
            now
        ],
    )?;
    inventory::answer(tx, "InstanceOfferingInventory", uuid, call.dates)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateInstanceOffering) -> Result<Value> {
    let uuid: Id<kind::InstanceOffering> = id("uuid", &op.uuid)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, "InstanceOfferingVO", uuid, &columns)?;
    inventory::answer(tx, "InstanceOfferingInventory", uuid, call.dates)
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangeInstanceOfferingState) -> Result<Value> {
    let uuid: Id<kind::InstanceOffering> = id("uuid", &op.uuid)?;
    rows::update(tx, "InstanceOfferingVO", uuid, &[("state", Some(state_after(&op.state_event).into()))])?;
    inventory::answer(tx, "InstanceOfferingInventory", uuid, call.dates)
}

/// The state that `enable` or `disable` leads to, from either state.
pub(crate) fn state_after(event: &str) -> EnabledState {
    if event.eq_ignore_ascii_case("enable") { EnabledState::Enabled } else { EnabledState::Disabled }
}

/// VMs made from it stay; with setting `vm.instanceOffering.setNullWhenDeleting` they forget it.
fn delete(call: &Call, tx: &mut dyn Tx, op: &DeleteInstanceOffering) -> Result<Value> {
    let uuid: Id<kind::InstanceOffering> = id("uuid", &op.uuid)?;
    if call.app.settings.bool("vm", "instanceOffering.setNullWhenDeleting") {
        let sql = "UPDATE vm_instance SET instance_offering_uuid = NULL WHERE instance_offering_uuid = ?";
        tx.execute(sql, params![uuid])?;
    }
    rows::remove(tx, "InstanceOfferingVO", uuid)?;
    Ok(json!({}))
}
