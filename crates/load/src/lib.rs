//! Fills a database with zones, clusters, hosts and virtual machines, for measuring at a size that calls of the API would
//! take hours to reach (BEY-07).
//!
//! Somebody makes one zone through the API: a cluster with a local storage and a network, a host, and a VM on it. The rows
//! that belong to them are read and cloned; nothing about their content is known here but which values must differ: ids,
//! names, addresses and times. So what the API begins to write is cloned too, if it stands in a table that is listed in
//! [`template`]; [`check`] finds rows in those that are not, by looking at all.
//!
//! What is not cloned is history: the jobs, runs, events and audit of the calls that made the template. A cloud of some age
//! has none of them either, because they are pruned.
//!
//! No server may be at work on the database meanwhile: what servers keep in memory follows the event log.

pub mod check;
mod make;
mod numbers;
mod template;
mod write;

use cairn_store::Store;
use cairn_types::{Result, time};

pub use template::Template;

/// How much of everything there shall be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Hosts that are added.
    pub hosts: usize,
    /// VMs that are added, spread evenly over the added hosts.
    pub vms: usize,
    /// Hosts of a cluster; at most 1000, because they share an agent.
    pub hosts_per_cluster: usize,
    /// Clusters of a zone.
    pub clusters_per_zone: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { hosts: 1000, vms: 1000, hosts_per_cluster: 1000, clusters_per_zone: 100 }
    }
}

impl Size {
    /// Clusters that are added.
    pub fn clusters(&self) -> usize {
        self.hosts.div_ceil(self.hosts_per_cluster.max(1))
    }

    /// Zones that are added.
    pub fn zones(&self) -> usize {
        self.clusters().div_ceil(self.clusters_per_zone.max(1))
    }
}

/// Clones the zone of this VM, with all that belongs to it, until there is as much as wanted. `progress` hears how many hosts
/// and VMs there are so far. Tells how many rows were written.
pub async fn load(store: &Store, vm: &str, size: Size, progress: impl Fn(&str, usize)) -> Result<usize> {
    let vm = vm.to_owned();
    let template = store.read(move |tx| Template::read(tx, &vm)).await?;
    let plan = make::Plan::new(&template, size, time::now_ms())?;
    write::all(store, plan, progress).await
}
