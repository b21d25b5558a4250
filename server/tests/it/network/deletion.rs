//! What goes with a network: NICs and addresses, never VMs (7.5.1.5, 7.5.2.4).

use cairn_testkit::{Cloud, World};
use cairn_types::code;
use serde_json::{Value, json};

use super::{eventually, flat, l3_of, uuid};

async fn two_nics(cloud: &Cloud, world: &World) -> (String, String) {
    let api = &cloud.admin;
    let second = l3_of(api, &world.l2, "10.8.0.0/24").await;
    let services = json!({ "l3NetworkUuid": second, "networkServices": { flat(api).await: ["DHCP"] } });
    api.ok("AttachNetworkServiceToL3Network", services).await;
    let mut vm = world.vm("vm");
    vm["l3NetworkUuids"] = json!([world.l3, second]);
    vm["defaultL3NetworkUuid"] = json!(second);
    (uuid(&api.make("CreateVmInstance", vm).await), second)
}

#[tokio::test]
async fn l2_05_deleting_an_l3_network_takes_nics_and_leaves_vms() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let (vm, second) = two_nics(&cloud, &world).await;
    let refused = api.fails("DeleteL3Network", json!({ "uuid": second })).await;
    assert_eq!(refused.code(), code::IN_USE);
    let enforcing = json!({ "uuid": second, "deleteMode": "Enforcing" });
    let plan = api.plan("DeleteL3Network", enforcing.clone()).await.unwrap();
    let kinds: Vec<&str> =
        plan["deletes"].as_array().unwrap().iter().map(|d| d["type"].as_str().unwrap_or_default()).collect();
    for kind in ["L3NetworkVO", "IpRangeVO", "VmNicVO"] {
        assert!(kinds.contains(&kind), "{plan}");
    }
    assert!(!kinds.contains(&"VmInstanceVO"), "{plan}");
    api.ok("DeleteL3Network", enforcing).await;
    let left = api.one("QueryVmInstance", &vm).await;
    assert_eq!(left["state"], "Stopped");
    let nics = left["vmNics"].as_array().unwrap();
    assert_eq!((nics.len(), nics[0]["l3NetworkUuid"].as_str()), (1, Some(world.l3.as_str())));
    assert!(cloud.machines.host(&world.hosts[0]).leases(&second).is_none());
    assert!(api.list("QueryIpRange", &[&format!("l3NetworkUuid={second}")]).await.is_empty());
    assert_eq!(left["defaultL3NetworkUuid"], json!(world.l3), "the other network takes over");
    api.ok("StartVmInstance", json!({ "uuid": vm })).await;
    cloud.assert_sane("one NIC left").await;
}

#[tokio::test]
async fn l2_05_deleting_an_l2_network_takes_its_l3_networks_and_bridges() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let vm = uuid(&world.create_vm(api, "vm").await);
    assert_eq!(api.fails("DeleteL2Network", json!({ "uuid": world.l2 })).await.code(), code::IN_USE);
    api.ok("DeleteL2Network", json!({ "uuid": world.l2, "deleteMode": "Enforcing" })).await;
    for query in ["QueryL2Network", "QueryL3Network", "QueryIpRange", "QueryVmNic"] {
        assert!(api.list(query, &[]).await.is_empty(), "{query}");
    }
    assert_eq!(api.one("QueryVmInstance", &vm).await["state"], "Stopped");
    for host in &world.hosts {
        let now = cloud.machines.host(host).snapshot();
        assert!(now.bridges.is_empty() && now.l3_networks.is_empty(), "{host}");
    }
    cloud.assert_sane("no network").await;
}

#[tokio::test]
async fn l2_05_a_host_that_is_away_forgets_the_network_when_it_is_back() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let mut vm = world.vm("vm");
    vm["hostUuid"] = json!(world.hosts[1]);
    let vm = uuid(&api.make("CreateVmInstance", vm).await);
    let away = cloud.machines.host(&world.hosts[1]);
    api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    away.disconnect();
    eventually("the host goes", || !cloud.app().agents.is_connected(&world.hosts[1])).await;
    api.ok("DeleteL2Network", json!({ "uuid": world.l2 })).await;
    assert!(away.bridges().contains_key(&world.l2));
    away.reconnect();
    eventually("the bridge goes", || {
        away.snapshot().bridges.is_empty() && away.snapshot().l3_networks.is_empty()
    })
    .await;
    cloud.assert_sane("the host is back").await;
}

#[tokio::test]
async fn l3_01_deleting_a_range_takes_the_nics_with_its_addresses() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let more = json!({
        "l3NetworkUuid": world.l3, "name": "more", "startIp": "10.7.0.2", "endIp": "10.7.0.5", "netmask": "255.255.255.0",
        "gateway": "10.7.0.1",
    });
    let more = uuid(&api.make("AddIpRange", more).await);
    let with_ip = |name: &str, ip: &str| {
        let mut vm = world.vm(name);
        vm["systemTags"] = json!([format!("staticIp::{}::{ip}", world.l3)]);
        vm
    };
    let kept = uuid(&api.make("CreateVmInstance", with_ip("kept", "10.7.0.2")).await);
    let lost = uuid(&api.make("CreateVmInstance", with_ip("lost", "10.7.0.100")).await);
    let enforcing = json!({ "uuid": world.ip_range, "deleteMode": "Enforcing" });
    api.ok("DeleteIpRange", enforcing).await;
    let nics = |vm: &Value| vm["vmNics"].as_array().unwrap().len();
    let (kept, lost) = (api.one("QueryVmInstance", &kept).await, api.one("QueryVmInstance", &lost).await);
    assert_eq!((nics(&kept), kept["state"].as_str()), (1, Some("Running")));
    assert_eq!((nics(&lost), lost["state"].as_str()), (0, Some("Stopped")));
    // The DHCP server has an address of a range that is there.
    let server =
        api.ok("GetL3NetworkDhcpIpAddress", json!({ "l3NetworkUuid": world.l3 })).await["ip"].clone();
    assert!(["10.7.0.3", "10.7.0.4", "10.7.0.5"].contains(&server.as_str().unwrap()), "{server}");
    let host = cloud.machines.host(&world.hosts[0]);
    let wanted = format!("{}/24", server.as_str().unwrap());
    eventually("the new address on the host", || {
        host.snapshot()
            .l3_networks
            .get(&world.l3)
            .is_some_and(|n| n.service_address == wanted && n.leases.len() == 1)
    })
    .await;
    cloud.assert_sane("one range left").await;
    api.ok("DeleteIpRange", json!({ "uuid": more, "deleteMode": "Enforcing" })).await;
    eventually("no services", || host.leases(&world.l3).is_none()).await;
    assert!(api.list("QuerySystemTag", &[&format!("resourceUuid={}", world.l3)]).await.is_empty());
    cloud.assert_sane("no range left").await;
}
