//! VMs destroyed while their hosts can't be reached: the guest may still run, so nobody else gets what it uses.

use std::time::Duration;

use cairn_api::agent::vm::PowerState;
use cairn_server::agents::Patience;
use cairn_testkit::{Api, Cloud, World};
use serde_json::{Value, json};

async fn impatient(hosts: usize) -> (Cloud, World) {
    let cloud = Cloud::with(|t| {
        t.patience =
            Some(Patience { come_back: Duration::from_millis(200), first_dial: Duration::from_millis(200) });
    })
    .await;
    let world = cloud.world_of(hosts).await;
    (cloud, world)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn cut_off(cloud: &Cloud, host: &str) {
    cloud.machines.host(host).disconnect();
    while cloud.admin.one("QueryHost", host).await["status"] != "Disconnected" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn bring_back(cloud: &Cloud, host: &str) {
    cloud.machines.host(host).reconnect();
    while cloud.admin.one("QueryHost", host).await["status"] != "Connected" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cloud.converged().await);
}

/// Free processors, memory and addresses.
async fn free(api: &Api, world: &World) -> (i64, i64, i64) {
    let host = api.one("QueryHost", &world.hosts[0]).await;
    let ips = api.ok("GetIpAddressCapacity", json!({ "l3NetworkUuids": [world.l3] })).await;
    let number = |v: &Value| v.as_i64().unwrap();
    (
        number(&host["availableCpuCapacity"]),
        number(&host["availableMemoryCapacity"]),
        number(&ips["availableCapacity"]),
    )
}

async fn wants(world: &World, api: &Api, ip: &str) -> Result<Value, cairn_testkit::Failure> {
    let mut params = world.vm("other");
    params["systemTags"] = json!([format!("staticIp::{}::{ip}", world.l3)]);
    params["strategy"] = json!("JustCreate");
    api.call("CreateVmInstance", params).await
}

#[tokio::test]
async fn vm_21_a_vm_destroyed_on_a_lost_host_keeps_its_address_until_the_host_is_told() {
    let (cloud, world) = impatient(1).await;
    let api = cloud.admin.clone();
    world.warm_up(&api).await;
    let before = free(&api, &world).await;
    let vm = world.create_vm(&api, "vm").await;
    let (uuid, ip) = (text(&vm["uuid"]), text(&vm["vmNics"][0]["ip"]));
    let used = free(&api, &world).await;
    cut_off(&cloud, &world.hosts[0]).await;

    let answer = api.ok("DestroyVmInstance", json!({ "uuid": uuid })).await;
    assert_eq!(answer["pendingCleanUp"]["hostUuid"], world.hosts[0].as_str(), "{answer}");
    let seen = api.one("QueryVmInstance", &uuid).await;
    assert_eq!(seen["state"], "Destroyed");
    assert!(text(&seen["stateReason"]).contains("may still run"), "{seen}");
    assert_eq!(free(&api, &world).await, used);
    assert!(wants(&world, &api, &ip).await.is_err(), "{ip} may still be in use");
    let refused = api.call("RecoverVmInstance", json!({ "uuid": uuid })).await.unwrap_err();
    assert!(refused.body.contains("when the host is back"), "{}", refused.body);

    let answer = api.ok("ExpungeVmInstance", json!({ "uuid": uuid })).await;
    assert_eq!(answer["pendingCleanUp"]["hostUuid"], world.hosts[0].as_str(), "{answer}");
    assert_eq!(free(&api, &world).await, used);
    assert!(wants(&world, &api, &ip).await.is_err(), "{ip} may still be in use");
    assert_eq!(cloud.machines.host(&world.hosts[0]).vm_state(&uuid), PowerState::Running);

    bring_back(&cloud, &world.hosts[0]).await;
    cloud.assert_sane("the host is told").await;
    assert_eq!(free(&api, &world).await, before);
    let other = wants(&world, &api, &ip).await.unwrap();
    assert_eq!(other["inventory"]["vmNics"][0]["ip"], ip.as_str());
}

#[tokio::test]
async fn vm_21_a_destroyed_vm_can_be_recovered_once_its_host_was_told() {
    let (cloud, world) = impatient(1).await;
    let api = cloud.admin.clone();
    let uuid = text(&world.create_vm(&api, "vm").await["uuid"]);
    cut_off(&cloud, &world.hosts[0]).await;
    api.ok("DestroyVmInstance", json!({ "uuid": uuid })).await;
    bring_back(&cloud, &world.hosts[0]).await;
    let seen = api.one("QueryVmInstance", &uuid).await;
    assert_eq!((seen["state"].as_str(), seen["stateReason"].as_str()), (Some("Destroyed"), None));
    api.ok("RecoverVmInstance", json!({ "uuid": uuid })).await;
    api.ok("StartVmInstance", json!({ "uuid": uuid })).await;
    cloud.assert_sane("recovered").await;
}

#[tokio::test]
async fn vm_21_what_a_departed_guest_keeps_goes_with_its_host() {
    let (cloud, world) = impatient(2).await;
    let api = cloud.admin.clone();
    world.warm_up(&api).await;
    let vm = world.create_vm(&api, "vm").await;
    let (uuid, host) = (text(&vm["uuid"]), text(&vm["hostUuid"]));
    let ip = text(&vm["vmNics"][0]["ip"]);
    cut_off(&cloud, &host).await;
    api.ok("DestroyVmInstance", json!({ "uuid": uuid })).await;
    api.ok("ExpungeVmInstance", json!({ "uuid": uuid })).await;
    assert!(wants(&world, &api, &ip).await.is_err());
    api.ok("DeleteHost", json!({ "uuid": host, "deleteMode": "Enforcing" })).await;
    assert!(wants(&world, &api, &ip).await.is_ok());
    for table in ["departed_guest", "departed_nic", "cleanup"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let left = cloud.app().store.read(move |tx| tx.query_int(&sql, &[])).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn bey_02_a_command_whose_caller_was_told_that_it_failed_is_not_carried_out_later() {
    let (cloud, world) = impatient(1).await;
    let api = cloud.admin.clone();
    let uuid = text(&world.create_vm(&api, "vm").await["uuid"]);
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.freeze();
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        machine.disconnect();
    };
    let (answer, ()) = tokio::join!(api.call("PauseVmInstance", json!({ "uuid": uuid })), cut);
    assert!(answer.is_err());
    tokio::time::sleep(Duration::from_millis(250)).await;
    machine.thaw();
    assert_eq!(machine.vm_state(&uuid), PowerState::Running, "nobody waits for the pause any more");
    bring_back(&cloud, &world.hosts[0]).await;
    assert_eq!(api.one("QueryVmInstance", &uuid).await["state"], "Running");
    // One that is held up for less long than its caller waits is sent again and carried out.
    machine.freeze();
    let thaw = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        machine.thaw();
    };
    let (answer, ()) = tokio::join!(api.call("PauseVmInstance", json!({ "uuid": uuid })), thaw);
    assert_eq!(answer.unwrap()["inventory"]["state"], "Paused");
}

/// A step that ends after the host was deleted keeps nothing for it: nobody would ever take that row away.
#[tokio::test]
async fn bey_02_nothing_is_kept_for_a_host_that_was_deleted_meanwhile() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let [stays, goes] = [world.hosts[0].clone(), world.hosts[1].clone()];
    cloud.admin.ok("DeleteHost", json!({ "uuid": goes, "deleteMode": "Enforcing" })).await;
    let keep = |host: String| {
        let store = cloud.app().store.clone();
        async move {
            let op = cairn_api::agent::vm::RemoveVm { vm: cairn_types::new_uuid() };
            let target = host.clone();
            store.write(move |tx| cairn_server::platform::cleanup::later(tx, &target, &op)).await.unwrap();
            let sql = "SELECT count(*) FROM cleanup WHERE kind = 'agent' AND target_uuid = ?";
            store.read(move |tx| tx.query_int(sql, &[host.into()])).await.unwrap()
        }
    };
    assert_eq!(keep(goes).await, 0);
    assert_eq!(keep(stays).await, 1);
    cloud.assert_sane("what is kept for a host that is there is carried out").await;
}
