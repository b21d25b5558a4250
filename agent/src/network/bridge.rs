//! Bridges of L2 networks.

use cairn_api::agent::network::{Applied, ApplyBridge, RemoveBridge};
use cairn_types::{Fault, Result, code};

use super::links::{self, Links};
use super::{SMALLEST_MTU, is_device_name, is_service_veth};
use crate::process::run;
use crate::state::hash_of;

/// Makes a bridge as wanted. Only what differs is changed.
pub async fn apply(wanted: &ApplyBridge) -> Result<Applied> {
    check_names(wanted)?;
    let links = Links::read().await?;
    check_uplink(wanted, &links).await?;
    let (bridge, uplink) = (wanted.bridge.as_str(), wanted.uplink.as_str());
    let mtu_bytes = wanted.mtu.max(SMALLEST_MTU);
    let mtu = mtu_bytes.to_string();
    match links.get(bridge) {
        Some(i) if i.kind() == "bridge" => (),
        Some(_) => return Err(refuse(wanted, format!("{bridge} is an interface that is no bridge"))),
        None => {
            ip(
                wanted,
                &["link", "add", "name", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0"],
            )
            .await?;
            // The mark by which a removal knows that the bridge is ours.
            ip(wanted, &["link", "set", "dev", bridge, "alias", &alias(&wanted.l2_network)]).await?;
            // Without link-local addresses guests cannot reach services of the host.
            ip(wanted, &["link", "set", "dev", bridge, "addrgenmode", "none"]).await?;
        }
    }
    if links.get(uplink).is_some_and(|i| i.mtu < mtu_bytes) {
        ip(wanted, &["link", "set", "dev", uplink, "mtu", &mtu]).await?;
    }
    if links.get(uplink).is_none_or(|i| i.master.as_deref() != Some(bridge)) {
        ip(wanted, &["link", "set", "dev", uplink, "master", bridge]).await?;
    }
    if links.get(bridge).is_none_or(|i| i.mtu != mtu_bytes) {
        ip(wanted, &["link", "set", "dev", bridge, "mtu", &mtu]).await?;
    }
    for device in [uplink, bridge] {
        if links.get(device).is_none_or(|i| !i.is_up()) {
            ip(wanted, &["link", "set", "dev", device, "up"]).await?;
        }
    }
    Ok(Applied { hash: hash_of(wanted) })
}

/// Removes a bridge that we made. Refused while VMs are plugged into it.
pub async fn remove(args: &RemoveBridge) -> Result<()> {
    let links = Links::read().await?;
    let Some(bridge) = links.get(&args.bridge) else { return Ok(()) };
    if bridge.alias.as_deref() != Some(&alias(&args.l2_network)) {
        tracing::info!(bridge = args.bridge, "bridge {} was not made by Cairn and stays", args.bridge);
        return Ok(());
    }
    let taps: Vec<&str> =
        links.ports(&args.bridge).filter(|i| i.kind() == "tun").map(|i| i.name.as_str()).collect();
    if !taps.is_empty() {
        let text = format!("bridge {} has VMs on it", args.bridge);
        return Err(Fault::new(code::AGENT_NETWORK, text).with("interfaces", taps.join(", ")));
    }
    let done = run("ip", &["link", "delete", "dev", &args.bridge, "type", "bridge"]).await;
    done.map(drop)
        .map_err(|e| e.fault(code::AGENT_NETWORK, format!("bridge {} could not be removed", args.bridge)))
}

fn alias(l2_network: &str) -> String {
    format!("cairn-l2-{l2_network}")
}

async fn ip(wanted: &ApplyBridge, args: &[&str]) -> Result<()> {
    let what = format!("bridge {} could not be made", wanted.bridge);
    run("ip", args).await.map(drop).map_err(|e| e.fault(code::AGENT_NETWORK, what))
}

fn refuse(wanted: &ApplyBridge, why: String) -> Fault {
    Fault::new(code::AGENT_NETWORK, format!("bridge {} cannot be made: {why}", wanted.bridge))
        .with("interface", wanted.uplink.as_str())
}

fn check_names(wanted: &ApplyBridge) -> Result<()> {
    for name in [&wanted.bridge, &wanted.uplink] {
        if !is_device_name(name) {
            return Err(Fault::argument(format!("{name:?} cannot be the name of a network interface")));
        }
    }
    if !(576..=65_535).contains(&wanted.mtu) {
        return Err(Fault::argument(format!("an MTU of {} is not possible", wanted.mtu)));
    }
    Ok(())
}

/// The uplink must be there, free, and not the way by which the host itself is reached.
async fn check_uplink(wanted: &ApplyBridge, links: &Links) -> Result<()> {
    let uplink = wanted.uplink.as_str();
    let Some(interface) = links.get(uplink) else {
        let there = links.uplinks().await?.join(", ");
        let there = if there.is_empty() { "none that could carry it".to_owned() } else { there };
        let why = format!("the host has no interface {uplink}; it has {there}");
        return Err(refuse(wanted, why).with("interfaces", there));
    };
    match interface.master.as_deref() {
        Some(bridge) if bridge == wanted.bridge => return Ok(()),
        Some(other) => return Err(refuse(wanted, format!("{uplink} is part of {other} already"))),
        None => (),
    }
    if interface.link_type != "ether"
        || matches!(interface.kind(), "bridge" | "tun")
        || is_service_veth(uplink)
    {
        return Err(refuse(wanted, format!("{uplink} cannot carry an L2 network")));
    }
    if links::default_routes().await?.contains(uplink) {
        let why =
            format!("{uplink} carries the host's default route; give the L2 network an interface of its own");
        return Err(refuse(wanted, why));
    }
    if !links::addresses_of(uplink).await?.is_empty() {
        let why = format!("{uplink} has addresses of the host; give the L2 network an interface of its own");
        return Err(refuse(wanted, why));
    }
    Ok(())
}
