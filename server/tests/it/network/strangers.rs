//! What somebody else may not do. Each operation of this group.

use cairn_testkit::Cloud;
use cairn_types::code;
use serde_json::json;

use super::{flat, l3, l3_of, share_with_all, uuid};

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
    share_with_all(&cloud, &world.l2).await;
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

#[tokio::test]
async fn iam_05_an_l2_network_is_built_on_only_by_those_it_was_shared_with() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    let on = |category: &str| json!({ "name": "n", "l2NetworkUuid": world.l2, "category": category });
    let before = cloud.tables().await;
    assert_eq!(alice.fails("CreateL3Network", on("Private")).await.code(), code::PERMISSION_DENIED);
    cloud.assert_nothing_left(&before).await;
    let share = json!({ "resourceUuids": [world.l2], "accountUuids": [alice.account] });
    cloud.admin.ok("ShareResource", share.clone()).await;
    let mine = uuid(&alice.make("CreateL3Network", on("Private")).await);
    assert_eq!(bob.fails("CreateL3Network", on("Private")).await.code(), code::PERMISSION_DENIED);
    // What leads out of the cloud or is the platform's stays with the administrators.
    for params in
        [on("Public"), on("System"), json!({ "name": "n", "l2NetworkUuid": world.l2, "system": true })]
    {
        assert_eq!(alice.fails("CreateL3Network", params).await.code(), code::PERMISSION_DENIED);
    }
    let promote = json!({ "uuid": mine, "category": "Public" });
    assert_eq!(alice.fails("UpdateL3Network", promote).await.code(), code::PERMISSION_DENIED);
    // A share is no right to change it.
    let rename = json!({ "uuid": world.l2, "name": "mine" });
    assert_eq!(alice.fails("UpdateL2Network", rename).await.code(), code::PERMISSION_DENIED);
    cloud.admin.ok("RevokeResourceSharing", share).await;
    assert_eq!(alice.fails("CreateL3Network", on("Private")).await.code(), code::PERMISSION_DENIED);
}

#[tokio::test]
async fn iam_05_what_the_operators_own_can_not_be_tagged_or_changed_by_others() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    for resource in [&world.zone, &world.cluster, &world.l2] {
        for action in ["CreateUserTag", "CreateSystemTag"] {
            let tag = json!({ "resourceType": "ZoneVO", "resourceUuid": resource, "tag": "mine" });
            assert_eq!(alice.fails(action, tag).await.code(), code::PERMISSION_DENIED, "{action} {resource}");
        }
    }
}

#[tokio::test]
async fn l3_05_ranges_of_two_networks_on_one_segment_keep_apart() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    share_with_all(&cloud, &world.l2).await;
    let range = |l3: &str, first: &str, last: &str, gateway: &str| json!({ "l3NetworkUuid": l3, "name": "r", "startIp": first, "endIp": last, "netmask": "255.255.255.0", "gateway": gateway });
    let (one, two) = (l3(&cloud.admin, &world.l2).await, l3(&alice, &world.l2).await);
    cloud.admin.ok("AddIpRange", range(&one, "10.70.0.10", "10.70.0.20", "10.70.0.1")).await;
    for (first, last, gateway) in [
        ("10.70.0.20", "10.70.0.30", "10.70.0.1"),
        ("10.70.0.5", "10.70.0.10", "10.70.0.2"),
        ("10.70.0.15", "10.70.0.15", "10.70.0.254"),
        ("10.70.0.1", "10.70.0.3", "10.70.0.254"),
    ] {
        let refused = alice.fails("AddIpRange", range(&two, first, last, gateway)).await;
        assert_eq!(refused.code(), code::INVALID_ARGUMENT, "{first} {last}");
        assert!(!refused.details().contains(&one), "the other network is not named: {}", refused.details());
    }
    alice.ok("AddIpRange", range(&two, "10.70.0.21", "10.70.0.30", "10.70.0.1")).await;
}
