//! An L2 network: the segment that an interface of the hosts is on. On each host of its clusters it is a bridge with that
//! interface in it.

use cairn_store::Tx;
use cairn_types::{Fault, Id, Result, kind};

use crate::platform::tags;

/// Prefix of the tag that names the bridge.
pub const BRIDGE_TAG: &str = "kvm::bridge::";

/// Name of the bridge of an L2 network on hosts.
pub fn bridge(tx: &mut dyn Tx, l2: Id<kind::L2Network>) -> Result<String> {
    let name = tags::get(tx, l2, BRIDGE_TAG)?;
    name.ok_or_else(|| Fault::internal(format!("L2 network {l2} has no name of its bridge")))
}
