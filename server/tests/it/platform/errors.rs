use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test]
async fn api_01_what_is_no_call_is_plain_text() {
    let cloud = Cloud::start().await;
    let api = &cloud.admin;
    for (method, path, body, status) in [
        ("GET", "/zstack/v1/no-such-thing", None, 404),
        ("GET", "/v1/no-such-thing", None, 404),
        ("GET", "/zstack/v2/zones", None, 404),
        ("PATCH", "/zstack/v1/zones", None, 405),
        ("DELETE", "/zstack/v1/zones", None, 405),
        ("POST", "/zstack/v1/zones", Some("{"), 400),
        ("POST", "/zstack/v1/zones", Some("[]"), 400),
        ("POST", "/zstack/v1/zones", Some("{\"params\": 7}"), 400),
        (
            "PUT",
            "/zstack/v1/zones/0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4/actions",
            Some("{\"noSuchVerb\": {}}"),
            400,
        ),
        ("GET", "/zstack/v1/zones?limit=a", None, 400),
    ] {
        let reply = api.raw(method, path, body).await;
        assert_eq!((method, path, reply.status), (method, path, status), "{}", reply.text);
        assert!(reply.json().is_null() && !reply.text.is_empty(), "{path}: {}", reply.text);
        assert!(reply.headers["content-type"].starts_with("text/plain"));
    }
    let two = api.get("/zones?limit=1&limit=2").await;
    assert_eq!(two.status, 400);
}

#[tokio::test]
async fn api_01_a_failed_call_is_503_with_nothing_but_the_error() {
    let cloud = Cloud::start().await;
    let reply = cloud
        .admin
        .send("UpdateZone", json!({ "uuid": "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4", "name": "a" }))
        .await;
    assert_eq!(reply.status, 503);
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
    let error = &body["error"];
    assert_eq!((&error["code"], error["description"].is_string()), (&json!("SYS.1003"), true));
    assert!(error["details"].as_str().unwrap().contains("0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4"));
}

#[tokio::test]
async fn api_01_parameters_are_checked_in_the_stated_order() {
    let cloud = Cloud::start().await;
    let api = &cloud.admin;
    let zone = api.make("CreateZone", json!({ "name": "z" })).await["uuid"].take();
    let long = "x".repeat(256);
    for (params, word) in [
        (json!({ "name": long, "zoneUuid": zone, "hypervisorType": "Xen" }), "256 characters"),
        (json!({ "zoneUuid": zone, "hypervisorType": "Xen" }), "'name' is required"),
        (json!({ "name": "c", "zoneUuid": zone, "hypervisorType": "Xen" }), "allowed are"),
        (
            json!({ "name": "c", "zoneUuid": zone, "hypervisorType": "KVM", "resourceUuid": "nonsense" }),
            "form",
        ),
        (json!({ "name": "c\u{7}", "zoneUuid": zone, "hypervisorType": "KVM" }), "control characters"),
    ] {
        let refused = api.fails("CreateCluster", params.clone()).await;
        assert_eq!(
            (refused.code().as_str(), refused.details().contains(word)),
            ("SYS.1007", true),
            "{params}: {refused}"
        );
    }
    let unknown =
        json!({ "name": "c", "zoneUuid": "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4", "hypervisorType": "kvm" });
    assert_eq!(api.fails("CreateCluster", unknown).await.code(), "SYS.1003");
    let trimmed = json!({ "name": "  c  ", "zoneUuid": zone, "hypervisorType": "kVm" });
    let made = api.make("CreateCluster", trimmed).await;
    assert_eq!((&made["name"], &made["hypervisorType"]), (&json!("c"), &json!("KVM")));
    let offering = |cpu: i64| json!({ "name": "o", "cpuNum": cpu, "memorySize": 16 << 20 });
    for cpu in [-1, 1025, i64::MAX] {
        assert_eq!(api.fails("CreateInstanceOffering", offering(cpu)).await.code(), "SYS.1007");
    }
    api.ok("CreateInstanceOffering", offering(1024)).await;
}

#[tokio::test]
async fn api_01_hostile_names_are_only_names() {
    let cloud = Cloud::start().await;
    for name in [
        "$(reboot)",
        "../../etc/passwd",
        "'; DROP TABLE zone; --",
        "\"quoted\"",
        "a%b_c",
        "emoji 🚀",
        "<script>",
        "\u{202e}",
    ] {
        let zone = cloud.admin.make("CreateZone", json!({ "name": name })).await;
        assert_eq!(zone["name"], name);
        let found = cloud.admin.ok("QueryZone", json!({ "q": [format!("name={name}")] })).await;
        assert_eq!(found["inventories"].as_array().map(Vec::len), Some(1), "{name}");
    }
}

#[tokio::test]
async fn api_01_a_bad_boolean_is_no_call() {
    let cloud = Cloud::start().await;
    let body = json!({ "shareResource": { "resourceUuids": ["0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4"], "toPublic": "perhaps" } });
    assert_eq!(cloud.admin.put("/accounts/resources/actions", &body).await.status, 400);
    let body = json!({ "shareResource": { "resourceUuids": ["0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4"], "toPublic": "TRUE" } });
    assert_ne!(cloud.admin.put("/accounts/resources/actions", &body).await.status, 400);
}
