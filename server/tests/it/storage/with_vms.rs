use cairn_server::storage::cache;
use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_detach_stops_vms_and_leaves_their_volumes() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world().await, &cloud.admin);
    let vm = world.create_vm(api, "vm").await["uuid"].clone();
    let link = json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster });
    let state = || async { api.list("QueryVmInstance", &[]).await[0]["state"].clone() };
    let maintain = json!({ "uuid": world.primary_storage, "stateEvent": "maintain" });
    assert_eq!(api.fails("ChangePrimaryStorageState", maintain).await.code(), "RES.8001");
    api.ok("DetachPrimaryStorageFromCluster", link.clone()).await;
    assert_eq!(state().await, "Stopped");
    assert_eq!(api.list("QueryVolume", &[]).await[0]["status"], "Ready");
    api.fails("StartVmInstance", json!({ "uuid": vm })).await;
    api.ok("AttachPrimaryStorageToCluster", link).await;
    api.ok("StartVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(state().await, "Running");
    cloud.assert_sane("storage was detached and attached again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_delete_takes_vms_and_volumes_as_planned() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world().await, &cloud.admin);
    world.create_vm(api, "vm").await;
    let link = json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster });
    api.ok("DetachPrimaryStorageFromCluster", link).await;
    api.ok("DeletePrimaryStorage", json!({ "uuid": world.primary_storage })).await;
    for query in [
        "QueryVmInstance",
        "QueryVolume",
        "QueryPrimaryStorage",
        "QueryImageCache",
        "QueryLocalStorageResourceRef",
    ] {
        assert!(api.list(query, &[]).await.is_empty(), "{query}");
    }
    let machine = cloud.machines.host(&world.hosts[0]);
    assert!(machine.volumes().is_empty() && machine.cached_images().is_empty() && machine.vms().is_empty());
    cloud.assert_sane("storage was deleted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_nothing_new_is_placed_on_disabled_storage() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world().await, &cloud.admin);
    let change = |event: &str| json!({ "uuid": world.primary_storage, "stateEvent": event });
    api.ok("ChangePrimaryStorageState", change("disable")).await;
    let params = world.vm("vm");
    let refused = api.fails("CreateVmInstance", params.clone()).await;
    assert!(refused.body.contains("Disabled"), "{refused:?}");
    api.ok("ChangePrimaryStorageState", change("enable")).await;
    api.ok("CreateVmInstance", params).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_image_below_a_volume_is_never_cleared_away() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world().await, &cloud.admin);
    world.create_vm(api, "vm").await;
    api.ok("DeleteImage", json!({ "uuid": world.image })).await;
    api.ok("ExpungeImage", json!({ "imageUuid": world.image })).await;
    let sweep = || cloud.inside(|app| async move { cache::sweep(&app, 0).await.unwrap() });
    assert_eq!(sweep().await, 0);
    assert_eq!(api.list("QueryImageCache", &[]).await.len(), 1);
    let vm = api.list("QueryVmInstance", &[]).await[0]["uuid"].clone();
    api.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(sweep().await, 0, "a VM that can be recovered needs it");
    api.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(sweep().await, 1);
    assert!(cloud.machines.host(&world.hosts[0]).cached_images().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vol_01_what_a_volume_takes_is_measured_again() {
    let cloud = Cloud::start().await;
    let (world, api) = (cloud.world().await, &cloud.admin);
    let vm = world.create_vm(api, "vm").await;
    let volume = vm["rootVolumeUuid"].as_str().unwrap();
    let before = api.one("QueryVolume", volume).await["actualSize"].as_i64().unwrap();
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.grow_volume(volume, 7 << 20);
    cloud.inside(|app| async move { cairn_server::storage::capacity::refresh(&app).await }).await.unwrap();
    let now = api.one("QueryVolume", volume).await;
    assert_ne!(before, 7 << 20);
    assert_eq!(
        (now["actualSize"].as_i64(), now["size"].as_i64()),
        (Some(7 << 20), vm["allVolumes"][0]["size"].as_i64())
    );
    cloud.assert_sane("a volume grew").await;
}
