//! Change of owner (IAM-06): a resource goes to another account with what belongs to it.
//!
//! A VM takes its volumes and NICs along, an L3 network its ranges, and everything keeps its tags. The receiver's quotas are
//! checked as if it made the resource now. What the old owner had shared stays shared.

use cairn_api::ops::identity::ChangeResourceOwner;
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use super::{quota, sharing};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::{inventory, rows};

type Any = kind::AnyResource;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<ChangeResourceOwner>(change);
}

fn change(call: &Call, tx: &mut dyn Tx, op: &ChangeResourceOwner) -> Result<Value> {
    call.require_admin()?;
    let receiver: Id<kind::Account> = id("accountUuid", &op.account_uuid)?;
    let resource: Id<Any> = id("resourceUuid", &op.resource_uuid)?;
    let entity = sharing::owned_type(tx, resource)?;
    rows::claim(tx, "AccountVO", receiver)?;
    rows::claim(tx, &entity, resource)?;
    let before = rows::owner(tx, resource)?;
    if before != Some(receiver) {
        let asks = asks(tx, &entity, resource)?;
        quota::check_quickly(&call.app.sums, tx, receiver, &asks)?;
        let data = json!({ "ownerBefore": before.map(|b| b.to_string()), "owner": receiver.to_string() });
        // One event for each of the two, since each sees only what is his at that moment.
        rows::event(tx, &entity, resource, "updated", &data)?;
        give(tx, &entity, resource, receiver)?;
        rows::event(tx, &entity, resource, "updated", &data)?;
    }
    let row = tx.query_opt("SELECT * FROM resource WHERE uuid = ?", params![resource])?;
    let row = row.ok_or_else(|| Fault::not_found(&entity, resource))?;
    Ok(json!({ "inventory": {
        "accountUuid": receiver, "resourceUuid": resource, "resourceType": entity,
        "createDate": inventory::date(call.dates, row.int("create_ms")?),
        "lastOpDate": inventory::date(call.dates, row.int("last_op_ms")?),
    } }))
}

/// What the receiver gets of each quota.
fn asks(tx: &mut dyn Tx, entity: &str, resource: Id<Any>) -> Result<Vec<(&'static str, i64)>> {
    match entity {
        "VmInstanceVO" => of_vm(tx, resource),
        "VolumeVO" => of_volume(tx, resource),
        "ImageVO" => {
            let size = tx.query_int("SELECT size FROM image WHERE uuid = ?", params![resource])?;
            Ok(vec![("image.num", 1), ("image.size", size)])
        }
        "L3NetworkVO" => Ok(vec![("l3.num", 1)]),
        "InstanceOfferingVO" | "DiskOfferingVO" | "L2NetworkVO" => Ok(Vec::new()),
        other => Err(Fault::argument(format!("{other} {resource} can't be given to another account"))),
    }
}

fn of_vm(tx: &mut dyn Tx, vm: Id<Any>) -> Result<Vec<(&'static str, i64)>> {
    let row =
        tx.query_opt("SELECT state, cpu_num, memory_size FROM vm_instance WHERE uuid = ?", params![vm])?;
    let row = row.ok_or_else(|| Fault::not_found("VmInstanceVO", vm))?;
    let sql = "SELECT coalesce(sum(size), 0) AS size, coalesce(sum(CASE WHEN type = 'Data' THEN 1 ELSE 0 END), 0) AS data
               FROM volume WHERE vm_instance_uuid = ?";
    let volumes = tx.query_opt(sql, params![vm])?.ok_or_else(|| Fault::internal("a sum has no row"))?;
    let mut asks = vec![("volume.capacity", volumes.int("size")?), ("volume.data.num", volumes.int("data")?)];
    let state: VmState = row.parse("state")?;
    state.require(vm, VmAction::ChangeResourceOwner)?;
    asks.push(("vm.totalNum", 1));
    if state.holds_capacity() {
        asks.extend([
            ("vm.num", 1),
            ("vm.cpuNum", row.int("cpu_num")?),
            ("vm.memorySize", row.int("memory_size")?),
        ]);
    }
    Ok(asks)
}

fn of_volume(tx: &mut dyn Tx, volume: Id<Any>) -> Result<Vec<(&'static str, i64)>> {
    let row =
        tx.query_opt("SELECT type, size, vm_instance_uuid FROM volume WHERE uuid = ?", params![volume])?;
    let row = row.ok_or_else(|| Fault::not_found("VolumeVO", volume))?;
    if let Some(vm) = row.opt_text("vm_instance_uuid")? {
        let text = format!(
            "volume {volume} belongs to VM {vm}; change the owner of the VM, or detach the volume first"
        );
        return Err(Fault::operation(text).with("vm", vm));
    }
    let data = i64::from(row.text("type")? == "Data");
    Ok(vec![("volume.data.num", data), ("volume.capacity", row.int("size")?)])
}

fn give(tx: &mut dyn Tx, entity: &str, resource: Id<Any>, receiver: Id<kind::Account>) -> Result<()> {
    let now = time::now_ms();
    let sql = "UPDATE resource SET account_uuid = ?, last_op_ms = ? WHERE uuid = ?";
    tx.execute(sql, params![receiver, now, resource])?;
    let along: &[(&str, &str)] = match entity {
        "VmInstanceVO" => &[("volume", "vm_instance_uuid"), ("vm_nic", "vm_instance_uuid")],
        "L3NetworkVO" => &[("ip_range", "l3_network_uuid")],
        _ => &[],
    };
    for (table, column) in along {
        let sql = format!(
            "UPDATE resource SET account_uuid = ?, last_op_ms = ? WHERE uuid IN (SELECT uuid FROM {table} WHERE {column} = ?)"
        );
        tx.execute(&sql, params![receiver, now, resource])?;
    }
    let sql = "DELETE FROM shared_resource WHERE resource_uuid = ? AND receiver_account_uuid = ?";
    tx.execute(sql, params![resource, receiver])?;
    Ok(())
}
