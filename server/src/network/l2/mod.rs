//! An L2 network: the segment that an interface of the hosts is on. On each host of its clusters it is a bridge with that
//! interface in it.
//!
//! It is infrastructure and has no owner: accounts that may create L3 networks build them on any L2 network.

pub mod api;
pub mod attach;
pub mod delete;
pub mod detach;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};

use crate::platform::tags;

const ENTITY: &str = "L2NetworkVO";

/// The kind of L2 network without VLAN.
pub const NO_VLAN: &str = "L2NoVlanNetwork";

/// Prefix of the tag that names the bridge.
const BRIDGE_TAG: &str = "kvm::bridge::";

/// Longest name of a network device in Linux, in bytes.
const DEVICE_NAME: usize = 15;

/// Name of the bridge of an L2 network on hosts.
pub fn bridge(tx: &mut dyn Tx, l2: Id<kind::L2Network>) -> Result<String> {
    let name = tags::get(tx, l2, BRIDGE_TAG)?;
    name.ok_or_else(|| Fault::internal(format!("L2 network {l2} has no name of its bridge")))
}

/// Whether a network is attached to a cluster.
fn is_attached(tx: &mut dyn Tx, l2: Id<kind::L2Network>, cluster: Id<kind::Cluster>) -> Result<bool> {
    let sql = "SELECT 1 FROM l2_network_cluster_ref WHERE l2_network_uuid = ? AND cluster_uuid = ?";
    tx.exists(sql, params![l2, cluster])
}

/// Gives a network a name of its bridge that no other one has: `br_eth1`, or a shorter form with a number.
fn name_bridge(tx: &mut dyn Tx, l2: Id<kind::L2Network>, interface: &str) -> Result<()> {
    for name in bridge_names(interface) {
        let sql = "SELECT 1 FROM system_tag WHERE tag = ? AND resource_type = ?";
        if !tx.exists(sql, params![format!("{BRIDGE_TAG}{name}"), ENTITY])? {
            return tags::set(tx, ENTITY, l2, BRIDGE_TAG, &name, true);
        }
    }
    Err(Fault::internal("no name of a bridge is left"))
}

fn bridge_names(interface: &str) -> impl Iterator<Item = String> + use<'_> {
    (1..1_000_000u32).map(move |n| {
        let end = if n == 1 && interface.len() + 3 <= DEVICE_NAME { String::new() } else { format!("_{n}") };
        let room = DEVICE_NAME - 3 - end.len();
        format!("br_{}{end}", interface.get(..interface.len().min(room)).unwrap_or_default())
    })
}

/// Refuses what can't be the name of a network interface.
fn check_interface(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    let is_name = (1..=DEVICE_NAME).contains(&name.len())
        && name.bytes().all(good)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_name {
        return Ok(());
    }
    let text = format!(
        "parameter physicalInterface is {name:?}, which is no name of a network interface such as eth1 (at most \
         {DEVICE_NAME} letters, digits, dots, hyphens and underscores)"
    );
    Err(Fault::argument(text).with("parameter", "physicalInterface"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_01_names_of_bridges_fit_linux() {
        for (interface, first, second) in [
            ("eth1", "br_eth1", "br_eth1_2"),
            ("enp131s0f0np0", "br_enp131s0f0_1", "br_enp131s0f0_2"),
            ("bond0.4094", "br_bond0.4094", "br_bond0.4094_2"),
        ] {
            let names: Vec<String> = bridge_names(interface).take(200).collect();
            assert_eq!([names[0].as_str(), names[1].as_str()], [first, second]);
            assert!(names.iter().all(|n| n.len() <= 15));
        }
    }

    #[test]
    fn l2_01_hostile_interfaces_are_refused() {
        for bad in
            ["", "eth0; reboot", "$(reboot)", "../x", "-eth0", "eth0/..", "a234567890123456", "eth\u{1f600}"]
        {
            assert!(check_interface(bad).is_err(), "{bad}");
        }
        for good in ["eth0", "enp0s31f6", "bond0.100", "em1"] {
            check_interface(good).unwrap();
        }
    }
}
