use cairn_testkit::{Cloud, Receiver};
use serde_json::json;

async fn deliver(cloud: &Cloud) {
    cloud.inside(|app| async move { cairn_server::platform::hooks::due(&app).await }).await;
}

#[tokio::test]
async fn api_01_the_result_of_a_job_is_posted_to_its_web_hook() {
    let cloud = Cloud::start().await;
    let receiver = Receiver::start();
    let api = cloud
        .admin
        .with("x-web-hook", &receiver.url("/done"))
        .with("x-job-uuid", "9d2f4b6a8c0e41f3a5b7c9d1e3f50718");
    let first = api.post("/zones", &json!({ "params": { "name": "z" } })).await;
    assert_eq!(first.status, 202);
    cloud.admin.settle(first).await.unwrap();
    deliver(&cloud).await;
    let got = receiver.received();
    assert_eq!((got.len(), got[0].path.as_str()), (1, "/done"));
    assert_eq!(got[0].headers["x-job-uuid"], "9d2f4b6a8c0e41f3a5b7c9d1e3f50718");
    assert_eq!(got[0].headers["x-job-success"], "true");
    assert_eq!(got[0].body["inventory"]["name"], "z");
    deliver(&cloud).await;
    assert_eq!(receiver.received().len(), 1, "posted once");
}

#[tokio::test]
async fn api_01_a_failed_call_with_a_web_hook_still_gets_202_and_posts_its_error() {
    let cloud = Cloud::start().await;
    let receiver = Receiver::start();
    receiver.refuse(1);
    let api = cloud.admin.with("x-web-hook", &receiver.url("/"));
    let cluster = json!({ "params": { "name": "c", "zoneUuid": "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4", "hypervisorType": "KVM" } });
    let first = api.post("/clusters", &cluster).await;
    assert_eq!(first.status, 202, "{}", first.text);
    deliver(&cloud).await;
    deliver(&cloud).await;
    assert_eq!(receiver.received().len(), 1, "the next try waits two seconds");
    tokio::time::sleep(std::time::Duration::from_millis(2050)).await;
    deliver(&cloud).await;
    let got = receiver.received();
    assert_eq!((got.len(), got[1].headers["x-job-success"].as_str()), (2, "false"));
    assert_eq!(got[1].body["error"]["code"], "SYS.1003");
}

#[tokio::test]
async fn api_01_hostile_web_hooks_are_refused() {
    let cloud = Cloud::start().await;
    for url in ["ftp://a/b", "file:///etc/passwd", "http://", "nonsense", "http://user@host/", "http://a b/"]
    {
        let reply =
            cloud.admin.with("x-web-hook", url).post("/zones", &json!({ "params": { "name": "z" } })).await;
        assert_eq!((url, reply.code().as_str()), (url, "SYS.1007"));
    }
    let receiver = Receiver::start();
    let setting = json!({ "category": "cairn", "name": "webHook.mayReachLoopback", "value": "false" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    let api = cloud.admin.with("x-web-hook", &receiver.url("/"));
    api.post("/zones", &json!({ "params": { "name": "z" } })).await;
    deliver(&cloud).await;
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn api_01_a_tenants_web_hook_does_not_reach_inside() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let receiver = Receiver::start();
    let port = receiver.url("/").rsplit(':').next().unwrap().to_owned();
    let offering = json!({ "params": { "name": "o", "cpuNum": 1, "memorySize": 1 << 26 } });
    let ask = |url: &str| {
        let api = alice.with("x-web-hook", url);
        let offering = offering.clone();
        async move { api.post("/instance-offerings", &offering).await }
    };
    for url in [
        "http://127.0.0.1:PORT",
        "http://localhost:PORT",
        "http://[::1]:PORT",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
    ] {
        let refused = ask(&url.replace("PORT", &port)).await;
        assert_eq!((url, refused.code().as_str()), (url, "SYS.1007"));
        assert!(refused.text.contains("webHook.tenantMayReachInternal"), "{}", refused.text);
    }
    // What can't be seen before is seen when it is called: here by a number that means loopback.
    let hidden = format!("http://2130706433:{port}");
    assert_eq!(ask(&hidden).await.status, 202);
    deliver(&cloud).await;
    assert!(receiver.received().is_empty());
    let waiting = "SELECT tries FROM cleanup WHERE kind = 'web-hook'";
    let rows = cloud.app().store.read(move |tx| tx.query(waiting, &[])).await.unwrap();
    assert_eq!(rows.iter().map(|r| r.int("tries").unwrap()).collect::<Vec<_>>(), [1]);

    let setting = json!({ "category": "cairn", "name": "webHook.tenantMayReachInternal", "value": "true" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    assert_eq!(ask(&receiver.url("/ok")).await.status, 202);
    deliver(&cloud).await;
    assert_eq!(receiver.received().iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/ok"]);
}

#[tokio::test]
async fn api_01_web_hooks_follow_no_redirects() {
    let cloud = Cloud::start().await;
    let receiver = Receiver::start();
    let front = Receiver::start();
    front.redirect(&receiver.url("/inside"));
    let api = cloud.admin.with("x-web-hook", &front.url("/"));
    assert_eq!(api.post("/zones", &json!({ "params": { "name": "z" } })).await.status, 202);
    deliver(&cloud).await;
    assert_eq!((front.received().len(), receiver.received().len()), (1, 0));
}

#[tokio::test]
async fn api_01_a_subscription_gets_its_events_in_order() {
    let mut cloud = Cloud::start().await;
    let receiver = Receiver::start();
    let hook = |kind: &str, path: &str| json!({ "name": "hook", "url": receiver.url(path), "type": kind, "opaque": "for me" });
    let zones = cloud.admin.make("CreateWebhook", hook("ZoneVO", "/zones")).await;
    cloud.admin.ok("CreateWebhook", hook("*.deleted", "/deleted")).await;
    cloud.admin.ok("CreateWebhook", hook("VmInstanceVO", "/vms")).await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    cloud.admin.ok("UpdateZone", json!({ "uuid": zone["uuid"], "name": "y" })).await;
    cloud.restart().await;
    cloud.admin.ok("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
    receiver.refuse(1);
    deliver(&cloud).await;
    tokio::time::sleep(std::time::Duration::from_millis(2050)).await;
    deliver(&cloud).await;
    deliver(&cloud).await;
    let got = receiver.received();
    let kinds = |path: &str| -> Vec<String> {
        let mine = got.iter().filter(|r| r.path == path);
        mine.map(|r| r.body["kind"].as_str().unwrap().to_owned()).collect()
    };
    let mut of_zones = kinds("/zones");
    of_zones.dedup();
    assert_eq!(of_zones.first().map(String::as_str), Some("created"));
    assert_eq!(of_zones.last().map(String::as_str), Some("deleted"));
    assert!(of_zones.contains(&"updated".to_owned()));
    assert!(kinds("/deleted").iter().all(|k| k == "deleted") && !kinds("/deleted").is_empty());
    assert!(kinds("/vms").is_empty());
    let last = got.iter().rfind(|r| r.path == "/zones").unwrap();
    assert_eq!(last.headers["x-cairn-event"], "ZoneVO.deleted");
    assert_eq!((&last.body["opaque"], &last.body["uuid"]), (&json!("for me"), &zone["uuid"]));
    assert_eq!(last.body["webhookUuid"], zones["uuid"]);
}

#[tokio::test]
async fn api_01_subscriptions_are_changed_and_deleted() {
    let cloud = Cloud::start().await;
    let receiver = Receiver::start();
    let hook = json!({ "name": "hook", "url": receiver.url("/a"), "type": "ZoneVO" });
    let hook = cloud.admin.make("CreateWebhook", hook).await;
    let update = json!({ "uuid": hook["uuid"], "url": receiver.url("/b"), "type": "ZoneVO.created" });
    assert_eq!(cloud.admin.make("UpdateWebhook", update).await["type"], "ZoneVO.created");
    let bad = json!({ "uuid": hook["uuid"], "url": "gopher://x" });
    assert_eq!(cloud.admin.fails("UpdateWebhook", bad).await.code(), "SYS.1007");
    cloud.admin.ok("CreateZone", json!({ "name": "z" })).await;
    deliver(&cloud).await;
    assert_eq!(receiver.received().iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/b"]);
    cloud.admin.ok("DeleteWebhook", json!({ "uuid": hook["uuid"] })).await;
    cloud.admin.ok("DeleteWebhook", json!({ "uuid": hook["uuid"] })).await;
    cloud.admin.ok("CreateZone", json!({ "name": "y" })).await;
    deliver(&cloud).await;
    assert_eq!(receiver.received().len(), 1);
    assert!(cloud.admin.list("QueryWebhook", &[]).await.is_empty());
    let tenant = cloud.account("alice").await;
    let hook = json!({ "name": "hook", "url": receiver.url("/a"), "type": "*" });
    assert_eq!(tenant.fails("CreateWebhook", hook).await.code(), "ID.1002");
}
