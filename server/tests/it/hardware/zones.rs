use serde_json::{Value, json};

use super::site::{Site, uuid};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zone_01_create_update_and_read() {
    let site = Site::new().await;
    let zone = site.zone("room 1").await;
    let shown = site.one("/v1/zones", &zone).await;
    assert_eq!(
        (shown["name"].as_str(), shown["state"].as_str(), shown["type"].as_str()),
        (Some("room 1"), Some("Enabled"), Some("zstack"))
    );
    let change = json!({ "updateZone": { "name": "room 2", "description": "second floor" } });
    let answer = site.put(&format!("/v1/zones/{zone}/actions"), change).await.unwrap();
    assert_eq!(answer["inventory"]["name"], "room 2");
    assert_eq!(site.one("/v1/zones", &zone).await["description"], "second floor");
    let chosen = json!({ "name": "x", "resourceUuid": "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4" });
    assert_eq!(uuid(site.post("/v1/zones", chosen.clone()).await), "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4");
    let twice = site.post("/v1/zones", chosen).await.unwrap_err();
    assert_eq!(twice.code(), "RES.8002", "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zone_01_disabling_disables_what_is_below_and_parts_come_back_one_by_one() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let (a, b) = (site.cluster(&zone, "a").await, site.cluster(&zone, "b").await);
    let (h1, h2) = (site.host(&a, "10.0.0.1").await, site.host(&b, "10.0.0.2").await);
    let states = async || {
        let mut all = Vec::new();
        for (path, uuid) in [
            ("/v1/zones", &zone),
            ("/v1/clusters", &a),
            ("/v1/clusters", &b),
            ("/v1/hosts", &h1),
            ("/v1/hosts", &h2),
        ] {
            all.push(site.one(path, uuid).await["state"].as_str().unwrap() == "Enabled");
        }
        all
    };
    let change = async |path: &str, verb: &str, event: &str| {
        site.put(&format!("{path}/actions"), json!({ verb: { "stateEvent": event } })).await.unwrap()
    };
    let zone_path = format!("/v1/zones/{zone}");
    change(&zone_path, "changeZoneState", "disable").await;
    assert_eq!(states().await, [false; 5]);
    change(&format!("/v1/clusters/{a}"), "changeClusterState", "enable").await;
    assert_eq!(states().await, [false, true, false, true, false]);
    // A new cluster and a new host can be used although the zone is disabled.
    let c = site.cluster(&zone, "c").await;
    let h3 = site.host(&c, "10.0.0.3").await;
    assert_eq!(site.one("/v1/hosts", &h3).await["state"], "Enabled");
    change(&format!("/v1/hosts/{h1}"), "changeHostState", "disable").await;
    assert_eq!(states().await, [false, true, false, false, false]);
    change(&zone_path, "changeZoneState", "enable").await;
    assert_eq!(states().await, [true; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clu_01_create_update_and_delete() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let cluster = site.cluster(&zone, "rack 1").await;
    let shown = site.one("/v1/clusters", &cluster).await;
    assert_eq!(
        (shown["zoneUuid"].as_str(), shown["hypervisorType"].as_str()),
        (Some(zone.as_str()), Some("Simulator"))
    );
    site.put(&format!("/v1/clusters/{cluster}/actions"), json!({ "updateCluster": { "name": "rack 2" } }))
        .await
        .unwrap();
    assert_eq!(site.one("/v1/clusters", &cluster).await["name"], "rack 2");
    let host = site.host(&cluster, "10.0.0.1").await;
    site.delete(&format!("/v1/clusters/{cluster}?deleteMode=Permissive")).await.unwrap();
    for (path, uuid) in [("/v1/clusters", &cluster), ("/v1/hosts", &host)] {
        assert_eq!(site.get(&format!("{path}/{uuid}")).await.unwrap()["inventories"], json!([]));
    }
    assert!(!site.app.agents.is_connected(&host));
    // What is gone already may be deleted again.
    site.delete(&format!("/v1/clusters/{cluster}")).await.unwrap();
    let orphan =
        json!({ "zoneUuid": "0123456789abcdef0123456789abcdef", "name": "x", "hypervisorType": "KVM" });
    assert_eq!(site.post("/v1/clusters", orphan).await.unwrap_err().code(), "SYS.1003");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zone_01_delete_says_what_goes_and_takes_it() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let cluster = site.cluster(&zone, "c").await;
    let hosts = [site.host(&cluster, "10.0.0.1").await, site.host(&cluster, "10.0.0.2").await];
    let other = site.zone("other").await;
    let plan = site.plan("DELETE", &format!("/v1/zones/{zone}"), Value::Null).await.unwrap();
    let told: Vec<&str> =
        plan["deletes"].as_array().unwrap().iter().map(|d| d["uuid"].as_str().unwrap()).collect();
    for uuid in [&zone, &cluster, &hosts[0], &hosts[1]] {
        assert!(told.contains(&uuid.as_str()), "{plan}");
    }
    assert_eq!(told.len(), 4);
    assert_eq!(site.count("host").await, 2, "a plan touches nothing");
    site.delete(&format!("/v1/zones/{zone}")).await.unwrap();
    for table in ["host", "cluster", "local_storage_host_ref", "agent", "cleanup"] {
        assert_eq!(site.count(table).await, 0, "{table}");
    }
    assert_eq!(site.one("/v1/zones", &other).await["name"], "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_change_no_hardware() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let cluster = site.cluster(&zone, "c").await;
    let host = site.host(&cluster, "10.0.0.1").await;
    site.post(
        "/v1/accounts",
        json!({ "name": "tenant", "password": cairn_server::identity::password::client_digest("pw") }),
    )
    .await
    .unwrap();
    let session = site.log_in("tenant", "pw").await;
    let at = |path: &str, uuid: &str| format!("/v1/{path}/{uuid}/actions");
    let calls = [
        ("POST", "/v1/zones".to_owned(), json!({ "params": { "name": "x" } })),
        ("PUT", at("zones", &zone), json!({ "updateZone": { "name": "x" } })),
        ("PUT", at("zones", &zone), json!({ "changeZoneState": { "stateEvent": "disable" } })),
        ("DELETE", format!("/v1/zones/{zone}"), Value::Null),
        (
            "POST",
            "/v1/clusters".into(),
            json!({ "params": { "name": "x", "zoneUuid": zone, "hypervisorType": "KVM" } }),
        ),
        ("PUT", at("clusters", &cluster), json!({ "updateCluster": { "name": "x" } })),
        ("PUT", at("clusters", &cluster), json!({ "changeClusterState": { "stateEvent": "disable" } })),
        ("DELETE", format!("/v1/clusters/{cluster}"), Value::Null),
        (
            "POST",
            "/v1/hosts/simulators".into(),
            json!({ "params": super::site::host_params(&cluster, "10.0.0.9") }),
        ),
        (
            "POST",
            "/v1/cairn/hosts/local".into(),
            json!({ "params": { "name": "x", "clusterUuid": cluster } }),
        ),
        (
            "POST",
            "/v1/hosts/kvm".into(),
            json!({ "params": { "name": "x", "clusterUuid": cluster, "managementIp": "10.0.0.9", "username": "root", "password": "x" } }),
        ),
        ("PUT", at("hosts", &host), json!({ "updateHost": { "name": "x" } })),
        ("PUT", at("hosts/kvm", &host), json!({ "updateKVMHost": { "name": "x" } })),
        ("PUT", at("hosts", &host), json!({ "changeHostState": { "stateEvent": "disable" } })),
        ("PUT", at("hosts", &host), json!({ "reconnectHost": {} })),
        ("DELETE", format!("/v1/hosts/{host}"), Value::Null),
        ("GET", "/v1/hosts/capacities/cpu-memory?all=true".into(), Value::Null),
        ("GET", "/v1/hosts/hypervisor-types".into(), Value::Null),
        ("GET", "/v1/hosts/allocators/strategies".into(), Value::Null),
    ];
    for (method, path, body) in calls {
        let refused = site.as_account(&session, method, &path, body).await.unwrap_err();
        assert_eq!(refused.code(), "ID.1002", "{method} {path}: {refused:?}");
    }
    assert_eq!((site.count("zone").await, site.count("cluster").await, site.count("host").await), (1, 1, 1));
    assert_eq!(uuid(Ok(json!({ "inventory": site.one("/v1/hosts", &host).await }))), host);
}
