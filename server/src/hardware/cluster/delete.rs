//! Deletes a cluster and its hosts; VMs on the local storage of the hosts go, others are powered off.

use cairn_types::kind;

use crate::cascade::{Deletable, Deletion};

/// The kind of resource.
pub struct Cluster;

impl Deletable for Cluster {
    const WORKFLOW: &'static str = "cluster.delete/1";
    const ENTITY: &'static str = "ClusterVO";
    type Kind = kind::Cluster;
}

/// Deletes a cluster.
pub type DeleteCluster = Deletion<Cluster>;
