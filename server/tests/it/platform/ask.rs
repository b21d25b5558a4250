use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test]
async fn api_03_queries_over_http() {
    let cloud = Cloud::start().await;
    for name in ["a1", "a2", "b1"] {
        cloud.admin.ok("CreateZone", json!({ "name": name, "description": format!("the {name}") })).await;
    }
    let get = |query: &'static str| {
        let api = cloud.admin.clone();
        async move { api.get(&format!("/zones?{query}")).await }
    };
    let names = |reply: &cairn_testkit::Reply| -> Vec<String> {
        let rows = reply.json()["inventories"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|z| z["name"].as_str().unwrap().to_owned()).collect()
    };
    for (query, found) in [
        ("q=name=a1", vec!["a1"]),
        ("q=name!=a1&sort=%2Bname", vec!["a2", "b1"]),
        ("q=name?=a1,b1&sort=-name", vec!["b1", "a1"]),
        ("q=name!?=a1,b1", vec!["a2"]),
        ("q=name~=a%25&sort=name", vec!["a1", "a2"]),
        ("q=name!~=a%25", vec!["b1"]),
        ("q=name%3Ea1&q=name%3Cb1", vec!["a2"]),
        ("q=description%20is%20null", vec![]),
        ("q=description%20not%20null&sort=+name&limit=1", vec!["a1"]),
        ("sort=name&start=1&limit=1", vec!["a2"]),
        ("sort=%2Bnull&q=name=a1", vec!["a1"]),
    ] {
        let reply = get(query).await;
        assert_eq!(
            (query, reply.status, names(&reply)),
            (query, 200, found.iter().map(|s| (*s).to_owned()).collect())
        );
        assert!(reply.json()["inventories"].is_array());
    }
    let counted = get("q=name~=a%25&count=true").await.json();
    assert_eq!((counted["total"].clone(), counted.get("inventories")), (json!(2), None));
    let both = get("limit=1&replyWithCount=true").await.json();
    assert_eq!((both["inventories"].as_array().map(Vec::len), &both["total"]), (Some(1), &json!(3)));
    assert_eq!(get("q=name=no&replyWithCount=true").await.json()["total"], 0);
    let fields = get("fields=name,uuid&limit=1").await.json();
    assert_eq!(fields["inventories"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "uuid"]);
    for (query, status) in [("q=name", 400), ("limit=x", 400), ("start=x", 400)] {
        assert_eq!((query, get(query).await.status), (query, status));
    }
    let unknown = get("q=colour=red").await;
    assert_eq!(unknown.code(), "SYS.1007");
    assert!(unknown.text.contains("name"), "the known fields are listed: {}", unknown.text);

    let uuid = cloud.admin.list("QueryZone", &["name=b1"]).await[0]["uuid"].as_str().unwrap().to_owned();
    for path in [format!("/zones/{uuid}"), format!("/zones//{uuid}")] {
        let one = cloud.admin.get(&path).await.json();
        assert_eq!((&one["inventories"][0]["name"], one.get("inventory")), (&json!("b1"), None));
    }
    let none = cloud.admin.get(&format!("/zones/{}", "0".repeat(32))).await;
    assert_eq!((none.status, none.json()["inventories"].clone()), (200, json!([])));
}

#[tokio::test]
async fn api_03_batch_queries_see_what_their_caller_may_see() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    for name in ["a", "b"] {
        cloud
            .admin
            .ok("CreateInstanceOffering", json!({ "name": name, "cpuNum": 1, "memorySize": 16 << 20 }))
            .await;
    }
    let script = r#"
        def all = query("QueryInstanceOffering fields=uuid,name sortBy=name sortDirection=asc replyWithCount=true")
        put("names", all.result.collect { it.name })
        put("total", all.total)
        put("accounts", query("QueryAccount").result)
    "#;
    let found = cloud.admin.ok("BatchQuery", json!({ "script": script })).await;
    assert_eq!((&found["result"]["names"], &found["result"]["total"]), (&json!(["a", "b"]), &json!(2)));
    assert_eq!(found["result"]["accounts"].as_array().unwrap().len(), 2);
    let found = alice.ok("BatchQuery", json!({ "script": script })).await;
    assert_eq!((&found["result"]["names"], &found["result"]["accounts"]), (&json!([]), &json!([])));
    assert_eq!(alice.fails("BatchQuery", json!({ "script": "put(" })).await.code(), "SYS.1007");
    assert_eq!(alice.fails("BatchQuery", json!({})).await.code(), "SYS.1007");
}

#[tokio::test]
async fn api_03_zql_answers_as_newer_clients_expect() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    cloud.admin.ok("CreateZone", json!({ "name": "a" })).await;
    let zql = json!({ "zql": "query Zone where name='a' return with (total)" });
    let found = cloud.admin.ok("ZQLQuery", zql).await;
    assert_eq!(found["results"][0]["inventories"][0]["name"], "a");
    assert_eq!(found["results"][0]["total"], 1);
    let accounts = alice.ok("ZQLQuery", json!({ "zql": "query account" })).await;
    assert_eq!(accounts["results"][0]["inventories"], json!([]));
    assert_eq!(alice.fails("ZQLQuery", json!({ "zql": "drop table account" })).await.code(), "SYS.1007");
}
