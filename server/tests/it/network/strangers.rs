//! What somebody else may not do. Each operation of this group.

use cairn_testkit::Cloud;
use cairn_types::code;
use serde_json::json;

use super::{flat, l3_of, uuid};

#[tokio::test]
async fn iam_05_l2_networks_are_for_administrators() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    let before = cloud.tables().await;
    let calls = [
        (
            "CreateL2NoVlanNetwork",
            json!({ "name": "x", "zoneUuid": world.zone, "physicalInterface": "eth1" }),
        ),
        ("UpdateL2Network", json!({ "uuid": world.l2, "name": "x" })),
        ("DeleteL2Network", json!({ "uuid": world.l2, "deleteMode": "Enforcing" })),
        ("AttachL2NetworkToCluster", json!({ "l2NetworkUuid": world.l2, "clusterUuid": world.cluster })),
        ("DetachL2NetworkFromCluster", json!({ "l2NetworkUuid": world.l2, "clusterUuid": world.cluster })),
        ("GetL2NetworkTypes", json!({})),
        ("QueryL2Network", json!({})),
    ];
    for (action, params) in calls {
        assert_eq!(alice.fails(action, params).await.code(), code::PERMISSION_DENIED, "{action}");
    }
    cloud.assert_nothing_left(&before).await;
    assert_eq!(cloud.admin.one("QueryL2Network", &world.l2).await["name"], "l2");
}

#[tokio::test]
async fn iam_05_l3_networks_of_others_can_not_be_touched() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (alice, bob, flat) =
        (cloud.account("alice").await, cloud.account("bob").await, flat(&cloud.admin).await);
    let net = l3_of(&bob, &world.l2, "10.60.0.0/24").await;
    let range = uuid(&bob.list("QueryIpRange", &[]).await[0]);
    let of_net = json!({ "l3NetworkUuid": net });
    let services = json!({ "l3NetworkUuid": net, "networkServices": { &flat: ["DHCP"] } });
    let dns = json!({ "l3NetworkUuid": net, "dns": "1.1.1.1" });
    let add = json!({
        "l3NetworkUuid": net, "name": "x", "startIp": "10.60.1.2", "endIp": "10.60.1.3", "netmask": "255.255.255.0",
        "gateway": "10.60.1.1",
    });
    let calls = [
        ("UpdateL3Network", json!({ "uuid": net, "name": "x" })),
        ("ChangeL3NetworkState", json!({ "uuid": net, "stateEvent": "disable" })),
        ("DeleteL3Network", json!({ "uuid": net })),
        ("AddDnsToL3Network", dns.clone()),
        ("RemoveDnsFromL3Network", dns),
        ("SetL3NetworkMtu", json!({ "l3NetworkUuid": net, "mtu": 1400 })),
        ("GetL3NetworkMtu", of_net.clone()),
        ("GetL3NetworkDhcpIpAddress", of_net.clone()),
        ("AttachNetworkServiceToL3Network", services.clone()),
        ("DetachNetworkServiceFromL3Network", services),
        ("AddIpRange", add),
        (
            "AddIpRangeByNetworkCidr",
            json!({ "l3NetworkUuid": net, "name": "x", "networkCidr": "10.61.0.0/24" }),
        ),
        ("UpdateIpRange", json!({ "uuid": range, "name": "x" })),
        ("DeleteIpRange", json!({ "uuid": range })),
        ("GetFreeIpOfL3Network", of_net.clone()),
        ("GetFreeIpOfIpRange", json!({ "ipRangeUuid": range })),
        ("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": net, "ipRangeUuid": range })),
        ("CheckIpAvailability", json!({ "l3NetworkUuid": net, "ip": "10.60.0.9" })),
        ("GetIpAddressCapacity", json!({ "l3NetworkUuids": [net] })),
        ("GetIpAddressCapacity", json!({ "ipRangeUuids": [range] })),
    ];
    let before = cloud.tables().await;
    for (action, params) in calls {
        assert_eq!(alice.fails(action, params).await.code(), code::PERMISSION_DENIED, "{action}");
    }
    for query in ["QueryL3Network", "QueryIpRange", "QueryNetworkServiceL3NetworkRef"] {
        assert!(alice.list(query, &[]).await.is_empty(), "{query}");
    }
    // Sums are over one's own.
    let all = alice.ok("GetIpAddressCapacity", json!({ "all": true })).await;
    assert_eq!(all["totalCapacity"], 0);
    let all = bob.ok("GetIpAddressCapacity", json!({ "zoneUuids": [world.zone] })).await;
    assert_eq!(all["totalCapacity"], 253);
    cloud.assert_nothing_left(&before).await;
    assert_eq!(alice.ok("GetL3NetworkTypes", json!({})).await["types"], json!(["L3BasicNetwork"]));
    assert!(alice.ok("GetNetworkServiceTypes", json!({})).await["types"]["DHCP"].is_array());
    assert!(!alice.list("QueryNetworkServiceProvider", &[]).await.is_empty());
}
