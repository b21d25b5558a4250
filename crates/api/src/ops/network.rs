//! L2 networks, L3 networks, IP ranges and network services.

use std::collections::BTreeMap;

crate::operations! {
    /// Create an L2 network without VLAN: the segment that a network interface of the hosts is on.
    CreateL2NoVlanNetwork: POST "/l2-networks/no-vlan" => "params", cli "l2-network create-no-vlan" {
        /// Name of the L2 network; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Zone that the network belongs to.
        zone_uuid: String => [refers("ZoneVO")];
        /// Network interface of every host of the clusters it is attached to.
        physical_interface: String => [max_len(1024)];
        /// Kind of network. There is one kind for this call.
        r#type: Option<String>;
        /// Kind of switch on the hosts.
        v_switch_type: String => [max_len(1024), values(&["LinuxBridge"]), default("LinuxBridge")];
        /// Ports do not reach each other.
        isolated: bool;
        /// Private VLANs.
        pvlan: Option<String> => [ignored];
        /// Uuid that the new L2 network shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job L2NetworkInventory, admin, tags("L2NetworkVO"), class("CreateL2NetworkResult");

    /// Change name or description of an L2 network.
    UpdateL2Network: PUT "/l2-networks/{uuid}/actions" => "updateL2Network", cli "l2-network update" {
        /// L2 network to change.
        uuid: String => [path, refers("L2NetworkVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job L2NetworkInventory, admin;

    /// Delete an L2 network with its L3 networks. VM NICs on them are detached.
    DeleteL2Network: DELETE "/l2-networks/{uuid}", cli "l2-network delete" {
        /// L2 network to delete.
        uuid: String => [path, refers("L2NetworkVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("l2Network"), missing_ok;

    /// Make an L2 network available on the hosts of a cluster.
    AttachL2NetworkToCluster: POST "/l2-networks/{l2NetworkUuid}/clusters/{clusterUuid}" => "null",
    cli "l2-network attach" {
        /// L2 network to attach.
        l2_network_uuid: String => [path, refers("L2NetworkVO"), owned, target];
        /// Cluster to attach to.
        cluster_uuid: String => [path, refers("ClusterVO")];
        /// Kind of switch on the hosts.
        l2_provider_type: Option<String> => [values(&["LinuxBridge"])];
    } -> job L2NetworkInventory, admin;

    /// Take an L2 network from the hosts of a cluster. Refused while VMs there run on it.
    DetachL2NetworkFromCluster: DELETE "/l2-networks/{l2NetworkUuid}/clusters/{clusterUuid}",
    cli "l2-network detach" {
        /// L2 network to detach.
        l2_network_uuid: String => [path, refers("L2NetworkVO"), owned, target];
        /// Cluster to detach from.
        cluster_uuid: String => [path, refers("ClusterVO")];
    } -> job L2NetworkInventory, admin;

    /// List L2 networks.
    QueryL2Network: GET "/l2-networks", cli "l2-network list" {
    } -> query L2NetworkInventory, also(&["/l2-networks/{uuid}"]), admin;

    /// List the kinds of L2 network.
    GetL2NetworkTypes: GET "/l2-networks/types", cli "l2-network list-types" {
    } -> sync { types: "List<String>" }, admin;

    /// Create an L3 network: addresses, DNS and network services on top of an L2 network.
    CreateL3Network: POST "/l3-networks" => "params", cli "l3-network create" {
        /// Name of the L3 network; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Kind of network.
        r#type: String => [default("L3BasicNetwork")];
        /// L2 network below.
        l2_network_uuid: String => [refers("L2NetworkVO")];
        /// `Private` for tenants, `Public` towards the outside, `System` for the platform.
        category: String => [values(&["Public", "Private", "System"]), default("Private")];
        /// The network is for the platform itself, not for users.
        system: bool;
        /// DNS domain of the guests.
        dns_domain: Option<String>;
        /// 4 or 6.
        ip_version: Option<i64> => [int, values(&["4", "6"])];
        /// Addresses are handed out by the platform.
        enable_ipam as "enableIPAM": bool => [default("true")];
        /// Uuid that the new L3 network shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job L3NetworkInventory, rbac("l3Network"), tags("L3NetworkVO");

    /// Change what is known about an L3 network.
    UpdateL3Network: PUT "/l3-networks/{uuid}/actions" => "updateL3Network", cli "l3-network update" {
        /// L3 network to change.
        uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New category.
        category: Option<String> => [values(&["Public", "Private", "System"])];
        /// The network is for the platform itself, not for users.
        system: Option<bool>;
        /// New DNS domain of the guests.
        dns_domain: Option<String> => [max_len(255)];
    } -> job L3NetworkInventory, rbac("l3Network");

    /// Enable or disable an L3 network. No address is taken from a disabled one.
    ChangeL3NetworkState: PUT "/l3-networks/{uuid}/actions" => "changeL3NetworkState",
    cli "l3-network change-state" {
        /// L3 network to change.
        uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job L3NetworkInventory, rbac("l3Network");

    /// Delete an L3 network. VM NICs on it are detached.
    DeleteL3Network: DELETE "/l3-networks/{uuid}", cli "l3-network delete" {
        /// L3 network to delete.
        uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("l3Network"), missing_ok;

    /// List L3 networks.
    QueryL3Network: GET "/l3-networks", cli "l3-network list" {
    } -> query L3NetworkInventory, also(&["/l3-networks/{uuid}"]), read("l3Network");

    /// List the kinds of L3 network.
    GetL3NetworkTypes: GET "/l3-networks/types", cli "l3-network list-types" {
    } -> sync { types: "List<String>" }, read("l3Network");

    /// Add a DNS server to those that guests are told.
    AddDnsToL3Network: POST "/l3-networks/{l3NetworkUuid}/dns" => "params", cli "l3-network add-dns" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Address of the DNS server.
        dns: String;
    } -> job L3NetworkInventory, rbac("l3Network");

    /// Remove a DNS server from those that guests are told.
    RemoveDnsFromL3Network: DELETE "/l3-networks/{l3NetworkUuid}/dns/{dns}", cli "l3-network remove-dns" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Address of the DNS server.
        dns: String => [path];
    } -> job L3NetworkInventory, rbac("l3Network"), missing_ok;

    /// Set the largest packet that guests may send.
    SetL3NetworkMtu: POST "/l3-networks/{l3NetworkUuid}/mtu" => "params", cli "l3-network set-mtu" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Bytes.
        mtu: i64 => [int, range(68, 9216)];
    } -> job {}, rbac("l3Network");

    /// Show the largest packet that guests may send.
    GetL3NetworkMtu: GET "/l3-networks/{l3NetworkUuid}/mtu", cli "l3-network show-mtu" {
        /// L3 network to look at.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
    } -> sync { mtu: "int" }, rbac("l3Network");

    /// Show the address that DHCP servers of a flat network use.
    GetL3NetworkDhcpIpAddress: GET "/l3-networks/{l3NetworkUuid}/dhcp-ip", cli "l3-network show-dhcp-ip" {
        /// L3 network to look at.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
    } -> sync { ip: "String" }, rbac("l3Network");

    /// Turn network services of a provider on for an L3 network.
    AttachNetworkServiceToL3Network: POST "/l3-networks/{l3NetworkUuid}/network-services" => "params",
    cli "l3-network attach-service" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Services by uuid of their provider, as in `{"<uuid>": ["DHCP"]}`.
        network_services: BTreeMap<String, Vec<String>> => [required];
    } -> job L3NetworkInventory, rbac("l3Network");

    /// Turn network services of a provider off for an L3 network.
    DetachNetworkServiceFromL3Network: DELETE "/l3-networks/{l3NetworkUuid}/network-services",
    cli "l3-network detach-service" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Services by uuid of their provider.
        network_services: BTreeMap<String, Vec<String>> => [required];
    } -> job L3NetworkInventory, rbac("l3Network");

    /// List which network services are on for which L3 network.
    QueryNetworkServiceL3NetworkRef: GET "/l3-networks/network-services/refs", cli "l3-network list-services" {
    } -> query NetworkServiceL3NetworkRefInventory, read("l3Network");

    /// List the providers of network services.
    QueryNetworkServiceProvider: GET "/network-services/providers", cli "network-service list-providers" {
    } -> query NetworkServiceProviderInventory, read("l3Network");

    /// List the kinds of network service.
    GetNetworkServiceTypes: GET "/network-services/types", cli "network-service list-types" {
    } -> sync { types: "Map" }, read("l3Network");

    /// Add addresses to an L3 network, from first to last.
    AddIpRange: POST "/l3-networks/{l3NetworkUuid}/ip-ranges" => "params", cli "ip-range add" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Name of the IP range; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// First address.
        start_ip: String;
        /// Last address.
        end_ip: String;
        /// Netmask of the network.
        netmask: String;
        /// Gateway that guests use.
        gateway: Option<String> => [once_required];
        /// Kind of range.
        ip_range_type: Option<String> => [values(&["Normal", "AddressPool"])];
        /// Uuid that the new IP range shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job IpRangeInventory, rbac("l3Network"), tags("IpRangeVO");

    /// Add all addresses of a CIDR to an L3 network. The first is the gateway unless another is named.
    AddIpRangeByNetworkCidr: POST "/l3-networks/{l3NetworkUuid}/ip-ranges/by-cidr" => "params",
    cli "ip-range add-by-cidr" {
        /// L3 network to change.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned, target];
        /// Name of the IP range; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Network, as in `192.168.7.0/24`.
        network_cidr: String;
        /// Gateway that guests use; the first address if absent.
        gateway: Option<String> => [max_len(64)];
        /// Kind of range.
        ip_range_type: Option<String> => [values(&["Normal", "AddressPool"])];
        /// Uuid that the new IP range shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job IpRangeInventory, rbac("l3Network"), tags("IpRangeVO");

    /// Change name or description of an IP range.
    UpdateIpRange: PUT "/l3-networks/ip-ranges/{uuid}/actions" => "updateIpRange", cli "ip-range update" {
        /// IP range to change.
        uuid: String => [path, refers("IpRangeVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job IpRangeInventory, rbac("l3Network");

    /// Delete an IP range. VM NICs with an address in it are detached.
    DeleteIpRange: DELETE "/l3-networks/ip-ranges/{uuid}", cli "ip-range delete" {
        /// IP range to delete.
        uuid: String => [path, refers("IpRangeVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("l3Network"), missing_ok;

    /// List IP ranges.
    QueryIpRange: GET "/l3-networks/ip-ranges", cli "ip-range list" {
    } -> query IpRangeInventory, also(&["/l3-networks/ip-ranges/{uuid}"]), read("l3Network");

    /// List free addresses of an IP range.
    GetFreeIpOfIpRange: GET "/l3-networks/ip-ranges/{ipRangeUuid}/ip/free", cli "ip-range list-free" {
        /// IP range to look at.
        ip_range_uuid: String => [path, refers("IpRangeVO"), owned];
        /// L3 network of the range.
        l3_network_uuid: Option<String> => [refers("L3NetworkVO"), owned];
        /// List addresses from this one on.
        start: String => [default("0.0.0.0")];
        /// Most addresses to list.
        limit: i64 => [int, range(1, 65536), default("100")];
        /// Kind of range.
        ip_range_type: Option<String> => [values(&["Normal", "AddressPool"])];
        /// 4 or 6.
        ip_version: Option<i64> => [int, values(&["4", "6"])];
    } -> sync { inventories: "List<FreeIpInventory>" }, read("l3Network"), class("GetFreeIpResult");

    /// List free addresses of an L3 network.
    GetFreeIpOfL3Network: GET "/l3-networks/{l3NetworkUuid}/ip/free", cli "l3-network list-free-ips" {
        /// L3 network to look at.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned];
        /// Only addresses of this IP range.
        ip_range_uuid: Option<String> => [refers("IpRangeVO"), owned];
        /// List addresses from this one on.
        start: String => [default("0.0.0.0")];
        /// Most addresses to list.
        limit: i64 => [int, range(1, 65536), default("100")];
        /// Kind of range.
        ip_range_type: Option<String> => [values(&["Normal", "AddressPool"])];
        /// 4 or 6.
        ip_version: Option<i64> => [int, values(&["4", "6"])];
    } -> sync { inventories: "List<FreeIpInventory>" }, read("l3Network"), class("GetFreeIpResult");

    /// Say whether an address of an L3 network is free.
    CheckIpAvailability: GET "/l3-networks/{l3NetworkUuid}/ip/{ip}/availability", cli "l3-network check-ip" {
        /// L3 network to look at.
        l3_network_uuid: String => [path, refers("L3NetworkVO"), owned];
        /// Address to check.
        ip: String => [path, max_len(255)];
        /// Ask on the network too.
        arp_check: bool;
        /// The address must lie in a range of the network.
        ip_range_check: bool => [default("true")];
    } -> sync { available: "boolean" }, read("l3Network");

    /// Show how many addresses there are and how many are free.
    GetIpAddressCapacity: GET "/ip-capacity", cli "l3-network show-ip-capacity" {
        /// Zones to add up.
        zone_uuids: Vec<String> => [refers("ZoneVO")];
        /// L3 networks to add up.
        l3_network_uuids: Vec<String> => [refers("L3NetworkVO"), owned];
        /// IP ranges to add up.
        ip_range_uuids: Vec<String> => [refers("IpRangeVO"), owned];
        /// Add up everything.
        all: bool;
    } -> sync { totalCapacity: "long", availableCapacity: "long" }, read("l3Network");
}
