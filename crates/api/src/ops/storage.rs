//! Primary storage, backup storage, volumes and disk offerings.

crate::operations! {
    /// Add a folder on every host of a cluster as primary storage.
    AddLocalPrimaryStorage: POST "/primary-storage/local-storage" => "params", cli "primary-storage add-local" {
        /// Absolute path of the folder on each host.
        url: String => [max_len(2048)];
        /// Name of the primary storage; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Kind of storage. There is one kind.
        r#type: Option<String>;
        /// Zone that the storage belongs to.
        zone_uuid: String => [refers("ZoneVO")];
        /// Uuid that the new primary storage shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job PrimaryStorageInventory, admin, tags("PrimaryStorageVO"), class("AddPrimaryStorageResult");

    /// Add a simulated primary storage.
    AddSimulatorPrimaryStorage: POST "/primary-storage/simulators" => "params",
    cli "primary-storage add-simulator" {
        /// Bytes that may be promised.
        total_capacity: i64 => [default("100000000")];
        /// Bytes that may still be promised.
        available_capacity: i64 => [default("10000000")];
        /// Bytes that are free.
        available_physical_capacity: i64 => [default("10000000")];
        /// Bytes that there are.
        total_physical_capacity: i64 => [default("10000000")];
        /// Address that the storage pretends to have.
        url: String => [max_len(2048)];
        /// Name of the primary storage; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Kind of storage.
        r#type: Option<String>;
        /// Zone that the storage belongs to.
        zone_uuid: String => [refers("ZoneVO")];
        /// Uuid that the new primary storage shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job PrimaryStorageInventory, admin, tags("PrimaryStorageVO"), class("AddPrimaryStorageResult");

    /// Change name, description or address of a primary storage.
    UpdatePrimaryStorage: PUT "/primary-storage/{uuid}/actions" => "updatePrimaryStorage",
    cli "primary-storage update" {
        /// Primary storage to change.
        uuid: String => [path, refers("PrimaryStorageVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New address; only while no cluster uses the storage.
        url: Option<String> => [max_len(2048)];
    } -> job PrimaryStorageInventory, admin;

    /// Enable or disable a primary storage. Nothing new is placed on a disabled one.
    ChangePrimaryStorageState: PUT "/primary-storage/{uuid}/actions" => "changePrimaryStorageState",
    cli "primary-storage change-state" {
        /// Primary storage to change.
        uuid: String => [path, refers("PrimaryStorageVO")];
        /// What to do.
        state_event: String => [values(&["enable", "disable", "maintain", "deleting"])];
    } -> job PrimaryStorageInventory, admin;

    /// Let the hosts of a cluster use a primary storage.
    AttachPrimaryStorageToCluster: POST "/clusters/{clusterUuid}/primary-storage/{primaryStorageUuid}" => "",
    cli "primary-storage attach" {
        /// Cluster to attach to.
        cluster_uuid: String => [path, refers("ClusterVO")];
        /// Primary storage to attach.
        primary_storage_uuid: String => [path, refers("PrimaryStorageVO")];
    } -> job PrimaryStorageInventory, admin;

    /// End the use of a primary storage by a cluster. VMs that use it there are stopped.
    DetachPrimaryStorageFromCluster: DELETE "/clusters/{clusterUuid}/primary-storage/{primaryStorageUuid}",
    cli "primary-storage detach" {
        /// Primary storage to detach.
        primary_storage_uuid: String => [path, refers("PrimaryStorageVO")];
        /// Cluster to detach from.
        cluster_uuid: String => [path, refers("ClusterVO")];
    } -> job PrimaryStorageInventory, admin;

    /// Connect a primary storage again on every host that uses it.
    ReconnectPrimaryStorage: PUT "/primary-storage/{uuid}/actions" => "reconnectPrimaryStorage",
    cli "primary-storage reconnect" {
        /// Primary storage to connect.
        uuid: String => [path, refers("PrimaryStorageVO")];
    } -> job PrimaryStorageInventory, admin;

    /// Measure the capacity of a primary storage now.
    SyncPrimaryStorageCapacity: PUT "/primary-storage/{primaryStorageUuid}/actions" => "syncPrimaryStorageCapacity",
    cli "primary-storage sync-capacity" {
        /// Primary storage to measure.
        primary_storage_uuid: String => [path, refers("PrimaryStorageVO")];
    } -> job PrimaryStorageInventory, admin;

    /// Delete a primary storage that no cluster uses, with the VMs and volumes on it.
    DeletePrimaryStorage: DELETE "/primary-storage/{uuid}", cli "primary-storage delete" {
        /// Primary storage to delete.
        uuid: String => [path, refers("PrimaryStorageVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List primary storages.
    QueryPrimaryStorage: GET "/primary-storage", cli "primary-storage list" {
    } -> query PrimaryStorageInventory, admin;

    /// Show the capacity of primary storages.
    GetPrimaryStorageCapacity: GET "/primary-storage/capacities", cli "primary-storage show-capacity" {
        /// Zones to add up.
        zone_uuids: Vec<String> => [refers("ZoneVO")];
        /// Clusters to add up.
        cluster_uuids: Vec<String> => [refers("ClusterVO")];
        /// Primary storages to add up.
        primary_storage_uuids: Vec<String> => [refers("PrimaryStorageVO")];
        /// Add up everything.
        all: bool;
    } -> sync {
        totalCapacity: "long",
        availableCapacity: "long",
        totalPhysicalCapacity: "long",
        availablePhysicalCapacity: "long"
    }, admin;

    /// List the kinds of primary storage.
    GetPrimaryStorageTypes: GET "/primary-storage/types", cli "primary-storage list-types" {
    } -> sync { types: "List<String>" }, admin;

    /// List the strategies by which a primary storage can be chosen.
    GetPrimaryStorageAllocatorStrategies: GET "/primary-storage/allocators/strategies",
    cli "primary-storage list-allocator-strategies" {
    } -> sync { strategies: "List<String>" }, admin;

    /// Show the capacity of a local primary storage on each host.
    GetLocalStorageHostDiskCapacity: GET "/primary-storage/local-storage/{primaryStorageUuid}/capacities",
    cli "primary-storage show-host-capacity" {
        /// Local primary storage to look at.
        primary_storage_uuid: String => [path, refers("PrimaryStorageVO")];
        /// Only this host.
        host_uuid: Option<String> => [refers("HostVO")];
    } -> sync { inventories: "List<HostDiskCapacity>" }, admin;

    /// List on which host each volume of local storage lies.
    QueryLocalStorageResourceRef: GET "/primary-storage/local-storage/resource-refs",
    cli "primary-storage list-resources" {
    } -> query LocalStorageResourceRefInventory, admin;

    /// Add an image store by SSH: deploys the store on the machine and connects it.
    AddImageStoreBackupStorage: POST "/backup-storage/image-store" => "params",
    cli "backup-storage add-image-store" {
        /// Address or name of the machine.
        hostname: String => [max_len(255), no_empty_strings];
        /// User to log in with; must be root or may become root.
        username: String => [max_len(255)];
        /// SSH password.
        password: String => [max_len(255), secret];
        /// SSH port.
        ssh_port: i64 => [int, range(1, 65535), default("22")];
        /// Absolute path of the folder on the machine that holds the images.
        url: String => [max_len(2048), no_empty_strings];
        /// Name of the backup storage; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Kind of storage. There is one kind.
        r#type: Option<String>;
        /// Take over the images that lie in the folder.
        import_images: bool;
        /// Uuid that the new backup storage shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job ImageStoreBackupStorageInventory, admin, tags("BackupStorageVO");

    /// Add an image store on this machine or on a host that is connected already.
    AddLocalImageStore: POST "/cairn/backup-storage/local" => "params", cli "backup-storage add-local" {
        /// Name of the backup storage; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Absolute path of the folder that holds the images.
        url: String => [max_len(2048), no_empty_strings];
        /// Host that serves the store; the machine of the server if absent.
        host_uuid: Option<String> => [refers("HostVO")];
        /// Uuid that the new backup storage shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job ImageStoreBackupStorageInventory, admin, tags("BackupStorageVO"), ours;

    /// Add a simulated backup storage.
    AddSimulatorBackupStorage: POST "/backup-storage/simulators" => "params",
    cli "backup-storage add-simulator" {
        /// Bytes that there are.
        total_capacity: i64 => [default("0")];
        /// Bytes that are free.
        available_capacity: i64 => [default("0")];
        /// Address that the storage pretends to have.
        url: String => [max_len(2048), no_empty_strings];
        /// Name of the backup storage; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Kind of storage.
        r#type: Option<String>;
        /// Take over images that exist.
        import_images: bool;
        /// Uuid that the new backup storage shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job BackupStorageInventory, admin, tags("BackupStorageVO"), class("AddBackupStorageResult");

    /// Change name or description of a backup storage.
    UpdateBackupStorage: PUT "/backup-storage/{uuid}/actions" => "updateBackupStorage",
    cli "backup-storage update" {
        /// Backup storage to change.
        uuid: String => [path, refers("BackupStorageVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job BackupStorageInventory, admin;

    /// Change what an image store is called and how it is logged in to. Takes effect at the next reconnect.
    UpdateImageStoreBackupStorage: PUT "/backup-storage/image-store/{uuid}/actions" => "updateImageStoreBackupStorage",
    cli "backup-storage update-image-store" {
        /// Image store to change.
        uuid: String => [path, refers("BackupStorageVO")];
        /// New SSH user.
        username: Option<String> => [max_len(255)];
        /// New SSH password.
        password: Option<String> => [max_len(255), secret];
        /// New address of the machine.
        hostname: Option<String> => [max_len(255)];
        /// New SSH port.
        ssh_port: Option<i64> => [int, range(1, 65535)];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job BackupStorageInventory, admin, class("UpdateBackupStorageResult");

    /// Enable or disable a backup storage. No image is added to a disabled one.
    ChangeBackupStorageState: PUT "/backup-storage/{uuid}/actions" => "changeBackupStorageState",
    cli "backup-storage change-state" {
        /// Backup storage to change.
        uuid: String => [path, refers("BackupStorageVO")];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job BackupStorageInventory, admin;

    /// Let a zone use the images of a backup storage.
    AttachBackupStorageToZone: POST "/zones/{zoneUuid}/backup-storage/{backupStorageUuid}" => "",
    cli "backup-storage attach" {
        /// Zone to attach to.
        zone_uuid: String => [path, refers("ZoneVO")];
        /// Backup storage to attach.
        backup_storage_uuid: String => [path, refers("BackupStorageVO")];
    } -> job BackupStorageInventory, admin;

    /// End the use of a backup storage by a zone. VMs that exist are not affected.
    DetachBackupStorageFromZone: DELETE "/zones/{zoneUuid}/backup-storage/{backupStorageUuid}",
    cli "backup-storage detach" {
        /// Backup storage to detach.
        backup_storage_uuid: String => [path, refers("BackupStorageVO")];
        /// Zone to detach from.
        zone_uuid: String => [path, refers("ZoneVO")];
    } -> job BackupStorageInventory, admin;

    /// Connect a backup storage again.
    ReconnectBackupStorage: PUT "/backup-storage/{uuid}/actions" => "reconnectBackupStorage",
    cli "backup-storage reconnect" {
        /// Backup storage to connect.
        uuid: String => [path, refers("BackupStorageVO")];
    } -> job BackupStorageInventory, admin;

    /// Connect an image store again.
    ReconnectImageStoreBackupStorage: PUT "/backup-storage/image-store/{uuid}/actions" => "reconnectImageStoreBackupStorage",
    cli "backup-storage reconnect-image-store" {
        /// Image store to connect.
        uuid: String => [path, refers("BackupStorageVO")];
    } -> job ImageStoreBackupStorageInventory, admin;

    /// Delete a backup storage. Records of images that lie only there go, the files stay.
    DeleteBackupStorage: DELETE "/backup-storage/{uuid}", cli "backup-storage delete" {
        /// Backup storage to delete.
        uuid: String => [path, refers("BackupStorageVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List backup storages.
    QueryBackupStorage: GET "/backup-storage", cli "backup-storage list" {
    } -> query BackupStorageInventory, also(&["/backup-storage/{uuid}"]), read("backupStorage");

    /// List image stores with how they are logged in to.
    QueryImageStoreBackupStorage: GET "/backup-storage/image-store", cli "backup-storage list-image-stores" {
    } -> query ImageStoreBackupStorageInventory, admin;

    /// Show the capacity of backup storages.
    GetBackupStorageCapacity: GET "/backup-storage/capacities", cli "backup-storage show-capacity" {
        /// Zones to add up.
        zone_uuids: Vec<String> => [refers("ZoneVO")];
        /// Backup storages to add up.
        backup_storage_uuids: Vec<String> => [refers("BackupStorageVO")];
        /// Add up everything.
        all: bool;
    } -> sync { totalCapacity: "long", availableCapacity: "long" }, admin;

    /// List the kinds of backup storage.
    GetBackupStorageTypes: GET "/backup-storage/types", cli "backup-storage list-types" {
    } -> sync { types: "List<String>" }, admin;

    /// List volumes.
    QueryVolume: GET "/volumes", cli "volume list" {
    } -> query VolumeInventory, also(&["/volumes/{uuid}"]), read("volume");

    /// Create a disk offering: the size that volumes made from it have.
    CreateDiskOffering: POST "/disk-offerings" => "params", cli "disk-offering create" {
        /// Name of the disk offering; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Size of the volumes in bytes.
        disk_size: i64 => [range(1, i64::MAX)];
        /// Place in lists that are sorted by hand.
        sort_key: i64 => [int, default("0")];
        /// How a primary storage is chosen; see `primary-storage list-allocator-strategies`.
        allocation_strategy: Option<String>;
        /// Kind of offering. There is one kind.
        r#type: Option<String> => [values(&["zstack"])];
        /// Uuid that the new disk offering shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job DiskOfferingInventory, rbac("configuration"), tags("DiskOfferingVO");

    /// Change name or description of a disk offering.
    UpdateDiskOffering: PUT "/disk-offerings/{uuid}/actions" => "updateDiskOffering",
    cli "disk-offering update" {
        /// Disk offering to change.
        uuid: String => [path, refers("DiskOfferingVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job DiskOfferingInventory, rbac("configuration");

    /// Enable or disable a disk offering. Nothing new is made from a disabled one.
    ChangeDiskOfferingState: PUT "/disk-offerings/{uuid}/actions" => "changeDiskOfferingState",
    cli "disk-offering change-state" {
        /// Disk offering to change.
        uuid: String => [path, refers("DiskOfferingVO"), owned, target];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job DiskOfferingInventory, rbac("configuration");

    /// Delete a disk offering. Volumes made from it stay.
    DeleteDiskOffering: DELETE "/disk-offerings/{uuid}", cli "disk-offering delete" {
        /// Disk offering to delete.
        uuid: String => [path, refers("DiskOfferingVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("configuration"), missing_ok;

    /// List disk offerings.
    QueryDiskOffering: GET "/disk-offerings", cli "disk-offering list" {
    } -> query DiskOfferingInventory, also(&["/disk-offerings/{uuid}"]), read("configuration");
}
