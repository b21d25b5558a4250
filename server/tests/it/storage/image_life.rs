use std::time::Duration;

use cairn_testkit::Cloud;
use serde_json::{Value, json};

use super::depot::Depot;
use crate::hardware::site::uuid;

const IMAGES: &str = "/v1/images";

async fn two_copies(depot: &Depot) -> (String, String) {
    let second = depot.image_store(1, "/images").await;
    let both = json!({ "backupStorageUuids": [depot.store, second] });
    (uuid(depot.add_as("http://h.example/a.qcow2", both).await), second)
}

fn statuses(image: &Value) -> Vec<(&str, &str)> {
    let refs = image["backupStorageRefs"].as_array().unwrap();
    refs.iter().map(|r| (r["backupStorageUuid"].as_str().unwrap(), r["status"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_deleted_image_is_recovered_or_expunged() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let path = format!("{IMAGES}/{image}");
    let recover = || depot.action(format!("images/{image}"), "recoverImage", json!({}));
    let expunge = || depot.action(format!("images/{image}"), "expungeImage", json!({}));
    assert_eq!(recover().await.unwrap_err().code(), "SYS.1006");
    assert_eq!(expunge().await.unwrap_err().code(), "SYS.1006");
    depot.delete(&path).await.unwrap();
    let deleted = depot.one(IMAGES, &image).await;
    assert_eq!(
        (deleted["status"].as_str(), statuses(&deleted)),
        (Some("Deleted"), vec![(depot.store.as_str(), "Deleted")])
    );
    assert_eq!(deleted["allowedActions"], json!(["RecoverImage", "ExpungeImage"]));
    depot.delete(&path).await.unwrap();
    assert_eq!(recover().await.unwrap()["inventory"]["status"], "Ready");
    depot.delete(&path).await.unwrap();
    expunge().await.unwrap();
    assert_eq!(depot.count("image").await, 0);
    depot.files(&depot.store, 0).await;
    depot.delete(&path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_works_per_backup_storage() {
    let depot = Depot::new(2).await;
    let (image, second) = two_copies(&depot).await;
    let path = format!("{IMAGES}/{image}");
    let first = json!({ "backupStorageUuids": [depot.store] });
    depot.delete(&format!("{path}?backupStorageUuids={}", depot.store)).await.unwrap();
    let shown = depot.one(IMAGES, &image).await;
    assert_eq!(shown["status"], "Ready");
    assert_eq!(statuses(&shown).len(), 2);
    let wrong = json!({ "backupStorageUuids": [second] });
    assert_eq!(
        depot.action(format!("images/{image}"), "recoverImage", wrong.clone()).await.unwrap_err().code(),
        "SYS.1006"
    );
    assert_eq!(
        depot.action(format!("images/{image}"), "expungeImage", wrong).await.unwrap_err().code(),
        "SYS.1006"
    );
    depot.action(format!("images/{image}"), "recoverImage", first.clone()).await.unwrap();
    depot.delete(&format!("{path}?backupStorageUuids={}", depot.store)).await.unwrap();
    depot.action(format!("images/{image}"), "expungeImage", first).await.unwrap();
    assert_eq!(statuses(&depot.one(IMAGES, &image).await), [(second.as_str(), "Ready")]);
    depot.files(&depot.store, 0).await;
    assert_eq!(depot.machines.image_store(&second).images().len(), 1);
    let third = depot.image_store(0, "/third").await;
    let nowhere = depot.delete(&format!("{path}?backupStorageUuids={third}")).await.unwrap_err();
    assert_eq!(nowhere.code(), "SYS.1007");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_policies_direct_and_never() {
    let depot = Depot::new(1).await;
    depot.set("image", "deletionPolicy", "Direct").await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let plan = depot.plan("DELETE", &format!("{IMAGES}/{image}"), Value::Null).await.unwrap();
    assert_eq!(plan["deletes"], json!([{ "type": "ImageVO", "uuid": image, "name": "image" }]));
    assert_eq!(depot.one(IMAGES, &image).await["status"], "Ready");
    depot.delete(&format!("{IMAGES}/{image}")).await.unwrap();
    assert_eq!(depot.count("image").await, 0);
    depot.files(&depot.store, 0).await;
    depot.set("image", "deletionPolicy", "Never").await;
    let image = depot.image("http://h.example/b.qcow2").await;
    depot.delete(&format!("{IMAGES}/{image}")).await.unwrap();
    assert_eq!(
        (depot.count("image").await, depot.shelf().images().len()),
        (0, 1),
        "the record goes, the file stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_deleted_images_are_expunged_when_their_time_has_come() {
    let depot = Depot::new(1).await;
    depot.set("image", "expungeInterval", "0").await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let kept = depot.image("http://h.example/b.qcow2").await;
    depot.delete(&format!("{IMAGES}/{image}")).await.unwrap();
    let due = || cairn_server::storage::image::expunge_due(&depot.app);
    due().await.unwrap();
    assert_eq!(depot.count("image").await, 2);
    depot.set("image", "expungePeriod", "0").await;
    due().await.unwrap();
    assert_eq!(depot.count("image").await, 1);
    assert_eq!(depot.one(IMAGES, &kept).await["status"], "Ready");
    depot.files(&depot.store, 1).await;
    assert!(depot.shelf().images().contains_key(&kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_file_on_a_store_that_is_away_goes_when_it_is_back() {
    let depot = Depot::new(2).await;
    let second = depot.image_store(1, "/images").await;
    let there = json!({ "backupStorageUuids": [second] });
    let image = uuid(depot.add_as("http://h.example/a.qcow2", there).await);
    depot.set("image", "deletionPolicy", "Direct").await;
    depot.machine(&depot.hosts[1]).disconnect();
    depot.until("/v1/backup-storage", &second, |s| s["status"] == "Disconnected").await;
    depot.delete(&format!("{IMAGES}/{image}")).await.unwrap();
    assert_eq!(depot.count("image").await, 0);
    depot.machine(&depot.hosts[1]).reconnect();
    depot.files(&second, 0).await;
}

/// A simulated store that comes again is filled with its images. What is expunged meanwhile does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_07_an_expunged_image_does_not_come_back_while_its_store_is_filled() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let store = cloud.machines.image_store(&world.backup_storage);
    store.delay("imageStore.fetch", Duration::from_millis(700));
    store.drop_connection();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    let is_filling = async || {
        let row = cloud.admin.one("QueryBackupStorage", &world.backup_storage).await;
        row["status"] == "Connected" && store.is_connected() && store.kept_commands() > 0
    };
    while !is_filling().await {
        assert!(std::time::Instant::now() < end, "the store is not filled");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cloud.admin.ok("DeleteImage", json!({ "uuid": world.image })).await;
    cloud.admin.ok("ExpungeImage", json!({ "imageUuid": world.image })).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    cloud.assert_sane("an image was expunged while its store was filled").await;
}
