//! Deletes an IP range. VMs with an address in it are powered off and lose the NIC.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};
use serde_json::json;

use crate::network::deletion::{Deletable, Deletion};
use crate::network::{dhcp, ip};
use crate::rows;

/// The kind of resource.
pub struct Range;

impl Deletable for Range {
    const WORKFLOW: &'static str = "ip-range.delete/1";
    const ENTITY: &'static str = super::ENTITY;
    type Kind = kind::IpRange;

    fn touched(tx: &mut dyn Tx, range: Id<kind::IpRange>) -> Result<Vec<Id<kind::L3Network>>> {
        let rows = tx.query("SELECT l3_network_uuid FROM ip_range WHERE uuid = ?", params![range])?;
        rows.iter().map(|r| r.id("l3_network_uuid")).collect()
    }

    fn before_remove(tx: &mut dyn Tx, range: Id<kind::IpRange>) -> Result<()> {
        dhcp::forget_in(tx, range)?;
        ip::forget(range);
        Ok(())
    }

    /// The DHCP address may have gone with the range; VMs in other ranges need one.
    fn after_remove(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<()> {
        if !rows::exists(tx, "L3NetworkVO", &l3.to_string())? {
            return Ok(());
        }
        rows::changed(tx, "L3NetworkVO", l3, &json!({ "changed": ["ipRanges"] }))?;
        if tx.exists(
            "SELECT 1 FROM vm_nic WHERE l3_network_uuid = ? AND ip IS NOT NULL LIMIT 1",
            params![l3],
        )? {
            dhcp::ensure(tx, l3)?;
        }
        Ok(())
    }
}

/// Deletes an IP range.
pub type DeleteIpRange = Deletion<Range>;
