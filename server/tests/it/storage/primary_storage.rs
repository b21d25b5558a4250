use cairn_api::agent::storage::ListStorage;
use cairn_server::agents::CallOptions;
use serde_json::{Value, json};

use super::depot::Depot;
use crate::hardware::site::uuid;

const PS: &str = "/v1/primary-storage";

async fn set_state(depot: &Depot, storage: &str, event: &str) -> Value {
    let answer = depot.action(
        format!("primary-storage/{storage}"),
        "changePrimaryStorageState",
        json!({ "stateEvent": event }),
    );
    answer.await.unwrap()["inventory"]["state"].clone()
}

async fn has_folder(depot: &Depot, host: &str) -> bool {
    let list = ListStorage { storage_path: "/cairn_ps".into() };
    depot.app.agents.call(host, &list, CallOptions::default()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_01_local_storage_is_a_folder_on_every_host() {
    let depot = Depot::new(2).await;
    let params = json!({ "name": "ps", "url": "/cairn_ps/", "zoneUuid": depot.zone, "description": "d" });
    let storage = uuid(depot.post("/v1/primary-storage/local-storage", params).await);
    let shown = depot.one(PS, &storage).await;
    assert_eq!((shown["type"].as_str(), shown["url"].as_str()), (Some("LocalStorage"), Some("/cairn_ps")));
    assert_eq!((shown["status"].as_str(), shown["state"].as_str()), (Some("Connected"), Some("Enabled")));
    assert_eq!(shown["totalCapacity"], 0);

    let attached = depot.attach(&storage).await.unwrap();
    assert_eq!(attached["inventory"]["attachedClusterUuids"], json!([depot.cluster]));
    for host in &depot.hosts {
        assert!(has_folder(&depot, host).await);
    }
    let each = 4096_i64 << 30;
    let shown = depot.one(PS, &storage).await;
    assert_eq!(shown["totalPhysicalCapacity"], 2 * each);
    let hosts = depot.get(&format!("/v1/primary-storage/local-storage/{storage}/capacities")).await.unwrap();
    assert_eq!(hosts["inventories"].as_array().unwrap().len(), 2);
    assert_eq!(hosts["inventories"][0]["totalCapacity"], each);
    let path = format!("/v1/primary-storage/local-storage/{storage}/capacities?hostUuid={}", depot.hosts[1]);
    assert_eq!(depot.get(&path).await.unwrap()["inventories"][0]["hostUuid"], depot.hosts[1]);

    // A host that comes later has it too.
    let late = depot.host(&depot.cluster, "10.0.0.9").await;
    assert!(has_folder(&depot, &late).await);
    depot.until(PS, &storage, |s| s["totalPhysicalCapacity"] == 3 * each).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_01_several_storages_of_a_cluster_have_folders_of_their_own() {
    let depot = Depot::new(1).await;
    depot.storage("/ps1").await;
    depot.storage("/ps2").await;
    for (url, ok) in [("/ps1", false), ("/ps1/below", false), ("/ps", true)] {
        let params = json!({ "name": "ps", "url": url, "zoneUuid": depot.zone });
        let storage = uuid(depot.post("/v1/primary-storage/local-storage", params).await);
        let attached = depot.attach(&storage).await;
        assert_eq!(attached.is_ok(), ok, "{url}");
        if let Err(f) = attached {
            assert_eq!(f.codes(), ["PS.1001", "SYS.1006"]);
        }
    }
    let other = depot.site.zone("other").await;
    let params = json!({ "name": "far", "url": "/far", "zoneUuid": other });
    let far = uuid(depot.post("/v1/primary-storage/local-storage", params).await);
    assert_eq!(depot.attach(&far).await.unwrap_err().code(), "PS.1001");
    for bad in
        ["", "relative", "/", "/a/../b", "/$(reboot)", "/a b", "/quo'te", "/emoji\u{1f600}", "/new\nline"]
    {
        let params = json!({ "name": "ps", "url": bad, "zoneUuid": depot.zone });
        let refused = depot.post("/v1/primary-storage/local-storage", params).await.unwrap_err();
        assert_eq!(refused.code(), "SYS.1007", "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_01_attach_that_fails_on_a_host_leaves_nothing() {
    let depot = Depot::new(2).await;
    let params = json!({ "name": "ps", "url": "/ps", "zoneUuid": depot.zone });
    let storage = uuid(depot.post("/v1/primary-storage/local-storage", params).await);
    let full = cairn_types::Fault::new("AGENT.8005", "the disk is full");
    depot.machine(&depot.hosts[1]).fail("storage.connect", 1, full);
    let failed = depot.attach(&storage).await.unwrap_err();
    assert!(failed.codes().contains(&"AGENT.8005".to_owned()), "{failed:?}");
    assert_eq!(depot.count("primary_storage_cluster_ref").await, 0);
    assert_eq!(depot.count("local_storage_host_ref").await, 0);
    depot.attach(&storage).await.unwrap();
    assert_eq!(depot.attach(&storage).await.unwrap_err().code(), "PS.1001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_connected_if_any_host_is() {
    let depot = Depot::new(2).await;
    let storage = depot.storage("/ps").await;
    let status = |wanted: &'static str| depot.until(PS, &storage, move |s| s["status"] == wanted);
    depot.machine(&depot.hosts[0]).disconnect();
    depot.wait_status(&depot.hosts[0], "Disconnected").await;
    depot.until(PS, &storage, |s| s["statusReason"] == "1 of its 2 hosts reach it").await;
    assert_eq!(status("Connected").await["status"], "Connected");
    let again = depot
        .action(format!("primary-storage/{storage}"), "reconnectPrimaryStorage", json!({}))
        .await
        .unwrap();
    assert_eq!(again["inventory"]["status"], "Connected");
    depot.machine(&depot.hosts[1]).disconnect();
    status("Disconnected").await;
    let failed = depot
        .action(format!("primary-storage/{storage}"), "reconnectPrimaryStorage", json!({}))
        .await
        .unwrap_err();
    assert_eq!(failed.code(), "PS.1003");
    depot.machine(&depot.hosts[1]).reconnect();
    status("Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_states_update_and_types() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    for (event, state) in [
        ("disable", "Disabled"),
        ("enable", "Enabled"),
        ("maintain", "Maintenance"),
        ("deleting", "Deleting"),
        ("enable", "Enabled"),
    ] {
        assert_eq!(set_state(&depot, &storage, event).await, state);
        assert_eq!(depot.one(PS, &storage).await["state"], state);
    }
    let path = format!("primary-storage/{storage}");
    let named = depot
        .action(
            &path,
            "updatePrimaryStorage",
            json!({ "name": "new $(reboot) '\u{1f600}'", "description": "d" }),
        )
        .await;
    assert_eq!(named.unwrap()["inventory"]["name"], "new $(reboot) '\u{1f600}'");
    let moved =
        depot.action(&path, "updatePrimaryStorage", json!({ "url": "/elsewhere" })).await.unwrap_err();
    assert_eq!(moved.code(), "RES.8001");
    depot.detach(&storage).await.unwrap();
    let moved = depot.action(&path, "updatePrimaryStorage", json!({ "url": "/elsewhere" })).await.unwrap();
    assert_eq!(moved["inventory"]["url"], "/elsewhere");
    let types = depot.get("/v1/primary-storage/types").await.unwrap();
    assert!(types["types"].as_array().unwrap().contains(&json!("LocalStorage")));
    let strategies = depot.get("/v1/primary-storage/allocators/strategies").await.unwrap();
    assert!(!strategies["strategies"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_06_delete_only_after_detaching_from_clusters() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let refused = depot.delete(&format!("{PS}/{storage}")).await.unwrap_err();
    assert_eq!(refused.code(), "RES.8001");
    let detached = depot.detach(&storage).await.unwrap();
    assert_eq!(detached["inventory"]["attachedClusterUuids"], json!([]));
    assert_eq!(depot.detach(&storage).await.unwrap_err().code(), "PS.1002");
    assert_eq!(depot.count("local_storage_host_ref").await, 0);
    let plan = depot.plan("DELETE", &format!("{PS}/{storage}"), Value::Null).await.unwrap();
    assert_eq!(plan["deletes"], json!([{ "type": "PrimaryStorageVO", "uuid": storage, "name": "ps" }]));
    depot.delete(&format!("{PS}/{storage}")).await.unwrap();
    assert_eq!(depot.count("primary_storage").await, 0);
    depot.delete(&format!("{PS}/{storage}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps_07_capacities_follow_disks_and_settings() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let disk = 4096_i64 << 30;
    depot.machine(&depot.hosts[0]).fill_disk(1 << 30);
    let synced = depot
        .action(format!("primary-storage/{storage}"), "syncPrimaryStorageCapacity", json!({}))
        .await
        .unwrap();
    assert_eq!(synced["inventory"]["availablePhysicalCapacity"], disk - (1 << 30));
    assert_eq!(synced["inventory"]["systemUsedCapacity"], 1 << 30);
    depot.set("mevoco", "overProvisioning.primaryStorage", "2").await;
    let shown = depot.one(PS, &storage).await;
    assert_eq!(
        (shown["totalCapacity"].as_i64(), shown["availableCapacity"].as_i64()),
        (Some(2 * disk), Some(2 * disk))
    );
    for query in [
        "all=true".to_owned(),
        format!("zoneUuids={}", depot.zone),
        format!("clusterUuids={}", depot.cluster),
        format!("primaryStorageUuids={storage}"),
    ] {
        let sum = depot.get(&format!("{PS}/capacities?{query}")).await.unwrap();
        assert_eq!(
            (sum["totalCapacity"].as_i64(), sum["totalPhysicalCapacity"].as_i64()),
            (Some(2 * disk), Some(disk)),
            "{query}"
        );
    }
    assert_eq!(depot.get(&format!("{PS}/capacities")).await.unwrap_err().code(), "SYS.1007");
    // Measured again by itself.
    depot.machine(&depot.hosts[0]).fill_disk(2 << 30);
    depot.set("primaryStorage", "ping.interval", "0").await;
    cairn_server::storage::capacity::refresh(&depot.app).await.unwrap();
    assert_eq!(depot.one(PS, &storage).await["availablePhysicalCapacity"], disk - (2 << 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_primary_storage_has_the_size_it_was_given() {
    let depot = Depot::new(1).await;
    let params = json!({ "name": "sim", "url": "nfs://pretended", "zoneUuid": depot.zone, "totalCapacity": 1_i64 << 40, "availableCapacity": 1_i64 << 39 });
    let storage = uuid(depot.post("/v1/primary-storage/simulators", params).await);
    depot.attach(&storage).await.unwrap();
    let shown = depot.one(PS, &storage).await;
    assert_eq!(
        (shown["totalCapacity"].as_i64(), shown["availablePhysicalCapacity"].as_i64()),
        (Some(1 << 40), Some(1 << 39))
    );
    assert_eq!(shown["status"], "Connected");
    let bad = json!({ "name": "sim", "url": "/x", "zoneUuid": depot.zone, "totalCapacity": 1, "availableCapacity": 2 });
    assert_eq!(depot.post("/v1/primary-storage/simulators", bad).await.unwrap_err().code(), "SYS.1007");
    let kvm = json!({ "zoneUuid": depot.zone, "name": "kvm", "hypervisorType": "KVM" });
    let kvm = uuid(depot.post("/v1/clusters", kvm).await);
    let wrong =
        depot.post(&format!("/v1/clusters/{kvm}/primary-storage/{storage}"), Value::Null).await.unwrap_err();
    assert_eq!(wrong.code(), "PS.1001");
}
