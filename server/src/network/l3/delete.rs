//! Deletes an L3 network with its IP ranges. VMs on it are powered off and lose the NIC.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};

use crate::network::apply::{self, Order};
use crate::network::deletion::{Deletable, Deletion};

/// The kind of resource.
pub struct L3;

impl Deletable for L3 {
    const WORKFLOW: &'static str = "l3.delete/1";
    const ENTITY: &'static str = super::ENTITY;
    type Kind = kind::L3Network;

    fn orders(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Vec<(Id<kind::Host>, Order)>> {
        let row = tx.query_opt("SELECT l2_network_uuid FROM l3_network WHERE uuid = ?", params![l3])?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let hosts = apply::hosts_of_l2(tx, row.id("l2_network_uuid")?)?;
        Ok(hosts.into_iter().map(|host| (host, Order::Services(l3))).collect())
    }
}

/// Deletes an L3 network.
pub type DeleteL3Network = Deletion<L3>;
