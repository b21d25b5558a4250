//! What a deletion takes with it: the one table of which resource depends on which, and what happens to it.
//!
//! A deletion has three steps, the same for every resource ([`Deletion`]): *mark* the resource, which refuses every new
//! reference to it ([`crate::rows::claim`]); let its *dependents* go, each by the deletion of its own kind; *remove* it
//! together with the links that are left. Nobody but its own workflow removes a resource, so the plan of a deletion, which
//! is the same walk, lists exactly what goes.
//!
//! `Permissive` refuses while a VM that would be stopped or deleted runs on a host that can be reached; `Enforcing` powers
//! it off. The root of a deletion asks once for everything below it; what it deletes on the way does not ask again. A
//! deletion that failed half way has taken some dependents and can be repeated.

use std::collections::HashSet;

use cairn_api::resource::HOLDING_STATES;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::Cx;
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::app::App;
use crate::rows;

mod children;
mod deletion;
mod links;

pub use deletion::{Deletable, Deletion};

/// What happens to a dependent resource when the one it depends on is deleted.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is deleted too, by its own workflow, before its parent goes.
    Delete,
    /// A VM: it is powered off before its parent goes, and stays.
    Stop,
    /// Only the link goes, in the transaction that removes the parent. Takes the uuids of parent and dependent.
    Unlink(fn(&mut dyn Tx, &str, &str) -> Result<()>),
}

/// One dependency.
pub struct Edge {
    /// What is deleted.
    pub parent: &'static str,
    /// What depends on it.
    pub child: &'static str,
    /// Finds the dependents' uuids (column `uuid`); one parameter, the parent's uuid.
    pub find: &'static str,
    /// What happens to them.
    pub fate: Fate,
}

const fn edge(parent: &'static str, child: &'static str, fate: Fate, find: &'static str) -> Edge {
    Edge { parent, child, find, fate }
}

use Fate::{Delete, Stop, Unlink};

/// Every dependency, in the order in which the dependents go.
#[rustfmt::skip]
pub static EDGES: &[Edge] = &[
    // A zone takes everything in it. VMs go first, while their hosts are there to clean up after them.
    edge("ZoneVO", "VmInstanceVO", Delete, "SELECT uuid FROM vm_instance WHERE zone_uuid = ?"),
    edge("ZoneVO", "ClusterVO", Delete, "SELECT uuid FROM cluster WHERE zone_uuid = ?"),
    edge("ZoneVO", "PrimaryStorageVO", Delete, "SELECT uuid FROM primary_storage WHERE zone_uuid = ?"),
    edge("ZoneVO", "L2NetworkVO", Delete, "SELECT uuid FROM l2_network WHERE zone_uuid = ?"),
    edge("ZoneVO", "BackupStorageVO", Unlink(links::backup_storage_zone),
        "SELECT backup_storage_uuid AS uuid FROM backup_storage_zone_ref WHERE zone_uuid = ?"),

    // A cluster takes its hosts. VMs that have no host there any more stay and can start in another cluster.
    edge("ClusterVO", "HostVO", Delete, "SELECT uuid FROM host WHERE cluster_uuid = ?"),
    edge("ClusterVO", "VmInstanceVO", Unlink(links::vm_cluster), "SELECT uuid FROM vm_instance WHERE cluster_uuid = ?"),
    edge("ClusterVO", "PrimaryStorageVO", Unlink(links::cluster_primary_storage),
        "SELECT primary_storage_uuid AS uuid FROM primary_storage_cluster_ref WHERE cluster_uuid = ?"),
    edge("ClusterVO", "L2NetworkVO", Unlink(links::cluster_l2_network),
        "SELECT l2_network_uuid AS uuid FROM l2_network_cluster_ref WHERE cluster_uuid = ?"),

    // A host takes what lies on its local storage. VMs on storage that other hosts reach are powered off and stay.
    edge("HostVO", "VmInstanceVO", Delete,
        "SELECT DISTINCT v.vm_instance_uuid AS uuid FROM local_storage_resource_ref r JOIN volume v ON v.uuid = r.resource_uuid
         WHERE r.host_uuid = ? AND v.vm_instance_uuid IS NOT NULL"),
    edge("HostVO", "VmInstanceVO", Stop, "SELECT uuid FROM vm_instance WHERE host_uuid = ?"),
    edge("HostVO", "VmInstanceVO", Unlink(links::vm_host), "SELECT uuid FROM vm_instance WHERE host_uuid = ?"),
    edge("HostVO", "VolumeVO", Unlink(links::lost_volume),
        "SELECT v.uuid FROM local_storage_resource_ref r JOIN volume v ON v.uuid = r.resource_uuid
         WHERE r.host_uuid = ? AND v.vm_instance_uuid IS NULL"),
    edge("HostVO", "PrimaryStorageVO", Unlink(links::host_primary_storage),
        "SELECT primary_storage_uuid AS uuid FROM local_storage_host_ref WHERE host_uuid = ?"),

    // A primary storage takes the VMs whose root volume lies there, and every other volume.
    edge("PrimaryStorageVO", "VmInstanceVO", Delete,
        "SELECT DISTINCT vm_instance_uuid AS uuid FROM volume
         WHERE primary_storage_uuid = ? AND type = 'Root' AND vm_instance_uuid IS NOT NULL"),
    edge("PrimaryStorageVO", "VmInstanceVO", Stop,
        "SELECT DISTINCT vm_instance_uuid AS uuid FROM volume WHERE primary_storage_uuid = ? AND vm_instance_uuid IS NOT NULL"),
    edge("PrimaryStorageVO", "VolumeVO", Unlink(links::lost_volume), "SELECT uuid FROM volume WHERE primary_storage_uuid = ?"),
    edge("PrimaryStorageVO", "ClusterVO", Unlink(links::primary_storage_cluster),
        "SELECT cluster_uuid AS uuid FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ?"),

    // A backup storage takes the records of images that lie nowhere else; files stay on its machine.
    edge("BackupStorageVO", "ImageVO", Unlink(links::image_backup_storage),
        "SELECT image_uuid AS uuid FROM image_backup_storage_ref WHERE backup_storage_uuid = ?"),
    edge("BackupStorageVO", "ZoneVO", Unlink(links::zone_backup_storage),
        "SELECT zone_uuid AS uuid FROM backup_storage_zone_ref WHERE backup_storage_uuid = ?"),

    edge("L2NetworkVO", "L3NetworkVO", Delete, "SELECT uuid FROM l3_network WHERE l2_network_uuid = ?"),
    edge("L2NetworkVO", "ClusterVO", Unlink(links::l2_network_cluster),
        "SELECT cluster_uuid AS uuid FROM l2_network_cluster_ref WHERE l2_network_uuid = ?"),

    // An L3 network and an address range take NICs, never VMs: a VM that runs is powered off, then loses the NIC.
    edge("L3NetworkVO", "VmInstanceVO", Stop,
        "SELECT DISTINCT vm_instance_uuid AS uuid FROM vm_nic WHERE l3_network_uuid = ?"),
    edge("L3NetworkVO", "VmNicVO", Unlink(links::nic), "SELECT uuid FROM vm_nic WHERE l3_network_uuid = ?"),
    edge("L3NetworkVO", "IpRangeVO", Delete, "SELECT uuid FROM ip_range WHERE l3_network_uuid = ?"),
    edge("IpRangeVO", "VmInstanceVO", Stop,
        "SELECT DISTINCT n.vm_instance_uuid AS uuid FROM used_ip u JOIN vm_nic n ON n.uuid = u.vm_nic_uuid WHERE u.ip_range_uuid = ?"),
    edge("IpRangeVO", "VmNicVO", Unlink(links::nic),
        "SELECT DISTINCT vm_nic_uuid AS uuid FROM used_ip WHERE ip_range_uuid = ? AND vm_nic_uuid IS NOT NULL"),

    // An account takes all that it owns.
    edge("AccountVO", "VmInstanceVO", Delete, "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'VmInstanceVO'"),
    edge("AccountVO", "ImageVO", Delete, "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'ImageVO'"),
    edge("AccountVO", "L3NetworkVO", Delete, "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'L3NetworkVO'"),
    edge("AccountVO", "L2NetworkVO", Delete, "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'L2NetworkVO'"),
    edge("AccountVO", "VolumeVO", Unlink(links::lost_volume), "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'VolumeVO'"),
    edge("AccountVO", "InstanceOfferingVO", Unlink(links::instance_offering),
        "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'InstanceOfferingVO'"),
    edge("AccountVO", "DiskOfferingVO", Unlink(links::disk_offering),
        "SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'DiskOfferingVO'"),
];

/// Rows that mean nothing without the resource and are no resources themselves: they go in the transaction that removes
/// it. One parameter, its uuid.
#[rustfmt::skip]
pub static LEFTOVERS: &[(&str, &str)] = &[
    ("HostVO", "DELETE FROM image_cache WHERE host_uuid = ?"),
    ("HostVO", "DELETE FROM local_storage_resource_ref WHERE host_uuid = ?"),
    ("HostVO", "DELETE FROM local_storage_host_ref WHERE host_uuid = ?"),
    ("HostVO", "DELETE FROM cleanup WHERE kind = 'agent' AND target_uuid = ?"),
    ("HostVO", "DELETE FROM used_ip WHERE departed_vm_uuid IN (SELECT vm_uuid FROM departed_guest WHERE host_uuid = ?)"),
    ("HostVO", "DELETE FROM departed_nic WHERE vm_uuid IN (SELECT vm_uuid FROM departed_guest WHERE host_uuid = ?)"),
    ("HostVO", "DELETE FROM departed_guest WHERE host_uuid = ?"),
    ("PrimaryStorageVO", "DELETE FROM image_cache WHERE primary_storage_uuid = ?"),
    ("PrimaryStorageVO", "DELETE FROM local_storage_resource_ref WHERE primary_storage_uuid = ?"),
    ("PrimaryStorageVO", "DELETE FROM local_storage_host_ref WHERE primary_storage_uuid = ?"),
    ("PrimaryStorageVO", "DELETE FROM cleanup WHERE kind = 'agent' AND target_uuid = ?"),
    ("BackupStorageVO", "DELETE FROM cleanup WHERE kind = 'agent' AND target_uuid = ?"),
    ("ImageVO", "DELETE FROM image_backup_storage_ref WHERE image_uuid = ?"),
    ("L2NetworkVO", "DELETE FROM network_service_provider_l2_network_ref WHERE l2_network_uuid = ?"),
    ("L3NetworkVO", "DELETE FROM l3_network_dns WHERE l3_network_uuid = ?"),
    ("L3NetworkVO", "DELETE FROM network_service_l3_network_ref WHERE l3_network_uuid = ?"),
    ("L3NetworkVO", "DELETE FROM used_ip WHERE l3_network_uuid = ?"),
    ("IpRangeVO", "DELETE FROM used_ip WHERE ip_range_uuid = ?"),
    ("AccountVO", "DELETE FROM session WHERE account_uuid = ?"),
    ("AccountVO", "DELETE FROM access_key WHERE account_uuid = ?"),
    ("AccountVO", "DELETE FROM quota WHERE identity_uuid = ?"),
    ("AccountVO", "DELETE FROM shared_resource WHERE receiver_account_uuid = ?"),
];

fn edges(parent: &str) -> impl Iterator<Item = &'static Edge> + use<'_> {
    EDGES.iter().filter(move |e| e.parent == parent)
}

fn found(tx: &mut dyn Tx, edge: &Edge, parent: &str) -> Result<Vec<String>> {
    tx.query(edge.find, params![parent])?.iter().map(|r| r.text("uuid")).collect()
}

/// Deals with everything that must go, or stop, before a resource can: one child run each. A step of its own, to be
/// walked in `Do` and in `Plan`; safe to repeat. Boxed, because deletions contain one another.
pub fn dependents<'a>(cx: &'a mut Cx<App>, entity: &'a str, uuid: &'a str) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        for edge in edges(entity) {
            if matches!(edge.fate, Unlink(_)) {
                continue;
            }
            let parent = uuid.to_owned();
            let list = cx.read(move |tx| found(tx, edge, &parent)).await?;
            let count = list.len();
            for (done, child) in list.into_iter().enumerate() {
                match edge.fate {
                    Delete => {
                        let percent = u8::try_from(10 + done * 80 / count.max(1)).unwrap_or(90);
                        cx.progress(
                            percent,
                            &format!("deleting {} {child} ({} of {count})", edge.child, done + 1),
                        );
                        children::delete(cx, edge.child, &child).await?;
                    }
                    Stop => children::stop(cx, entity, &child).await?,
                    Unlink(_) => {}
                }
            }
        }
        Ok(())
    })
}

/// Takes the links of a resource away: part of the transaction that removes it, before [`rows::remove`].
pub fn unlink(tx: &mut dyn Tx, entity: &str, uuid: impl ToString) -> Result<()> {
    let uuid = uuid.to_string();
    for edge in edges(entity) {
        if let Unlink(f) = edge.fate {
            for child in found(tx, edge, &uuid)? {
                f(tx, &uuid, &child)?;
            }
        }
    }
    for (_, sql) in LEFTOVERS.iter().filter(|(e, _)| *e == entity) {
        tx.execute(sql, params![&uuid])?;
    }
    Ok(())
}

/// Refuses with `RES.8001` while a deletion would stop or delete a VM that runs. Called in the transaction that marks the
/// root of a `Permissive` deletion.
pub fn refuse_while_used(tx: &mut dyn Tx, entity: &str, uuid: impl ToString) -> Result<()> {
    let (mut vms, mut seen) = (Vec::new(), HashSet::new());
    let mut open = vec![(entity.to_owned(), uuid.to_string())];
    while let Some((entity, uuid)) = open.pop() {
        for edge in edges(&entity).filter(|e| matches!(e.fate, Delete | Stop)) {
            for child in found(tx, edge, &uuid)? {
                if edge.child == "VmInstanceVO" {
                    if seen.insert(child.clone()) {
                        vms.push(child);
                    }
                } else if seen.insert(child.clone()) {
                    open.push((edge.child.to_owned(), child));
                }
            }
        }
    }
    let sql = format!(
        "SELECT v.name, v.state FROM vm_instance v LEFT JOIN host h ON h.uuid = v.host_uuid
         WHERE v.uuid = ? AND v.state IN {HOLDING_STATES} AND (h.uuid IS NULL OR h.status = 'Connected')"
    );
    let mut running = Vec::new();
    for vm in vms {
        if let Some(row) = tx.query_opt(&sql, params![&vm])? {
            running.push(json!({ "uuid": vm, "name": row.text("name")?, "state": row.text("state")? }));
        }
    }
    if running.is_empty() { Ok(()) } else { Err(in_use(entity, &uuid.to_string(), running)) }
}

fn in_use(entity: &str, uuid: &str, running: Vec<serde_json::Value>) -> Fault {
    let names: Vec<String> =
        running.iter().take(5).map(|v| format!("{} ({})", v["name"], v["state"])).collect();
    let more = if running.len() > 5 { ", …" } else { "" };
    let text = format!(
        "{entity} {uuid} is in use by {} VM(s): {}{more}; stop them first, or use deleteMode Enforcing, which powers them off",
        running.len(),
        names.join(", ")
    );
    Fault::new(code::IN_USE, text).with("uuid", uuid).with("vms", running)
}

/// Reads a uuid of the table of resources.
fn id<T>(uuid: &str) -> Result<Id<T>> {
    uuid.parse().map_err(|_| Fault::internal(format!("{uuid} is stored as a uuid and is none")))
}

/// Removes a resource that has nothing but its row.
fn remove_row(tx: &mut dyn Tx, entity: &str, uuid: &str) -> Result<()> {
    rows::remove(tx, entity, id::<kind::AnyResource>(uuid)?)
}

#[cfg(test)]
mod tests;
