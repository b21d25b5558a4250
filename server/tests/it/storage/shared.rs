//! Volumes of VMs on storage that several hosts reach.

use cairn_testkit::{Cloud, World};
use serde_json::{Value, json};

/// Two hosts and a VM with its root volume on storage that both reach, off; the VM, the host that it was on, and the other one.
async fn a_stopped_vm(cloud: &Cloud) -> (World, String, [String; 2]) {
    let (world, api) = (cloud.world_of(2).await, &cloud.admin);
    let storage = json!({
        "name": "shared", "url": "sim://shared", "zoneUuid": world.zone, "totalCapacity": 1_i64 << 40,
        "availableCapacity": 1_i64 << 40,
    });
    let storage = api.make("AddSimulatorPrimaryStorage", storage).await["uuid"].clone();
    let attach = json!({ "primaryStorageUuid": storage, "clusterUuid": world.cluster });
    api.ok("AttachPrimaryStorageToCluster", attach).await;
    let mut params = world.vm("vm");
    params["primaryStorageUuidForRootVolume"] = storage;
    let vm = api.make("CreateVmInstance", params).await;
    let text = |name: &str| vm[name].as_str().unwrap().to_owned();
    let (uuid, on) = (text("uuid"), text("hostUuid"));
    api.ok("StopVmInstance", json!({ "uuid": uuid, "type": "cold" })).await;
    let other = world.hosts.iter().find(|h| **h != on).unwrap().clone();
    (world, uuid, [on, other])
}

fn files(cloud: &Cloud) -> usize {
    cloud.machines.snapshot().shared_volumes.values().map(|v| v.len()).sum()
}

async fn expunge(cloud: &Cloud, vm: &str) -> Value {
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_a_vm_on_shared_storage_outlives_its_host_and_leaves_no_file() {
    let cloud = Cloud::start().await;
    let (_world, vm, [on, other]) = a_stopped_vm(&cloud).await;
    cloud.admin.ok("DeleteHost", json!({ "uuid": on, "deleteMode": "Enforcing" })).await;
    cloud.admin.ok("StartVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(cloud.admin.one("QueryVmInstance", &vm).await["hostUuid"], other.as_str());
    cloud.admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    assert_eq!(files(&cloud), 1);
    expunge(&cloud, &vm).await;
    assert_eq!(files(&cloud), 0);
    cloud.assert_sane("after the VM and its first host").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_a_file_on_shared_storage_goes_through_the_first_host_that_comes_back() {
    let cloud = Cloud::start().await;
    let (_world, vm, [on, other]) = a_stopped_vm(&cloud).await;
    [&on, &other].into_iter().for_each(|host| cloud.machines.host(host).disconnect());
    for host in [&on, &other] {
        while cloud.app().agents.is_connected(host) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    expunge(&cloud, &vm).await;
    assert_eq!(files(&cloud), 1, "nobody reaches it");
    cloud.machines.host(&other).reconnect();
    assert!(cloud.app().agents.wait_for(&other, std::time::Duration::from_secs(10)).await);
    cloud.assert_sane("the other host is back").await;
    assert_eq!(files(&cloud), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_what_was_kept_for_a_host_that_goes_is_done_by_another() {
    let cloud = Cloud::start().await;
    let (_world, vm, [on, other]) = a_stopped_vm(&cloud).await;
    cloud.admin.ok("StartVmInstance", json!({ "uuid": vm, "hostUuid": on })).await;
    cloud.machines.host(&on).disconnect();
    while cloud.app().agents.is_connected(&on) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    expunge(&cloud, &vm).await;
    assert_eq!(files(&cloud), 1, "the guest may still use it");
    cloud.admin.ok("DeleteHost", json!({ "uuid": on, "deleteMode": "Enforcing" })).await;
    assert!(cloud.app().agents.is_connected(&other));
    let calm = cloud.converged().await;
    assert!(calm && files(&cloud) == 0, "{calm}, {} files", files(&cloud));
}

/// PS-06: the definition of a guest that switched itself off stays on its host, and goes from there once it runs on another one.
#[tokio::test]
async fn ps_06_a_vm_that_starts_elsewhere_is_forgotten_where_it_ran_before() {
    let cloud = Cloud::start().await;
    let (_world, vm, [on, other]) = a_stopped_vm(&cloud).await;
    let has = |host: &str| cloud.machines.host(host).vms().contains_key(&vm);
    for (from, to) in [(&on, &other), (&other, &on)] {
        cloud.admin.ok("StartVmInstance", json!({ "uuid": vm, "hostUuid": from })).await;
        switch_off_inside(&cloud, from, &vm).await;
        assert!(has(from));
        let is_away = from == &other;
        if is_away {
            cloud.machines.host(from).disconnect();
            while cloud.app().agents.is_connected(from) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        cloud.admin.ok("StartVmInstance", json!({ "uuid": vm, "hostUuid": to })).await;
        if is_away {
            assert!(has(from));
            cloud.machines.host(from).reconnect();
            while !cloud.app().agents.is_connected(from) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        cloud.assert_sane("a VM that moved while it was off").await;
        assert!(has(to), "it runs on {to}");
        assert!(!has(from), "{:?}", cloud.machines.host(from).vms());
        cloud.admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    }
}

async fn switch_off_inside(cloud: &Cloud, host: &str, vm: &str) {
    cloud.machines.host(host).power_off(vm);
    while cloud.admin.one("QueryVmInstance", vm).await["state"] != "Stopped" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
