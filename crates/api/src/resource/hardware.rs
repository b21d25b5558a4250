//! Zones, clusters and hosts.

use super::*;

/// A zone.
pub static ZONE: Resource = Resource {
    inventory: "ZoneInventory",
    entity: "ZoneVO",
    class: "org.zstack.header.zone.ZoneInventory",
    table: "zone",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("state", "state"),
        text("type", "type"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("vmInstance", &VM_INSTANCE, "uuid", "zone_uuid"),
        join("cluster", &CLUSTER, "uuid", "zone_uuid"),
        join("host", &HOST, "uuid", "zone_uuid"),
        join("primaryStorage", &PRIMARY_STORAGE, "uuid", "zone_uuid"),
        join("l2Network", &L2_NETWORK, "uuid", "zone_uuid"),
        join("l3Network", &L3_NETWORK, "uuid", "zone_uuid"),
        hidden("backupStorageRef", &BACKUP_STORAGE_ZONE_REF, "uuid", "zone_uuid"),
    ],
    aliases: &[("backupStorage", "backupStorageRef.backupStorage")],
    visibility: Visibility::Everyone,
    post: &["state", "deleting_run"],
    ..NONE
};

/// A cluster.
pub static CLUSTER: Resource = Resource {
    inventory: "ClusterInventory",
    entity: "ClusterVO",
    class: "org.zstack.header.cluster.ClusterInventory",
    table: "cluster",
    fields: &[
        text("name", "name"),
        text("uuid", "uuid"),
        text("description", "description"),
        text("state", "state"),
        text("hypervisorType", "hypervisor_type"),
        CREATED,
        CHANGED,
        text("zoneUuid", "zone_uuid"),
        text("type", "type"),
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("host", &HOST, "uuid", "cluster_uuid"),
        join("vmInstance", &VM_INSTANCE, "uuid", "cluster_uuid"),
        hidden("l2NetworkRef", &L2_NETWORK_CLUSTER_REF, "uuid", "cluster_uuid"),
        hidden("l2VlanNetworkRef", &L2_NETWORK_CLUSTER_REF, "uuid", "cluster_uuid"),
        hidden("primaryStorageRef", &PRIMARY_STORAGE_CLUSTER_REF, "uuid", "cluster_uuid"),
    ],
    aliases: &[
        ("l2Network", "l2NetworkRef.l2Network"),
        ("l2VlanNetwork", "l2VlanNetworkRef.l2Network"),
        ("primaryStorage", "primaryStorageRef.primaryStorage"),
    ],
    visibility: Visibility::AdminOnly,
    post: &["state", "deleting_run"],
    ..NONE
};

/// A host of any kind.
pub static HOST: Resource = Resource {
    inventory: "HostInventory",
    entity: "HostVO",
    class: "org.zstack.header.host.HostInventory",
    table: "host",
    fields: &[
        text("zoneUuid", "zone_uuid"),
        text("name", "name"),
        text("uuid", "uuid"),
        text("clusterUuid", "cluster_uuid"),
        text("description", "description"),
        text("managementIp", "management_ip"),
        text("hypervisorType", "hypervisor_type"),
        text("state", "state"),
        text("status", "status"),
        long("totalCpuCapacity", "").from(HOST_TOTAL_CPU),
        long("availableCpuCapacity", "").from(HOST_AVAILABLE_CPU),
        int("cpuSockets", "cpu_sockets"),
        long("totalMemoryCapacity", "").from(HOST_TOTAL_MEMORY),
        long("availableMemoryCapacity", "").from(HOST_AVAILABLE_MEMORY),
        int("cpuNum", "cpu_num"),
        text("statusReason", "status_reason"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("cluster", &CLUSTER, "cluster_uuid", "uuid"),
        join("vmInstance", &VM_INSTANCE, "uuid", "host_uuid"),
    ],
    subtypes: Some(Subtypes {
        column: "hypervisor_type",
        of: &[("KVM", &KVM_HOST), ("Simulator", &SIMULATOR_HOST)],
    }),
    visibility: Visibility::Everyone,
    post: &["state", "status", "hypervisor_type", "deleting_run"],
    ..NONE
};

/// A KVM host.
pub static KVM_HOST: Resource = Resource {
    inventory: "KVMHostInventory",
    entity: "KVMHostVO",
    class: "org.zstack.kvm.KVMHostInventory",
    table: "host",
    fields: &[text("username", "username"), int("sshPort", "ssh_port")],
    parent: Some(&HOST),
    only: Some(("hypervisor_type", "KVM")),
    visibility: Visibility::Everyone,
    post: &["state", "status", "hypervisor_type", "deleting_run"],
    ..NONE
};

/// A host in memory.
pub static SIMULATOR_HOST: Resource = Resource {
    inventory: "SimulatorHostInventory",
    entity: "SimulatorHostVO",
    class: "org.zstack.header.simulator.SimulatorHostInventory",
    table: "host",
    fields: &[long("memoryCapacity", "total_memory"), long("cpuCapacity", "total_cpu")],
    parent: Some(&HOST),
    only: Some(("hypervisor_type", "Simulator")),
    visibility: Visibility::Everyone,
    post: &["state", "status", "hypervisor_type", "deleting_run"],
    ..NONE
};
