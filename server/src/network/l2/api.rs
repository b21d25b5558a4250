//! The calls about L2 networks.

use cairn_api::ops::network as ops;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use super::attach::AttachL2Network;
use super::delete::DeleteL2Network;
use super::detach::DetachL2Network;
use super::{ENTITY, NO_VLAN};
use crate::call::{ADMIN, Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::{inventory, rows};

pub(in crate::network) fn handlers(h: &mut Handlers) {
    h.change(create);
    h.change(update);
    h.run(attach);
    h.run(detach);
    h.run(delete);
    h.read(types);
}

fn answer(call: &Call, tx: &mut dyn Tx, l2: Id<kind::L2Network>) -> Result<Value> {
    inventory::answer(tx, "L2NetworkInventory", l2, call.dates)
}

fn create(call: &Call, tx: &mut dyn Tx, op: &ops::CreateL2NoVlanNetwork) -> Result<Value> {
    let l2: Id<kind::L2Network> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let zone: Id<kind::Zone> = id("zoneUuid", &op.zone_uuid)?;
    super::check_interface(&op.physical_interface)?;
    if let Some(other) = op.r#type.as_deref().filter(|t| !t.is_empty() && *t != NO_VLAN) {
        return Err(Fault::argument(format!(
            "parameter type is {other:?}; this call makes networks of type {NO_VLAN}"
        )));
    }
    if op.isolated {
        return Err(Fault::argument(
            "parameter isolated is true; networks whose ports are isolated are not supported",
        ));
    }
    rows::claim(tx, "ZoneVO", zone)?;
    // The operators own it: whoever else shall build on it needs a share.
    rows::register(tx, ENTITY, l2, Some(ADMIN))?;
    let now = time::now_ms();
    let sql = "INSERT INTO l2_network (uuid, zone_uuid, name, description, physical_interface, type, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values =
        params![l2, zone, &op.name, op.description.clone(), &op.physical_interface, NO_VLAN, now, now];
    tx.execute(sql, values)?;
    super::name_bridge(tx, l2, &op.physical_interface)?;
    let sql =
        "INSERT INTO network_service_provider_l2_network_ref (network_service_provider_uuid, l2_network_uuid)
               SELECT uuid, ? FROM network_service_provider";
    tx.execute(sql, params![l2])?;
    answer(call, tx, l2)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &ops::UpdateL2Network) -> Result<Value> {
    let l2: Id<kind::L2Network> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, l2)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, ENTITY, l2, &columns)?;
    answer(call, tx, l2)
}

async fn attach(_call: Call, op: ops::AttachL2NetworkToCluster) -> Result<Launch> {
    let (l2, cluster) = (id("l2NetworkUuid", &op.l2_network_uuid)?, id("clusterUuid", &op.cluster_uuid)?);
    Ok(Launch::run(AttachL2Network::new(l2, cluster)))
}

async fn detach(_call: Call, op: ops::DetachL2NetworkFromCluster) -> Result<Launch> {
    let (l2, cluster) = (id("l2NetworkUuid", &op.l2_network_uuid)?, id("clusterUuid", &op.cluster_uuid)?);
    Ok(Launch::run(DetachL2Network::new(l2, cluster)))
}

/// Accounts may delete L2 networks of their own. Those without an owner are the administrator's.
async fn delete(call: Call, op: ops::DeleteL2Network) -> Result<Launch> {
    let l2: Id<kind::L2Network> = id("uuid", &op.uuid)?;
    let owner = call.app.store.read(move |tx| rows::owner(tx, l2)).await?;
    if owner != Some(call.caller.account) {
        call.require_admin()?;
    }
    Ok(Launch::run(DeleteL2Network::new(l2).in_mode(&op.delete_mode)))
}

async fn types(_call: Call, _op: ops::GetL2NetworkTypes) -> Result<Value> {
    Ok(json!({ "types": [NO_VLAN] }))
}
