//! What a user may ask for in each state, for resources other than VMs. Sent as `allowedActions`.

/// Names of the calls that this state allows. A resource that is on its way out allows none.
pub fn allowed(inventory: &str, state: &str, status: &str) -> Vec<&'static str> {
    let (update, change, delete) = match inventory {
        "ZoneInventory" => ("UpdateZone", "ChangeZoneState", "DeleteZone"),
        "ClusterInventory" => ("UpdateCluster", "ChangeClusterState", "DeleteCluster"),
        "HostInventory" | "KVMHostInventory" | "SimulatorHostInventory" => return host(state, status),
        "PrimaryStorageInventory" => return primary_storage(state),
        "BackupStorageInventory" | "ImageStoreBackupStorageInventory" => return backup_storage(),
        "ImageInventory" => return image(status),
        "InstanceOfferingInventory" => {
            ("UpdateInstanceOffering", "ChangeInstanceOfferingState", "DeleteInstanceOffering")
        }
        "DiskOfferingInventory" => ("UpdateDiskOffering", "ChangeDiskOfferingState", "DeleteDiskOffering"),
        "L3NetworkInventory" => ("UpdateL3Network", "ChangeL3NetworkState", "DeleteL3Network"),
        "L2NetworkInventory" => {
            return vec!["UpdateL2Network", "AttachL2NetworkToCluster", "DeleteL2Network"];
        }
        _ => return Vec::new(),
    };
    vec![update, change, delete]
}

fn host(state: &str, status: &str) -> Vec<&'static str> {
    let mut actions = vec!["UpdateHost", "ChangeHostState"];
    if state != "PreMaintenance" && state != "Maintenance" {
        actions.push("ReconnectHost");
    }
    if status != "Connecting" {
        actions.push("DeleteHost");
    }
    actions
}

fn primary_storage(state: &str) -> Vec<&'static str> {
    let mut actions = vec!["UpdatePrimaryStorage", "ChangePrimaryStorageState", "ReconnectPrimaryStorage"];
    if state != "Deleting" {
        actions.extend([
            "AttachPrimaryStorageToCluster",
            "DetachPrimaryStorageFromCluster",
            "DeletePrimaryStorage",
        ]);
    }
    actions
}

fn backup_storage() -> Vec<&'static str> {
    vec![
        "UpdateBackupStorage",
        "ChangeBackupStorageState",
        "ReconnectBackupStorage",
        "AttachBackupStorageToZone",
        "DetachBackupStorageFromZone",
        "DeleteBackupStorage",
    ]
}

fn image(status: &str) -> Vec<&'static str> {
    match status {
        "Ready" => {
            vec!["UpdateImage", "ChangeImageState", "SyncImageSize", "DeleteImage", "ChangeResourceOwner"]
        }
        "Deleted" => vec!["RecoverImage", "ExpungeImage"],
        "Downloading" | "Creating" | "Error" => vec!["DeleteImage"],
        _ => Vec::new(),
    }
}
