//! Networks of a host as desired state: the agent gets the whole wanted state of one thing, applies the difference, and
//! answers with the hash of what it applied.

use serde::{Deserialize, Serialize};

use super::vm::ConfigDrive;
use super::{Done, agent_op};

/// Make the bridge of an L2 network and enslave its uplink. Fails if the interface is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyBridge {
    /// The L2 network.
    pub l2_network: String,
    /// Name of the bridge, at most 15 bytes.
    pub bridge: String,
    /// Interface that leads out, such as `eth1`.
    pub uplink: String,
    /// MTU of the bridge.
    pub mtu: u32,
}
agent_op!(ApplyBridge => "network.applyBridge", Applied);

/// Remove the bridge of an L2 network. One that is gone is a success; one with taps of VMs is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveBridge {
    /// The L2 network.
    pub l2_network: String,
    /// Name of the bridge.
    pub bridge: String,
}
agent_op!(RemoveBridge => "network.removeBridge", Done);

/// The services of one flat L3 network on this host: DHCP, DNS forwarding and metadata for the VMs of this host only
/// (FLAT-01, FLAT-03). The whole wanted state; a network without VMs and services is removed with [`RemoveL3`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyL3 {
    /// The L3 network.
    pub l3_network: String,
    /// Bridge of its L2 network.
    pub bridge: String,
    /// Address of the DHCP server and metadata gateway, the same on every host, with prefix length: `10.0.0.2/24`.
    pub service_address: String,
    /// Serve DHCP.
    pub dhcp: bool,
    /// Serve metadata at 169.254.169.254.
    pub metadata: bool,
    /// Gateway given to guests; none: no default route.
    #[serde(default)]
    pub gateway: Option<String>,
    /// DNS servers given to guests.
    pub dns: Vec<String>,
    /// Domain given to guests.
    #[serde(default)]
    pub domain: Option<String>,
    /// MTU given to guests.
    pub mtu: u32,
    /// The VMs of this host in this network.
    pub leases: Vec<Lease>,
}
agent_op!(ApplyL3 => "network.applyL3", Applied);

/// A guest's fixed address and its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The VM.
    pub vm: String,
    /// Its hardware address on this network.
    pub mac: String,
    /// Its address.
    pub ip: String,
    /// Prefix length of its range.
    pub prefix: u8,
    /// Gateway of its range.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Host name given by DHCP.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Whether this is the VM's default network: only then it gets a default route and DNS.
    pub is_default: bool,
    /// What the metadata service answers to this guest.
    pub metadata: ConfigDrive,
}

/// Remove the services of an L3 network from this host. One that has none is a success.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveL3 {
    /// The L3 network.
    pub l3_network: String,
}
agent_op!(RemoveL3 => "network.removeL3", Done);

/// How strictly the guests of this host are guarded, those that run and those that start (setting `vm.cleanTraffic`, SG-03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyGuard {
    /// Only frames with the guest's own addresses pass.
    pub anti_spoofing: bool,
}
agent_op!(ApplyGuard => "network.applyGuard", Applied);

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Hex SHA-256 of the wanted state that now holds.
    pub hash: String,
}
