//! L2 networks on the hosts of clusters (L2-01).

use cairn_testkit::Cloud;
use cairn_types::{Fault, code};
use serde_json::json;

use super::{eventually, l2, to_cluster, uuid};

#[tokio::test]
async fn l2_01_attaching_makes_the_bridge_on_every_host() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(3).await;
    let api = &cloud.admin;
    let net = l2(api, &world, "eth1").await;
    let got = api.make("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    assert_eq!(got["attachedClusterUuids"], json!([world.cluster]));
    for host in &world.hosts {
        let bridge = cloud.machines.host(host).bridges()[&net].clone();
        assert_eq!((bridge.bridge.as_str(), bridge.uplink.as_str(), bridge.mtu), ("br_eth1", "eth1", 1500));
    }
    let tag = api.list("QuerySystemTag", &[&format!("resourceUuid={net}"), "tag=kvm::bridge::br_eth1"]).await;
    assert_eq!(tag[0]["inherent"], true);
    let got = api.make("DetachL2NetworkFromCluster", to_cluster(&world, &net)).await;
    assert_eq!(got["attachedClusterUuids"], json!([]));
    for host in &world.hosts {
        assert!(!cloud.machines.host(host).bridges().contains_key(&net), "the bridge is still on {host}");
    }
    cloud.assert_sane("attached and detached").await;
}

#[tokio::test]
async fn l2_01_a_host_that_comes_later_gets_the_bridges() {
    let cloud = Cloud::start().await;
    let mut world = cloud.world().await;
    let late = world.add_host(&cloud.admin, 2).await;
    assert!(cloud.machines.host(&late).bridges().contains_key(&world.l2));
}

#[tokio::test]
async fn l2_01_a_host_that_is_away_gets_the_bridge_when_it_arrives_and_loses_it_likewise() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let (away, net) = (cloud.machines.host(&world.hosts[1]), l2(api, &world, "eth1").await);
    let gone = || !cloud.app().agents.is_connected(&world.hosts[1]);
    away.disconnect();
    eventually("the host goes", gone).await;
    api.ok("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    assert!(cloud.machines.host(&world.hosts[0]).bridges().contains_key(&net));
    away.reconnect();
    eventually("the bridge", || away.bridges().contains_key(&net)).await;
    cloud.assert_sane("the host is back").await;

    // Detached while it is away: it loses the bridge when it is back.
    away.disconnect();
    eventually("the host goes", gone).await;
    api.ok("DetachL2NetworkFromCluster", to_cluster(&world, &net)).await;
    away.reconnect();
    eventually("no bridge", || !away.bridges().contains_key(&net)).await;
    cloud.assert_sane("the host is back").await;

    // Detached and attached again while it is away: it keeps the bridge.
    api.ok("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    away.disconnect();
    eventually("the host goes", gone).await;
    api.ok("DetachL2NetworkFromCluster", to_cluster(&world, &net)).await;
    api.ok("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    away.reconnect();
    eventually("the host is back", || away.is_connected() && away.bridges().contains_key(&net)).await;
    cloud.assert_sane("the host is back").await;
    assert!(away.bridges().contains_key(&net), "an old order took the bridge away");
}

#[tokio::test]
async fn l2_01_a_host_without_the_interface_refuses_for_all() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let net = l2(&cloud.admin, &world, "eth7").await;
    let refused = cloud.admin.fails("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    assert_eq!(refused.code(), code::L2_ATTACH);
    assert!(refused.has_code(code::AGENT_NETWORK) && refused.details().contains("eth7"), "{refused}");
    assert_eq!(cloud.admin.one("QueryL2Network", &net).await["attachedClusterUuids"], json!([]));
}

#[tokio::test]
async fn l2_01_one_host_that_fails_takes_the_bridges_of_the_others_back() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(3).await;
    let net = l2(&cloud.admin, &world, "eth1").await;
    let broken = Fault::new(code::AGENT_NETWORK, "out of memory");
    cloud.machines.host(&world.hosts[2]).fail("network.applyBridge", 1, broken);
    let refused = cloud.admin.fails("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    assert_eq!(refused.code(), code::L2_ATTACH);
    for host in &world.hosts {
        assert!(!cloud.machines.host(host).bridges().contains_key(&net), "{host} kept its bridge");
    }
    cloud.assert_sane("taken back").await;
    cloud.admin.ok("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
}

#[tokio::test]
async fn l2_06_the_same_network_and_the_same_interface_are_attached_once() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let again = api.fails("AttachL2NetworkToCluster", to_cluster(&world, &world.l2)).await;
    assert_eq!(again.code(), code::L2_ATTACH);
    assert!(again.has_code(code::OPERATION_ERROR) && again.details().contains("already"), "{again}");
    let same = l2(api, &world, "eth0").await;
    let refused = api.fails("AttachL2NetworkToCluster", to_cluster(&world, &same)).await;
    assert!(refused.details().contains("eth0") && refused.details().contains(&world.l2), "{refused}");
    // Both at the same moment: one of them.
    let (a, b) = (l2(api, &world, "eth1").await, l2(api, &world, "eth1").await);
    let (one, two) = tokio::join!(
        api.call("AttachL2NetworkToCluster", to_cluster(&world, &a)),
        api.call("AttachL2NetworkToCluster", to_cluster(&world, &b)),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    cloud.assert_sane("one of two").await;
    let bridges = cloud.machines.host(&world.hosts[0]).bridges();
    assert_eq!(bridges.values().filter(|b| b.uplink == "eth1").count(), 1);
}

#[tokio::test]
async fn l2_01_a_network_of_another_zone_is_refused() {
    let cloud = Cloud::start().await;
    let (world, other) =
        (cloud.world().await, uuid(&cloud.admin.make("CreateZone", json!({ "name": "z" })).await));
    let params = json!({ "name": "l2", "zoneUuid": other, "physicalInterface": "eth1" });
    let net = uuid(&cloud.admin.make("CreateL2NoVlanNetwork", params).await);
    let refused = cloud.admin.fails("AttachL2NetworkToCluster", to_cluster(&world, &net)).await;
    assert!(refused.details().contains("different zones"), "{refused}");
}

#[tokio::test]
async fn l2_01_detaching_waits_for_vms_to_be_stopped() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let vm = uuid(&world.create_vm(api, "web").await);
    let refused = api.fails("DetachL2NetworkFromCluster", to_cluster(&world, &world.l2)).await;
    assert_eq!(refused.code(), code::IN_USE);
    assert!(refused.details().contains("web"), "{refused}");
    api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    api.ok("DetachL2NetworkFromCluster", to_cluster(&world, &world.l2)).await;
    let host = cloud.machines.host(&world.hosts[0]);
    assert!(host.bridges().is_empty() && host.leases(&world.l3).is_none());
    assert!(api.call("StartVmInstance", json!({ "uuid": vm })).await.is_err(), "no host has the network");
    api.ok("AttachL2NetworkToCluster", to_cluster(&world, &world.l2)).await;
    api.ok("StartVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(host.leases(&world.l3).unwrap().len(), 1);
    cloud.assert_sane("attached again").await;
}

#[tokio::test]
async fn l2_01_create_update_and_types() {
    let cloud = Cloud::start().await;
    let api = &cloud.admin;
    let zone = uuid(&api.make("CreateZone", json!({ "name": "z" })).await);
    let wanted = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    let params = json!({
        "name": "net", "description": "first", "zoneUuid": zone, "physicalInterface": "em1", "resourceUuid": wanted,
        "type": "L2NoVlanNetwork",
    });
    let got = api.make("CreateL2NoVlanNetwork", params).await;
    assert_eq!((got["uuid"].as_str(), got["type"].as_str()), (Some(wanted), Some("L2NoVlanNetwork")));
    assert_eq!(got["physicalInterface"], "em1");
    let got = api.make("UpdateL2Network", json!({ "uuid": wanted, "name": "new" })).await;
    assert_eq!((got["name"].as_str(), got["description"].as_str()), (Some("new"), Some("first")));
    assert_eq!(api.one("QueryL2Network", wanted).await["name"], "new");
    assert_eq!(api.ok("GetL2NetworkTypes", json!({})).await["types"], json!(["L2NoVlanNetwork"]));
    // Bridges have names of their own, also on the same interface elsewhere.
    let same = uuid(
        &api.make(
            "CreateL2NoVlanNetwork",
            json!({ "name": "b", "zoneUuid": zone, "physicalInterface": "em1" }),
        )
        .await,
    );
    let tags = api.list("QuerySystemTag", &[&format!("resourceUuid={same}")]).await;
    assert_eq!(tags[0]["tag"], "kvm::bridge::br_em1_2");
    for bad in ["$(reboot)", "../x", "eth0 eth1", "", "eth\u{1f600}"] {
        let params = json!({ "name": "x", "zoneUuid": zone, "physicalInterface": bad });
        assert_eq!(api.fails("CreateL2NoVlanNetwork", params).await.code(), code::INVALID_ARGUMENT, "{bad}");
    }
    api.ok("DeleteL2Network", json!({ "uuid": wanted })).await;
    assert!(api.list("QueryL2Network", &[&format!("uuid={wanted}")]).await.is_empty());
    api.ok("DeleteL2Network", json!({ "uuid": wanted })).await;
}

#[tokio::test]
async fn bey_01_the_plan_of_attaching_touches_nothing() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let net = l2(&cloud.admin, &world, "eth1").await;
    let before = cloud.tables().await;
    let plan = cloud.admin.plan("AttachL2NetworkToCluster", to_cluster(&world, &net)).await.unwrap();
    assert!(plan.to_string().contains("make bridge br_eth1 on 2 host(s)"), "{plan}");
    let plan = cloud.admin.plan("DetachL2NetworkFromCluster", to_cluster(&world, &world.l2)).await.unwrap();
    assert!(
        plan.to_string().contains("from 1 host(s)") || plan.to_string().contains("from 2 host(s)"),
        "{plan}"
    );
    cloud.assert_nothing_left(&before).await;
    assert!(!cloud.machines.host(&world.hosts[0]).bridges().contains_key(&net));
    let refused = cloud.admin.plan("AttachL2NetworkToCluster", to_cluster(&world, &world.l2)).await;
    assert_eq!(refused.unwrap_err().code(), code::L2_ATTACH);
}
