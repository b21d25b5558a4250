//! What rows want on a host.

use std::collections::{BTreeSet, HashMap};

use cairn_api::agent::network::{ApplyBridge, ApplyGuard, ApplyL3, Lease};
use cairn_api::agent::vm::ConfigDrive;
use cairn_api::resource::HOLDING_STATES;
use cairn_store::{Row, Tx, params};
use cairn_types::{Fault, Id, Result, kind};

use super::memory::Thing;
use super::{Host, L2, L3, ids};
use crate::app::App;
use crate::network::{dhcp, l2, l3, metadata, service};

/// The wanted state of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The thing is gone, and whoever deleted it tells the host.
    Gone,
    /// This bridge.
    Bridge(ApplyBridge),
    /// These services.
    Services(Box<ApplyL3>),
    /// No services for this network.
    NoServices(L3),
    /// Guests guarded so.
    Guard(ApplyGuard),
}

/// The wanted state of a thing on a host. `attaching`: the network is about to be attached to the host's cluster.
pub fn of_thing(app: &App, tx: &mut dyn Tx, host: Host, thing: Thing, attaching: bool) -> Result<Wanted> {
    match thing {
        Thing::Bridge(l2) => of_bridge(app, tx, host, l2, attaching),
        Thing::Services(l3) => of_services(app, tx, host, l3),
        Thing::Guard => Ok(of_guard(app)),
    }
}

/// The same on all hosts.
pub fn of_guard(app: &App) -> Wanted {
    Wanted::Guard(ApplyGuard { anti_spoofing: app.settings.bool("vm", "cleanTraffic") })
}

/// Asked again under the lock of the thing: a host that connects while its network is detached or deleted must not make the
/// bridge again that was just taken from it.
fn of_bridge(app: &App, tx: &mut dyn Tx, host: Host, l2: L2, attaching: bool) -> Result<Wanted> {
    let sql = "SELECT physical_interface FROM l2_network WHERE uuid = ? AND deleting_run IS NULL";
    let Some(row) = tx.query_opt(sql, params![l2])? else { return Ok(Wanted::Gone) };
    let attached = "SELECT 1 FROM l2_network_cluster_ref r JOIN host h ON h.cluster_uuid = r.cluster_uuid
                    WHERE r.l2_network_uuid = ? AND h.uuid = ?";
    if !attaching && !tx.exists(attached, params![l2, host])? {
        return Ok(Wanted::Gone);
    }
    // As large as the largest packet of any network on it.
    let mut mtu = l3::default_mtu(app);
    for l3 in
        ids::<kind::L3Network>(tx, "SELECT uuid FROM l3_network WHERE l2_network_uuid = ?", params![l2])?
    {
        mtu = mtu.max(l3::mtu(app, tx, l3)?);
    }
    let (bridge, uplink) = (l2::bridge(tx, l2)?, row.text("physical_interface")?);
    Ok(Wanted::Bridge(ApplyBridge { l2_network: l2.to_string(), bridge, uplink, mtu }))
}

fn of_services(app: &App, tx: &mut dyn Tx, host: Host, l3: L3) -> Result<Wanted> {
    let sql = "SELECT l2_network_uuid, dns_domain FROM l3_network WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![l3])? else { return Ok(Wanted::NoServices(l3)) };
    let services = service::of_l3(tx, l3)?;
    let (true, Some(service_address)) = (services.any(), dhcp::find(tx, l3)?) else {
        return Ok(Wanted::NoServices(l3));
    };
    let leases = leases(tx, host, l3)?;
    if leases.is_empty() {
        return Ok(Wanted::NoServices(l3));
    }
    let dns = tx.query(
        "SELECT dns FROM l3_network_dns WHERE l3_network_uuid = ? ORDER BY position, dns",
        params![l3],
    )?;
    Ok(Wanted::Services(Box::new(ApplyL3 {
        l3_network: l3.to_string(),
        bridge: l2::bridge(tx, row.id("l2_network_uuid")?)?,
        service_address,
        dhcp: services.dhcp,
        metadata: services.userdata,
        gateway: leases.iter().find_map(|l| l.gateway.clone()),
        dns: dns.iter().map(|r| r.text("dns")).collect::<Result<_>>()?,
        domain: row.opt_text("dns_domain")?.filter(|d| !d.is_empty()),
        mtu: l3::mtu(app, tx, l3)?,
        leases,
    })))
}

/// The VMs in a network that run on a host or may be running there.
fn leases(tx: &mut dyn Tx, host: Host, l3: L3) -> Result<Vec<Lease>> {
    let mut rows = tx.query(&nics_on_host(), params![host])?;
    let network = l3.to_string();
    rows.retain(|row| row.text("l3_network_uuid").is_ok_and(|l3| l3 == network));
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let metadata = metadata::on_host(tx, host)?;
    rows.iter().map(|row| lease(row, l3, &metadata)).collect()
}

/// NICs with addresses, of any network. The network is no condition: SQLite would begin with it, and go through the NICs that
/// the network has on all hosts.
fn nics_on_host() -> String {
    format!(
        "SELECT v.uuid, v.default_l3_network_uuid, n.l3_network_uuid, n.mac, u.ip, u.gateway, r.prefix_len
         FROM vm_instance v JOIN vm_nic n ON n.vm_instance_uuid = v.uuid JOIN used_ip u ON u.vm_nic_uuid = n.uuid
         JOIN ip_range r ON r.uuid = u.ip_range_uuid
         WHERE v.host_uuid = ? AND v.state IN {HOLDING_STATES} ORDER BY v.uuid, n.device_id, u.uuid"
    )
}

fn lease(row: &Row, l3: L3, metadata: &HashMap<Id<kind::Vm>, ConfigDrive>) -> Result<Lease> {
    let vm: Id<kind::Vm> = row.id("uuid")?;
    let metadata = metadata.get(&vm).ok_or_else(|| Fault::not_found("VmInstanceVO", vm))?.clone();
    Ok(Lease {
        vm: vm.to_string(),
        mac: row.text("mac")?,
        ip: row.text("ip")?,
        prefix: u8::try_from(row.int("prefix_len")?).unwrap_or(32),
        gateway: row.opt_text("gateway")?.filter(|g| !g.is_empty()),
        hostname: Some(metadata.hostname.clone()),
        is_default: row.opt_id("default_l3_network_uuid")? == Some(l3),
        metadata,
    })
}

/// L2 networks with the bridge that is wanted for each, and L3 networks.
pub type OfVm = (Vec<(L2, Wanted)>, BTreeSet<L3>);

/// The L2 networks of a VM with the bridges that are wanted for them on a host, and its L3 networks.
pub fn of_vm(app: &App, tx: &mut dyn Tx, host: Host, vm: Id<kind::Vm>) -> Result<OfVm> {
    let sql = "SELECT l.uuid, l.l2_network_uuid FROM vm_nic n JOIN l3_network l ON l.uuid = n.l3_network_uuid
               WHERE n.vm_instance_uuid = ?";
    let rows = tx.query(sql, params![vm])?;
    let l2s: BTreeSet<L2> = rows.iter().map(|r| r.id("l2_network_uuid")).collect::<Result<_>>()?;
    let l3s = rows.iter().map(|r| r.id("uuid")).collect::<Result<_>>()?;
    let bridges = l2s.into_iter().map(|l2| Ok((l2, of_bridge(app, tx, host, l2, false)?)));
    Ok((bridges.collect::<Result<_>>()?, l3s))
}

/// The networks that a host's cluster has.
pub fn of_host(tx: &mut dyn Tx, host: Host) -> Result<(Vec<L2>, Vec<L3>)> {
    let l2s = "SELECT r.l2_network_uuid AS uuid FROM host h JOIN l2_network_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               WHERE h.uuid = ? ORDER BY 1";
    let l3s = "SELECT l.uuid FROM host h JOIN l2_network_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               JOIN l3_network l ON l.l2_network_uuid = r.l2_network_uuid WHERE h.uuid = ? ORDER BY 1";
    Ok((ids(tx, l2s, params![host])?, ids(tx, l3s, params![host])?))
}

/// The networks that a cluster has.
pub fn of_cluster(tx: &mut dyn Tx, cluster: Id<kind::Cluster>) -> Result<(Vec<L2>, Vec<L3>)> {
    let l2s = "SELECT l2_network_uuid AS uuid FROM l2_network_cluster_ref WHERE cluster_uuid = ? ORDER BY 1";
    let l3s = "SELECT l.uuid FROM l2_network_cluster_ref r JOIN l3_network l ON l.l2_network_uuid = r.l2_network_uuid
               WHERE r.cluster_uuid = ? ORDER BY 1";
    Ok((ids(tx, l2s, params![cluster])?, ids(tx, l3s, params![cluster])?))
}

/// Hosts that run VMs in a network.
pub fn hosts_of_l3(tx: &mut dyn Tx, l3: L3) -> Result<Vec<Host>> {
    let sql = format!(
        "SELECT DISTINCT v.host_uuid AS uuid FROM vm_nic n JOIN vm_instance v ON v.uuid = n.vm_instance_uuid
         WHERE n.l3_network_uuid = ? AND v.host_uuid IS NOT NULL AND v.state IN {HOLDING_STATES}"
    );
    ids(tx, &sql, params![l3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_02_leases_of_a_host_are_found_by_the_host() {
        let plan = crate::rows::plan_of(&nics_on_host());
        assert!(plan.contains("vm_instance_host"), "{plan}");
        assert!(!plan.contains("vm_nic_l3") && !plan.contains("SCAN"), "{plan}");
    }
}
