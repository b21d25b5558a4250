//! The calls about clusters.

use cairn_api::ops::hardware as ops;
use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Id, Result, kind, time};
use serde_json::Value;

use super::delete::DeleteCluster;
use crate::call::{Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::hardware::enabled_by;
use crate::{inventory, rows};

const ENTITY: &str = "ClusterVO";

pub(in crate::hardware) fn handlers(h: &mut Handlers) {
    h.change(create);
    h.change(update);
    h.change(change_state);
    h.run(delete);
}

fn answer(call: &Call, tx: &mut dyn Tx, cluster: Id<kind::Cluster>) -> Result<Value> {
    inventory::answer(tx, "ClusterInventory", cluster, call.dates)
}

fn create(call: &Call, tx: &mut dyn Tx, op: &ops::CreateCluster) -> Result<Value> {
    let cluster: Id<kind::Cluster> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let zone: Id<kind::Zone> = id("zoneUuid", &op.zone_uuid)?;
    // A new cluster is enabled, also in a disabled zone: that is how a part of a zone is put to use.
    rows::claim(tx, "ZoneVO", zone)?;
    rows::register(tx, ENTITY, cluster, None)?;
    let now = time::now_ms();
    let hypervisor = if op.hypervisor_type.eq_ignore_ascii_case("KVM") { "KVM" } else { "Simulator" };
    let sql = "INSERT INTO cluster (uuid, zone_uuid, name, description, state, hypervisor_type, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values =
        params![cluster, zone, &op.name, op.description.clone(), EnabledState::Enabled, hypervisor, now, now];
    tx.execute(sql, values)?;
    answer(call, tx, cluster)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &ops::UpdateCluster) -> Result<Value> {
    let cluster: Id<kind::Cluster> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, cluster)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, ENTITY, cluster, &columns)?;
    answer(call, tx, cluster)
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ops::ChangeClusterState) -> Result<Value> {
    let cluster: Id<kind::Cluster> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, cluster)?;
    super::set_state(tx, cluster, enabled_by(&op.state_event))?;
    answer(call, tx, cluster)
}

async fn delete(_call: Call, op: ops::DeleteCluster) -> Result<Launch> {
    Ok(Launch::run(DeleteCluster::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}
