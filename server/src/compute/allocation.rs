//! The calls that ask where a VM could run, and what an ask is made of. Who is chosen, and why not, says
//! [`placement`](super::placement).

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::ops::compute::{
    ExplainAllocation, GetCandidatePrimaryStoragesForCreatingVm, GetCandidateZonesClustersHostsForCreatingVm,
    GetIndexDifferences, GetVmStartingCandidateClustersHosts,
};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::placement::{self, Ask, Candidate, Choices};
use crate::call::{Call, id, opt_id};
use crate::compute::vm::{VmRow, store};
use crate::handlers::Handlers;
use crate::inventory;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<ExplainAllocation, _>(explain);
    h.read::<GetCandidateZonesClustersHostsForCreatingVm, _>(destinations);
    h.read::<GetCandidatePrimaryStoragesForCreatingVm, _>(storages);
    h.read::<GetVmStartingCandidateClustersHosts, _>(starting_hosts);
    h.read::<GetIndexDifferences, _>(differences);
}

/// Size and processors of an offering.
pub fn offering(tx: &mut dyn Tx, uuid: Id<kind::InstanceOffering>) -> Result<(i64, i64, String, String)> {
    let sql =
        "SELECT name, cpu_num, memory_size, allocator_strategy, state FROM instance_offering WHERE uuid = ?";
    let row =
        tx.query_opt(sql, params![uuid])?.ok_or_else(|| Fault::not_found("InstanceOfferingVO", uuid))?;
    Ok((row.int("cpu_num")?, row.int("memory_size")?, row.text("allocator_strategy")?, row.text("state")?))
}

fn list_of<T>(name: &str, texts: &[String]) -> Result<Vec<Id<T>>> {
    texts.iter().map(|t| id(name, t)).collect()
}

async fn explain(call: Call, op: ExplainAllocation) -> Result<Value> {
    let ask = explained(&call, &op).await?;
    let app = call.app.clone();
    let mut found = call.app.store.read(move |tx| placement::explain(&app, tx, &ask)).await?;
    if !call.caller.is_admin() {
        // A tenant learns why, not what the data centre is called.
        found.candidates.iter_mut().chain(&mut found.chosen).for_each(|c| c.host_name = String::new());
    }
    let mut answer = json!({
        "candidates": found.candidates.iter().map(Candidate::to_json).collect::<Vec<_>>(),
        "total": found.counts.total, "accepted": found.counts.accepted,
        "rejectedBy": found.counts.reasons().collect::<BTreeMap<_, _>>(),
    });
    if let Some(chosen) = found.chosen {
        answer["chosen"] = chosen.to_json();
    }
    Ok(answer)
}

async fn chosen_from(call: &Call, ask: Ask) -> Result<Choices> {
    let app = call.app.clone();
    call.app.store.read(move |tx| placement::choices(&app, tx, &ask)).await
}

async fn explained(call: &Call, op: &ExplainAllocation) -> Result<Ask> {
    let op = op.clone();
    if let Some(vm) = opt_id::<kind::Vm>("vmInstanceUuid", op.vm_instance_uuid.as_deref())? {
        return call.app.store.read(move |tx| of_existing(tx, vm)).await;
    }
    let mut ask = Ask {
        cpu_num: op.cpu_num.unwrap_or(0),
        memory_bytes: op.memory_size.unwrap_or(0),
        image: opt_id("imageUuid", op.image_uuid.as_deref())?,
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        host: opt_id("hostUuid", op.host_uuid.as_deref())?,
        storage: opt_id(
            "primaryStorageUuidForRootVolume",
            op.primary_storage_uuid_for_root_volume.as_deref(),
        )?,
        ..Ask::default()
    };
    let offering_uuid =
        opt_id::<kind::InstanceOffering>("instanceOfferingUuid", op.instance_offering_uuid.as_deref())?;
    let disk = opt_id::<kind::DiskOffering>("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    call.app.store.read(move |tx| complete(tx, &mut ask, offering_uuid, disk).map(|()| ask)).await
}

/// What an existing VM needs to start.
pub fn of_existing(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Ask> {
    let row = VmRow::load(tx, vm)?;
    let volumes = store::volumes(tx, vm)?;
    let made = volumes.iter().find(|v| v.install_path.is_some());
    Ok(Ask {
        cpu_num: row.cpu_num,
        memory_bytes: row.memory_size,
        disk_bytes: volumes.iter().filter(|v| v.install_path.is_none()).map(|v| v.size).sum(),
        image: if made.is_some() { None } else { row.image },
        l3_networks: store::l3_networks(tx, vm)?,
        zone: row.zone,
        storage: made.and_then(|v| v.storage),
        volumes_on: made.and_then(|v| v.host),
        strategy: row.strategy,
        last_host: row.last_host,
        vm: Some(vm),
        ..Ask::default()
    })
}

fn complete(
    tx: &mut dyn Tx,
    ask: &mut Ask,
    offering_uuid: Option<Id<kind::InstanceOffering>>,
    disk: Option<Id<kind::DiskOffering>>,
) -> Result<()> {
    if let Some(uuid) = offering_uuid {
        (ask.cpu_num, ask.memory_bytes, ask.strategy, _) = offering(tx, uuid)?;
    }
    if let Some(image) = ask.image {
        ask.disk_bytes = tx.query_int("SELECT size FROM image WHERE uuid = ?", params![image])?;
    }
    if let Some(disk) = disk {
        let wanted = tx.query_int("SELECT disk_size FROM disk_offering WHERE uuid = ?", params![disk])?;
        ask.disk_bytes = ask.disk_bytes.max(wanted);
    }
    Ok(())
}

async fn destinations(call: Call, op: GetCandidateZonesClustersHostsForCreatingVm) -> Result<Value> {
    let mut ask = Ask {
        image: Some(id("imageUuid", &op.image_uuid)?),
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        ..Ask::default()
    };
    let offering_uuid = Some(id("instanceOfferingUuid", &op.instance_offering_uuid)?);
    let disk = opt_id("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    let ask =
        call.app.store.read(move |tx| complete(tx, &mut ask, offering_uuid, disk).map(|()| ask)).await?;
    let choices = chosen_from(&call, ask).await?;
    Ok(json!({
        "zones": inventories(&call, "ZoneInventory", choices.zones).await?,
        "clusters": inventories(&call, "ClusterInventory", choices.clusters).await?,
        "hosts": inventories(&call, "HostInventory", choices.hosts).await?,
        "totalHosts": choices.total_hosts,
    }))
}

async fn differences(call: Call, _: GetIndexDifferences) -> Result<Value> {
    call.app.placement.ready().await?;
    let lines = crate::platform::compare::all(&call.app).await?;
    Ok(json!({ "hosts": call.app.placement.hosts(), "differences": lines }))
}

async fn starting_hosts(call: Call, op: GetVmStartingCandidateClustersHosts) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let ask = call
        .app
        .store
        .read(move |tx| {
            let row = VmRow::load(tx, vm)?;
            row.allow(cairn_types::state::VmAction::GetVmStartingCandidateClustersHosts)?;
            of_existing(tx, vm)
        })
        .await?;
    let choices = chosen_from(&call, ask).await?;
    Ok(json!({
        "clusters": inventories(&call, "ClusterInventory", choices.clusters).await?,
        "hosts": inventories(&call, "HostInventory", choices.hosts).await?,
        "totalHosts": choices.total_hosts,
    }))
}

async fn storages(call: Call, op: GetCandidatePrimaryStoragesForCreatingVm) -> Result<Value> {
    let mut ask = Ask {
        image: Some(id("imageUuid", &op.image_uuid)?),
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        ..Ask::default()
    };
    let disk = opt_id("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    let size = op.root_disk_size;
    let ask = call
        .app
        .store
        .read(move |tx| {
            complete(tx, &mut ask, None, disk)?;
            ask.disk_bytes = ask.disk_bytes.max(size.unwrap_or(0));
            Ok(ask)
        })
        .await?;
    let list = inventories(&call, "PrimaryStorageInventory", chosen_from(&call, ask).await?.storages).await?;
    let data: serde_json::Map<String, Value> =
        op.data_disk_offering_uuids.iter().map(|o| (o.clone(), list.clone())).collect();
    Ok(json!({ "rootVolumePrimaryStorages": list, "dataVolumePrimaryStorages": data }))
}

async fn inventories(call: &Call, name: &'static str, uuids: BTreeSet<String>) -> Result<Value> {
    let dates = call.dates;
    call.app
        .store
        .read(move |tx| {
            let list: Result<Vec<Value>> = uuids.iter().map(|u| inventory::one(tx, name, u, dates)).collect();
            Ok(Value::Array(list?))
        })
        .await
}
