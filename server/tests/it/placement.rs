//! The index of hosts: it follows every kind of change, proposes what rows confirm, and counts why nobody fits.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cairn_store::{Tx, params};
use cairn_testkit::{Cloud, World};
use serde_json::{Value, json};

/// The index must be what rows say, whatever was just done. It hears of it by the event log alone.
async fn same(cloud: &Cloud, after: &str) {
    // What a call began goes on a moment longer than the call.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let placement = &cloud.app().placement;
        placement.ready().await.unwrap();
        let known = placement.hosts();
        let lines = cairn_server::platform::compare::hosts(placement, &cloud.app().store).await.unwrap();
        if lines.is_empty() && known > 0 {
            return;
        }
        assert!(Instant::now() < end, "after {after}: {known} hosts\n{}", lines.join("\n"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn status(cloud: &Cloud, host: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while cloud.admin.one("QueryHost", host).await["status"] != wanted {
        assert!(Instant::now() < end, "host {host} does not become {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn bey_03_index_follows_changes_of_the_site() {
    let cloud = Cloud::start().await;
    let mut world = cloud.world_of(3).await;
    same(&cloud, "a new world").await;
    let (host, cluster, zone) = (world.hosts[0].clone(), world.cluster.clone(), world.zone.clone());
    let set = |name: &'static str, value: &'static str, category: &'static str| {
        ("UpdateGlobalConfig", json!({ "category": category, "name": name, "value": value }))
    };
    let link = json!({ "l2NetworkUuid": world.l2, "clusterUuid": cluster });
    let storage = json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": cluster });
    let change = |kind: &str, uuid: &str, event: &str| {
        let action: &'static str = match kind {
            "host" => "ChangeHostState",
            "cluster" => "ChangeClusterState",
            "zone" => "ChangeZoneState",
            _ => "ChangePrimaryStorageState",
        };
        (action, json!({ "uuid": uuid, "stateEvent": event }))
    };
    let steps = [
        change("host", &host, "disable"),
        change("host", &host, "enable"),
        change("cluster", &cluster, "disable"),
        change("cluster", &cluster, "enable"),
        change("zone", &zone, "disable"),
        change("zone", &zone, "enable"),
        change("storage", &world.primary_storage, "disable"),
        change("storage", &world.primary_storage, "enable"),
        set("cpu.overProvisioning.ratio", "3", "host"),
        set("overProvisioning.memory", "1.5", "mevoco"),
        set("overProvisioning.primaryStorage", "2.5", "mevoco"),
        set("reservedMemory", "2G", "kvm"),
        ("DetachL2NetworkFromCluster", link.clone()),
        ("AttachL2NetworkToCluster", link),
        ("DetachPrimaryStorageFromCluster", storage.clone()),
        ("AttachPrimaryStorageToCluster", storage),
        ("DeleteHost", json!({ "uuid": world.hosts[2], "deleteMode": "Enforcing" })),
    ];
    for (action, params) in steps {
        cloud.admin.ok(action, params.clone()).await;
        same(&cloud, &format!("{action} {params}")).await;
    }
    world.add_host(&cloud.admin, 4).await;
    same(&cloud, "one more host").await;
    cloud.machines.host(&host).disconnect();
    status(&cloud, &host, "Disconnected").await;
    same(&cloud, "a lost host").await;
    cloud.machines.host(&host).reconnect();
    status(&cloud, &host, "Connected").await;
    same(&cloud, "a host that is back").await;
    let link = json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster });
    cloud.admin.ok("DetachPrimaryStorageFromCluster", link).await;
    cloud.admin.ok("DeletePrimaryStorage", json!({ "uuid": world.primary_storage })).await;
    same(&cloud, "the end of its storage").await;
    cloud.admin.ok("DeleteL2Network", json!({ "uuid": world.l2, "deleteMode": "Enforcing" })).await;
    same(&cloud, "the end of its network").await;
}

#[tokio::test]
async fn bey_03_index_follows_vms_and_survives_a_restart() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let vm = world.create_vm(&cloud.admin, "vm").await["uuid"].clone();
    same(&cloud, "a VM that runs").await;
    for (action, params) in [
        ("StopVmInstance", json!({ "uuid": vm, "type": "cold" })),
        ("UpdateVmInstance", json!({ "uuid": vm, "cpuNum": 2, "memorySize": 128 << 20 })),
        ("StartVmInstance", json!({ "uuid": vm })),
        ("PauseVmInstance", json!({ "uuid": vm })),
        ("ResumeVmInstance", json!({ "uuid": vm })),
    ] {
        cloud.admin.ok(action, params).await;
        same(&cloud, action).await;
    }
    cloud.restart().await;
    same(&cloud, "a restart").await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    same(&cloud, "its destruction").await;
    cloud.admin.ok("RecoverVmInstance", json!({ "uuid": vm })).await;
    cloud.admin.ok("StartVmInstance", json!({ "uuid": vm })).await;
    same(&cloud, "its recovery").await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    same(&cloud, "its end").await;
}

/// What another server writes arrives by the log; what it wrote before the log begins is read from rows.
#[tokio::test]
async fn bey_03_index_follows_rows_that_others_wrote_and_a_log_that_was_pruned() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let host = world.hosts[0].clone();
    let write = |state: &'static str, is_pruned: bool| {
        let host = host.clone();
        move |tx: &mut dyn Tx| {
            tx.execute("UPDATE host SET state = ? WHERE uuid = ?", params![state, &host])?;
            let uuid = host.parse().unwrap();
            cairn_server::rows::event::<cairn_types::kind::Host>(tx, "HostVO", uuid, "updated", &json!({}))?;
            if is_pruned {
                // The newest entry stays, as when the log is pruned by age.
                cairn_server::platform::events::write(
                    tx,
                    None,
                    "GlobalConfigVO",
                    "x/y",
                    "updated",
                    &json!({}),
                )?;
                tx.execute("DELETE FROM event WHERE seq < (SELECT max(seq) FROM event)", params![])?;
            }
            Ok(())
        }
    };
    cloud.app().store.write(write("Disabled", false)).await.unwrap();
    same(&cloud, "a row that another server wrote").await;
    cloud.app().store.write(write("Enabled", true)).await.unwrap();
    same(&cloud, "a log that does not reach back").await;
}

fn fits(memory: i64, world: &World, name: &str) -> Value {
    let mut vm = world.vm(name);
    vm.as_object_mut().unwrap().remove("instanceOfferingUuid");
    vm["cpuNum"] = json!(1);
    vm["memorySize"] = json!(memory);
    vm
}

#[tokio::test]
async fn bey_03_creations_at_the_same_moment_fill_every_host_and_no_more() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(4).await;
    world.warm_up(&cloud.admin).await;
    // Five of these fit on a host of 16 GiB; 24 are asked for at once and 20 can be had.
    let asks =
        (0..24).map(|n| cloud.admin.call("CreateVmInstance", fits(3 << 30, &world, &format!("vm-{n}"))));
    let asks: Vec<_> = asks.collect();
    let answers = futures_util::future::join_all(asks).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (20, 4), "{refused:?}");
    for refusal in refused {
        let failure = refusal.unwrap_err();
        assert!(failure.has_code("HOST_ALLOCATION.1000"), "{failure:?}");
        assert!(failure.error().to_string().contains("\"memory\":4"), "{}", failure.error());
    }
    let vms = cloud.admin.list("QueryVmInstance", &["state=Running"]).await;
    let hosts: BTreeSet<String> = vms.iter().map(|v| v["hostUuid"].to_string()).collect();
    assert_eq!((vms.len(), hosts.len()), (20, 4));
    cloud.assert_sane("full hosts").await;
    // One goes: its room is free at once, whatever the index has heard of it.
    let vm = vms[0]["uuid"].clone();
    cloud.admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    cloud.admin.ok("CreateVmInstance", fits(3 << 30, &world, "after")).await;
    cloud.assert_sane("full again").await;
}
