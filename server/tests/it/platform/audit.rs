use cairn_api::agent::AgentOp;
use cairn_api::agent::vm::StartVm;
use cairn_testkit::{Cloud, digest};
use cairn_types::Fault;
use serde_json::{Value, json};

async fn rows(cloud: &Cloud, action: &str) -> Vec<Value> {
    // Rows are written in batches, shortly after the call.
    for _ in 0..200 {
        let rows = cloud.admin.list("QueryAudit", &[&format!("action={action}")]).await;
        if !rows.is_empty() {
            return rows;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no audit row of {action}");
}

#[tokio::test]
async fn aud_01_every_call_leaves_who_when_from_where_and_how_it_ended() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    alice.fails("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
    let made = rows(&cloud, "CreateZone").await.remove(0);
    assert_eq!(
        (&made["accountUuid"], &made["success"], &made["sourceIp"]),
        (&json!(cloud.admin.account), &json!(true), &json!("127.0.0.1"))
    );
    assert_eq!(made["params"]["name"], "z");
    assert!(made["createDate"].is_string() && made["tookMs"].is_number() && made["jobUuid"].is_string());
    let refused = rows(&cloud, "DeleteZone").await.remove(0);
    assert_eq!(
        (&refused["accountUuid"], &refused["success"], &refused["errorCode"]),
        (&json!(alice.account), &json!(false), &json!("ID.1002"))
    );
    assert_eq!(refused["resourceUuid"], zone["uuid"]);
    assert_eq!(made["resourceUuid"], zone["uuid"], "what a call made is found by its uuid");
    cloud.admin.ok("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
    let by_resource = format!("resourceUuid={}", zone["uuid"].as_str().unwrap());
    let all = cloud.admin.list("QueryAudit", &[&by_resource, "success=true"]).await;
    assert!(all.iter().any(|r| r["action"] == "DeleteZone" && r["tookMs"].is_number()), "{all:?}");
    assert!(alice.list("QueryAudit", &["action=CreateZone"]).await.is_empty(), "others' calls are not shown");
}

#[tokio::test]
async fn aud_01_the_end_of_a_run_is_told_with_its_error_what_it_made_and_how_long_it_took() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = cloud.admin.make("CreateVmInstance", world.vm("good")).await;
    let by_vm = format!("resourceUuid={}", vm["uuid"].as_str().unwrap());
    let good = cloud.admin.list("QueryAudit", &["action=CreateVmInstance", &by_vm]).await;
    assert_eq!((good.len(), &good[0]["success"]), (1, &json!(true)), "{good:?}");
    assert!(good[0]["tookMs"].is_number());
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.fail(StartVm::NAME, 1, Fault::operation("no"));
    cloud.admin.fails("CreateVmInstance", world.vm("bad")).await;
    let bad = cloud.admin.list("QueryAudit", &["action=CreateVmInstance", "success=false"]).await;
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(bad[0]["errorCode"].is_string() && bad[0]["tookMs"].is_number(), "{bad:?}");
}

#[tokio::test]
async fn aud_01_secrets_never_reach_the_audit() {
    let cloud = Cloud::start().await;
    let secret = digest("top secret");
    cloud.admin.ok("CreateAccount", json!({ "name": "alice", "password": secret })).await;
    let setting = json!({ "category": "virtualRouter", "name": "vrouter.password", "value": "top-secret" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    rows(&cloud, "CreateAccount").await;
    rows(&cloud, "UpdateGlobalConfig").await;
    let all = cloud.admin.ok("QueryAudit", json!({})).await.to_string();
    assert!(!all.contains(&secret) && !all.contains("top-secret"), "{all}");
    assert!(all.contains("*****"));
}

#[tokio::test]
async fn aud_01_reads_are_left_out_if_the_setting_says_so() {
    let cloud = Cloud::start().await;
    cloud.admin.list("QueryZone", &[]).await;
    rows(&cloud, "QueryZone").await;
    let setting = json!({ "category": "cairn", "name": "audit.reads", "value": "false" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    cloud.admin.list("QueryCluster", &[]).await;
    cloud.admin.ok("CreateZone", json!({ "name": "z" })).await;
    rows(&cloud, "CreateZone").await;
    assert!(cloud.admin.list("QueryAudit", &["action=QueryCluster"]).await.is_empty());
}

/// Rows of an action that stand in the database at this moment.
async fn written(cloud: &Cloud, action: &'static str) -> i64 {
    let count = move |tx: &mut dyn cairn_store::Tx| {
        tx.query_int("SELECT count(*) FROM audit WHERE action = ?", cairn_store::params![action])
    };
    cloud.app().store.read(count).await.unwrap()
}

#[tokio::test]
async fn aud_01_a_change_is_on_disk_only_with_its_audit_row() {
    let cloud = Cloud::start().await;
    for n in 1..=10 {
        let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
        assert_eq!(written(&cloud, "CreateZone").await, n, "after the answer the row may not be missing");
        cloud.admin.ok("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
        assert_eq!(written(&cloud, "DeleteZone").await, n);
    }
    // Not a second row later on.
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert_eq!(written(&cloud, "CreateZone").await, 10);
}

#[tokio::test]
async fn aud_01_a_call_that_needs_no_run_after_all_stands_in_the_audit() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    for n in 1..=3 {
        cloud.admin.ok("StopVmInstance", json!({ "uuid": vm["uuid"] })).await;
        assert_eq!(
            written(&cloud, "StopVmInstance").await,
            n,
            "the VM is stopped already from the second call on"
        );
    }
    let by_vm = format!("resourceUuid={}", vm["uuid"].as_str().unwrap());
    let all = cloud.admin.list("QueryAudit", &["action=StopVmInstance", &by_vm, "success=true"]).await;
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.iter().all(|r| r["tookMs"].as_i64().is_some_and(|ms| ms >= 0)), "{all:?}");
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
    cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
    assert_eq!(written(&cloud, "DestroyVmInstance").await, 2, "the second time the VM is gone already");
}

#[tokio::test]
async fn aud_01_a_plan_is_told_from_a_deed() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    cloud.admin.plan("DeleteZone", json!({ "uuid": zone["uuid"] })).await.unwrap();
    let planned = rows(&cloud, "DeleteZone").await.remove(0);
    assert_eq!(planned["params"]["X-Cairn-Plan"], true, "{planned}");
}

/// A login or a token in the address of an image is seen by nobody: not in the audit, inventories, errors, events, plans or
/// the files of the server.
#[tokio::test]
async fn aud_01_secrets_in_addresses_are_shown_to_nobody() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    let url = "http://me:hush-hush-1@images.example.org/a.qcow2?token=hush-hush-1&v=2";
    let image = |url: &str| {
        json!({
            "name": "i", "url": url, "mediaType": "RootVolumeTemplate", "format": "qcow2", "platform": "Linux",
            "backupStorageUuids": [world.backup_storage],
        })
    };
    let plan = cloud.admin.plan("AddImage", image(url)).await.unwrap();
    assert!(!plan.to_string().contains("hush"), "{plan}");
    let made = cloud.admin.make("AddImage", image(url)).await;
    assert_eq!(made["url"], "http://*****@images.example.org/a.qcow2?token=*****&v=2");
    let share = json!({ "resourceUuids": [made["uuid"]], "toPublic": true });
    cloud.admin.ok("ShareResource", share).await;
    for api in [&cloud.admin, &alice] {
        let seen = api.one("QueryImage", made["uuid"].as_str().unwrap()).await;
        assert_eq!(seen["url"], made["url"]);
        for bad in
            ["gopher://me:hush-hush-1@h/", "http://me:hush-hush-1@h h/", "http://me:hush-hush-1@10.0.0.1/x"]
        {
            if let Err(refused) = api.call("AddImage", image(bad)).await {
                assert!(!refused.body.contains("hush"), "{refused}");
            }
        }
    }
    let hook = json!({ "name": "w", "url": "http://me:hush-hush-1@h/", "type": "ZoneVO" });
    assert!(!cloud.admin.fails("CreateWebhook", hook).await.body.contains("hush"));
    let setting =
        json!({ "category": "notification", "name": "webhook.url", "value": "http://me:pst-pst-1@h/" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    let seen = alice.list("QueryGlobalConfig", &["name=webhook.url"]).await;
    assert_eq!(seen[0]["value"], "http://*****@h/");
    for action in ["AddImage", "CreateWebhook", "UpdateGlobalConfig"] {
        for row in rows(&cloud, action).await {
            assert!(!row.to_string().contains("hush") && !row.to_string().contains("pst"), "{row}");
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for file in std::fs::read_dir(cloud.folder()).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(11).any(|w| w == b"hush-hush-1"), "{:?}", file.path());
    }
}
