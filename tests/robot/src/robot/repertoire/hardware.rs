//! Zones, clusters and hosts.

use serde_json::{Value, json};

use super::{Act, Maker, act};
use crate::robot::model::Kind;

pub(super) const ACTS: &[Act] = &[
    act("CreateZone", 2, create_zone),
    act("UpdateZone", 2, |m| admins(m, |m| m.renaming(Kind::Zone))),
    act("ChangeZoneState", 2, |m| admins(m, |m| m.state_event(Kind::Zone))),
    act("DeleteZone", 2, |m| admins(m, |m| m.deletion(Kind::Zone))),
    act("CreateCluster", 4, create_cluster),
    act("UpdateCluster", 2, |m| admins(m, |m| m.renaming(Kind::Cluster))),
    act("ChangeClusterState", 2, |m| admins(m, |m| m.state_event(Kind::Cluster))),
    act("DeleteCluster", 3, |m| admins(m, |m| m.deletion(Kind::Cluster))),
    act("AddSimulatorHost", 10, add_host),
    act("UpdateHost", 4, update_host),
    act("UpdateKVMHost", 1, |m| admins(m, |m| m.renaming(Kind::Host))),
    act("ChangeHostState", 6, change_host_state),
    act("ReconnectHost", 8, reconnect_host),
    act("DeleteHost", 7, |m| admins(m, |m| m.deletion(Kind::Host))),
];

/// A call that only administrators may make.
pub(super) fn admins(m: &mut Maker, make: impl Fn(&mut Maker) -> Option<Value>) -> Option<Value> {
    m.as_admin();
    make(m)
}

fn create_zone(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let zone = m.fresh(Kind::Zone, 3, &[])?;
    Some(json!({ "name": format!("zone-{}", zone.number), "resourceUuid": zone.uuid }))
}

fn create_cluster(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let zone = m.any(Kind::Zone)?;
    let cluster = m.fresh(Kind::Cluster, 5, &[(Kind::Zone, &zone)])?;
    let name = format!("cluster-{}", cluster.number);
    Some(
        json!({ "name": name, "resourceUuid": cluster.uuid, "zoneUuid": zone.uuid, "hypervisorType": "Simulator" }),
    )
}

fn address(number: usize) -> String {
    format!("127.8.{}.{}", number / 250 % 250, number % 250 + 1)
}

fn add_host(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let cluster = m.any(Kind::Cluster)?;
    let host = m.fresh(Kind::Host, 7, &[(Kind::Cluster, &cluster)])?;
    Some(json!({
        "name": format!("host-{}", host.number), "managementIp": address(host.number), "resourceUuid": host.uuid,
        "clusterUuid": cluster.uuid, "memoryCapacity": 2_i64 << 30, "cpuCapacity": 16,
    }))
}

fn update_host(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let host = m.any(Kind::Host)?;
    let mut params = json!({ "uuid": host.uuid, "name": format!("renamed {}", m.dice.below(1000)) });
    if m.dice.percent(50) {
        params["managementIp"] = json!(address(m.model.number(Kind::Host)));
    }
    Some(params)
}

fn change_host_state(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    let host = m.any(Kind::Host)?;
    let event = m.dice.one(&["enable", "enable", "enable", "enable", "disable", "maintain"]);
    Some(json!({ "uuid": host.uuid, "stateEvent": event }))
}

fn reconnect_host(m: &mut Maker) -> Option<Value> {
    m.as_admin();
    Some(json!({ "uuid": m.any(Kind::Host)?.uuid }))
}
