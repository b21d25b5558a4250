//! The test kit itself: a world comes, works, survives a crash and goes without a trace.

use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test]
async fn a_world_goes_without_a_trace() {
    let cloud = Cloud::start().await;
    let before = cloud.tables().await;
    let world = cloud.world_of(2).await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    assert_eq!(vm["state"], "Running");
    cloud.assert_sane("a running VM").await;
    world.delete(&cloud.admin).await;
    cloud.assert_sane("an empty cloud").await;
    cloud.assert_nothing_left(&before).await;
    // A host that can be reached is left clean; only what it has of networks is of no use to anybody.
    let mut left = cloud.machines.snapshot().leftovers();
    left.retain(|l| !l.contains("bridge of L2 network"));
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_crash_keeps_what_was_committed() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    let before = cloud.tables().await;
    cloud.restart().await;
    cloud.assert_sane("after a crash").await;
    cloud.assert_nothing_left(&before).await;
    let uuid = vm["uuid"].as_str().unwrap();
    assert_eq!(cloud.admin.one("QueryVmInstance", uuid).await["state"], "Running");
    cloud.admin.ok("StopVmInstance", json!({ "uuid": uuid, "type": "cold" })).await;
    cloud.assert_sane("after a stop").await;
}
