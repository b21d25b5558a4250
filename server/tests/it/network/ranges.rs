//! IP ranges: what may be added, and what a CIDR becomes (L3-01).

use cairn_testkit::{Api, Cloud};
use cairn_types::code;
use serde_json::{Value, json};

use super::{l3, uuid};

fn range(l3: &str, first: &str, last: &str, netmask: &str, gateway: &str) -> Value {
    json!({ "l3NetworkUuid": l3, "name": "r", "startIp": first, "endIp": last, "netmask": netmask, "gateway": gateway })
}

async fn another_l2(api: &Api, zone: &str) -> String {
    let params = json!({ "name": "another", "zoneUuid": zone, "physicalInterface": "eth9" });
    uuid(&api.make("CreateL2NoVlanNetwork", params).await)
}

#[tokio::test]
async fn l3_01_ranges_lie_in_one_subnet_and_do_not_overlap() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, net) = (&cloud.admin, l3(&cloud.admin, &world.l2).await);
    let mask = "255.255.255.0";
    let first = api.make("AddIpRange", range(&net, "10.1.0.10", "10.1.0.20", mask, "10.1.0.1")).await;
    assert_eq!((first["networkCidr"].as_str(), first["netmask"].as_str()), (Some("10.1.0.0/24"), Some(mask)));
    api.ok("AddIpRange", range(&net, "10.1.0.40", "10.1.0.50", mask, "10.1.0.1")).await;
    for (why, params) in [
        ("behind", range(&net, "10.1.0.70", "10.1.0.60", mask, "10.1.0.1")),
        ("overlaps", range(&net, "10.1.0.20", "10.1.0.30", mask, "10.1.0.1")),
        ("overlaps", range(&net, "10.1.0.5", "10.1.0.60", mask, "10.1.0.1")),
        ("gateway", range(&net, "10.1.0.60", "10.1.0.70", mask, "10.1.0.65")),
        ("gateway", range(&net, "10.1.0.60", "10.1.0.70", mask, "10.2.0.1")),
        ("gateway", range(&net, "10.1.0.60", "10.1.0.70", mask, "10.1.0.45")),
        ("gateway", range(&net, "10.1.0.1", "10.1.0.5", mask, "10.1.0.254")),
        ("no address", range(&net, "10.1.0.60", "10.1.1.70", mask, "10.1.0.1")),
        ("no address", range(&net, "10.1.0.60", "10.1.0.255", mask, "10.1.0.1")),
        ("no address", range(&net, "10.1.0.0", "10.1.0.5", mask, "10.1.0.254")),
        ("one subnet", range(&net, "10.1.5.60", "10.1.5.70", mask, "10.1.5.1")),
        ("one subnet", range(&net, "10.1.0.60", "10.1.0.70", "255.255.0.0", "10.1.0.1")),
        ("netmask", range(&net, "10.1.0.60", "10.1.0.70", "255.0.255.0", "10.1.0.1")),
        ("netmask", range(&net, "10.1.0.60", "10.1.0.70", "0.0.0.0", "10.1.0.1")),
        ("IPv4", range(&net, "x", "10.1.0.70", mask, "10.1.0.1")),
        ("IPv6 is not supported", range(&net, "fd00::1", "fd00::9", mask, "fd00::a")),
        ("multicast", range(&net, "224.0.0.5", "224.0.0.9", mask, "224.0.0.1")),
        ("link-local", range(&net, "169.254.7.5", "169.254.7.9", mask, "169.254.7.1")),
    ] {
        let refused = api.fails("AddIpRange", params.clone()).await;
        assert_eq!(refused.code(), code::INVALID_ARGUMENT, "{params}");
        assert!(refused.details().contains(why), "{params}: {refused}");
    }
    // A network on another segment may have the same addresses.
    let other = l3(api, &another_l2(api, &world.zone).await).await;
    api.ok("AddIpRange", range(&other, "10.1.0.10", "10.1.0.20", mask, "10.1.0.1")).await;
    let got = api.one("QueryL3Network", &net).await;
    assert_eq!(got["ipRanges"].as_array().unwrap().len(), 2);
    assert_eq!(
        api.list("QueryIpRange", &[&format!("l3NetworkUuid={net}"), "gateway=10.1.0.1"]).await.len(),
        2
    );
}

#[tokio::test]
async fn l3_01_a_cidr_becomes_gateway_and_range() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    for (cidr, gateway, want) in [
        ("192.168.10.0/24", None, ["192.168.10.1", "192.168.10.2", "192.168.10.254", "255.255.255.0"]),
        ("192.168.10.1/24", None, ["192.168.10.1", "192.168.10.2", "192.168.10.254", "255.255.255.0"]),
        ("10.0.0.0/8", None, ["10.0.0.1", "10.0.0.2", "10.255.255.254", "255.0.0.0"]),
        ("10.9.9.0/30", None, ["10.9.9.1", "10.9.9.2", "10.9.9.2", "255.255.255.252"]),
        ("10.9.0.0/16", Some("10.9.255.254"), ["10.9.255.254", "10.9.0.1", "10.9.255.253", "255.255.0.0"]),
    ] {
        let net = l3(api, &another_l2(api, &world.zone).await).await;
        let params = json!({ "l3NetworkUuid": net, "name": "r", "networkCidr": cidr, "gateway": gateway });
        let got = api.make("AddIpRangeByNetworkCidr", params).await;
        let fields = ["gateway", "startIp", "endIp", "netmask"].map(|f| got[f].as_str().unwrap_or_default());
        assert_eq!(fields, want, "{cidr}");
        assert_eq!(api.one("QueryIpRange", &uuid(&got)).await["networkCidr"], got["networkCidr"]);
    }
    let net = l3(api, &world.l2).await;
    for (cidr, gateway) in [
        ("10.0.0.0", None),
        ("10.0.0.0/31", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/-1", None),
        ("fd00::/64", None),
        ("$(x)/8", None),
        ("10.0.0.0/24", Some("10.0.0.77")),
        ("10.0.0.0/24", Some("10.0.1.1")),
    ] {
        let params = json!({ "l3NetworkUuid": net, "name": "r", "networkCidr": cidr, "gateway": gateway });
        assert_eq!(
            api.fails("AddIpRangeByNetworkCidr", params).await.code(),
            code::INVALID_ARGUMENT,
            "{cidr} {gateway:?}"
        );
    }
}

#[tokio::test]
async fn l3_01_ranges_can_be_renamed_and_deleted() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let got =
        api.make("UpdateIpRange", json!({ "uuid": world.ip_range, "name": "n", "description": "d" })).await;
    assert_eq!((got["name"].as_str(), got["description"].as_str()), (Some("n"), Some("d")));
    assert_eq!(api.one("QueryIpRange", &world.ip_range).await["name"], "n");
    api.ok("DeleteIpRange", json!({ "uuid": world.ip_range })).await;
    assert!(api.list("QueryIpRange", &[]).await.is_empty());
    api.ok("DeleteIpRange", json!({ "uuid": world.ip_range })).await;
    // Without ranges a VM has a NIC without an address.
    let vm = world.create_vm(api, "bare").await;
    assert_eq!(vm["vmNics"][0]["ip"], Value::Null);
    assert!(cloud.machines.host(&world.hosts[0]).leases(&world.l3).is_none());
    cloud.assert_sane("a NIC without an address").await;
}
