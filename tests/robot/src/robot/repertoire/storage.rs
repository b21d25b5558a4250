//! Primary storage, backup storage, disk offerings and images.

use serde_json::{Value, json};

use super::hardware::admins;
use super::{Act, Maker, act};
use crate::robot::model::{Kind, State};

pub(super) const ACTS: &[Act] = &[
    act("AddLocalPrimaryStorage", 3, add_local),
    act("AddSimulatorPrimaryStorage", 2, add_simulated),
    act("UpdatePrimaryStorage", 2, |m| admins(m, |m| m.renaming(Kind::PrimaryStorage))),
    act("ChangePrimaryStorageState", 3, change_primary),
    act("AttachPrimaryStorageToCluster", 4, primary_and_cluster),
    act("DetachPrimaryStorageFromCluster", 2, detach_primary),
    act("ReconnectPrimaryStorage", 3, |m| {
        admins(m, |m| Some(json!({ "uuid": m.any(Kind::PrimaryStorage)?.uuid })))
    }),
    act("SyncPrimaryStorageCapacity", 3, |m| {
        admins(m, |m| Some(json!({ "primaryStorageUuid": m.any(Kind::PrimaryStorage)?.uuid })))
    }),
    act("DeletePrimaryStorage", 2, |m| admins(m, |m| m.deletion(Kind::PrimaryStorage))),
    act("AddSimulatorBackupStorage", 3, add_backup),
    act("UpdateBackupStorage", 2, |m| admins(m, |m| m.renaming(Kind::BackupStorage))),
    act("ChangeBackupStorageState", 2, |m| admins(m, |m| m.state_event(Kind::BackupStorage))),
    act("AttachBackupStorageToZone", 3, backup_and_zone),
    act("DetachBackupStorageFromZone", 1, detach_backup),
    act("ReconnectBackupStorage", 3, |m| {
        admins(m, |m| Some(json!({ "uuid": m.any(Kind::BackupStorage)?.uuid })))
    }),
    act("DeleteBackupStorage", 2, |m| admins(m, |m| m.deletion(Kind::BackupStorage))),
    act("CreateDiskOffering", 3, create_disk_offering),
    act("UpdateDiskOffering", 2, |m| m.renaming(Kind::DiskOffering)),
    act("ChangeDiskOfferingState", 2, |m| m.state_event(Kind::DiskOffering)),
    act("DeleteDiskOffering", 2, |m| m.deletion(Kind::DiskOffering)),
    act("AddImage", 12, add_image),
    act("UpdateImage", 4, |m| m.renaming(Kind::Image)),
    act("ChangeImageState", 3, |m| m.state_event(Kind::Image)),
    act("DeleteImage", 9, delete_image),
    act("RecoverImage", 4, |m| image_that(m, State::Gone, State::On, "imageUuid")),
    act("ExpungeImage", 6, expunge_image),
    act("SyncImageSize", 4, |m| image_that(m, State::On, State::On, "uuid")),
    act("SetImageQga", 2, |m| {
        Some(json!({ "uuid": m.any(Kind::Image)?.uuid, "enable": m.dice.percent(50) }))
    }),
];

fn add_local(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let zone = m.any(Kind::Zone)?;
    let storage = m.fresh(Kind::PrimaryStorage, 4, &[(Kind::Zone, &zone)])?;
    let name = format!("local-{}", storage.number);
    Some(
        json!({ "name": name, "url": format!("/{name}"), "zoneUuid": zone.uuid, "resourceUuid": storage.uuid }),
    )
}

fn add_simulated(m: &mut Maker) -> Option<Value> {
    let mut params = add_local(m)?;
    params["totalCapacity"] = json!(1_i64 << 40);
    params["availableCapacity"] = json!(1_i64 << 40);
    Some(params)
}

fn change_primary(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let event = m.dice.one(&["enable", "enable", "enable", "enable", "disable", "maintain"]);
    Some(json!({ "uuid": m.any(Kind::PrimaryStorage)?.uuid, "stateEvent": event }))
}

fn primary_and_cluster(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let storage = m.any(Kind::PrimaryStorage)?;
    // In the beginning each cluster once, in their order.
    let clusters = m.model.all(Kind::Cluster);
    let nth = m.jobs.len() % clusters.len().max(1);
    let cluster = match m.model.all(Kind::Account).is_empty() {
        true => clusters.get(nth)?.clone(),
        false => m.any(Kind::Cluster)?,
    };
    Some(json!({ "primaryStorageUuid": storage.uuid, "clusterUuid": cluster.uuid }))
}

fn detach_primary(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let storage = m.doomed(Kind::PrimaryStorage)?;
    Some(json!({ "primaryStorageUuid": storage.uuid, "clusterUuid": m.any(Kind::Cluster)?.uuid }))
}

fn add_backup(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let store = m.fresh(Kind::BackupStorage, 3, &[])?;
    let name = format!("store-{}", store.number);
    Some(json!({
        "name": name, "url": format!("/{name}"), "resourceUuid": store.uuid, "totalCapacity": 1_i64 << 40,
        "availableCapacity": 1_i64 << 40,
    }))
}

fn backup_and_zone(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    Some(
        json!({ "backupStorageUuid": m.any(Kind::BackupStorage)?.uuid, "zoneUuid": m.any(Kind::Zone)?.uuid }),
    )
}

fn detach_backup(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    Some(
        json!({ "backupStorageUuid": m.doomed(Kind::BackupStorage)?.uuid, "zoneUuid": m.any(Kind::Zone)?.uuid }),
    )
}

fn create_disk_offering(m: &mut Maker) -> Option<Value> {
    let offering = m.fresh(Kind::DiskOffering, 4, &[])?;
    let name = format!("disk-{}", offering.number);
    Some(json!({ "name": name, "diskSize": 1_i64 << (28 + m.dice.below(4)), "resourceUuid": offering.uuid }))
}

fn add_image(m: &mut Maker) -> Option<Value> {
    let store = m.shared(Kind::BackupStorage)?;
    let image = m.fresh(Kind::Image, 9, &[])?;
    let is_upload = image.number > 3 && m.dice.percent(15);
    let url = match is_upload {
        true => format!("upload://{}", image.uuid),
        false => format!("http://images.example.org/image-{}.qcow2", m.dice.below(4)),
    };
    let mut stores = vec![store.uuid];
    if m.dice.percent(15)
        && let Some(second) = m.any_that(Kind::BackupStorage, |s| s.uuid != stores[0])
    {
        stores.push(second.uuid);
    }
    Some(json!({
        "name": format!("image-{}", image.number), "url": url, "mediaType": "RootVolumeTemplate", "format": "qcow2",
        "platform": "Linux", "backupStorageUuids": stores, "resourceUuid": image.uuid,
    }))
}

fn image_that(m: &mut Maker, is: State, becomes: State, param: &str) -> Option<Value> {
    let strict = m.dice.percent(85);
    let image = m.any_that(Kind::Image, |i| !strict || i.state == is)?;
    if !image.is_base {
        m.model.set(Kind::Image, &image.uuid, becomes);
    }
    Some(json!({ param: image.uuid }))
}

fn delete_image(m: &mut Maker) -> Option<Value> {
    let image = m.any_that(Kind::Image, |i| !i.is_base && i.state == State::On)?;
    m.model.set(Kind::Image, &image.uuid, State::Gone);
    Some(json!({ "uuid": image.uuid, "deleteMode": m.dice.one(&["Enforcing", "Permissive"]) }))
}

fn expunge_image(m: &mut Maker) -> Option<Value> {
    let image = m.any_that(Kind::Image, |i| !i.is_base && i.state == State::Gone)?;
    m.goes(&image);
    Some(json!({ "imageUuid": image.uuid }))
}
