//! VM instances, their NICs, and offerings.

use super::*;

/// A VM instance.
pub static VM_INSTANCE: Resource = Resource {
    inventory: "VmInstanceInventory",
    entity: "VmInstanceVO",
    class: "org.zstack.header.vm.VmInstanceInventory",
    table: "vm_instance",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("zoneUuid", "zone_uuid"),
        text("clusterUuid", "cluster_uuid"),
        text("imageUuid", "image_uuid"),
        text("hostUuid", "host_uuid"),
        text("lastHostUuid", "last_host_uuid"),
        text("instanceOfferingUuid", "instance_offering_uuid"),
        text("rootVolumeUuid", "root_volume_uuid"),
        text("platform", "platform"),
        text("defaultL3NetworkUuid", "default_l3_network_uuid"),
        text("type", "type"),
        text("hypervisorType", "hypervisor_type"),
        long("memorySize", "memory_size"),
        int("cpuNum", "cpu_num"),
        long("cpuSpeed", "cpu_speed"),
        text("allocatorStrategy", "allocator_strategy"),
        CREATED,
        CHANGED,
        text("state", "state"),
        text("stateReason", "state_reason"),
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("cluster", &CLUSTER, "cluster_uuid", "uuid"),
        join("host", &HOST, "host_uuid", "uuid"),
        join("image", &IMAGE, "image_uuid", "uuid"),
        join("instanceOffering", &INSTANCE_OFFERING, "instance_offering_uuid", "uuid"),
        join("rootVolume", &VOLUME, "root_volume_uuid", "uuid"),
        join("vmNics", &VM_NIC, "uuid", "vm_instance_uuid"),
        join("allVolumes", &VOLUME, "uuid", "vm_instance_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    nested: &[
        nested("vmNics", &VM_NIC, "vm_instance_uuid", "device_id"),
        nested("allVolumes", &VOLUME, "vm_instance_uuid", "device_id"),
    ],
    aliases: &[OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "type", "hypervisor_type", "deleting_run"],
    ..NONE
};

/// A NIC of a VM instance.
pub static VM_NIC: Resource = Resource {
    inventory: "VmNicInventory",
    entity: "VmNicVO",
    class: "org.zstack.header.vm.VmNicInventory",
    table: "vm_nic",
    fields: &[
        text("uuid", "uuid"),
        text("vmInstanceUuid", "vm_instance_uuid"),
        text("l3NetworkUuid", "l3_network_uuid"),
        text("ip", "ip").sorted_by("ip_sort"),
        text("mac", "mac"),
        text("netmask", "netmask"),
        text("gateway", "gateway"),
        text("metaData", "meta_data"),
        int("deviceId", "device_id"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("vmInstance", &VM_INSTANCE, "vm_instance_uuid", "uuid"),
        join("l3Network", &L3_NETWORK, "l3_network_uuid", "uuid"),
    ],
    visibility: Visibility::Parent("vm_instance_uuid", &VM_INSTANCE),
    ..NONE
};

/// CPU and memory of a VM instance, as a choice to offer.
pub static INSTANCE_OFFERING: Resource = Resource {
    inventory: "InstanceOfferingInventory",
    entity: "InstanceOfferingVO",
    class: "org.zstack.header.configuration.InstanceOfferingInventory",
    table: "instance_offering",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        int("cpuNum", "cpu_num"),
        int("cpuSpeed", "cpu_speed"),
        long("memorySize", "memory_size"),
        text("type", "type"),
        text("allocatorStrategy", "allocator_strategy"),
        int("sortKey", "sort_key"),
        CREATED,
        CHANGED,
        text("state", "state"),
    ],
    joins: &[
        join("vmInstance", &VM_INSTANCE, "uuid", "instance_offering_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    aliases: &[OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "deleting_run"],
    ..NONE
};

/// Size of a data volume, as a choice to offer.
pub static DISK_OFFERING: Resource = Resource {
    inventory: "DiskOfferingInventory",
    entity: "DiskOfferingVO",
    class: "org.zstack.header.configuration.DiskOfferingInventory",
    table: "disk_offering",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        long("diskSize", "disk_size"),
        int("sortKey", "sort_key"),
        text("state", "state"),
        text("type", "type"),
        CREATED,
        CHANGED,
        text("allocatorStrategy", "allocator_strategy"),
    ],
    joins: &[
        join("volume", &VOLUME, "uuid", "disk_offering_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    aliases: &[OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "deleting_run"],
    ..NONE
};
