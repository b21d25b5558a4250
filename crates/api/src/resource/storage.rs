//! Primary storage, backup storage, images and volumes.

use super::*;

/// A primary storage.
pub static PRIMARY_STORAGE: Resource = Resource {
    inventory: "PrimaryStorageInventory",
    entity: "PrimaryStorageVO",
    class: "org.zstack.header.storage.primary.PrimaryStorageInventory",
    table: "primary_storage",
    fields: &[
        text("uuid", "uuid"),
        text("zoneUuid", "zone_uuid"),
        text("name", "name"),
        text("url", "url"),
        text("description", "description"),
        long("totalCapacity", "").from(STORAGE_TOTAL),
        long("availableCapacity", "").from(STORAGE_AVAILABLE),
        long("totalPhysicalCapacity", "").from(STORAGE_TOTAL_PHYSICAL),
        long("availablePhysicalCapacity", "").from(STORAGE_AVAILABLE_PHYSICAL),
        long("systemUsedCapacity", "").from(STORAGE_SYSTEM_USED),
        text("type", "type"),
        text("state", "state"),
        text("status", "status"),
        text("mountPath", "mount_path"),
        text("statusReason", "status_reason"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("volume", &VOLUME, "uuid", "primary_storage_uuid"),
        hidden("clusterRef", &PRIMARY_STORAGE_CLUSTER_REF, "uuid", "primary_storage_uuid"),
    ],
    lists: &[list(
        "attachedClusterUuids",
        "primary_storage_cluster_ref",
        "primary_storage_uuid",
        "cluster_uuid",
    )],
    aliases: &[("cluster", "clusterRef.cluster")],
    visibility: Visibility::AdminOnly,
    post: &["state", "status", "type", "deleting_run"],
    ..NONE
};

/// A primary storage attached to a cluster.
pub static PRIMARY_STORAGE_CLUSTER_REF: Resource = Resource {
    inventory: "PrimaryStorageClusterRefInventory",
    entity: "PrimaryStorageClusterRefVO",
    class: "org.zstack.header.storage.primary.PrimaryStorageClusterRefInventory",
    table: "primary_storage_cluster_ref",
    keys: &["primary_storage_uuid", "cluster_uuid"],
    fields: &[
        text("primaryStorageUuid", "primary_storage_uuid"),
        text("clusterUuid", "cluster_uuid"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("cluster", &CLUSTER, "cluster_uuid", "uuid"),
        join("primaryStorage", &PRIMARY_STORAGE, "primary_storage_uuid", "uuid"),
    ],
    visibility: Visibility::AdminOnly,
    ..NONE
};

/// Which host holds a volume of a local storage.
pub static LOCAL_STORAGE_RESOURCE_REF: Resource = Resource {
    inventory: "LocalStorageResourceRefInventory",
    entity: "LocalStorageResourceRefVO",
    class: "org.zstack.storage.primary.local.LocalStorageResourceRefInventory",
    table: "local_storage_resource_ref",
    keys: &["resource_uuid"],
    fields: &[
        text("resourceUuid", "resource_uuid"),
        text("primaryStorageUuid", "primary_storage_uuid"),
        text("hostUuid", "host_uuid"),
        long("size", "size"),
        text("resourceType", "resource_type"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("volume", &VOLUME, "resource_uuid", "uuid"),
        join("image", &IMAGE, "resource_uuid", "uuid"),
        hidden("host", &HOST, "host_uuid", "uuid"),
    ],
    visibility: Visibility::Parent("resource_uuid", &VOLUME),
    ..NONE
};

/// A backup storage of any kind.
pub static BACKUP_STORAGE: Resource = Resource {
    inventory: "BackupStorageInventory",
    entity: "BackupStorageVO",
    class: "org.zstack.header.storage.backup.BackupStorageInventory",
    table: "backup_storage",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("url", "url"),
        text("description", "description"),
        long("totalCapacity", "total_capacity"),
        long("availableCapacity", "available_capacity"),
        text("type", "type"),
        text("state", "state"),
        text("status", "status"),
        text("statusReason", "status_reason"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        hidden("zoneRef", &BACKUP_STORAGE_ZONE_REF, "uuid", "backup_storage_uuid"),
        hidden("imageRef", &IMAGE_BACKUP_STORAGE_REF, "uuid", "backup_storage_uuid"),
    ],
    lists: &[list("attachedZoneUuids", "backup_storage_zone_ref", "backup_storage_uuid", "zone_uuid")],
    aliases: &[("zone", "zoneRef.zone"), ("image", "imageRef.image")],
    subtypes: Some(Subtypes {
        column: "type",
        of: &[("ImageStoreBackupStorage", &IMAGE_STORE_BACKUP_STORAGE)],
    }),
    visibility: Visibility::Everyone,
    post: &["state", "status", "type", "deleting_run"],
    ..NONE
};

/// An image store.
pub static IMAGE_STORE_BACKUP_STORAGE: Resource = Resource {
    inventory: "ImageStoreBackupStorageInventory",
    entity: "ImageStoreBackupStorageVO",
    class: "org.zstack.storage.backup.imagestore.ImageStoreBackupStorageInventory",
    table: "backup_storage",
    fields: &[text("hostname", "hostname"), text("username", "username"), int("sshPort", "ssh_port")],
    parent: Some(&BACKUP_STORAGE),
    only: Some(("type", "ImageStoreBackupStorage")),
    visibility: Visibility::Everyone,
    post: &["state", "status", "type", "deleting_run"],
    ..NONE
};

/// A backup storage attached to a zone.
pub static BACKUP_STORAGE_ZONE_REF: Resource = Resource {
    inventory: "BackupStorageZoneRefInventory",
    entity: "BackupStorageZoneRefVO",
    class: "org.zstack.header.storage.backup.BackupStorageZoneRefInventory",
    table: "backup_storage_zone_ref",
    keys: &["backup_storage_uuid", "zone_uuid"],
    fields: &[
        text("backupStorageUuid", "backup_storage_uuid"),
        text("zoneUuid", "zone_uuid"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("backupStorage", &BACKUP_STORAGE, "backup_storage_uuid", "uuid"),
    ],
    visibility: Visibility::Everyone,
    ..NONE
};

/// An image.
pub static IMAGE: Resource = Resource {
    inventory: "ImageInventory",
    entity: "ImageVO",
    class: "org.zstack.header.image.ImageInventory",
    table: "image",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("exportUrl", "").from(
            "(SELECT min(x.export_url) FROM image_backup_storage_ref x WHERE x.image_uuid = {t}.uuid)",
        ),
        text("exportMd5Sum", "").from(
            "(SELECT min(x.export_md5_sum) FROM image_backup_storage_ref x WHERE x.image_uuid = {t}.uuid AND x.export_url IS NOT NULL)",
        ),
        text("state", "state"),
        text("status", "status"),
        text("statusReason", "status_reason"),
        long("size", "size"),
        long("actualSize", "actual_size"),
        text("md5Sum", "md5_sum"),
        text("url", "url"),
        text("mediaType", "media_type"),
        text("guestOsType", "guest_os_type"),
        text("type", "type"),
        text("platform", "platform"),
        text("format", "format"),
        boolean("system", "system"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        hidden("backupStorageRef", &IMAGE_BACKUP_STORAGE_REF, "uuid", "image_uuid"),
        join("volume", &VOLUME, "uuid", "root_image_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    nested: &[nested("backupStorageRefs", &IMAGE_BACKUP_STORAGE_REF, "image_uuid", "backup_storage_uuid")],
    aliases: &[("backupStorage", "backupStorageRef.backupStorage"), OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "status", "deleting_run"],
    ..NONE
};

/// A copy of an image on a backup storage.
pub static IMAGE_BACKUP_STORAGE_REF: Resource = Resource {
    inventory: "ImageBackupStorageRefInventory",
    entity: "ImageBackupStorageRefVO",
    class: "org.zstack.header.image.ImageBackupStorageRefInventory",
    table: "image_backup_storage_ref",
    keys: &["image_uuid", "backup_storage_uuid"],
    fields: &[
        text("imageUuid", "image_uuid"),
        text("backupStorageUuid", "backup_storage_uuid"),
        text("installPath", "install_path"),
        text("status", "status"),
        text("sha256", "sha256"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("image", &IMAGE, "image_uuid", "uuid"),
        join("backupStorage", &BACKUP_STORAGE, "backup_storage_uuid", "uuid"),
    ],
    visibility: Visibility::Parent("image_uuid", &IMAGE),
    ..NONE
};

/// A copy of an image on a primary storage.
pub static IMAGE_CACHE: Resource = Resource {
    inventory: "ImageCacheInventory",
    entity: "ImageCacheVO",
    class: "org.zstack.header.storage.primary.ImageCacheInventory",
    table: "image_cache",
    fields: &[
        text("uuid", "uuid"),
        text("imageUuid", "image_uuid"),
        text("primaryStorageUuid", "primary_storage_uuid"),
        text("hostUuid", "host_uuid"),
        text("installUrl", "install_path"),
        text("mediaType", "media_type"),
        long("size", "size"),
        text("state", "state"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("image", &IMAGE, "image_uuid", "uuid"),
        join("primaryStorage", &PRIMARY_STORAGE, "primary_storage_uuid", "uuid"),
        join("host", &HOST, "host_uuid", "uuid"),
    ],
    ..NONE
};

/// A volume.
pub static VOLUME: Resource = Resource {
    inventory: "VolumeInventory",
    entity: "VolumeVO",
    class: "org.zstack.header.volume.VolumeInventory",
    table: "volume",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("primaryStorageUuid", "primary_storage_uuid"),
        text("vmInstanceUuid", "vm_instance_uuid"),
        text("diskOfferingUuid", "disk_offering_uuid"),
        text("rootImageUuid", "root_image_uuid"),
        text("installPath", "install_path"),
        text("type", "type"),
        text("format", "format"),
        long("size", "size"),
        long("actualSize", "actual_size"),
        int("deviceId", "device_id"),
        text("state", "state"),
        text("status", "status"),
        CREATED,
        CHANGED,
        boolean("isShareable", "is_shareable"),
    ],
    joins: &[
        join("vmInstance", &VM_INSTANCE, "vm_instance_uuid", "uuid"),
        join("diskOffering", &DISK_OFFERING, "disk_offering_uuid", "uuid"),
        join("primaryStorage", &PRIMARY_STORAGE, "primary_storage_uuid", "uuid"),
        join("image", &IMAGE, "root_image_uuid", "uuid"),
        join("localStorageHostRef", &LOCAL_STORAGE_RESOURCE_REF, "uuid", "resource_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    aliases: &[OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "status", "type", "deleting_run"],
    ..NONE
};
