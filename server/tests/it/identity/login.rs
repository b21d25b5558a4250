//! LOG-01: who may log in, where, and with what.

use cairn_testkit::{Api, Cloud, Failure, TEST_PASSWORD, digest};
use serde_json::{Value, json};

/// Names that could be read as something else than a name.
const HOSTILE: &[&str] = &[
    "' OR '1'='1",
    "x'; DROP TABLE account; --",
    "admin'--",
    "Admin",
    "ADMIN",
    "admin%",
    "_dmin",
    "\u{430}dmin",
    "<script>alert(1)</script>",
    "{\"uuid\":1}",
    "../../etc/passwd",
    "$(reboot)",
    "a@b@c",
    "name with blanks",
    "\u{202e}nimda",
    "\u{1f600}",
];

async fn log_in(api: &Api, name: &str, password: &str) -> Result<Value, Failure> {
    api.call("LogInByAccount", json!({ "accountName": name, "password": password })).await
}

async fn refused(api: &Api, name: &str, password: &str) -> String {
    log_in(api, name, password).await.err().unwrap_or_else(|| panic!("{name:?} logged in")).code()
}

#[tokio::test]
async fn log_01_the_first_login_is_admin_and_password_on_both_ports() {
    let cloud = Cloud::start().await;
    let page = cloud.nobody().at(&cloud.served().page.to_string());
    for port in [&cloud.nobody(), &page] {
        let session = log_in(port, "admin", &digest("password")).await.unwrap()["inventory"].take();
        assert_eq!(session["accountUuid"], "36c27e8ff05c4780bf6d2fa65700f22e");
        assert_eq!(session["userUuid"], session["accountUuid"]);
        let token = session["uuid"].as_str().unwrap();
        // A session holds on the other port too.
        for other in [&cloud.nobody(), &page] {
            let api = other.with("authorization", &format!("OAuth {token}"));
            api.ok("QueryZone", json!({})).await;
        }
    }
}

#[tokio::test]
async fn log_01_the_page_is_served_on_its_port_without_a_session() {
    let cloud = Cloud::start().await;
    let page = cloud.nobody().at(&cloud.served().page.to_string());
    for path in ["/", "/vms", "/login"] {
        let reply = page.raw("GET", path, None).await;
        assert!(reply.status == 200 || reply.status == 404, "{path}: {}", reply.status);
        assert!(!reply.text.contains("ID.1001"), "{path}");
    }
}

#[tokio::test]
async fn log_01_wrong_password_and_unknown_account_are_refused_alike() {
    let cloud = Cloud::start().await;
    cloud.account("alice").await;
    let nobody = cloud.nobody();
    let wrong = log_in(&nobody, "alice", &digest("guess")).await.unwrap_err();
    let unknown = log_in(&nobody, "nobody", &digest("guess")).await.unwrap_err();
    assert_eq!((wrong.status, wrong.code().as_str()), (503, "ID.1000"));
    assert_eq!(wrong.body, unknown.body, "an answer does not tell which names there are");
    // Not the hash but the plain text, nothing, and the text of another account.
    for sent in [TEST_PASSWORD, "", &digest(""), &digest("password")] {
        let answer = log_in(&nobody, "alice", sent).await.unwrap_err();
        assert!(["ID.1000", "SYS.1007", "ID.8000"].contains(&answer.code().as_str()), "{sent:?}: {answer}");
    }
}

#[tokio::test]
async fn log_01_a_password_is_its_sha_512_in_either_case() {
    let cloud = Cloud::start().await;
    let (small, large) = (digest(TEST_PASSWORD), digest(TEST_PASSWORD).to_uppercase());
    cloud.admin.ok("CreateAccount", json!({ "name": "small", "password": small })).await;
    cloud.admin.ok("CreateAccount", json!({ "name": "large", "password": large })).await;
    for name in ["small", "large"] {
        for sent in [&small, &large] {
            log_in(&cloud.nobody(), name, sent).await.unwrap();
        }
    }
    let api = cloud.log_in("small", TEST_PASSWORD).await;
    let fresh = digest("fresh");
    api.ok("UpdateAccount", json!({ "uuid": api.account, "password": fresh.to_uppercase() })).await;
    log_in(&cloud.nobody(), "small", &fresh).await.unwrap();
    log_in(&cloud.nobody(), "small", &fresh.to_uppercase()).await.unwrap();
    assert_eq!(refused(&cloud.nobody(), "small", &small).await, "ID.1000");
}

#[tokio::test]
async fn log_01_an_account_that_is_deleted_or_being_deleted_does_not_log_in() {
    let cloud = Cloud::start().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    cloud.admin.ok("DeleteAccount", json!({ "uuid": alice.account })).await;
    assert_eq!(refused(&cloud.nobody(), "alice", &digest(TEST_PASSWORD)).await, "ID.1000");
    assert_eq!(alice.fails("QueryQuota", json!({})).await.code(), "ID.1001");
    let sql = "UPDATE account SET deleting_run = 'x' WHERE name = 'bob'";
    cloud.app().store.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    assert_eq!(refused(&cloud.nobody(), "bob", &digest(TEST_PASSWORD)).await, "ID.1000");
    // A new account of the old name is another account.
    let again = cloud.account("alice").await;
    assert_ne!(again.account, alice.account);
    assert_ne!(again.account, bob.account);
}

#[tokio::test]
async fn log_01_accounts_with_hostile_names_log_in_as_themselves_and_as_nobody_else() {
    let cloud = Cloud::start().await;
    let nobody = cloud.nobody();
    for name in HOSTILE {
        assert_eq!(refused(&nobody, name, &digest("password")).await, "ID.1000", "{name:?} is not the admin");
    }
    for name in HOSTILE {
        let made = json!({ "name": name, "password": digest(name) });
        let account = cloud.admin.make("CreateAccount", made).await;
        assert_eq!(account["name"], *name);
        let session = log_in(&nobody, name, &digest(name)).await.unwrap()["inventory"].take();
        assert_eq!(session["accountUuid"], account["uuid"], "{name:?}");
        let api = nobody.with("authorization", &format!("OAuth {}", session["uuid"].as_str().unwrap()));
        let denied = api.fails("CreateZone", json!({ "name": "z" })).await;
        assert_eq!(denied.code(), "ID.1002", "{name:?} is no administrator");
    }
    assert_eq!(cloud.admin.list("QueryAccount", &[]).await.len(), HOSTILE.len() + 1);
}

#[tokio::test]
async fn log_01_bodies_that_are_no_login_are_refused_and_never_let_in() {
    let cloud = Cloud::start().await;
    let nobody = cloud.nobody();
    let right = digest("password");
    for login in [
        json!({ "accountName": ["admin"], "password": right }),
        json!({ "accountName": { "$ne": "" }, "password": { "$ne": "" } }),
        json!({ "accountName": "admin", "password": true }),
        json!({ "accountName": "admin", "password": null }),
        json!({ "accountName": null, "password": right }),
        json!({ "password": right }),
        json!({ "accountName": "a".repeat(100_000), "password": right }),
        json!({ "accountName": "admin\u{0}", "password": right }),
    ] {
        let shown: String = login.to_string().chars().take(80).collect();
        let reply = nobody.put("/accounts/login", &json!({ "logInByAccount": login })).await;
        assert!(reply.status == 400 || reply.status == 503, "{shown}: {} {}", reply.status, reply.text);
        assert!(!reply.text.contains("inventory"), "{shown}");
    }
    log_in(&nobody, "admin", &right).await.unwrap();
}

#[tokio::test]
async fn log_02_an_ended_session_is_of_no_use_on_any_way_in() {
    let cloud = Cloud::start().await;
    let api = cloud.log_in("admin", "password").await;
    let page = api.at(&cloud.served().page.to_string());
    api.ok("LogOut", json!({ "sessionUuid": api.session() })).await;
    for way in [&api, &page] {
        assert_eq!(way.fails("QueryZone", json!({})).await.code(), "ID.1001");
        assert_eq!(way.fails("CreateZone", json!({ "name": "z" })).await.code(), "ID.1001");
        let events = way.get("/cairn/events").await;
        assert!(events.status != 200, "the event stream opened");
    }
    let valid = api.ok("ValidateSession", json!({ "sessionUuid": api.session() })).await;
    assert_eq!(valid["valid"], false);
}
