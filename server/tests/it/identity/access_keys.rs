use cairn_testkit::{Api, Cloud};
use serde_json::json;

fn sign(secret: &str, method: &str, date: &str, uri: &str) -> String {
    use base64::Engine;
    use hmac::{Hmac, Mac};
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{method}\n{date}\n{uri}").as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// Now by the server's clock, as clients write it.
async fn now(cloud: &Cloud) -> String {
    let reply = cloud.nobody().get("/management-nodes/ready").await;
    reply.headers["date"].replace("GMT", "UTC")
}

/// A moment as `Tue, 02 Jan 2018 08:00:00 GMT`.
fn httpdate(ms: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = cairn_types::time::rfc3339(ms);
    let month: usize = text[5..7].parse().unwrap();
    format!("Day, {} {} {} {} GMT", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..19])
}

fn signed(api: &Api, id: &str, secret: &str, method: &str, date: &str, uri: &str) -> Api {
    let signature = sign(secret, method, date, uri);
    api.with("date", date).with("authorization", &format!("ZStack {id}:{signature}"))
}

#[tokio::test]
async fn api_01_a_signed_request_acts_for_the_account_of_its_key() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let ask = json!({ "accountUuid": alice.account, "userUuid": alice.account, "description": "ci" });
    let key = alice.make("CreateAccessKey", ask).await;
    let (id, secret) = (key["AccessKeyID"].as_str().unwrap(), key["AccessKeySecret"].as_str().unwrap());
    assert_eq!((id.len(), secret.len()), (20, 40));
    let nobody = cloud.nobody();
    let date = now(&cloud).await;
    let quotas = signed(&nobody, id, secret, "GET", &date, "/v1/accounts/quotas")
        .get("/accounts/quotas?limit=1")
        .await;
    assert_eq!(
        (quotas.status, &quotas.json()["inventories"][0]["identityUuid"]),
        (200, &json!(alice.account))
    );

    let wrong = signed(&nobody, id, "another secret", "GET", &date, "/v1/accounts/quotas")
        .get("/accounts/quotas")
        .await;
    assert_eq!(wrong.status, 503);
    assert!(wrong.text.contains("wrong accessKey signature"), "{}", wrong.text);
    let unknown = signed(&nobody, "unknownkey", secret, "GET", &date, "/v1/accounts/quotas")
        .get("/accounts/quotas")
        .await;
    assert!(unknown.text.contains("access key id"), "{}", unknown.text);
    let old = "Tue, 02 Jan 2018 08:00:00 UTC";
    let skewed = signed(&nobody, id, secret, "GET", old, "/v1/accounts/quotas").get("/accounts/quotas").await;
    assert_eq!((skewed.status, skewed.text.as_str()), (403, "requestTimeTooSkewed"));
    // A zone that is said without doubt is taken literally: what was captured hours ago opens nothing.
    let ago = cairn_types::time::now_ms() - 5 * 3_600_000;
    let ago = httpdate(ago);
    let replayed =
        signed(&nobody, id, secret, "GET", &ago, "/v1/accounts/quotas").get("/accounts/quotas").await;
    assert_eq!(replayed.status, 403, "{ago}");
    for header in [format!("ZStack {id}"), format!("ZStack {id}:a:b"), "Basic abc".into(), "OAuth".into()] {
        let reply = nobody.with("date", &date).with("authorization", &header).get("/accounts/quotas").await;
        assert_eq!(reply.status, 400, "{header}");
    }
    let undated = nobody.with("authorization", &format!("ZStack {id}:x")).get("/accounts/quotas").await;
    assert_eq!(undated.status, 400);
}

#[tokio::test]
async fn api_01_disabled_and_deleted_keys_open_nothing() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let ask = json!({ "accountUuid": alice.account, "userUuid": alice.account, "AccessKeyID": "ABCDEFGHIJ12",
                      "AccessKeySecret": "a-chosen-secret" });
    let key = alice.make("CreateAccessKey", ask.clone()).await;
    assert_eq!(key["AccessKeyID"], "ABCDEFGHIJ12");
    assert_eq!(alice.fails("CreateAccessKey", ask).await.code(), "SYS.1007");
    let date = now(&cloud).await;
    let get = || async {
        let api =
            signed(&cloud.nobody(), "ABCDEFGHIJ12", "a-chosen-secret", "GET", &date, "/v1/accounts/quotas");
        api.get("/accounts/quotas").await
    };
    assert_eq!(get().await.status, 200);
    let state = |event: &str| json!({ "uuid": key["uuid"], "stateEvent": event });
    assert_eq!(alice.make("ChangeAccessKeyState", state("disable")).await["state"], "Disabled");
    assert!(get().await.text.contains("access key id"));
    alice.ok("ChangeAccessKeyState", state("enable")).await;
    assert_eq!(get().await.status, 200);
    alice.ok("DeleteAccessKey", json!({ "uuid": key["uuid"] })).await;
    assert!(get().await.text.contains("access key id"));
    assert!(alice.list("QueryAccessKey", &[]).await.is_empty());
}

#[tokio::test]
async fn api_01_a_secret_is_told_once_and_sealed_at_rest() {
    let cloud = Cloud::start().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    let ask = json!({ "accountUuid": alice.account, "userUuid": alice.account, "AccessKeySecret": "a-chosen-secret" });
    assert_eq!(bob.fails("CreateAccessKey", ask.clone()).await.code(), "ID.1002");
    let key = cloud.admin.make("CreateAccessKey", ask).await;
    assert_eq!(key["AccessKeySecret"], "a-chosen-secret");
    let listed = alice.list("QueryAccessKey", &[]).await;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].get("AccessKeySecret").is_none() && listed[0]["AccessKeyID"] == key["AccessKeyID"]);
    assert!(bob.list("QueryAccessKey", &[]).await.is_empty());
    assert_eq!(bob.fails("DeleteAccessKey", json!({ "uuid": key["uuid"] })).await.code(), "ID.1002");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for file in std::fs::read_dir(cloud.folder()).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let secret = b"a-chosen-secret";
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "the secret stands in {:?}", file.path());
    }
}
