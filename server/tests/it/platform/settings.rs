use cairn_testkit::Cloud;
use serde_json::{Value, json};

fn ask(category: &str, name: &str, value: &str) -> Value {
    json!({ "category": category, "name": name, "value": value })
}

async fn value(cloud: &Cloud, category: &str, name: &str) -> Value {
    let rows = cloud
        .admin
        .list("QueryGlobalConfig", &[&format!("category={category}"), &format!("name={name}")])
        .await;
    assert_eq!(rows.len(), 1, "{category}/{name}");
    rows[0]["value"].clone()
}

#[tokio::test]
async fn set_01_a_setting_works_at_once_and_survives_a_restart() {
    let mut cloud = Cloud::start().await;
    let changed = cloud.admin.make("UpdateGlobalConfig", ask("vm", "deletionPolicy", "Direct")).await;
    assert_eq!((&changed["value"], &changed["defaultValue"]), (&json!("Direct"), &json!("Delay")));
    assert_eq!(value(&cloud, "vm", "deletionPolicy").await, "Direct");
    cloud.restart().await;
    assert_eq!(value(&cloud, "vm", "deletionPolicy").await, "Direct");
    assert_eq!(cloud.app().settings.text("vm", "deletionPolicy"), "Direct");
    let reset = json!({ "category": "vm", "name": "deletionPolicy" });
    assert_eq!(cloud.admin.make("ResetGlobalConfig", reset).await["value"], "Delay");
    assert_eq!(value(&cloud, "vm", "deletionPolicy").await, "Delay");
    assert_eq!(cloud.app().settings.text("vm", "deletionPolicy"), "Delay");
}

#[tokio::test]
async fn set_01_values_are_validated() {
    let cloud = Cloud::start().await;
    for (category, name, bad) in [
        ("vm", "deletionPolicy", "Perhaps"),
        ("vm", "expungePeriod", "-1"),
        ("identity", "session.timeout", "31536001"),
        ("nothing", "at.all", "1"),
        ("vm", "nothing", "1"),
        ("cairn", "api.timeZone", "east"),
    ] {
        let refused = cloud.admin.fails("UpdateGlobalConfig", ask(category, name, bad)).await;
        assert_eq!((category, refused.code().as_str()), (category, "SYS.1007"));
    }
    let tenant = cloud.account("alice").await;
    assert_eq!(
        tenant.fails("UpdateGlobalConfig", ask("vm", "deletionPolicy", "Direct")).await.code(),
        "ID.1002"
    );
    assert_eq!(value(&cloud, "vm", "deletionPolicy").await, "Delay");
}

#[tokio::test]
async fn set_01_a_secret_setting_is_masked_and_sealed() {
    let mut cloud = Cloud::start().await;
    let changed =
        cloud.admin.make("UpdateGlobalConfig", ask("virtualRouter", "vrouter.password", "hush-hush-1")).await;
    assert_eq!(changed["value"], "*****");
    let tenant = cloud.account("alice").await;
    let shown = tenant.list("QueryGlobalConfig", &["name=vrouter.password"]).await;
    assert_eq!(shown[0]["value"], "*****");
    assert!(tenant.list("QueryGlobalConfig", &["value=hush-hush-1"]).await.is_empty());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for file in std::fs::read_dir(cloud.folder()).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(11).any(|w| w == b"hush-hush-1"), "{:?}", file.path());
    }
    cloud.restart().await;
    assert_eq!(cloud.app().settings.text("virtualRouter", "vrouter.password"), "hush-hush-1");
}

#[tokio::test]
async fn set_01_the_time_zone_of_dates_is_a_setting() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let hours = |date: &Value| {
        let text = date.as_str().unwrap().to_owned();
        text.split(' ').nth(3).unwrap().split(':').next().unwrap().parse::<u32>().unwrap() % 12
    };
    let utc = hours(&zone["createDate"]);
    cloud.admin.ok("UpdateGlobalConfig", ask("cairn", "api.timeZone", "480")).await;
    let uuid = zone["uuid"].as_str().unwrap();
    let east = cloud.admin.one("QueryZone", uuid).await;
    assert_eq!(hours(&east["createDate"]), (utc + 8) % 12);
    let exact = cloud.admin.with("x-cairn-time", "rfc3339").one("QueryZone", uuid).await;
    assert!(exact["createDate"].as_str().unwrap().ends_with('Z'), "{exact}");
}

#[tokio::test]
async fn set_01_what_has_had_its_time_is_removed() {
    let cloud = Cloud::start().await;
    cloud.admin.ok("CreateZone", json!({ "name": "z" })).await;
    let zone = cloud.admin.list("QueryZone", &[]).await[0]["uuid"].clone();
    cloud.admin.ok("DeleteZone", json!({ "uuid": zone })).await;
    assert_eq!(cloud.admin.list("QueryCairnRun", &[]).await.len(), 1);
    let age = "UPDATE run SET last_op_ms = last_op_ms - 3 * 86400000";
    cloud.app().store.write(move |tx| tx.execute(age, &[])).await.unwrap();
    cloud.inside(|app| async move { cairn_server::platform::periodic::expire(&app).await }).await.unwrap();
    assert_eq!(cloud.admin.list("QueryCairnRun", &[]).await.len(), 1, "kept for 30 days");
    cloud.admin.ok("UpdateGlobalConfig", ask("cairn", "run.keepDays", "2")).await;
    cloud.inside(|app| async move { cairn_server::platform::periodic::expire(&app).await }).await.unwrap();
    assert!(cloud.admin.list("QueryCairnRun", &[]).await.is_empty());
}

/// Logs in and makes, sees and deletes something.
async fn still_serves(cloud: &Cloud, what: &str) -> cairn_testkit::Api {
    let admin = cloud.nobody().log_in("admin", "password").await;
    let admin = admin.unwrap_or_else(|f| panic!("{what} locks the admin out: {f}"));
    let zone = admin.call("CreateZone", json!({ "name": "still here" })).await;
    let zone = zone.unwrap_or_else(|f| panic!("nothing can be made with {what}: {f}"))["inventory"].take();
    assert_eq!(admin.list("QueryZone", &[]).await.len(), 1, "{what}");
    admin.ok("DeleteZone", json!({ "uuid": zone["uuid"] })).await;
    admin
}

async fn periodic_work(cloud: &Cloud) {
    use cairn_server::platform::periodic;
    let work = |app| async move {
        periodic::expire(&app).await?;
        periodic::expire_jobs(&app).await?;
        periodic::expire_sessions(&app).await?;
        cairn_server::storage::capacity::refresh(&app).await
    };
    cloud.inside(work).await.unwrap();
}

#[tokio::test]
async fn set_01_no_value_that_a_setting_takes_locks_anybody_out() {
    let mut cloud = Cloud::start().await;
    let mut admin = cloud.admin.clone();
    let (least, most) = (i64::MIN.to_string(), i64::MAX.to_string());
    let long = "a".repeat(1 << 16);
    let mut extreme = Vec::new();
    for setting in cairn_api::settings::all() {
        let key = json!({ "category": setting.category, "name": setting.name });
        for bad in ["0", "-1", &least, &most, &long] {
            let what = format!("{}/{} = {}", setting.category, setting.name, &bad[..bad.len().min(20)]);
            match admin.call("UpdateGlobalConfig", ask(setting.category, setting.name, bad)).await {
                Err(refused) => assert_eq!((refused.code().as_str(), &what), ("SYS.1007", &what)),
                Ok(_) => {
                    extreme.push((setting.category, setting.name, bad));
                    admin = still_serves(&cloud, &what).await;
                }
            }
        }
        admin.ok("ResetGlobalConfig", key).await;
    }
    // All at once, also over a restart and a round of what comes round.
    for (category, name, value) in &extreme {
        admin = still_serves(&cloud, name).await;
        admin.ok("UpdateGlobalConfig", ask(category, name, value)).await;
    }
    assert!(extreme.len() > 60, "{}", extreme.len());
    periodic_work(&cloud).await;
    still_serves(&cloud, "everything").await;
    cloud.restart().await;
    periodic_work(&cloud).await;
    still_serves(&cloud, "everything").await;
}

#[tokio::test]
async fn set_01_no_time_out_and_no_sessions_lock_nobody_out() {
    let cloud = Cloud::start().await;
    cloud.account("alice").await;
    cloud.admin.ok("UpdateGlobalConfig", ask("identity", "session.timeout", "0")).await;
    assert_eq!(value(&cloud, "identity", "session.timeout").await, "0");
    cloud.admin.ok("UpdateGlobalConfig", ask("identity", "session.maxConcurrent", "0")).await;
    let second = cloud.log_in("admin", "password").await;
    second.ok("QueryZone", json!({})).await;
    let old = cloud.admin.fails("QueryZone", json!({})).await;
    assert_eq!(old.code(), "ID.1001", "the administrator's oldest session made room");
    let refused = cloud.nobody().log_in("alice", cairn_testkit::TEST_PASSWORD).await;
    assert!(refused.err().expect("refused").details().contains("session.maxConcurrent"));
}

#[tokio::test]
async fn set_01_a_stored_value_that_is_no_longer_taken_gives_way_to_the_default() {
    let mut cloud = Cloud::start().await;
    let sql = "INSERT INTO global_config (category, name, value, last_op_ms) VALUES ('rest', 'completedApi.expiredPeriod', '-1', 0)";
    cloud.app().store.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    cloud.restart().await;
    assert_eq!(cloud.app().settings.int("rest", "completedApi.expiredPeriod"), 10800);
    still_serves(&cloud, "a value of old").await;
}

/// All sources of the server, but for the tables of settings.
fn sources(folder: &std::path::Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("api/src/settings") {
                sources(&path, all);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[tokio::test]
async fn set_01_a_setting_that_nothing_reads_says_so() {
    let mut code = String::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in
        ["server/src", "crates/api/src", "crates/query/src", "crates/store/src", "crates/workflow/src"]
    {
        sources(&root.join(folder), &mut code);
    }
    for setting in cairn_api::settings::all() {
        let is_read = code.contains(setting.name);
        assert_eq!(setting.is_used(), is_read, "{}/{}", setting.category, setting.name);
    }
    let cloud = Cloud::start().await;
    for (name, note) in [("primaryStorage.deletePool", true), ("session.timeout", false)] {
        let found = cloud.admin.list("QueryGlobalConfig", &[&format!("name={name}")]).await;
        let says = found[0]["description"].as_str().unwrap().contains("does not act on it");
        assert_eq!(says, note, "{found:?}");
    }
}
