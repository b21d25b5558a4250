//! What somebody else may not do. Each operation of this group.

use serde_json::{Value, json};

use super::depot::Depot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infrastructure_is_for_administrators() {
    let depot = Depot::new(1).await;
    let storage = depot.storage("/ps").await;
    let (_, session) = depot.tenant("alice").await;
    let (bs, zone, cluster) = (&depot.store, &depot.zone, &depot.cluster);
    let action = |path: String, name: &str, params: Value| {
        ("PUT", format!("/v1/{path}/actions"), json!({ name: params }))
    };
    let create = |path: &str, params: Value| ("POST", format!("/v1/{path}"), json!({ "params": params }));
    let get = |path: String| ("GET", format!("/v1/{path}"), Value::Null);
    let delete = |path: String| ("DELETE", format!("/v1/{path}"), Value::Null);
    let ps = format!("primary-storage/{storage}");
    let calls = [
        create("primary-storage/local-storage", json!({ "name": "x", "url": "/x", "zoneUuid": zone })),
        create("primary-storage/simulators", json!({ "name": "x", "url": "/x", "zoneUuid": zone })),
        action(ps.clone(), "updatePrimaryStorage", json!({ "name": "x" })),
        action(ps.clone(), "changePrimaryStorageState", json!({ "stateEvent": "disable" })),
        action(ps.clone(), "reconnectPrimaryStorage", json!({})),
        action(ps.clone(), "syncPrimaryStorageCapacity", json!({})),
        ("POST", format!("/v1/clusters/{cluster}/primary-storage/{storage}"), Value::Null),
        delete(format!("clusters/{cluster}/primary-storage/{storage}")),
        delete(ps.clone()),
        get("primary-storage/capacities?all=true".into()),
        get("primary-storage/types".into()),
        get("primary-storage/allocators/strategies".into()),
        get(format!("primary-storage/local-storage/{storage}/capacities")),
        get("primary-storage/local-storage/resource-refs".into()),
        get("primary-storage".into()),
        create(
            "backup-storage/image-store",
            json!({ "name": "x", "url": "/x", "hostname": "10.0.0.1", "username": "u", "password": "p" }),
        ),
        create("cairn/backup-storage/local", json!({ "name": "x", "url": "/x" })),
        create("backup-storage/simulators", json!({ "name": "x", "url": "/x" })),
        action(format!("backup-storage/{bs}"), "updateBackupStorage", json!({ "name": "x" })),
        action(
            format!("backup-storage/image-store/{bs}"),
            "updateImageStoreBackupStorage",
            json!({ "name": "x" }),
        ),
        action(
            format!("backup-storage/{bs}"),
            "changeBackupStorageState",
            json!({ "stateEvent": "disable" }),
        ),
        action(format!("backup-storage/{bs}"), "reconnectBackupStorage", json!({})),
        action(format!("backup-storage/image-store/{bs}"), "reconnectImageStoreBackupStorage", json!({})),
        ("POST", format!("/v1/zones/{zone}/backup-storage/{bs}"), Value::Null),
        delete(format!("zones/{zone}/backup-storage/{bs}")),
        delete(format!("backup-storage/{bs}")),
        get("backup-storage/capacities?all=true".into()),
        get("backup-storage/types".into()),
        get("backup-storage/image-store".into()),
        get("cairn/image-caches".into()),
    ];
    for (method, path, body) in calls {
        let refused = depot.as_account(&session, method, &path, body).await;
        assert_eq!(refused.map_err(|f| f.code().to_owned()), Err("ID.1002".to_owned()), "{method} {path}");
    }
    assert_eq!(depot.one("/v1/primary-storage", &storage).await["name"], "ps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_of_others_can_not_be_touched() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let (_, session) = depot.tenant("alice").await;
    let action =
        |name: &str, params: Value| ("PUT", format!("/v1/images/{image}/actions"), json!({ name: params }));
    let calls = [
        action("updateImage", json!({ "name": "stolen" })),
        action("changeImageState", json!({ "stateEvent": "disable" })),
        action("recoverImage", json!({})),
        action("expungeImage", json!({})),
        action("syncImageSize", json!({})),
        action("setImageQga", json!({ "enable": true })),
        ("GET", format!("/v1/images/{image}/qga"), Value::Null),
        ("DELETE", format!("/v1/images/{image}"), Value::Null),
    ];
    for (method, path, body) in calls {
        let refused = depot.as_account(&session, method, &path, body).await;
        assert_eq!(refused.map_err(|f| f.code().to_owned()), Err("ID.1002".to_owned()), "{method} {path}");
    }
    let seen = depot.as_account(&session, "GET", "/v1/images", Value::Null).await.unwrap();
    assert_eq!(seen["inventories"], json!([]));
    let upload = cairn_types::new_uuid();
    depot.add(&format!("upload://{upload}")).await.unwrap();
    let details = depot
        .as_account(&session, "GET", &format!("/v1/images/upload-job/details/{upload}"), Value::Null)
        .await
        .unwrap();
    assert_eq!(details, json!({ "success": false }), "the address of somebody else's upload is a secret");
    assert_eq!(depot.one("/v1/images", &image).await["name"], "image");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_06_shared_image_is_seen_and_recalled() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let (account, session) = depot.tenant("alice").await;
    let seen = || async {
        let list = depot.as_account(&session, "GET", "/v1/images", Value::Null).await.unwrap();
        list["inventories"].as_array().unwrap().len()
    };
    let share = |name: &'static str, params: Value| {
        depot.put("/v1/accounts/resources/actions", json!({ name: params }))
    };
    share("shareResource", json!({ "resourceUuids": [image], "toPublic": true })).await.unwrap();
    assert_eq!(seen().await, 1);
    let change = json!({ "updateImage": { "name": "mine" } });
    let refused =
        depot.as_account(&session, "PUT", &format!("/v1/images/{image}/actions"), change).await.unwrap_err();
    assert_eq!(refused.code(), "ID.1002");
    share("revokeResourceSharing", json!({ "resourceUuids": [image], "toPublic": true })).await.unwrap();
    assert_eq!(seen().await, 0);
    share("shareResource", json!({ "resourceUuids": [image], "accountUuids": [account] })).await.unwrap();
    assert_eq!(seen().await, 1);
    share("revokeResourceSharing", json!({ "resourceUuids": [image], "accountUuids": [account] }))
        .await
        .unwrap();
    assert_eq!(seen().await, 0);
}
