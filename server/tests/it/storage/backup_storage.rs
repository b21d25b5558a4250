use serde_json::{Value, json};

use super::depot::Depot;
use crate::hardware::site::uuid;

const BS: &str = "/v1/backup-storage";

fn ssh_params(hostname: &str) -> Value {
    json!({ "name": "s", "url": "/store", "hostname": hostname, "username": "root", "password": "secret-pw" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_image_store_is_served_by_a_hosts_agent() {
    let depot = Depot::new(2).await;
    let shown = depot.one(BS, &depot.store).await;
    assert_eq!((shown["status"].as_str(), shown["state"].as_str()), (Some("Connected"), Some("Enabled")));
    assert_eq!(
        (shown["type"].as_str(), shown["hostname"].as_str()),
        (Some("ImageStoreBackupStorage"), Some("10.0.0.1"))
    );
    assert_eq!(shown["totalCapacity"], 10_240_i64 << 30);
    // The machine with that address has an agent already: no SSH.
    let other = depot.post("/v1/backup-storage/image-store", ssh_params("10.0.0.2")).await.unwrap();
    assert_eq!(other["inventory"]["status"], "Connected");
    assert_eq!(
        (other["inventory"]["username"].as_str(), other["inventory"]["sshPort"].as_i64()),
        (Some("root"), Some(22))
    );
    assert!(!other.to_string().contains("secret-pw"));
    let listed = depot.get("/v1/backup-storage/image-store").await.unwrap();
    assert_eq!(listed["inventories"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_what_can_not_be_a_store_is_refused_and_leaves_nothing() {
    let depot = Depot::new(1).await;
    for (host, url) in
        [("$(reboot)", "/s"), ("10.0.0.1", "../s"), ("-oProxyCommand=x", "/s"), ("10.0.0.1", "/s/$(x)")]
    {
        let mut params = ssh_params(host);
        params["url"] = json!(url);
        let refused = depot.post("/v1/backup-storage/image-store", params).await.unwrap_err();
        assert_eq!(refused.code(), "SYS.1007", "{host} {url}");
    }
    let twice = json!({ "name": "s", "url": "/images/below", "hostUuid": depot.hosts[0] });
    assert_eq!(depot.post("/v1/cairn/backup-storage/local", twice).await.unwrap_err().code(), "SYS.1007");
    let nobody = depot.post("/v1/backup-storage/image-store", ssh_params("127.0.0.1")).await.unwrap_err();
    // The server without an agent's program beside it does not even try.
    assert!(["HOST.8000", "HOST.8001", "SYS.1006"].contains(&nobody.code()), "{nobody:?}");
    let none =
        depot.post("/v1/cairn/backup-storage/local", json!({ "name": "s", "url": "/s" })).await.unwrap_err();
    assert_eq!(none.code(), "BS.1500");
    assert_eq!(depot.count("backup_storage").await, 1);
    assert_eq!(depot.count("agent").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_update_state_and_reconnect() {
    let depot = Depot::new(1).await;
    let path = format!("backup-storage/{}", depot.store);
    let named = depot.action(&path, "updateBackupStorage", json!({ "name": "n2" })).await.unwrap();
    assert_eq!(named["inventory"]["name"], "n2");
    let login = json!({ "username": "admin", "password": "pw-2", "sshPort": 2222, "description": "d" });
    let path2 = format!("backup-storage/image-store/{}", depot.store);
    let changed = depot.action(&path2, "updateImageStoreBackupStorage", login).await.unwrap();
    assert_eq!(
        (changed["inventory"]["username"].as_str(), changed["inventory"]["sshPort"].as_i64()),
        (Some("admin"), Some(2222))
    );
    for (event, state) in [("disable", "Disabled"), ("enable", "Enabled")] {
        let answer =
            depot.action(&path, "changeBackupStorageState", json!({ "stateEvent": event })).await.unwrap();
        assert_eq!(answer["inventory"]["state"], state);
    }
    depot.action(&path, "changeBackupStorageState", json!({ "stateEvent": "disable" })).await.unwrap();
    assert_eq!(depot.add("sim://").await.unwrap_err().code(), "IMG.8002");
    assert_eq!(depot.add("http://images.example/a").await.unwrap_err().code(), "BS.1003");
    depot.action(&path, "changeBackupStorageState", json!({ "stateEvent": "enable" })).await.unwrap();
    let again = depot.action(&path, "reconnectBackupStorage", json!({})).await.unwrap();
    assert_eq!(again["inventory"]["status"], "Connected");
    let again = depot.action(&path2, "reconnectImageStoreBackupStorage", json!({})).await.unwrap();
    assert_eq!(again["inventory"]["status"], "Connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_status_follows_the_agent() {
    let depot = Depot::new(1).await;
    depot.machine(&depot.hosts[0]).disconnect();
    let gone = depot.until(BS, &depot.store, |s| s["status"] == "Disconnected").await;
    assert_eq!(gone["statusReason"], "its agent is not connected");
    assert_eq!(depot.add("http://images.example/a").await.unwrap_err().code(), "BS.1003");
    depot.machine(&depot.hosts[0]).reconnect();
    let back = depot.until(BS, &depot.store, |s| s["status"] == "Connected").await;
    assert_eq!(back["statusReason"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_the_agent_of_a_host_that_is_away_is_not_overwritten() {
    let depot = Depot::new(2).await;
    let other = uuid(depot.post("/v1/backup-storage/image-store", ssh_params("10.0.0.2")).await);
    depot.machine(&depot.hosts[1]).disconnect();
    depot.until(BS, &other, |s| s["status"] == "Disconnected").await;
    let back = depot.action(&format!("backup-storage/{other}"), "reconnectBackupStorage", json!({})).await;
    let mut second = ssh_params("10.0.0.2");
    second["url"] = json!("/elsewhere");
    let added = depot.post("/v1/backup-storage/image-store", second).await;
    for refused in [back.unwrap_err(), added.unwrap_err()] {
        assert_eq!(refused.code(), "BS.1500");
        assert!(refused.0.to_string().contains(&depot.hosts[1]), "{refused:?}");
    }
    depot.machine(&depot.hosts[1]).reconnect();
    depot.until(BS, &other, |s| s["status"] == "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_delete_takes_the_records_of_its_images() {
    let depot = Depot::new(2).await;
    let second = depot.image_store(1, "/images").await;
    let only = depot.image("http://images.example/only.qcow2").await;
    let both = uuid(
        depot
            .add_as(
                "http://images.example/both.qcow2",
                json!({ "backupStorageUuids": [depot.store, second] }),
            )
            .await,
    );
    let plan = depot.plan("DELETE", &format!("{BS}/{}", depot.store), Value::Null).await.unwrap();
    let gone: Vec<&str> =
        plan["deletes"].as_array().unwrap().iter().map(|d| d["uuid"].as_str().unwrap()).collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.contains(&only.as_str()) && gone.contains(&depot.store.as_str()));
    depot.delete(&format!("{BS}/{}", depot.store)).await.unwrap();
    assert_eq!(depot.get("/v1/images").await.unwrap()["inventories"].as_array().unwrap().len(), 1);
    let left = depot.one("/v1/images", &both).await;
    assert_eq!(left["backupStorageRefs"].as_array().unwrap().len(), 1);
    assert!(!depot.app.agents.is_connected(&depot.store), "its agent no longer serves it");
    assert!(depot.app.agents.is_connected(&depot.hosts[0]));
    assert_eq!(depot.shelf().images().len(), 2, "the files stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_02_zones_and_capacity() {
    let depot = Depot::new(1).await;
    assert_eq!(depot.one(BS, &depot.store).await["attachedZoneUuids"], json!([depot.zone]));
    let path = format!("/v1/zones/{}/backup-storage/{}", depot.zone, depot.store);
    assert_eq!(depot.post(&path, Value::Null).await.unwrap_err().code(), "BS.1001");
    let total = 10_240_i64 << 30;
    for query in [
        "all=true".to_owned(),
        format!("zoneUuids={}", depot.zone),
        format!("backupStorageUuids={}", depot.store),
    ] {
        let sum = depot.get(&format!("{BS}/capacities?{query}")).await.unwrap();
        assert_eq!(sum, json!({ "totalCapacity": total, "availableCapacity": total }), "{query}");
    }
    assert_eq!(depot.get(&format!("{BS}/capacities")).await.unwrap_err().code(), "SYS.1007");
    depot.image("http://images.example/a?size=8G&actual=1G").await;
    cairn_server::storage::capacity::refresh(&depot.app).await.unwrap();
    assert_eq!(depot.one(BS, &depot.store).await["availableCapacity"], total - (1 << 30));
    let detached = depot.delete(&path).await.unwrap();
    assert_eq!(detached["inventory"]["attachedZoneUuids"], json!([]));
    assert_eq!(depot.delete(&path).await.unwrap_err().code(), "BS.1002");
    assert_eq!(
        depot.get(&format!("{BS}/capacities?zoneUuids={}", depot.zone)).await.unwrap()["totalCapacity"],
        0
    );
    let types = depot.get(&format!("{BS}/types")).await.unwrap();
    assert!(types["types"].as_array().unwrap().contains(&json!("ImageStoreBackupStorage")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_store_has_its_size_and_is_there_after_a_restart() {
    let mut depot = Depot::new(1).await;
    let params = json!({ "name": "sim", "url": "any", "totalCapacity": 20_i64 << 30, "availableCapacity": 10_i64 << 30 });
    let sim = uuid(depot.post("/v1/backup-storage/simulators", params).await);
    let shown = depot.one(BS, &sim).await;
    assert_eq!(
        (shown["type"].as_str(), shown["status"].as_str()),
        (Some("SimulatorBackupStorage"), Some("Connected"))
    );
    assert_eq!(
        (shown["totalCapacity"].as_i64(), shown["availableCapacity"].as_i64()),
        (Some(20 << 30), Some(10 << 30))
    );
    let on_sim = json!({ "backupStorageUuids": [sim] });
    let image = uuid(depot.add_as("sim://size=4G&actual=2G", on_sim.clone()).await);
    let sha = depot.one("/v1/images", &image).await["backupStorageRefs"][0]["sha256"].clone();
    assert_eq!(depot.add_as("sim://size=40G&actual=9G", on_sim).await.unwrap_err().code(), "IMG.8004");
    depot.site.restart().await;
    depot.until(BS, &sim, |s| s["status"] == "Connected").await;
    let path = format!("images/{image}");
    let synced = depot.action(&path, "syncImageSize", json!({})).await.unwrap();
    assert_eq!(synced["inventory"]["backupStorageRefs"][0]["sha256"], sha);
    depot.delete(&format!("{BS}/{sim}")).await.unwrap();
    assert!(!depot.app.agents.is_connected(&sim));
}
