//! Bridges and L3 services of a simulated host.

use std::collections::HashSet;

use cairn_api::agent::Done;
use cairn_api::agent::network::{Applied, ApplyBridge, ApplyGuard, ApplyL3, RemoveBridge, RemoveL3};
use cairn_types::{Fault, Result, code};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::host::Host;

/// Longest name of a network device, in bytes.
const DEVICE_NAME: usize = 15;

fn network(text: impl Into<String>) -> Fault {
    Fault::new(code::AGENT_NETWORK, text)
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn applied<T: Serialize>(wanted: &T) -> Result<Applied> {
    let bytes = serde_json::to_vec(wanted)
        .map_err(|e| Fault::internal(format!("a wanted state has no JSON form: {e}")))?;
    Ok(Applied { hash: hex_sha256(&bytes) })
}

pub(crate) fn apply_bridge(host: &mut Host, o: &ApplyBridge) -> Result<Applied> {
    if o.bridge.is_empty() || o.bridge.len() > DEVICE_NAME {
        return Err(network(format!("{:?} is no name for a bridge: 1 to {DEVICE_NAME} bytes", o.bridge)));
    }
    if !host.shape.interfaces.contains(&o.uplink) {
        let text =
            format!("the host has no interface {}; it has {}", o.uplink, host.shape.interfaces.join(", "));
        return Err(network(text).with("interface", o.uplink.clone()));
    }
    let others = host.content().into_iter().flat_map(|c| c.bridges.values());
    for other in others.filter(|b| b.l2_network != o.l2_network) {
        if other.bridge == o.bridge || other.uplink == o.uplink {
            let text = format!(
                "bridge {} with uplink {} serves L2 network {}",
                other.bridge, other.uplink, other.l2_network
            );
            return Err(network(text));
        }
    }
    host.content_mut().bridges.insert(o.l2_network.clone(), o.clone());
    applied(o)
}

pub(crate) fn remove_bridge(host: &mut Host, o: &RemoveBridge) -> Result<Done> {
    let content = host.content_mut();
    let mut on = content.vms.values().filter(|v| v.is_on());
    if let Some(vm) = on.find(|v| v.spec.nics.iter().any(|n| n.bridge == o.bridge)) {
        let text = format!("bridge {} carries VM {}; stop it first", o.bridge, vm.spec.vm);
        return Err(network(text).with("vm", vm.spec.vm.clone()));
    }
    content.bridges.remove(&o.l2_network);
    Ok(Done {})
}

pub(crate) fn apply_l3(host: &mut Host, o: &ApplyL3) -> Result<Applied> {
    let content = host.content_mut();
    if !content.bridges.values().any(|b| b.bridge == o.bridge) {
        return Err(network(format!(
            "bridge {} of L3 network {} is not on the host",
            o.bridge, o.l3_network
        )));
    }
    let (mut macs, mut ips) = (HashSet::new(), HashSet::new());
    for lease in &o.leases {
        if !ips.insert(&lease.ip) {
            return Err(network(format!(
                "address {} is leased twice in L3 network {}",
                lease.ip, o.l3_network
            )));
        }
        // One NIC may have several addresses, two VMs never the same hardware address.
        macs.insert((&lease.mac, &lease.vm));
    }
    let distinct: HashSet<_> = macs.iter().map(|(mac, _)| mac).collect();
    if distinct.len() != macs.len() {
        return Err(network(format!(
            "two VMs have the same hardware address in L3 network {}",
            o.l3_network
        )));
    }
    content.l3.insert(o.l3_network.clone(), o.clone());
    applied(o)
}

pub(crate) fn apply_guard(host: &mut Host, o: &ApplyGuard) -> Result<Applied> {
    host.content_mut().guard = Some(*o);
    applied(o)
}

pub(crate) fn remove_l3(host: &mut Host, o: &RemoveL3) -> Result<Done> {
    host.content_mut().l3.remove(&o.l3_network);
    Ok(Done {})
}
