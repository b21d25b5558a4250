//! Calls that get in each other's way: whatever the order, each ends cleanly, and nothing is left behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_testkit::{Api, Cloud, Failure, World};
use serde_json::{Value, json};

/// Rounds of each race.
const ROUNDS: usize = 12;

/// A pause that is different each time, up to some milliseconds.
async fn jitter(most_ms: u64) {
    static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9);
    let n = SEED.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
    tokio::time::sleep(Duration::from_micros(mixed % (most_ms * 1000))).await;
}

/// A failure must say why, with a code that is not "our own mistake".
fn is_clean(outcome: &Result<Value, Failure>) -> bool {
    outcome
        .as_ref()
        .err()
        .is_none_or(|f| f.status == 503 && !f.code().starts_with("HTTP.") && f.code() != "SYS.1000")
}

fn enforcing(uuid: &str) -> Value {
    json!({ "uuid": uuid, "deleteMode": "Enforcing" })
}

/// Creates VMs while something that they need is deleted.
async fn against(what: &str, deletion: impl Fn(&World) -> (&'static str, Value)) {
    let cloud = Cloud::start().await;
    let (mut created, mut refused, mut deleted) = (0, 0, 0);
    for round in 0..ROUNDS {
        let world = cloud.world_of(2).await;
        let (action, params) = deletion(&world);
        let api = &cloud.admin;
        let create = |n: usize| {
            let (api, world) = (api.clone(), world.clone());
            async move {
                jitter(12).await;
                let uuid = cairn_types::new_uuid();
                let mut params = world.vm(&format!("vm-{round}-{n}"));
                params["resourceUuid"] = json!(uuid);
                (uuid, api.call("CreateVmInstance", params).await)
            }
        };
        let delete = async {
            jitter(25).await;
            api.call(action, params.clone()).await
        };
        let (one, two, three, gone) = tokio::join!(create(1), create(2), create(3), delete);
        assert!(is_clean(&gone), "{what} {round}: the deletion ended with {gone:?}");
        deleted += usize::from(gone.is_ok());
        for (uuid, outcome) in [one, two, three] {
            assert!(is_clean(&outcome), "{what} {round}: the creation ended with {outcome:?}");
            let rows = api.list("QueryVmInstance", &[&format!("uuid={uuid}")]).await;
            match outcome {
                Ok(_) => created += 1,
                Err(_) => {
                    refused += 1;
                    assert!(rows.is_empty(), "{what} {round}: a failed creation left {rows:?}");
                }
            }
        }
        cloud.assert_sane(&format!("{what} {round}")).await;
        clear(&cloud, &world).await;
        cloud.assert_sane(&format!("{what} {round}, cleared")).await;
    }
    println!("{what}: {created} created, {refused} refused, {deleted} of {ROUNDS} deleted");
}

/// Removes a world of which something is gone already.
async fn clear(cloud: &Cloud, world: &World) {
    let api = &cloud.admin;
    for vm in api.list("QueryVmInstance", &[]).await {
        let _ = api.call("DestroyVmInstance", enforcing(vm["uuid"].as_str().unwrap())).await;
        let _ = api.call("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    }
    api.ok("DeleteZone", enforcing(&world.zone)).await;
    let _ = api.call("DeleteImage", enforcing(&world.image)).await;
    let _ = api.call("ExpungeImage", json!({ "imageUuid": world.image })).await;
    api.ok("DeleteBackupStorage", enforcing(&world.backup_storage)).await;
    let _ = api.call("DeleteInstanceOffering", enforcing(&world.instance_offering)).await;
    let left = api.list("QueryVmInstance", &[]).await;
    assert!(left.is_empty(), "VMs that can't be removed: {left:?}");
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_host() {
    against("host", |w| ("DeleteHost", enforcing(&w.hosts[0]))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_image() {
    against("image", |w| ("DeleteImage", enforcing(&w.image))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_network() {
    against("L3 network", |w| ("DeleteL3Network", enforcing(&w.l3))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_l2_network() {
    against("L2 network", |w| ("DeleteL2Network", enforcing(&w.l2))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_address_range() {
    against("address range", |w| ("DeleteIpRange", enforcing(&w.ip_range))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_offering() {
    against("offering", |w| ("DeleteInstanceOffering", enforcing(&w.instance_offering))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_cluster() {
    against("cluster", |w| ("DeleteCluster", enforcing(&w.cluster))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_delete_of_its_zone() {
    against("zone", |w| ("DeleteZone", enforcing(&w.zone))).await;
}

#[tokio::test]
async fn bey_02_create_vm_against_detach_and_delete_of_its_primary_storage() {
    let cloud = Cloud::start().await;
    for round in 0..ROUNDS {
        let (world, api) = (cloud.world().await, cloud.admin.clone());
        let create = |n: usize| {
            let (api, params) = (api.clone(), world.vm(&format!("vm-{n}")));
            async move {
                jitter(12).await;
                api.call("CreateVmInstance", params).await
            }
        };
        let delete = async {
            jitter(25).await;
            let link = json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster });
            let detached = api.call("DetachPrimaryStorageFromCluster", link).await;
            (detached, api.call("DeletePrimaryStorage", enforcing(&world.primary_storage)).await)
        };
        let (one, two, (detached, deleted)) = tokio::join!(create(1), create(2), delete);
        for outcome in [one, two, detached, deleted] {
            assert!(is_clean(&outcome), "round {round}: {outcome:?}");
        }
        cloud.assert_sane("storage").await;
        clear(&cloud, &world).await;
    }
}

#[tokio::test]
async fn bey_02_start_against_destroy() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world_of(2).await, cloud.admin.clone());
    for round in 0..ROUNDS * 2 {
        let vm = world.create_vm(&api, "vm").await["uuid"].clone();
        api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
        let call = |action: &'static str, params: Value| {
            let api = api.clone();
            async move {
                jitter(8).await;
                api.call(action, params).await
            }
        };
        let start = call("StartVmInstance", json!({ "uuid": vm }));
        let stop = call("StopVmInstance", json!({ "uuid": vm, "type": "cold" }));
        let destroy = call("DestroyVmInstance", enforcing(vm.as_str().unwrap()));
        let (started, stopped, destroyed) = tokio::join!(start, stop, destroy);
        assert!(destroyed.is_ok(), "round {round}: {destroyed:?}");
        assert!(is_clean(&started) && is_clean(&stopped), "round {round}: {started:?} {stopped:?}");
        assert_eq!(api.one("QueryVmInstance", vm.as_str().unwrap()).await["state"], "Destroyed");
        cloud.assert_sane("a destroyed VM").await;
        api.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
        cloud.assert_sane("an expunged VM").await;
    }
}

/// Creates several VMs at once of which only some can be had.
async fn scramble(cloud: &Cloud, api: &Api, world: &World, count: usize) -> (Vec<Value>, Vec<Failure>) {
    let mut all = Vec::new();
    for n in 0..count {
        let (api, params) = (api.clone(), world.vm(&format!("vm-{n}")));
        all.push(tokio::spawn(async move {
            jitter(6).await;
            api.call("CreateVmInstance", params).await
        }));
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for one in all {
        match one.await.unwrap() {
            Ok(answer) => good.push(answer["inventory"].clone()),
            Err(failure) => bad.push(failure),
        }
    }
    cloud.assert_sane("after a scramble").await;
    (good, bad)
}

async fn expunge_all(api: &Api, vms: &[Value]) {
    for vm in vms {
        api.ok("DestroyVmInstance", enforcing(vm["uuid"].as_str().unwrap())).await;
        api.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    }
}

#[tokio::test]
async fn bey_02_two_vms_for_the_last_address() {
    let cloud = Cloud::start().await;
    let (mut world, api) = (cloud.world_of(2).await, cloud.admin.clone());
    let l3 = api.make("CreateL3Network", json!({ "name": "tight", "l2NetworkUuid": world.l2 })).await;
    let range = json!({
        "l3NetworkUuid": l3["uuid"], "name": "three", "startIp": "10.8.0.10", "endIp": "10.8.0.12", "netmask": "255.255.255.0",
        "gateway": "10.8.0.1",
    });
    api.ok("AddIpRange", range).await;
    world.l3 = l3["uuid"].as_str().unwrap().to_owned();
    for _ in 0..ROUNDS {
        let (good, bad) = scramble(&cloud, &api, &world, 5).await;
        assert_eq!((good.len(), bad.len()), (3, 2), "{bad:?}");
        let ips: std::collections::BTreeSet<_> =
            good.iter().map(|v| v["vmNics"][0]["ip"].to_string()).collect();
        assert_eq!(ips.len(), 3);
        expunge_all(&api, &good).await;
    }
}

#[tokio::test]
async fn bey_02_two_vms_for_the_last_memory() {
    let cloud = Cloud::start().await;
    let (mut world, api) = (cloud.world().await, cloud.admin.clone());
    let capacity = api.ok("GetCpuMemoryCapacity", json!({ "hostUuids": world.hosts })).await;
    let a_third = capacity["availableMemory"].as_i64().unwrap() / 3;
    let offering = json!({ "name": "third", "cpuNum": 1, "memorySize": a_third });
    world.instance_offering =
        api.make("CreateInstanceOffering", offering).await["uuid"].as_str().unwrap().to_owned();
    for _ in 0..ROUNDS {
        let (good, bad) = scramble(&cloud, &api, &world, 5).await;
        assert_eq!((good.len(), bad.len()), (3, 2), "{bad:?}");
        let left = api.ok("GetCpuMemoryCapacity", json!({ "hostUuids": world.hosts })).await;
        let left = left["availableMemory"].as_i64().unwrap();
        assert!((0..a_third).contains(&left), "{left}");
        expunge_all(&api, &good).await;
    }
}

#[tokio::test]
async fn bey_02_two_vms_for_the_last_unit_of_a_quota() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let tenant = cloud.account("tenant").await;
    world.share_with(&cloud.admin, &tenant.account).await;
    cloud
        .admin
        .ok("UpdateQuota", json!({ "identityUuid": tenant.account, "name": "vm.num", "value": 2 }))
        .await;
    for _ in 0..ROUNDS {
        let (good, bad) = scramble(&cloud, &tenant, &world, 5).await;
        assert_eq!((good.len(), bad.len()), (2, 3), "{bad:?}");
        assert!(bad.iter().all(|f| f.has_code("ID.1003")), "{bad:?}");
        expunge_all(&tenant, &good).await;
    }
}
