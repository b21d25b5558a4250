//! L2 and L3 networks, address ranges, DNS and services.

use serde_json::{Value, json};

use super::hardware::admins;
use super::{Act, Maker, act};
use crate::robot::model::{Kind, Thing};

pub(super) const ACTS: &[Act] = &[
    act("CreateL2NoVlanNetwork", 3, create_l2),
    act("UpdateL2Network", 2, |m| admins(m, |m| m.renaming(Kind::L2))),
    act("DeleteL2Network", 2, |m| admins(m, |m| m.deletion(Kind::L2))),
    act("AttachL2NetworkToCluster", 4, |m| admins(m, attach_l2)),
    act("DetachL2NetworkFromCluster", 3, |m| admins(m, detach_l2)),
    act("CreateL3Network", 5, create_l3),
    act("UpdateL3Network", 2, |m| m.renaming(Kind::L3)),
    act("ChangeL3NetworkState", 2, |m| m.state_event(Kind::L3)),
    act("DeleteL3Network", 3, |m| m.deletion(Kind::L3)),
    act("AddDnsToL3Network", 4, dns),
    act("RemoveDnsFromL3Network", 3, dns),
    act("SetL3NetworkMtu", 3, |m| {
        Some(json!({ "l3NetworkUuid": m.any(Kind::L3)?.uuid, "mtu": m.dice.one(&[1280, 1450, 1500]) }))
    }),
    act("AttachNetworkServiceToL3Network", 4, attach_service),
    act("DetachNetworkServiceFromL3Network", 1, detach_service),
    act("AddIpRange", 5, add_range),
    act("AddIpRangeByNetworkCidr", 2, add_cidr),
    act("UpdateIpRange", 2, |m| m.renaming(Kind::Range)),
    act("DeleteIpRange", 3, |m| m.deletion(Kind::Range)),
];

fn create_l2(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let zone = m.any(Kind::Zone)?;
    let l2 = m.fresh(Kind::L2, 4, &[(Kind::Zone, &zone)])?;
    let interface = m.dice.one(&["eth0", "eth0", "eth1", "eth9"]);
    let interface = if l2.number == 1 { "eth0" } else { interface };
    Some(
        json!({ "name": format!("l2-{}", l2.number), "zoneUuid": zone.uuid, "physicalInterface": interface, "resourceUuid": l2.uuid }),
    )
}

fn attach_l2(m: &mut Maker) -> Option<Value> {
    let l2 = m.any(Kind::L2)?;
    let clusters = m.model.all(Kind::Cluster);
    let nth = m.jobs.len() % clusters.len().max(1);
    let cluster = match m.model.all(Kind::Account).is_empty() {
        true => clusters.get(nth)?.clone(),
        false => m.any(Kind::Cluster)?,
    };
    Some(json!({ "l2NetworkUuid": l2.uuid, "clusterUuid": cluster.uuid }))
}

fn detach_l2(m: &mut Maker) -> Option<Value> {
    Some(json!({ "l2NetworkUuid": m.doomed(Kind::L2)?.uuid, "clusterUuid": m.any(Kind::Cluster)?.uuid }))
}

fn create_l3(m: &mut Maker) -> Option<Value> {
    let l2 = m.shared(Kind::L2)?;
    let l3 = m.fresh(Kind::L3, 6, &[(Kind::L2, &l2)])?;
    Some(
        json!({ "name": format!("l3-{}", l3.number), "l2NetworkUuid": l2.uuid, "type": "L3BasicNetwork", "resourceUuid": l3.uuid }),
    )
}

/// Networks have subnets of their own; the first ones have room, others run full.
fn subnet(l3: &Thing) -> String {
    format!("10.{}.{}", 20 + l3.number / 250 % 200, l3.number % 250)
}

/// The network that has no range yet while the base is laid, then any.
fn ranged(m: &mut Maker) -> Option<Thing> {
    let with: Vec<String> =
        m.model.all(Kind::Range).iter().filter_map(|r| r.within.get(&Kind::L3).cloned()).collect();
    let is_base = m.model.all(Kind::Account).is_empty();
    m.any_that(Kind::L3, |l| !is_base || !with.contains(&l.uuid))
}

fn add_range(m: &mut Maker) -> Option<Value> {
    let l3 = ranged(m)?;
    let range = m.fresh(Kind::Range, 9, &[(Kind::L3, &l3)])?;
    let net = subnet(&l3);
    let from = 10 + 40 * m.dice.below(5);
    let size = if range.number <= 2 { 39 } else { m.dice.one(&[2, 5, 39]) };
    Some(json!({
        "l3NetworkUuid": l3.uuid, "name": format!("range-{}", range.number), "startIp": format!("{net}.{from}"),
        "endIp": format!("{net}.{}", from + size), "netmask": "255.255.255.0", "gateway": format!("{net}.1"),
        "resourceUuid": range.uuid,
    }))
}

fn add_cidr(m: &mut Maker) -> Option<Value> {
    let l3 = m.any(Kind::L3)?;
    let range = m.fresh(Kind::Range, 9, &[(Kind::L3, &l3)])?;
    let cidr = format!("{}.0/24", subnet(&l3));
    Some(
        json!({ "l3NetworkUuid": l3.uuid, "name": format!("range-{}", range.number), "networkCidr": cidr, "resourceUuid": range.uuid }),
    )
}

fn dns(m: &mut Maker) -> Option<Value> {
    Some(
        json!({ "l3NetworkUuid": m.any(Kind::L3)?.uuid, "dns": m.dice.one(&["8.8.8.8", "1.1.1.1", "10.0.0.2"]) }),
    )
}

fn attach_service(m: &mut Maker) -> Option<Value> {
    let networks = m.model.all(Kind::L3);
    let nth = m.jobs.len() % networks.len().max(1);
    let l3 = match m.model.all(Kind::Account).is_empty() {
        true => networks.get(nth)?.clone(),
        false => m.any(Kind::L3)?,
    };
    Some(json!({ "l3NetworkUuid": l3.uuid, "networkServices": { "$flat": ["DHCP", "Userdata"] } }))
}

fn detach_service(m: &mut Maker) -> Option<Value> {
    let l3 = m.doomed(Kind::L3)?;
    Some(
        json!({ "l3NetworkUuid": l3.uuid, "networkServices": { "$flat": [m.dice.one(&["DHCP", "Userdata"])] } }),
    )
}
