//! What happens to each link when one side of it goes. All of it in the transaction that removes the other side.

use cairn_store::{Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Result, kind, time};
use serde_json::json;

use super::{id, remove_row};
use crate::network::ip;
use crate::rows;

type Any = kind::AnyResource;

fn drop_ref(tx: &mut dyn Tx, table: &str, columns: (&str, &str), uuids: (&str, &str)) -> Result<()> {
    let sql = format!("DELETE FROM {table} WHERE {} = ? AND {} = ?", columns.0, columns.1);
    tx.execute(&sql, params![uuids.0, uuids.1])?;
    Ok(())
}

fn changed(tx: &mut dyn Tx, entity: &str, uuid: &str, what: &str, gone: &str) -> Result<()> {
    rows::changed(tx, entity, id::<Any>(uuid)?, &json!({ what: gone }))
}

pub(super) fn backup_storage_zone(tx: &mut dyn Tx, zone: &str, storage: &str) -> Result<()> {
    drop_ref(tx, "backup_storage_zone_ref", ("zone_uuid", "backup_storage_uuid"), (zone, storage))?;
    changed(tx, "BackupStorageVO", storage, "detachedZone", zone)
}

pub(super) fn zone_backup_storage(tx: &mut dyn Tx, storage: &str, zone: &str) -> Result<()> {
    drop_ref(tx, "backup_storage_zone_ref", ("zone_uuid", "backup_storage_uuid"), (zone, storage))
}

pub(super) fn cluster_primary_storage(tx: &mut dyn Tx, cluster: &str, storage: &str) -> Result<()> {
    drop_ref(
        tx,
        "primary_storage_cluster_ref",
        ("cluster_uuid", "primary_storage_uuid"),
        (cluster, storage),
    )?;
    changed(tx, "PrimaryStorageVO", storage, "detachedCluster", cluster)
}

/// The storage is Connected while any host that is left reaches it.
pub(super) fn host_primary_storage(tx: &mut dyn Tx, host: &str, storage: &str) -> Result<()> {
    drop_ref(tx, "local_storage_host_ref", ("host_uuid", "primary_storage_uuid"), (host, storage))?;
    crate::storage::connect::judge(tx, id(storage)?)
}

pub(super) fn primary_storage_cluster(tx: &mut dyn Tx, storage: &str, cluster: &str) -> Result<()> {
    drop_ref(tx, "primary_storage_cluster_ref", ("cluster_uuid", "primary_storage_uuid"), (cluster, storage))
}

pub(super) fn cluster_l2_network(tx: &mut dyn Tx, cluster: &str, l2: &str) -> Result<()> {
    drop_ref(tx, "l2_network_cluster_ref", ("cluster_uuid", "l2_network_uuid"), (cluster, l2))?;
    changed(tx, "L2NetworkVO", l2, "detachedCluster", cluster)
}

pub(super) fn l2_network_cluster(tx: &mut dyn Tx, l2: &str, cluster: &str) -> Result<()> {
    drop_ref(tx, "l2_network_cluster_ref", ("cluster_uuid", "l2_network_uuid"), (cluster, l2))
}

pub(super) fn image_backup_storage(tx: &mut dyn Tx, storage: &str, image: &str) -> Result<()> {
    crate::storage::image::forget_copy(tx, id(image)?, id(storage)?)
}

pub(super) fn vm_cluster(tx: &mut dyn Tx, cluster: &str, vm: &str) -> Result<()> {
    tx.execute("UPDATE vm_instance SET cluster_uuid = NULL WHERE uuid = ?", params![vm])?;
    changed(tx, "VmInstanceVO", vm, "leftCluster", cluster)
}

/// A VM whose host goes for good does not run: its host was told to power it off, or an operator says that it is dead.
pub(super) fn vm_host(tx: &mut dyn Tx, host: &str, vm: &str) -> Result<()> {
    let row = tx.query_opt("SELECT state FROM vm_instance WHERE uuid = ?", params![vm])?;
    let state: Option<VmState> = row.map(|r| r.parse("state")).transpose()?;
    if state.is_some_and(VmState::holds_capacity) {
        let sql = "UPDATE vm_instance SET state = 'Stopped', state_reason = 'its host was deleted', state_ms = ?, run_uuid = NULL
                   WHERE uuid = ?";
        tx.execute(sql, params![time::now_ms(), vm])?;
    }
    let sql = "UPDATE vm_instance SET host_uuid = NULL, vnc_port = NULL WHERE uuid = ?";
    tx.execute(sql, params![vm])?;
    changed(tx, "VmInstanceVO", vm, "leftHost", host)
}

/// A volume without a VM whose storage goes: its file goes with the storage.
pub(super) fn lost_volume(tx: &mut dyn Tx, _storage: &str, volume: &str) -> Result<()> {
    let sql = "SELECT host_uuid FROM local_storage_resource_ref WHERE resource_uuid = ?";
    let host = tx.query_opt(sql, params![volume])?.map(|r| r.text("host_uuid")).transpose()?;
    tx.execute("DELETE FROM local_storage_resource_ref WHERE resource_uuid = ?", params![volume])?;
    rows::remove_telling(tx, "VolumeVO", id::<Any>(volume)?, json!({ "hostUuid": host }))
}

pub(super) fn instance_offering(tx: &mut dyn Tx, _account: &str, offering: &str) -> Result<()> {
    remove_row(tx, "InstanceOfferingVO", offering)
}

pub(super) fn disk_offering(tx: &mut dyn Tx, _account: &str, offering: &str) -> Result<()> {
    remove_row(tx, "DiskOfferingVO", offering)
}

/// A NIC and its addresses. The VM stays; if the NIC was its default one, another takes over.
pub(super) fn nic(tx: &mut dyn Tx, _network: &str, nic: &str) -> Result<()> {
    let sql = "SELECT vm_instance_uuid, l3_network_uuid FROM vm_nic WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![nic])? else { return Ok(()) };
    let (vm, l3) = (row.text("vm_instance_uuid")?, row.text("l3_network_uuid")?);
    ip::give_back_where(tx, "vm_nic_uuid = ?", params![nic])?;
    remove_row(tx, "VmNicVO", nic)?;
    let sql = "UPDATE vm_instance SET default_l3_network_uuid =
                 (SELECT l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id LIMIT 1)
               WHERE uuid = ? AND default_l3_network_uuid = ?
                 AND ? NOT IN (SELECT l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ?)";
    tx.execute(sql, params![&vm, &vm, &l3, &l3, &vm])?;
    changed(tx, "VmInstanceVO", &vm, "detachedNic", nic)
}
