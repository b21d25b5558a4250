use cairn_types::{Fault, new_uuid};
use serde_json::{Value, json};

use super::depot::Depot;

const IMAGES: &str = "/v1/images";

async fn open(depot: &Depot, more: Value) -> Value {
    let uuid = new_uuid();
    let mut all = json!({ "resourceUuid": uuid });
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    depot.add_as(&format!("upload://{uuid}"), all).await.unwrap()["inventory"].clone()
}

async fn until_gone(depot: &Depot) {
    for _ in 0..1000 {
        if depot.count("image").await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the image stayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_02_upload_opens_an_address_and_becomes_ready() {
    let depot = Depot::new(1).await;
    let image = open(&depot, json!({})).await;
    assert_eq!(image["status"], "Downloading");
    let uuid = image["uuid"].as_str().unwrap();
    let token = depot.shelf().open_uploads()[uuid].clone();
    let address = image["backupStorageRefs"][0]["installPath"].as_str().unwrap();
    assert_eq!(address, format!("http://10.0.0.1:8090/upload/{uuid}?token={token}"));
    let details = depot.get(&format!("/v1/images/upload-job/details/{uuid}")).await.unwrap();
    assert_eq!(
        (details["success"].as_bool(), details["existingJobDetails"]["imageUploadUrl"].as_str()),
        (Some(true), Some(address))
    );
    depot.shelf().begin_upload(uuid, 40);
    depot.shelf().finish_upload(uuid, "size=2G&actual=1G&format=raw");
    let ready = depot.until(IMAGES, uuid, |i| i["status"] == "Ready").await;
    assert_eq!(
        (ready["size"].as_i64(), ready["actualSize"].as_i64(), ready["format"].as_str()),
        (Some(2 << 30), Some(1 << 30), Some("raw"))
    );
    assert!(ready["backupStorageRefs"][0]["installPath"].as_str().unwrap().starts_with("zstore://"));
    let details = depot.get(&format!("/v1/images/upload-job/details/{uuid}")).await.unwrap();
    assert_eq!(details, json!({ "success": false }));
    let progress = depot.app.store.read(|tx| {
        tx.query_int("SELECT count(*) FROM event WHERE kind = 'progress' AND resource_type = 'ImageVO'", &[])
    });
    assert_eq!(progress.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_02_upload_that_fails_leaves_no_image() {
    let depot = Depot::new(1).await;
    for query in ["size=1G&actual=99999G", "late"] {
        let image = open(&depot, json!({})).await;
        let uuid = image["uuid"].as_str().unwrap();
        match query {
            "late" => {
                depot.shelf().fail_upload(uuid, Fault::new("IMG.8006", "the upload did not begin in time"))
            }
            query => depot.shelf().finish_upload(uuid, query),
        }
        until_gone(&depot).await;
        depot.files(&depot.store, 0).await;
        assert!(depot.shelf().open_uploads().is_empty(), "{query}");
    }
    // One that is deleted while it is awaited.
    let image = open(&depot, json!({})).await;
    depot.delete(&format!("{IMAGES}/{}", image["uuid"].as_str().unwrap())).await.unwrap();
    assert_eq!(depot.count("image").await, 0);
    for _ in 0..500 {
        if depot.shelf().open_uploads().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the upload is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_02_wrong_uploads_are_refused() {
    let depot = Depot::new(2).await;
    let second = depot.image_store(1, "/images").await;
    let uuid = new_uuid();
    let other =
        depot.add_as(&format!("upload://{uuid}"), json!({ "resourceUuid": new_uuid() })).await.unwrap_err();
    assert_eq!(other.code(), "SYS.1007");
    let two = depot
        .add_as(&format!("upload://{uuid}"), json!({ "backupStorageUuids": [depot.store, second] }))
        .await
        .unwrap_err();
    assert_eq!(two.code(), "SYS.1007");
    assert_eq!(depot.count("image").await, 0);
    let named = depot.add(&format!("upload://{uuid}")).await.unwrap();
    assert_eq!(named["inventory"]["uuid"], uuid);
    assert_eq!(depot.get("/v1/images/upload-job/details/nonsense").await.unwrap_err().code(), "SYS.1007");
    assert_eq!(
        depot.get(&format!("/v1/images/upload-job/details/{}", new_uuid())).await.unwrap(),
        json!({ "success": false })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_02_end_of_an_upload_that_the_server_missed_is_found() {
    let mut depot = Depot::new(1).await;
    let image = open(&depot, json!({})).await;
    let uuid = image["uuid"].as_str().unwrap().to_owned();
    let waiting = open(&depot, json!({})).await;
    depot.machine(&depot.hosts[0]).disconnect();
    depot.until("/v1/backup-storage", &depot.store, |s| s["status"] == "Disconnected").await;
    depot.shelf().finish_upload(&uuid, "size=1G");
    depot.site.restart().await;
    depot.machine(&depot.hosts[0]).reconnect();
    depot.until(IMAGES, &uuid, |i| i["status"] == "Ready").await;
    let waiting = waiting["uuid"].as_str().unwrap();
    assert!(depot.shelf().open_uploads().contains_key(waiting), "the other one is still awaited");
    depot.shelf().finish_upload(waiting, "size=1G");
    depot.until(IMAGES, waiting, |i| i["status"] == "Ready").await;
}
