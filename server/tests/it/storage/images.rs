use std::time::Duration;

use cairn_types::Fault;
use serde_json::{Value, json};

use super::depot::Depot;
use crate::hardware::site::uuid;

const IMAGES: &str = "/v1/images";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_added_image_is_ready_with_evidence() {
    let depot = Depot::new(1).await;
    let more = json!({
        "name": "web $(reboot) ../'\"\u{1f600}", "description": "d", "guestOsType": "Debian", "platform": "Other", "system": true,
        "format": "raw", "userTags": ["mine"], "systemTags": ["qemuga"],
    });
    let added =
        depot.add_as("http://user:pa55@images.example/a.img?size=3G&actual=100M", more).await.unwrap();
    let image = &added["inventory"];
    assert_eq!((image["status"].as_str(), image["state"].as_str()), (Some("Ready"), Some("Enabled")));
    assert_eq!((image["size"].as_i64(), image["actualSize"].as_i64()), (Some(3 << 30), Some(100 << 20)));
    assert_eq!(
        (image["format"].as_str(), image["mediaType"].as_str()),
        (Some("raw"), Some("RootVolumeTemplate"))
    );
    assert_eq!((image["platform"].as_str(), image["system"].as_bool()), (Some("Other"), Some(true)));
    assert_eq!(image["name"], "web $(reboot) ../'\"\u{1f600}");
    assert_eq!(image["url"], "http://*****@images.example/a.img?size=3G&actual=100M");
    assert_eq!(image["md5Sum"].as_str().unwrap().len(), 32);
    let copy = &image["backupStorageRefs"][0];
    assert_eq!(
        (copy["status"].as_str(), copy["backupStorageUuid"].as_str()),
        (Some("Ready"), Some(depot.store.as_str()))
    );
    let uuid = image["uuid"].as_str().unwrap();
    let held = depot.shelf().images()[uuid].clone();
    assert_eq!(
        (copy["installPath"].as_str(), copy["sha256"].as_str()),
        (Some(held.file.install_path.as_str()), Some(held.file.sha256.as_str()))
    );
    assert_eq!(depot.get(&format!("/v1/images/{uuid}/qga")).await.unwrap()["enable"], true);
    let tags = depot.get(&format!("/v1/user-tags?q=resourceUuid={uuid}")).await.unwrap();
    assert_eq!(tags["inventories"][0]["tag"], "mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_what_the_file_is_wins_over_what_was_said() {
    let depot = Depot::new(1).await;
    for (url, more, result) in [
        ("http://h.example/a.qcow2", json!({}), Ok(("qcow2", "RootVolumeTemplate"))),
        ("http://h.example/a.qcow2", json!({ "format": "raw" }), Ok(("qcow2", "RootVolumeTemplate"))),
        (
            "http://h.example/a.img",
            json!({ "format": "qcow2", "mediaType": "DataVolumeTemplate" }),
            Ok(("raw", "DataVolumeTemplate")),
        ),
        ("http://h.example/a.iso", json!({}), Ok(("iso", "ISO"))),
        ("http://h.example/a.iso", json!({ "mediaType": "ISO" }), Ok(("iso", "ISO"))),
        ("http://h.example/a.iso", json!({ "format": "iso" }), Ok(("iso", "ISO"))),
        ("http://h.example/a.iso", json!({ "mediaType": "RootVolumeTemplate" }), Err("IMG.8000")),
        ("http://h.example/a.iso", json!({ "mediaType": "ISO", "format": "qcow2" }), Err("SYS.1007")),
        ("http://h.example/a", json!({ "format": "vmdk" }), Err("SYS.1007")),
    ] {
        let added = depot.add_as(url, more.clone()).await;
        match (added, result) {
            (Ok(a), Ok((format, media))) => {
                assert_eq!(
                    (a["inventory"]["format"].as_str(), a["inventory"]["mediaType"].as_str()),
                    (Some(format), Some(media)),
                    "{url} {more}"
                );
            }
            (Err(f), Err(code)) => assert_eq!(f.code(), code, "{url} {more}"),
            (got, _) => panic!("{url} {more}: {got:?}"),
        }
    }
    assert_eq!(depot.shelf().images().len(), 6, "no file of a refused image stays");
    assert_eq!(depot.count("image").await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_03_failed_download_says_why_and_leaves_nothing() {
    let depot = Depot::new(1).await;
    for (url, code) in [
        ("http://h.example/bad.qcow2", "IMG.8000"),
        ("http://h.example/backing.qcow2", "IMG.8001"),
        ("http://h.example/a?refused", "IMG.8002"),
        ("http://h.example/a?missing", "IMG.8003"),
        ("http://h.example/a?size=99999G&actual=99999G", "IMG.8004"),
        ("http://h.example/a?checksum", "IMG.8005"),
        ("gopher://h.example/a", "IMG.8002"),
        ("no address", "IMG.8002"),
        ("file:///etc/shadow", "IMG.8002"),
        ("/etc/shadow", "IMG.8002"),
        ("zstore://a/b", "IMG.8002"),
        ("sim://size=1G", "IMG.8002"),
    ] {
        let failed = depot.add(url).await.unwrap_err();
        assert_eq!(failed.code(), code, "{url}");
        assert!(failed.0["error"]["details"].as_str().unwrap().len() > 20, "{failed:?}");
    }
    assert_eq!(depot.count("image").await, 0);
    assert_eq!(depot.count("image_backup_storage_ref").await, 0);
    assert_eq!(depot.shelf().images().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_files_only_below_the_folder_of_the_setting() {
    let depot = Depot::new(1).await;
    depot.set("cairn", "image.fileFolder", "/srv/images").await;
    depot.image("file:///srv/images/a.qcow2").await;
    depot.image("/srv/images/b.iso").await;
    for bad in ["file:///srv/images/../shadow", "/srv/other/a", "file://srv/images/a"] {
        assert_eq!(depot.add(bad).await.unwrap_err().code(), "IMG.8002", "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_tenants_reach_no_files_and_nothing_internal() {
    let depot = Depot::new(1).await;
    depot.set("cairn", "image.fileFolder", "/srv/images").await;
    let (_, session) = depot.tenant("alice").await;
    let add = |url: &str| {
        let body = json!({ "params": depot.image_params(url, json!({})) });
        let session = session.clone();
        let depot = &depot;
        async move { depot.as_account(&session, "POST", IMAGES, body).await }
    };
    for bad in [
        "file:///srv/images/a.qcow2",
        "/srv/images/a.qcow2",
        "http://127.0.0.1/a",
        "http://10.0.0.1:8090/a",
        "http://169.254.169.254/latest",
        "http://[::1]/a",
        "http://localhost/a",
    ] {
        assert_eq!(add(bad).await.unwrap_err().code(), "IMG.8002", "{bad}");
    }
    add("http://images.example/a.qcow2").await.unwrap();
    depot.set("cairn", "image.tenantMayReachInternal", "true").await;
    add("http://10.0.0.1:8090/a").await.unwrap();
    assert_eq!(add("file:///srv/images/a.qcow2").await.unwrap_err().code(), "IMG.8002");
    // The admin account may reach what tenants must not.
    depot.image("http://127.0.0.1/a.qcow2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_several_stores_hold_the_same_file() {
    let depot = Depot::new(2).await;
    let second = depot.image_store(1, "/images").await;
    let both = json!({ "backupStorageUuids": [depot.store, second, depot.store] });
    let added = depot.add_as("http://h.example/a.qcow2", both.clone()).await.unwrap();
    assert_eq!(added["inventory"]["backupStorageRefs"].as_array().unwrap().len(), 2);
    // One that fails takes the others back.
    depot.machines.image_store(&second).fail(
        "imageStore.fetch",
        1,
        Fault::new("IMG.8003", "the server answered 404"),
    );
    assert_eq!(depot.add_as("http://h.example/b.qcow2", both).await.unwrap_err().code(), "IMG.8003");
    assert_eq!((depot.shelf().images().len(), depot.machines.image_store(&second).images().len()), (1, 1));
    assert_eq!(depot.count("image").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_03_checksum_is_kept_and_verified() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a.qcow2?size=2G&actual=1G").await;
    let synced = depot.action(format!("images/{image}"), "syncImageSize", json!({})).await.unwrap();
    assert_eq!(synced["inventory"]["actualSize"], 1 << 30);
    depot.shelf().corrupt(&image);
    let damaged = depot.action(format!("images/{image}"), "syncImageSize", json!({})).await.unwrap_err();
    assert_eq!(damaged.code(), "IMG.8005");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_03_download_shows_progress_and_can_be_deleted_in_its_middle() {
    let depot = Depot::new(1).await;
    depot.shelf().delay("imageStore.fetch", Duration::from_secs(4));
    let uuid = cairn_types::new_uuid();
    let params = depot.image_params("http://h.example/a.qcow2", json!({ "resourceUuid": uuid }));
    let add = depot.post(IMAGES, params);
    let watch = async {
        let image = depot.until("/v1/images", &uuid, |i| !i.is_null()).await;
        assert_eq!(image["status"], "Downloading");
        assert_eq!(image["backupStorageRefs"][0]["status"], "Downloading");
        let mut percent = 0;
        while percent == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let run: cairn_types::Id<cairn_types::kind::Run> = depot
                .app
                .store
                .read(|tx| {
                    tx.query_opt("SELECT uuid FROM run WHERE name = 'image.add'", &[])?.unwrap().id("uuid")
                })
                .await
                .unwrap();
            percent = depot.app.engine.progress(run).map_or(0, |p| p.percent);
        }
        assert_eq!(percent, 50);
        depot.delete(&format!("{IMAGES}/{uuid}")).await.unwrap();
    };
    let (added, ()) = tokio::join!(add, watch);
    assert_eq!(added.unwrap_err().code(), "RUN.8000");
    assert_eq!(depot.count("image").await, 0);
    assert!(depot.shelf().images().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_04_state_and_update() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a.qcow2").await;
    let path = format!("images/{image}");
    for (event, state) in [("disable", "Disabled"), ("enable", "Enabled")] {
        let answer = depot.action(&path, "changeImageState", json!({ "stateEvent": event })).await.unwrap();
        assert_eq!(answer["inventory"]["state"], state);
    }
    let change = json!({ "name": "n", "description": "d", "guestOsType": "g", "platform": "Windows", "system": true, "format": "qcow2" });
    let changed = depot.action(&path, "updateImage", change).await.unwrap()["inventory"].clone();
    assert_eq!(
        (changed["name"].as_str(), changed["platform"].as_str(), changed["system"].as_bool()),
        (Some("n"), Some("Windows"), Some(true))
    );
    let renamed = depot.action(&path, "updateImage", json!({ "name": "m" })).await.unwrap();
    assert_eq!(renamed["inventory"]["system"], true, "what is not named stays");
    for wrong in [json!({ "format": "raw" }), json!({ "mediaType": "ISO" })] {
        assert_eq!(depot.action(&path, "updateImage", wrong).await.unwrap_err().code(), "SYS.1007");
    }
    assert_eq!(depot.get(&format!("/v1/{path}/qga")).await.unwrap()["enable"], false);
    for enable in [true, true, false] {
        depot.action(&path, "setImageQga", json!({ "enable": enable })).await.unwrap();
        assert_eq!(depot.get(&format!("/v1/{path}/qga")).await.unwrap()["enable"], enable);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn img_01_quota_holds_in_the_transaction() {
    let depot = Depot::new(1).await;
    let (account, session) = depot.tenant("bob").await;
    let quota = |name: &str, value: i64| {
        let body = json!({ "updateQuota": { "identityUuid": account, "name": name, "value": value } });
        let depot = &depot;
        async move { depot.put("/v1/accounts/quotas/actions", body).await.unwrap() }
    };
    quota("image.num", 2).await;
    quota("image.size", 5 << 30).await;
    let add = |url: &'static str| {
        let body = json!({ "params": depot.image_params(url, json!({})) });
        depot.as_account(&session, "POST", IMAGES, body)
    };
    add("http://h.example/a?size=3G").await.unwrap();
    assert_eq!(add("http://h.example/b?size=3G").await.unwrap_err().code(), "ID.1003");
    assert_eq!(depot.shelf().images().len(), 1, "the file of the refused image is gone");
    let all = futures_util::future::join_all([
        add("http://h.example/c?size=1M"),
        add("http://h.example/d?size=1M"),
        add("http://h.example/e?size=1M"),
    ])
    .await;
    assert_eq!(all.iter().filter(|r| r.is_ok()).count(), 1);
    assert_eq!(depot.count("image").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_of_adding_an_image_touches_nothing() {
    let depot = Depot::new(1).await;
    let uuid = cairn_types::new_uuid();
    let body =
        json!({ "params": depot.image_params("http://u:p@h.example/a", json!({ "resourceUuid": uuid })) });
    let plan = depot.plan("POST", IMAGES, body).await.unwrap();
    assert_eq!(plan["creates"], json!([{ "type": "ImageVO", "uuid": uuid, "name": "image" }]));
    assert!(plan["steps"][0]["text"].as_str().unwrap().contains("http://*****@h.example/a"), "{plan}");
    assert_eq!((depot.count("image").await, depot.shelf().images().len()), (0, 0));
    assert!(!plan.get("facts").cloned().unwrap_or(Value::Null).to_string().contains("u:p"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uuid_in_use_is_refused_and_its_image_stays() {
    let depot = Depot::new(1).await;
    let image = depot.image("http://h.example/a").await;
    let twice = depot.add_as("http://h.example/b", json!({ "resourceUuid": image })).await.unwrap_err();
    assert_eq!(twice.code(), "RES.8002");
    assert_eq!(depot.one(IMAGES, &image).await["status"], "Ready");
    let again = uuid(depot.add("http://h.example/b").await);
    assert_ne!(again, image);
}
