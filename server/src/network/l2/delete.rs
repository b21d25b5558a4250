//! Deletes an L2 network with its L3 networks. VMs on them are powered off and lose the NIC.

use cairn_store::Tx;
use cairn_types::{Id, Result, kind};

use crate::network::apply::{self, Order};
use crate::network::deletion::{Deletable, Deletion};

/// The kind of resource.
pub struct L2;

impl Deletable for L2 {
    const WORKFLOW: &'static str = "l2.delete/1";
    const ENTITY: &'static str = super::ENTITY;
    type Kind = kind::L2Network;

    fn orders(tx: &mut dyn Tx, l2: Id<kind::L2Network>) -> Result<Vec<(Id<kind::Host>, Order)>> {
        let order = apply::bridge_order(tx, l2)?;
        Ok(apply::hosts_of_l2(tx, l2)?.into_iter().map(|host| (host, order.clone())).collect())
    }
}

/// Deletes an L2 network.
pub type DeleteL2Network = Deletion<L2>;
