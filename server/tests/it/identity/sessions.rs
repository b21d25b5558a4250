use cairn_testkit::{Cloud, digest};
use serde_json::json;

#[tokio::test]
async fn log_02_sessions_end_after_the_time_that_the_setting_gives() {
    let cloud = Cloud::start().await;
    let set = |value: &str| json!({ "category": "identity", "name": "session.timeout", "value": value });
    cloud.admin.ok("UpdateGlobalConfig", set("1")).await;
    let short = cloud.log_in("admin", "password").await;
    assert!(!short.list("QueryAccount", &[]).await.is_empty());
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let refused = short.fails("QueryAccount", json!({})).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "ID.1001"));
    assert!(refused.details().contains("log in again"), "{refused}");
    let valid = short.ok("ValidateSession", json!({ "sessionUuid": short.session() })).await;
    assert_eq!(valid["valid"], false);
    assert_eq!(
        cloud.admin.ok("ValidateSession", json!({ "sessionUuid": cloud.admin.session() })).await["valid"],
        true,
        "sessions that were opened before keep their time"
    );
}

#[tokio::test]
async fn log_02_log_out_ends_one_session_only() {
    let cloud = Cloud::start().await;
    let other = cloud.log_in("admin", "password").await;
    cloud.nobody().ok("LogOut", json!({ "sessionUuid": other.session() })).await;
    assert_eq!(other.fails("QueryZone", json!({})).await.code(), "ID.1001");
    cloud.admin.ok("QueryZone", json!({})).await;
    cloud.nobody().ok("LogOut", json!({ "sessionUuid": other.session() })).await;
}

#[tokio::test]
async fn log_02_changing_a_password_ends_the_sessions_of_the_account_and_of_no_other() {
    let cloud = Cloud::start().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    let second = cloud.log_in("alice", cairn_testkit::TEST_PASSWORD).await;
    alice.ok("UpdateAccount", json!({ "uuid": alice.account, "password": digest("fresh") })).await;
    for old in [&alice, &second] {
        assert_eq!(old.fails("QueryQuota", json!({})).await.code(), "ID.1001");
    }
    bob.ok("QueryQuota", json!({})).await;
    let old = cloud.nobody().log_in("alice", cairn_testkit::TEST_PASSWORD).await;
    assert_eq!(old.err().map(|f| f.code()).as_deref(), Some("ID.1000"));
    cloud.log_in("alice", "fresh").await;

    let denied =
        bob.fails("UpdateAccount", json!({ "uuid": alice.account, "password": digest("mine") })).await;
    assert_eq!(denied.code(), "ID.1002");
}

#[tokio::test]
async fn log_02_changing_the_admin_password_ends_admin_sessions() {
    let cloud = Cloud::start().await;
    let second = cloud.log_in("admin", "password").await;
    let uuid = cloud.admin.account.clone();
    cloud.admin.ok("UpdateAccount", json!({ "uuid": uuid, "password": digest("better") })).await;
    assert_eq!(cloud.admin.fails("QueryZone", json!({})).await.code(), "ID.1001");
    assert_eq!(second.fails("QueryZone", json!({})).await.code(), "ID.1001");
    cloud.log_in("admin", "better").await.ok("QueryZone", json!({})).await;
}

#[tokio::test]
async fn log_02_sessions_survive_a_restart() {
    let mut cloud = Cloud::start().await;
    let session = cloud.admin.session();
    cloud.restart().await;
    let old = cloud.nobody().with("authorization", &format!("OAuth {session}"));
    old.ok("QueryZone", json!({})).await;
}

#[tokio::test]
async fn log_02_as_many_sessions_as_the_setting_allows() {
    let cloud = Cloud::start().await;
    cloud.account("alice").await;
    let setting = json!({ "category": "identity", "name": "session.maxConcurrent", "value": "2" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    cloud.log_in("alice", cairn_testkit::TEST_PASSWORD).await;
    let third = cloud.nobody().log_in("alice", cairn_testkit::TEST_PASSWORD).await;
    assert!(third.err().expect("refused").details().contains("session.maxConcurrent"));
}

#[tokio::test]
async fn log_03_passwords_are_stored_as_slow_salted_hashes() {
    let cloud = Cloud::start().await;
    cloud.account("alice").await;
    let sql = "SELECT password_hash FROM account";
    let rows = cloud.app().store.read(move |tx| tx.query(sql, &[])).await.unwrap();
    let hashes: Vec<String> = rows.iter().map(|r| r.text("password_hash").unwrap()).collect();
    assert!(hashes.len() == 2 && hashes.iter().all(|h| h.starts_with("$argon2id$")), "{hashes:?}");
    for file in std::fs::read_dir(cloud.folder()).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let secret = digest(cairn_testkit::TEST_PASSWORD).into_bytes();
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret),
            "the password stands in {:?}",
            file.path()
        );
    }
}

#[tokio::test]
async fn log_03_wrong_passwords_are_slowed_down() {
    let cloud = Cloud::start().await;
    let wrong = json!({ "accountName": "admin", "password": digest("guess") });
    for _ in 0..5 {
        assert_eq!(cloud.nobody().fails("LogInByAccount", wrong.clone()).await.code(), "ID.1000");
    }
    let right = json!({ "accountName": "admin", "password": digest("password") });
    let refused = cloud.nobody().fails("LogInByAccount", right).await;
    assert_eq!(refused.code(), "ID.8000");
    assert!(refused.details().contains("try again in"), "{refused}");
    let unknown = json!({ "accountName": "nobody", "password": digest("guess") });
    let answer = cloud.nobody().fails("LogInByAccount", unknown).await;
    assert_eq!(answer.code(), "ID.1000", "an unknown name is told like a wrong password");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn log_03_many_tries_at_once_are_no_way_around() {
    let cloud = Cloud::start().await;
    cloud.account("alice").await;
    let wrong = json!({ "accountName": "alice", "password": digest("guess") });
    let tries = (0..40).map(|_| {
        let (api, wrong) = (cloud.nobody(), wrong.clone());
        tokio::spawn(async move { api.fails("LogInByAccount", wrong).await.code() })
    });
    let mut looked_at = 0;
    for one in tries.collect::<Vec<_>>() {
        looked_at += usize::from(one.await.unwrap() == "ID.1000");
    }
    assert!(looked_at <= 6, "{looked_at} passwords were tried");
}

#[tokio::test]
async fn log_03_names_without_end_are_refused_before_anything_is_kept() {
    let cloud = Cloud::start().await;
    let long = json!({ "accountName": "x".repeat(300), "password": digest("guess") });
    let refused = cloud.nobody().fails("LogInByAccount", long).await;
    assert_eq!(refused.code(), "SYS.1007", "{refused}");
    // What callers without a session leave in the audit is short.
    let huge = json!({ "accountName": "x".repeat(20_000), "password": digest("guess") });
    cloud.nobody().fails("LogInByAccount", huge).await;
    for _ in 0..200 {
        let rows = cloud.admin.list("QueryAudit", &["action=LogInByAccount", "errorCode=SYS.1007"]).await;
        if rows.len() == 2 {
            assert!(rows.iter().all(|r| r["params"].to_string().len() < 1200), "{rows:?}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no audit rows");
}
