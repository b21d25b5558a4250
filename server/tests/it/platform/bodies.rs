use cairn_testkit::Cloud;
use serde_json::{Value, json};

#[tokio::test]
async fn api_01_both_context_paths_and_doubled_slashes_are_served() {
    let cloud = Cloud::start().await;
    for path in ["/zstack/v1/zones", "/v1/zones", "/zstack/v1//zones", "/zstack/v1/zones/"] {
        assert_eq!((path, cloud.admin.raw("GET", path, None).await.status), (path, 200));
    }
    let page = format!("http://{}/zstack/v1/zones", cloud.served().page);
    assert_eq!(cloud.admin.raw("GET", &page, None).await.status, 200, "the page's port serves the API too");
}

#[tokio::test]
async fn api_01_verbs_are_chosen_by_the_key_of_the_body() {
    let cloud = Cloud::start().await;
    let nobody = cloud.nobody();
    for body in ["{\"getVersion\": {}}", "{\"getVersion\": null}", "{\"getVersion\": {\"unknown\": 1}}"] {
        let reply = nobody.raw("PUT", "/zstack/v1/management-nodes/actions", Some(body)).await;
        assert_eq!((body, reply.status, reply.json()["version"].as_str()), (body, 200, Some("2.2.4")));
    }
    let time = nobody.put("/management-nodes/actions", &json!({ "getCurrentTime": {} })).await.json();
    let (ms, s) = (
        time["currentTime"]["MillionSeconds"].as_i64().unwrap(),
        time["currentTime"]["Seconds"].as_i64().unwrap(),
    );
    assert_eq!(ms / 1000, s);
    assert_eq!(nobody.get("/management-nodes/ready").await.json(), json!({}));
    assert_eq!(nobody.get("/meta-data/opensource").await.json(), json!({ "opensource": true }));
}

#[tokio::test]
async fn api_01_calls_without_a_wrapper_take_every_spelling() {
    let cloud = Cloud::start().await;
    let api = &cloud.admin;
    let zone = api.make("CreateZone", json!({ "name": "z" })).await["uuid"].as_str().unwrap().to_owned();
    let cluster = json!({ "name": "c", "zoneUuid": zone, "hypervisorType": "Simulator" });
    let cluster = api.make("CreateCluster", cluster).await["uuid"].as_str().unwrap().to_owned();
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": "eth0" });
    let l2 = api.make("CreateL2NoVlanNetwork", l2).await["uuid"].as_str().unwrap().to_owned();
    let path = format!("/zstack/v1/l2-networks/{l2}/clusters/{cluster}");
    for body in
        [Some("{\"\": {}}"), Some("{\"params\": {}}"), Some("{\"null\": {}}"), Some("null"), Some("{}"), None]
    {
        let reply = api.raw("POST", &path, body).await;
        let attached = api.settle(reply).await.unwrap_or_else(|f| panic!("{body:?}: {f}"));
        assert_eq!(attached["inventory"]["attachedClusterUuids"], json!([cluster]));
        api.ok("DetachL2NetworkFromCluster", json!({ "l2NetworkUuid": l2, "clusterUuid": cluster })).await;
    }
}

#[tokio::test]
async fn api_01_unknown_names_are_ignored() {
    let cloud = Cloud::start().await;
    let body = json!({ "params": { "name": "z", "colour": "red", "tagUuids": [] }, "extra": 1 });
    let zone = cloud.admin.post("/zones", &body).await;
    let zone = cloud.admin.settle(zone).await.unwrap()["inventory"]["uuid"].as_str().unwrap().to_owned();
    let session = cloud.log_in("admin", "password").await;
    assert_eq!(
        cloud.nobody().delete(&format!("/accounts/sessions/{}?deleteMode=", session.session())).await.status,
        200
    );
    let deleted = cloud.admin.delete(&format!("/zones/{zone}?deleteMode=&x=1")).await;
    assert_eq!(cloud.admin.settle(deleted).await.unwrap(), json!({}));
}

#[tokio::test]
async fn api_01_lists_and_maps_in_query_strings() {
    let cloud = Cloud::start().await;
    let a = cloud
        .admin
        .make("CreateInstanceOffering", json!({ "name": "a", "cpuNum": 1, "memorySize": 16 << 20 }))
        .await;
    let b = cloud
        .admin
        .make("CreateInstanceOffering", json!({ "name": "b", "cpuNum": 1, "memorySize": 16 << 20 }))
        .await;
    let (a, b) = (a["uuid"].as_str().unwrap(), b["uuid"].as_str().unwrap());
    for query in [format!("uuids={a}&uuids={b}"), format!("uuids.0={a}&uuids.1={b}")] {
        let names = cloud.admin.get(&format!("/resources/names?{query}")).await.json();
        assert_eq!(names["inventories"].as_array().map(Vec::len), Some(2), "{query}");
    }
}

#[tokio::test]
async fn api_01_answers_carry_their_class_names_on_request() {
    let cloud = Cloud::start().await;
    let schema = cloud.admin.with("x-json-schema", "true");
    let zone = schema.send("CreateZone", json!({ "name": "z" })).await;
    let location = zone.json()["location"].as_str().unwrap().to_owned();
    let with = schema.poll(&location).await.json();
    assert_eq!(with["schema"]["inventory"], "org.zstack.header.zone.ZoneInventory");
    let without = cloud.admin.poll(&location).await.json();
    assert!(without.get("schema").is_none(), "{without}");
    let query = cloud.admin.get("/zones").await.json();
    assert_eq!(query["schema"], json!({ "inventories[0]": "org.zstack.header.zone.ZoneInventory" }));
}

#[tokio::test]
async fn api_01_absent_values_are_left_out_and_dates_have_the_legacy_form() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    assert!(zone.as_object().unwrap().values().all(|v| *v != Value::Null), "{zone}");
    assert!(zone.get("description").is_none());
    let date = zone["createDate"].as_str().unwrap();
    let parts: Vec<&str> = date.split(' ').collect();
    assert_eq!(parts.len(), 5, "{date}");
    assert!(
        parts[0].len() == 3
            && !parts[1].starts_with('0')
            && parts[1].ends_with(',')
            && ["AM", "PM"].contains(&parts[4]),
        "{date}"
    );
}

#[tokio::test]
async fn api_01_zeros_that_make_no_sense_are_absent() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let mut vm = world.vm("vm");
    vm["cpuNum"] = json!(0);
    vm["memorySize"] = json!(0);
    vm["rootDiskSize"] = json!(0);
    vm["description"] = json!("");
    let vm = cloud.admin.make("CreateVmInstance", vm).await;
    assert_eq!((&vm["cpuNum"], &vm["memorySize"]), (&json!(1), &json!(64 << 20)));
}

#[tokio::test]
async fn api_01_deleting_what_is_not_there_succeeds_where_the_table_says_so() {
    let cloud = Cloud::start().await;
    let uuid = json!({ "uuid": "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4" });
    for action in
        ["DeleteZone", "DeleteCluster", "DeleteHost", "DestroyVmInstance", "DeleteImage", "DeleteL3Network"]
    {
        assert_eq!((action, cloud.admin.ok(action, uuid.clone()).await), (action, json!({})));
        let bad = cloud.admin.fails(action, json!({ "uuid": "nonsense" })).await;
        assert!(["SYS.1003", "SYS.1007"].contains(&bad.code().as_str()), "{action}: {bad}");
    }
    assert_eq!(cloud.admin.fails("DeleteAccessKey", uuid).await.code(), "SYS.1003");
}

#[tokio::test]
async fn vm_01_networks_and_images_that_go_together_are_told() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let ask = |more: Value| {
        let mut params = json!({ "zoneUuid": world.zone });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let (action, admin) = ("GetInterdependentL3NetworksImages", &cloud.admin);
    let uuids = |answer: Value| -> Vec<Value> {
        answer["inventories"].as_array().unwrap().iter().map(|i| i["uuid"].clone()).collect()
    };
    let images = admin.ok(action, ask(json!({ "l3NetworkUuids": [world.l3] }))).await;
    assert_eq!(uuids(images), [json!(world.image)]);
    let networks = admin.ok(action, ask(json!({ "imageUuid": world.image }))).await;
    assert_eq!(uuids(networks), [json!(world.l3)]);
    let other = admin.make("CreateZone", json!({ "name": "other" })).await;
    let elsewhere = json!({ "zoneUuid": other["uuid"], "l3NetworkUuids": [world.l3] });
    assert!(uuids(admin.ok(action, elsewhere).await).is_empty());
    assert_eq!(admin.fails(action, ask(json!({}))).await.code(), "SYS.1007");
    let alice = cloud.account("alice").await;
    world.share_with(admin, &alice.account).await;
    admin.ok("RevokeResourceSharing", json!({ "resourceUuids": [world.l3], "all": true })).await;
    let seen = alice.ok(action, ask(json!({ "imageUuid": world.image }))).await;
    assert!(uuids(seen).is_empty(), "networks of others are not told");
}
