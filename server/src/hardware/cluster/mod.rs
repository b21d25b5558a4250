//! A cluster: hosts of one hypervisor that share primary storage and L2 networks.

pub mod api;
pub mod delete;

use cairn_store::{Tx, params};
use cairn_types::state::{EnabledState, HostState};
use cairn_types::{Id, Result, kind};

/// Enables or disables a cluster and its hosts. Hosts in maintenance stay there.
pub(super) fn set_state(tx: &mut dyn Tx, cluster: Id<kind::Cluster>, state: EnabledState) -> Result<()> {
    super::set_enabled(tx, "ClusterVO", cluster, state)?;
    let (from, to) = match state {
        EnabledState::Enabled => (HostState::Disabled, HostState::Enabled),
        EnabledState::Disabled => (HostState::Enabled, HostState::Disabled),
    };
    let sql = "SELECT uuid FROM host WHERE cluster_uuid = ? AND state = ? ORDER BY uuid";
    for row in tx.query(sql, params![cluster, from])? {
        super::host::set_state(tx, row.id("uuid")?, from, to)?;
    }
    Ok(())
}
