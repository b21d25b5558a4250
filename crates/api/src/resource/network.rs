//! Networks, address ranges and network services.

use super::*;

/// A layer-2 network.
pub static L2_NETWORK: Resource = Resource {
    inventory: "L2NetworkInventory",
    entity: "L2NetworkVO",
    class: "org.zstack.header.network.l2.L2NetworkInventory",
    table: "l2_network",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("zoneUuid", "zone_uuid"),
        text("physicalInterface", "physical_interface"),
        text("type", "type"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("l3Network", &L3_NETWORK, "uuid", "l2_network_uuid"),
        hidden("clusterRef", &L2_NETWORK_CLUSTER_REF, "uuid", "l2_network_uuid"),
    ],
    lists: &[list("attachedClusterUuids", "l2_network_cluster_ref", "l2_network_uuid", "cluster_uuid")],
    aliases: &[("cluster", "clusterRef.cluster")],
    visibility: Visibility::Owned,
    post: &["type", "deleting_run"],
    ..NONE
};

/// A layer-2 network attached to a cluster.
pub static L2_NETWORK_CLUSTER_REF: Resource = Resource {
    inventory: "L2NetworkClusterRefInventory",
    entity: "L2NetworkClusterRefVO",
    class: "org.zstack.header.network.l2.L2NetworkClusterRefInventory",
    table: "l2_network_cluster_ref",
    keys: &["l2_network_uuid", "cluster_uuid"],
    fields: &[
        text("l2NetworkUuid", "l2_network_uuid"),
        text("clusterUuid", "cluster_uuid"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("cluster", &CLUSTER, "cluster_uuid", "uuid"),
        join("l2Network", &L2_NETWORK, "l2_network_uuid", "uuid"),
    ],
    visibility: Visibility::Parent("l2_network_uuid", &L2_NETWORK),
    ..NONE
};

/// A layer-3 network.
pub static L3_NETWORK: Resource = Resource {
    inventory: "L3NetworkInventory",
    entity: "L3NetworkVO",
    class: "org.zstack.header.network.l3.L3NetworkInventory",
    table: "l3_network",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("type", "type"),
        text("zoneUuid", "zone_uuid"),
        text("l2NetworkUuid", "l2_network_uuid"),
        text("state", "state"),
        text("dnsDomain", "dns_domain"),
        boolean("system", "system"),
        text("category", "category"),
        CREATED,
        CHANGED,
    ],
    joins: &[
        join("zone", &ZONE, "zone_uuid", "uuid"),
        join("l2Network", &L2_NETWORK, "l2_network_uuid", "uuid"),
        join("vmNic", &VM_NIC, "uuid", "l3_network_uuid"),
        hidden("serviceProviderRef", &NETWORK_SERVICE_L3_NETWORK_REF, "uuid", "l3_network_uuid"),
        hidden("accountRef", &ACCOUNT_RESOURCE_REF, "uuid", "uuid"),
    ],
    lists: &[ListField {
        name: "dns",
        table: "l3_network_dns",
        local: "uuid",
        owner: "l3_network_uuid",
        value: "dns",
        order: "position",
    }],
    nested: &[
        nested("ipRanges", &IP_RANGE, "l3_network_uuid", "start_ip_sort"),
        nested("networkServices", &NETWORK_SERVICE_L3_NETWORK_REF, "l3_network_uuid", "network_service_type"),
    ],
    aliases: &[("serviceProvider", "serviceProviderRef.serviceProvider"), OWNER, OWNER_UUID],
    visibility: Visibility::Owned,
    post: &["state", "type", "deleting_run"],
    ..NONE
};

/// A range of addresses of a layer-3 network.
pub static IP_RANGE: Resource = Resource {
    inventory: "IpRangeInventory",
    entity: "IpRangeVO",
    class: "org.zstack.header.network.l3.IpRangeInventory",
    table: "ip_range",
    fields: &[
        text("uuid", "uuid"),
        text("l3NetworkUuid", "l3_network_uuid"),
        text("name", "name"),
        text("description", "description"),
        text("startIp", "start_ip").sorted_by("start_ip_sort"),
        text("endIp", "end_ip").sorted_by("end_ip_sort"),
        text("netmask", "netmask"),
        text("gateway", "gateway"),
        text("networkCidr", "network_cidr"),
        CREATED,
        CHANGED,
    ],
    joins: &[join("l3Network", &L3_NETWORK, "l3_network_uuid", "uuid")],
    visibility: Visibility::Parent("l3_network_uuid", &L3_NETWORK),
    post: &["deleting_run"],
    ..NONE
};

/// What provides network services.
pub static NETWORK_SERVICE_PROVIDER: Resource = Resource {
    inventory: "NetworkServiceProviderInventory",
    entity: "NetworkServiceProviderVO",
    class: "org.zstack.header.network.service.NetworkServiceProviderInventory",
    table: "network_service_provider",
    fields: &[
        text("uuid", "uuid"),
        text("name", "name"),
        text("description", "description"),
        text("type", "type"),
        CREATED,
        CHANGED,
    ],
    lists: &[
        list("networkServiceTypes", "network_service_type", "network_service_provider_uuid", "type"),
        list(
            "attachedL2NetworkUuids",
            "network_service_provider_l2_network_ref",
            "network_service_provider_uuid",
            "l2_network_uuid",
        ),
    ],
    visibility: Visibility::Everyone,
    ..NONE
};

/// A service that a layer-3 network has, and its provider.
pub static NETWORK_SERVICE_L3_NETWORK_REF: Resource = Resource {
    inventory: "NetworkServiceL3NetworkRefInventory",
    entity: "NetworkServiceL3NetworkRefVO",
    class: "org.zstack.header.network.service.NetworkServiceL3NetworkRefInventory",
    table: "network_service_l3_network_ref",
    keys: &["l3_network_uuid", "network_service_type"],
    fields: &[
        text("l3NetworkUuid", "l3_network_uuid"),
        text("networkServiceProviderUuid", "network_service_provider_uuid"),
        text("networkServiceType", "network_service_type"),
    ],
    joins: &[
        join("l3Network", &L3_NETWORK, "l3_network_uuid", "uuid"),
        join("serviceProvider", &NETWORK_SERVICE_PROVIDER, "network_service_provider_uuid", "uuid"),
    ],
    visibility: Visibility::Parent("l3_network_uuid", &L3_NETWORK),
    ..NONE
};

/// A free address.
pub static FREE_IP: Resource = Resource {
    inventory: "FreeIpInventory",
    class: "org.zstack.header.network.l3.FreeIpInventory",
    fields: &[text("ipRangeUuid", ""), text("ip", ""), text("netmask", ""), text("gateway", "")],
    ..NONE
};
