//! L3 networks: create, change, DNS, MTU, state (L3-01, L3-03).

use cairn_testkit::Cloud;
use cairn_types::code;
use serde_json::json;

use super::{eventually, l3, l3_of, share_with_all, uuid};

#[tokio::test]
async fn l3_01_public_private_and_system_networks() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    for category in ["Public", "Private", "System"] {
        let params = json!({ "name": category, "l2NetworkUuid": world.l2, "category": category, "dnsDomain": "lab.example" });
        let got = api.make("CreateL3Network", params).await;
        assert_eq!((got["category"].as_str(), got["state"].as_str()), (Some(category), Some("Enabled")));
        assert_eq!(
            (got["type"].as_str(), got["zoneUuid"].as_str()),
            (Some("L3BasicNetwork"), Some(world.zone.as_str()))
        );
        assert_eq!(got["system"], category == "System");
        let found = api.one("QueryL3Network", &uuid(&got)).await;
        assert_eq!(
            (found["dnsDomain"].as_str(), found["category"].as_str()),
            (Some("lab.example"), Some(category))
        );
    }
    for (name, value) in
        [("type", "Nonsense"), ("category", "Secret"), ("dnsDomain", "a b"), ("dnsDomain", "$(x).de")]
    {
        let mut params = json!({ "name": "x", "l2NetworkUuid": world.l2 });
        params[name] = json!(value);
        assert_eq!(
            api.fails("CreateL3Network", params).await.code(),
            code::INVALID_ARGUMENT,
            "{name} {value}"
        );
    }
    assert_eq!(api.ok("GetL3NetworkTypes", json!({})).await["types"], json!(["L3BasicNetwork"]));
}

#[tokio::test]
async fn l3_04_system_and_disabled_networks_hold_no_vms() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let system = json!({ "name": "s", "l2NetworkUuid": world.l2, "category": "System" });
    let system = uuid(&api.make("CreateL3Network", system).await);
    let mut vm = world.vm("x");
    vm["l3NetworkUuids"] = json!([system]);
    let refused = api.fails("CreateVmInstance", vm).await;
    assert!(
        refused.has_code(code::OPERATION_ERROR) && refused.to_string().contains("system network"),
        "{refused}"
    );
    let state = |event: &str| json!({ "uuid": world.l3, "stateEvent": event });
    assert_eq!(api.make("ChangeL3NetworkState", state("disable")).await["state"], "Disabled");
    let refused = api.fails("CreateVmInstance", world.vm("x")).await;
    assert!(refused.has_code(code::OPERATION_ERROR) && refused.to_string().contains("Disabled"), "{refused}");
    assert_eq!(api.one("QueryL3Network", &world.l3).await["state"], "Disabled");
    assert_eq!(api.make("ChangeL3NetworkState", state("enable")).await["state"], "Enabled");
    world.create_vm(api, "x").await;
    cloud.assert_sane("a VM").await;
}

#[tokio::test]
async fn l3_01_update_changes_what_is_named_and_nothing_else() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let params = json!({ "name": "a", "description": "d", "l2NetworkUuid": world.l2, "system": true });
    let net = uuid(&api.make("CreateL3Network", params).await);
    let got = api.make("UpdateL3Network", json!({ "uuid": net, "name": "b" })).await;
    assert_eq!((got["name"].as_str(), got["description"].as_str()), (Some("b"), Some("d")));
    assert_eq!(got["system"], true, "a name does not make it a network for users");
    let got =
        api.make("UpdateL3Network", json!({ "uuid": net, "system": false, "dnsDomain": "x.example" })).await;
    assert_eq!((got["system"].as_bool(), got["dnsDomain"].as_str()), (Some(false), Some("x.example")));
    let bad = json!({ "uuid": net, "dnsDomain": "-x-" });
    assert_eq!(api.fails("UpdateL3Network", bad).await.code(), code::INVALID_ARGUMENT);
    assert_eq!(api.one("QueryL3Network", &net).await["name"], "b");
}

#[tokio::test]
async fn l3_01_dns_servers_keep_their_order_and_reach_guests() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    world.create_vm(api, "vm").await;
    let host = cloud.machines.host(&world.hosts[0]);
    let dns = |ip: &str| json!({ "l3NetworkUuid": world.l3, "dns": ip });
    for ip in ["9.9.9.9", "1.1.1.1", "8.8.8.8"] {
        api.ok("AddDnsToL3Network", dns(ip)).await;
    }
    assert_eq!(api.one("QueryL3Network", &world.l3).await["dns"], json!(["9.9.9.9", "1.1.1.1", "8.8.8.8"]));
    let told = || host.snapshot().l3_networks[&world.l3].dns.clone();
    eventually("DNS on the host", || told() == ["9.9.9.9", "1.1.1.1", "8.8.8.8"]).await;
    assert_eq!(api.fails("AddDnsToL3Network", dns("1.1.1.1")).await.code(), code::OPERATION_ERROR);
    for bad in [
        "x",
        "fd00::1",
        "1.1.1",
        "$(reboot)",
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        assert_eq!(api.fails("AddDnsToL3Network", dns(bad)).await.code(), code::INVALID_ARGUMENT, "{bad}");
    }
    let got = api.make("RemoveDnsFromL3Network", dns("1.1.1.1")).await;
    assert_eq!(got["dns"], json!(["9.9.9.9", "8.8.8.8"]));
    api.ok("RemoveDnsFromL3Network", dns("1.1.1.1")).await;
    eventually("DNS on the host", || told() == ["9.9.9.9", "8.8.8.8"]).await;
    cloud.assert_sane("DNS changed").await;
}

#[tokio::test]
async fn l3_01_mtu_of_network_bridge_and_guest() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let net = json!({ "l3NetworkUuid": world.l3 });
    assert_eq!(api.ok("GetL3NetworkMtu", net.clone()).await["mtu"], 1500);
    let vm = uuid(&world.create_vm(api, "vm").await);
    api.ok("SetL3NetworkMtu", json!({ "l3NetworkUuid": world.l3, "mtu": 9000 })).await;
    assert_eq!(api.ok("GetL3NetworkMtu", net).await["mtu"], 9000);
    let host = cloud.machines.host(&world.hosts[0]);
    eventually("the MTU on the host", || {
        let now = host.snapshot();
        now.l3_networks[&world.l3].mtu == 9000 && now.bridges[&world.l2].mtu == 9000
    })
    .await;
    let tag = format!("tag=l3NetworkUuid::{}::mtu::9000", world.l3);
    assert_eq!(api.list("QuerySystemTag", &[&tag]).await.len(), 1);
    api.ok("RebootVmInstance", json!({ "uuid": vm })).await;
    for bad in [67, 9217] {
        let refused = api.fails("SetL3NetworkMtu", json!({ "l3NetworkUuid": world.l3, "mtu": bad })).await;
        assert_eq!(refused.code(), code::INVALID_ARGUMENT);
    }
    // A smaller one does not shrink the bridge below what others need.
    api.ok("SetL3NetworkMtu", json!({ "l3NetworkUuid": world.l3, "mtu": 68 })).await;
    eventually("the MTU on the host", || {
        let now = host.snapshot();
        now.l3_networks[&world.l3].mtu == 68 && now.bridges[&world.l2].mtu == 1500
    })
    .await;
    cloud.assert_sane("MTU changed").await;
}

#[tokio::test]
async fn l3_03_a_shared_network_is_used_and_not_changed() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    assert!(alice.list("QueryL3Network", &[]).await.is_empty());
    world.share_with(&cloud.admin, &alice.account).await;
    assert_eq!(alice.list("QueryL3Network", &[]).await.len(), 1);
    assert_eq!(alice.list("QueryIpRange", &[]).await.len(), 1);
    world.create_vm(&alice, "mine").await;
    let free = json!({ "l3NetworkUuid": world.l3, "limit": 3 });
    assert_eq!(alice.ok("GetFreeIpOfL3Network", free).await["inventories"].as_array().unwrap().len(), 3);
    let of_range = json!({ "ipRangeUuid": world.ip_range, "limit": 3 });
    assert_eq!(alice.ok("GetFreeIpOfIpRange", of_range).await["inventories"].as_array().unwrap().len(), 3);
    let changes = [
        ("UpdateL3Network", json!({ "uuid": world.l3, "name": "x" })),
        ("DeleteL3Network", json!({ "uuid": world.l3 })),
        ("AddDnsToL3Network", json!({ "l3NetworkUuid": world.l3, "dns": "1.1.1.1" })),
        ("UpdateIpRange", json!({ "uuid": world.ip_range, "name": "x" })),
        ("DeleteIpRange", json!({ "uuid": world.ip_range })),
    ];
    for (action, params) in changes {
        assert_eq!(alice.fails(action, params).await.code(), code::PERMISSION_DENIED, "{action}");
    }
    let recall = json!({ "resourceUuids": [world.l3], "accountUuids": [alice.account] });
    cloud.admin.ok("RevokeResourceSharing", recall).await;
    assert!(alice.list("QueryL3Network", &[]).await.is_empty());
    assert_eq!(alice.fails("CreateVmInstance", world.vm("x")).await.code(), code::PERMISSION_DENIED);
}

#[tokio::test]
async fn iam_04_tenants_build_networks_up_to_their_quota() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    let quota = json!({ "identityUuid": alice.account, "name": "l3.num", "value": 1 });
    cloud.admin.ok("UpdateQuota", quota).await;
    share_with_all(&cloud, &world.l2).await;
    let mine = l3_of(&alice, &world.l2, "10.50.0.0/24").await;
    assert_eq!(alice.list("QueryL3Network", &[]).await.len(), 1);
    let more = json!({ "name": "more", "l2NetworkUuid": world.l2 });
    assert_eq!(alice.fails("CreateL3Network", more.clone()).await.code(), "ID.1003");
    alice.ok("DeleteL3Network", json!({ "uuid": mine })).await;
    alice.ok("CreateL3Network", more).await;
    l3(&cloud.admin, &world.l2).await;
}
