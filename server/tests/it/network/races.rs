//! A VM comes while its network goes: one of the clean outcomes, never half of one.

use std::time::Duration;

use cairn_testkit::{Cloud, World};
use serde_json::{Value, json};

use super::{eventually, l2, l3_of, to_cluster, uuid};

/// A network of its own for each round, so that a round can delete it.
async fn network(cloud: &Cloud, world: &World, round: u64) -> (String, String) {
    let api = &cloud.admin;
    let net = l3_of(api, &world.l2, &format!("10.9.{round}.0/24")).await;
    let services = json!({ "l3NetworkUuid": net, "networkServices": { "Flat": ["DHCP", "Userdata"] } });
    api.ok("AttachNetworkServiceToL3Network", services).await;
    let range = uuid(&api.list("QueryIpRange", &[&format!("l3NetworkUuid={net}")]).await[0]);
    (net, range)
}

/// Creates a VM on a network while something else happens a moment later.
async fn race(
    cloud: &Cloud,
    world: &World,
    net: &str,
    round: u64,
    action: &str,
    params: Value,
) -> (bool, bool) {
    let mut vm = world.vm(&format!("vm-{round}"));
    vm["l3NetworkUuids"] = json!([net]);
    let create = cloud.admin.call("CreateVmInstance", vm);
    let delete = async {
        tokio::time::sleep(Duration::from_millis(round * 3)).await;
        cloud.admin.call(action, params).await
    };
    let (created, deleted) = tokio::join!(create, delete);
    for failure in [created.as_ref().err(), deleted.as_ref().err()].into_iter().flatten() {
        assert!(!failure.has_code("SYS.1000") && !failure.has_code("STORE.8000"), "round {round}: {failure}");
    }
    cloud.assert_sane(&format!("{action} in round {round}")).await;
    (created.is_ok(), deleted.is_ok())
}

#[tokio::test]
async fn races_of_creating_a_vm_and_deleting_its_l3_network() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    for round in 0..12 {
        let (net, _) = network(&cloud, &world, round).await;
        let mode = if round % 2 == 0 { "Permissive" } else { "Enforcing" };
        let params = json!({ "uuid": net, "deleteMode": mode });
        let (created, deleted) = race(&cloud, &world, &net, round, "DeleteL3Network", params).await;
        assert!(created || deleted, "round {round}: both failed");
        assert!(deleted || mode == "Permissive", "round {round}: nothing may refuse");
        let nics = cloud.admin.list("QueryVmNic", &[&format!("l3NetworkUuid={net}")]).await;
        assert_eq!(nics.is_empty(), deleted, "round {round}");
        let there = cloud.admin.list("QueryL3Network", &[&format!("uuid={net}")]).await;
        assert_eq!(there.is_empty(), deleted, "round {round}");
    }
}

#[tokio::test]
async fn races_of_creating_a_vm_and_deleting_its_ip_range() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    for round in 0..12 {
        let (net, range) = network(&cloud, &world, round).await;
        let params = json!({ "uuid": range, "deleteMode": "Enforcing" });
        let (_, deleted) = race(&cloud, &world, &net, round, "DeleteIpRange", params).await;
        assert!(deleted, "round {round}: nothing may refuse");
        let with_address = [format!("l3NetworkUuid={net}"), "ip not null".to_owned()];
        let nics = cloud.admin.list("QueryVmNic", &[&with_address[0], &with_address[1]]).await;
        assert!(nics.is_empty(), "round {round}: {nics:?}");
    }
}

#[tokio::test]
async fn races_of_creating_a_vm_and_taking_its_l2_network_away() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let host = cloud.machines.host(&world.hosts[0]);
    for round in 0..8 {
        let second = l2(&cloud.admin, &world, "eth1").await;
        cloud.admin.ok("AttachL2NetworkToCluster", to_cluster(&world, &second)).await;
        let net = l3_of(&cloud.admin, &second, "10.9.0.0/24").await;
        let detach = to_cluster(&world, &second);
        let (_, detached) = race(&cloud, &world, &net, round, "DetachL2NetworkFromCluster", detach).await;
        let running = cloud
            .admin
            .list("QueryVmInstance", &["state=Running", &format!("vmNics.l3NetworkUuid={net}")])
            .await;
        assert!(running.is_empty() || !detached, "round {round}: a VM runs on a network that is gone");
        assert_eq!(host.bridges().contains_key(&second), !detached, "round {round}");
        let enforcing = json!({ "uuid": second, "deleteMode": "Enforcing" });
        race(&cloud, &world, &net, round, "DeleteL2Network", enforcing).await;
        eventually("the bridge goes", || !host.bridges().contains_key(&second)).await;
    }
}
