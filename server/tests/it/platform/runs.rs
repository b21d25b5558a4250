use std::sync::Arc;

use cairn_testkit::Cloud;
use cairn_types::{Fault, code};
use cairn_workflow::{Act, At, Probe};
use serde_json::{Value, json};

/// Lets a workflow fail after its step `forward` and every undo of the step `backward`.
struct Breaks {
    workflow: &'static str,
    forward: usize,
    is_on: Arc<std::sync::atomic::AtomicBool>,
}

impl Probe for Breaks {
    fn at(&self, moment: &At<'_>) -> Act {
        let on = self.is_on.load(std::sync::atomic::Ordering::SeqCst);
        if !on || !moment.workflow.starts_with(self.workflow) {
            return Act::Go;
        }
        let fails = if moment.undo {
            !moment.after && moment.index == 0
        } else {
            !moment.after && moment.index == self.forward
        };
        if fails { Act::Fail } else { Act::Go }
    }
}

/// A cloud in which the start of a VM gets stuck while the flag is on.
async fn breaking(workflow: &'static str, forward: usize) -> (Cloud, Arc<std::sync::atomic::AtomicBool>) {
    let is_on = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let probe = Breaks { workflow, forward, is_on: is_on.clone() };
    let cloud = Cloud::with(|t| {
        t.probe = Some(Arc::new(probe));
        t.undo_tries = Some(2);
        t.undo_pause = Some(std::time::Duration::from_millis(1));
    })
    .await;
    (cloud, is_on)
}

async fn stuck(cloud: &Cloud) -> Value {
    let runs = cloud.admin.list("QueryCairnRun", &["state=Stuck"]).await;
    assert_eq!(runs.len(), 1, "one run is stuck");
    runs[0].clone()
}

#[tokio::test]
async fn bey_02_a_stuck_run_can_be_retried() {
    let (cloud, broken) = breaking("zone.delete", 1).await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let failed = cloud.admin.fails("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
    assert_eq!(failed.code(), "RUN.8002", "{failed}");
    let run = stuck(&cloud).await;
    let tenant = cloud.account("alice").await;
    for verb in ["RetryRun", "AbandonRun", "CancelRun"] {
        assert_eq!(tenant.fails(verb, json!({ "uuid": run["uuid"] })).await.code(), "ID.1002");
    }
    assert!(tenant.list("QueryCairnRun", &[]).await.is_empty());
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    cloud.admin.ok("RetryRun", json!({ "uuid": run["uuid"] })).await;
    loop {
        let now = cloud.admin.one("QueryCairnRun", run["uuid"].as_str().unwrap()).await;
        if now["state"] == "Failed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(cloud.admin.fails("RetryRun", json!({ "uuid": run["uuid"] })).await.code(), "RUN.8003");
    cloud.admin.ok("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
}

#[tokio::test]
async fn bey_02_an_abandoned_deletion_frees_what_it_held() {
    let (cloud, broken) = breaking("zone.delete", 1).await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let uuid = zone["uuid"].as_str().unwrap();
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    cloud.admin.fails("DeleteZone", json!({ "uuid": uuid })).await;
    let shown = cloud.admin.one("QueryZone", uuid).await;
    assert_eq!(shown["allowedActions"], json!([]), "still on its way out");
    let run = stuck(&cloud).await;
    let given_up = cloud.admin.make("AbandonRun", json!({ "uuid": run["uuid"] })).await;
    assert_eq!(given_up["state"], "Failed");
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_ne!(cloud.admin.one("QueryZone", uuid).await["allowedActions"], json!([]));
    let cluster = json!({ "name": "c", "zoneUuid": uuid, "hypervisorType": "Simulator" });
    cloud.admin.ok("CreateCluster", cluster).await;
    cloud.admin.ok("DeleteZone", json!({ "uuid": uuid })).await;
}

#[tokio::test]
async fn bey_02_a_vm_of_an_abandoned_run_is_unknown_until_it_is_seen() {
    let (cloud, broken) = breaking("vm.stop", 1).await;
    let world = cloud.world().await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    cloud.admin.fails("StopVmInstance", json!({ "uuid": vm["uuid"], "type": "cold" })).await;
    let run = stuck(&cloud).await;
    cloud.admin.ok("AbandonRun", json!({ "uuid": run["uuid"] })).await;
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let shown = cloud.admin.one("QueryVmInstance", vm["uuid"].as_str().unwrap()).await;
    assert_eq!(shown["state"], "Unknown");
    cloud.admin.ok("StopVmInstance", json!({ "uuid": vm["uuid"], "type": "cold" })).await;
}

#[tokio::test]
async fn bey_02_a_run_is_cancelled_between_steps_and_taken_back() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    world.warm_up(&cloud.admin).await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    let before = cloud.tables().await;
    cloud.machines.all().hang("storage.createVolume");
    cloud.machines.all().hang("vm.start");
    let first = alice.send("CreateVmInstance", world.vm("vm")).await;
    let job = first.json()["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let run = loop {
        let runs = alice.list("QueryCairnRun", &[&format!("jobUuid={job}")]).await;
        if let Some(run) = runs.first() {
            break run.clone();
        }
    };
    let progress = alice.ok("GetTaskProgress", json!({ "apiId": job })).await;
    let latest = progress["inventories"].as_array().unwrap().last().unwrap();
    assert_eq!((&latest["taskUuid"], &latest["type"]), (&json!(job), &json!("Progress")));
    let percent: u32 = latest["content"].as_str().unwrap().parse().unwrap();
    assert!(percent < 100, "{progress}");
    let bob = cloud.account("bob").await;
    assert_eq!(bob.ok("GetTaskProgress", json!({ "apiId": job })).await["inventories"], json!([]));

    alice.ok("CancelRun", json!({ "uuid": run["uuid"] })).await;
    cloud.machines.all().clear();
    let failed = alice.settle(first).await.err().unwrap();
    assert!(failed.has_code("RUN.8000"), "{failed}");
    cloud.admin.ok("DeleteAccount", json!({ "uuid": bob.account })).await;
    assert!(alice.list("QueryVmInstance", &[]).await.is_empty());
    cloud.assert_nothing_left(&before).await;
    assert_eq!(alice.fails("CancelRun", json!({ "uuid": run["uuid"] })).await.code(), "RUN.8003");
}

#[tokio::test]
async fn aud_01_progress_of_a_finished_job_is_complete() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.send("CreateZone", json!({ "name": "z" })).await;
    let job = zone.json()["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let zone = cloud.admin.settle(zone).await.unwrap();
    let done = cloud.admin.ok("GetTaskProgress", json!({ "apiId": job })).await;
    assert_eq!(done["inventories"][0]["content"], "100");
    let delete = cloud.admin.send("DeleteZone", json!({ "uuid": zone["inventory"]["uuid"] })).await;
    let job = delete.json()["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    cloud.admin.settle(delete).await.unwrap();
    let done = cloud.admin.ok("GetTaskProgress", json!({ "apiId": job, "all": true })).await;
    let all = done["inventories"].as_array().unwrap();
    assert_eq!(all.last().unwrap()["content"], "100");
    assert!(all.iter().any(|p| p["type"] == "Task" && p["content"] == "MarkDeleting"), "{done}");
    let unknown = cloud.admin.ok("GetTaskProgress", json!({ "apiId": "0".repeat(32) })).await;
    assert_eq!(unknown["inventories"], json!([]));
}

/// A host on which a VM fails to start and can't be taken back, as while its libvirtd is away; the VM.
async fn stuck_start(cloud: &Cloud, world: &cairn_testkit::World) -> String {
    let away = || Fault::new(code::AGENT_LIBVIRTD, "libvirtd on the host does not answer");
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.fail("vm.start", 0, away());
    machine.fail("vm.remove", 0, away());
    let failed = cloud.admin.fails("CreateVmInstance", world.vm("vm")).await;
    assert_eq!(failed.code(), "RUN.8002", "{failed}");
    let run = stuck(cloud).await;
    let vm = cloud.admin.one("QueryVmInstance", run["resourceUuid"].as_str().unwrap()).await;
    assert_eq!(vm["state"], "Starting");
    let (reason, name) = (vm["stateReason"].as_str().unwrap(), run["uuid"].as_str().unwrap());
    assert!(reason.contains(name) && reason.contains("retry or abandon"), "{reason}");
    for action in ["DestroyVmInstance", "StopVmInstance"] {
        let refused = cloud.admin.fails(action, json!({ "uuid": vm["uuid"] })).await;
        assert!(refused.body.contains(name) && refused.body.contains("retry or abandon"), "{refused}");
    }
    vm["uuid"].as_str().unwrap().to_owned()
}

async fn impatient() -> (Cloud, cairn_testkit::World) {
    let cloud = Cloud::with(|t| {
        t.undo_tries = Some(2);
        t.undo_pause = Some(std::time::Duration::from_millis(1));
    })
    .await;
    let world = cloud.world().await;
    world.warm_up(&cloud.admin).await;
    (cloud, world)
}

async fn unstuck(cloud: &Cloud, vm: &str) {
    for _ in 0..1000 {
        if cloud.admin.list("QueryCairnRun", &["state=Stuck"]).await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    cloud.assert_sane("tried again").await;
    assert!(
        cloud.admin.list("QueryVmInstance", &[&format!("uuid={vm}")]).await.is_empty(),
        "it is taken back"
    );
}

#[tokio::test]
async fn bey_02_a_run_stuck_because_of_a_host_is_tried_again_when_the_host_connects() {
    let (cloud, world) = impatient().await;
    let vm = stuck_start(&cloud, &world).await;
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.clear();
    machine.drop_connection();
    unstuck(&cloud, &vm).await;
}

#[tokio::test]
async fn bey_02_a_run_stuck_because_of_a_hypervisor_is_tried_again_when_that_answers() {
    let (cloud, world) = impatient().await;
    let vm = stuck_start(&cloud, &world).await;
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.fail_hypervisor();
    while cloud.admin.one("QueryHost", &world.hosts[0]).await["status"] != "Disconnected" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    machine.clear();
    machine.recover();
    unstuck(&cloud, &vm).await;
}

#[tokio::test]
async fn aud_01_progress_of_a_download_is_what_its_store_tells() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let store = cloud.machines.image_store(&world.backup_storage);
    store.delay("imageStore.fetch", std::time::Duration::from_millis(1500));
    let job = cairn_types::random_uuid();
    let image = json!({
        "name": "slow", "url": "http://images.example.org/slow.qcow2", "mediaType": "RootVolumeTemplate", "format": "qcow2",
        "platform": "Linux", "backupStorageUuids": [world.backup_storage],
    });
    let first = cloud.admin.with("x-job-uuid", &job).send("AddImage", image).await;
    let mut seen = Vec::new();
    loop {
        let progress = cloud.admin.ok("GetTaskProgress", json!({ "apiId": job })).await;
        let latest = &progress["inventories"][0];
        let percent: u8 = latest["content"].as_str().unwrap().parse().unwrap();
        if latest["opaque"]["step"] == "Fetch" && seen.last() != Some(&percent) {
            seen.push(percent);
        }
        if latest["opaque"]["state"] == "Done" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen, [0, 50, 100], "nothing, half, all of the download");
    cloud.admin.settle(first).await.unwrap();
}
