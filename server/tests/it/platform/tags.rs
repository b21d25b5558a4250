use cairn_testkit::Cloud;
use serde_json::{Value, json};

fn tag(entity: &str, uuid: &Value, tag: &str) -> Value {
    json!({ "resourceType": entity, "resourceUuid": uuid, "tag": tag })
}

#[tokio::test]
async fn tag_01_tags_are_created_changed_found_and_removed() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let cluster = json!({ "name": "c", "zoneUuid": zone["uuid"], "hypervisorType": "Simulator" });
    let cluster = cloud.admin.make("CreateCluster", cluster).await;
    let uuid = &cluster["uuid"];
    let user = cloud.admin.make("CreateUserTag", tag("ClusterVO", uuid, "rack 7")).await;
    assert_eq!((&user["type"], &user["resourceType"]), (&json!("User"), &json!("ClusterVO")));
    let system =
        cloud.admin.make("CreateSystemTag", tag("ClusterVO", uuid, "host::reservedMemory::1G")).await;
    assert_eq!((&system["type"], &system["inherent"]), (&json!("System"), &json!(false)));

    assert_eq!(cloud.admin.list("QueryCluster", &["__userTag__=rack 7"]).await.len(), 1);
    assert_eq!(cloud.admin.list("QueryCluster", &["__systemTag__~=host::reserved%"]).await.len(), 1);
    assert_eq!(cloud.admin.list("QueryCluster", &["__userTag__!=rack 7"]).await.len(), 0);
    assert_eq!(cloud.admin.list("QueryZone", &["cluster.__userTag__=rack 7"]).await.len(), 1);

    let update = |text: &str| json!({ "uuid": system["uuid"], "tag": text });
    let changed = cloud.admin.make("UpdateSystemTag", update("host::reservedMemory::2G")).await;
    assert_eq!(changed["tag"], "host::reservedMemory::2G");
    for bad in ["host::reservedCpu::1", "host::reservedMemory::much", "anything"] {
        assert_eq!(cloud.admin.fails("UpdateSystemTag", update(bad)).await.code(), "SYS.1007", "{bad}");
    }
    for one in [&user, &system] {
        cloud.admin.ok("DeleteTag", json!({ "uuid": one["uuid"] })).await;
        assert_eq!(cloud.admin.fails("DeleteTag", json!({ "uuid": one["uuid"] })).await.code(), "SYS.1003");
    }
    assert!(cloud.admin.list("QueryUserTag", &[]).await.is_empty());
    assert!(
        cloud
            .admin
            .list("QuerySystemTag", &[&format!("resourceUuid={}", uuid.as_str().unwrap())])
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn tag_01_formats_are_checked() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let cluster = json!({ "name": "c", "zoneUuid": zone["uuid"], "hypervisorType": "Simulator" });
    let uuid = cloud.admin.make("CreateCluster", cluster).await["uuid"].take();
    for (text, code) in [
        ("nonsense", "SYS.1007"),
        ("hostname::web", "SYS.1007"),
        ("host::reservedMemory::lots", "SYS.1007"),
        ("host::reservedMemory::", "SYS.1007"),
    ] {
        assert_eq!(
            cloud.admin.fails("CreateSystemTag", tag("ClusterVO", &uuid, text)).await.code(),
            code,
            "{text}"
        );
    }
    cloud.admin.ok("CreateSystemTag", tag("ClusterVO", &uuid, "host::reservedMemory::1G")).await;
    for again in ["host::reservedMemory::1G", "host::reservedMemory::2G"] {
        let refused = cloud.admin.fails("CreateSystemTag", tag("ClusterVO", &uuid, again)).await;
        assert_eq!(refused.code(), "TAG.1000", "one of this form: {refused}");
    }
    cloud.admin.ok("CreateUserTag", tag("ClusterVO", &uuid, "a")).await;
    assert_eq!(cloud.admin.fails("CreateUserTag", tag("ClusterVO", &uuid, "a")).await.code(), "TAG.1000");
    assert_eq!(cloud.admin.fails("CreateUserTag", tag("ZoneVO", &uuid, "a")).await.code(), "SYS.1003");
    let unknown = json!("0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4");
    assert_eq!(cloud.admin.fails("CreateUserTag", tag("ZoneVO", &unknown, "a")).await.code(), "SYS.1003");
}

#[tokio::test]
async fn tag_01_tags_of_the_platform_can_not_be_written_or_deleted() {
    let cloud = Cloud::start().await;
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let l2 = json!({ "name": "l2", "zoneUuid": zone["uuid"], "physicalInterface": "eth0" });
    let l2 = cloud.admin.make("CreateL2NoVlanNetwork", l2).await["uuid"].take();
    let bridge = cloud.admin.fails("CreateSystemTag", tag("L2NetworkVO", &l2, "kvm::bridge::br0")).await;
    assert_eq!(bridge.code(), "SYS.1007");
    let sql = "INSERT INTO system_tag (uuid, resource_uuid, resource_type, tag, type, inherent, create_ms, last_op_ms)
               VALUES ('5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a', ?, 'L2NetworkVO', 'kvm::bridge::br0', 'System', 1, 0, 0)";
    let owner = l2.as_str().unwrap().to_owned();
    cloud.app().store.write(move |tx| tx.execute(sql, cairn_store::params![&owner])).await.unwrap();
    let uuid = "5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a";
    assert_eq!(cloud.admin.fails("DeleteTag", json!({ "uuid": uuid })).await.code(), "SYS.1006");
    let update = json!({ "uuid": uuid, "tag": "kvm::bridge::br1" });
    assert_eq!(cloud.admin.fails("UpdateSystemTag", update).await.code(), "SYS.1006");
}

#[tokio::test]
async fn tag_01_create_calls_take_tags_beside_and_inside_the_wrapper() {
    let cloud = Cloud::start().await;
    let admin = &cloud.admin;
    let zone = admin.make("CreateZone", json!({ "name": "z" })).await;
    let params = json!({ "name": "c", "zoneUuid": zone["uuid"], "hypervisorType": "Simulator",
                         "systemTags": ["host::reservedMemory::1G"], "userTags": ["inside"] });
    let inside = admin.post("/clusters", &json!({ "params": params })).await;
    admin.settle(inside).await.unwrap();
    let beside = admin.post("/clusters", &json!({ "params": params, "userTags": ["beside"] })).await;
    admin.settle(beside).await.unwrap();
    let mut tags: Vec<_> = admin.list("QueryUserTag", &[]).await.iter().map(|t| t["tag"].clone()).collect();
    tags.sort_by_key(ToString::to_string);
    assert_eq!(tags, ["beside", "inside"], "the top level wins");
    assert_eq!(admin.list("QuerySystemTag", &["tag=host::reservedMemory::1G"]).await.len(), 2);

    let refused =
        admin.post("/zones", &json!({ "params": { "name": "y" }, "systemTags": ["no::such"] })).await;
    assert_eq!(admin.settle(refused).await.err().unwrap().code(), "SYS.1007");
    let passed_on =
        admin.post("/zones", &json!({ "params": { "name": "y" }, "systemTags": ["hostname::web"] })).await;
    admin.settle(passed_on).await.unwrap();
    assert!(admin.list("QuerySystemTag", &["tag=hostname::web"]).await.is_empty(), "passed on, not stored");
    let count = admin.list("QueryZone", &[]).await.len();
    let only = json!({ "params": { "name": "x" }, "systemTags": ["ephemeral::validationOnly"] });
    let only = admin.post("/zones", &only).await;
    assert_eq!(admin.settle(only).await.unwrap(), json!({}));
    assert_eq!(admin.list("QueryZone", &[]).await.len(), count);
}

#[tokio::test]
async fn tag_01_only_owners_tag() {
    let cloud = Cloud::start().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    let offering = json!({ "name": "small", "cpuNum": 1, "memorySize": 64 << 20 });
    let offering = cloud.admin.make("CreateInstanceOffering", offering).await["uuid"].take();
    cloud.admin.ok("ShareResource", json!({ "resourceUuids": [offering], "toPublic": true })).await;
    let theirs = cloud.admin.make("CreateUserTag", tag("InstanceOfferingVO", &offering, "theirs")).await;
    assert_eq!(alice.list("QueryUserTag", &[]).await.len(), 1, "seen with what is shared");
    assert_eq!(
        alice.fails("CreateUserTag", tag("InstanceOfferingVO", &offering, "a")).await.code(),
        "ID.1002"
    );
    assert_eq!(bob.fails("DeleteTag", json!({ "uuid": theirs["uuid"] })).await.code(), "ID.1002");
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await["uuid"].take();
    assert_eq!(alice.fails("CreateUserTag", tag("ZoneVO", &zone, "a")).await.code(), "ID.1002");
}

#[tokio::test]
async fn tag_01_a_tag_on_a_vm_means_what_the_call_for_it_means() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (a, b) = (world.create_vm(&cloud.admin, "a").await, world.create_vm(&cloud.admin, "b").await);
    let made = cloud.admin.make("CreateSystemTag", tag("VmInstanceVO", &a["uuid"], "hostname::web")).await;
    assert_eq!(cloud.admin.ok("GetVmHostname", json!({ "uuid": a["uuid"] })).await["hostname"], "web");
    let taken = cloud.admin.fails("CreateSystemTag", tag("VmInstanceVO", &b["uuid"], "hostname::web")).await;
    assert!(taken.details().contains("is taken"), "{taken}");
    cloud.admin.ok("DeleteTag", json!({ "uuid": made["uuid"] })).await;
    assert!(cloud.admin.ok("GetVmHostname", json!({ "uuid": a["uuid"] })).await.get("hostname").is_none());
    cloud.admin.ok("CreateSystemTag", tag("VmInstanceVO", &b["uuid"], "hostname::web")).await;
}

#[tokio::test]
async fn tag_01_what_nothing_acts_on_and_somebody_would_rely_on_is_refused() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    for tag in ["consolePassword::secret1", "usbRedirect::true", "RDPEnable::true", "userdata::!!!"] {
        let mut vm = world.vm("x");
        vm["systemTags"] = json!([tag]);
        let refused = cloud.admin.fails("CreateVmInstance", vm).await;
        assert_eq!(refused.code(), "SYS.1007", "{tag}");
        assert!(!refused.details().contains("secret1"), "{refused}");
    }
    let mut vm = world.vm("fine");
    vm["systemTags"] = json!(["usbRedirect::false", "RDPEnable::false", "userdata::aGVsbG8="]);
    cloud.admin.ok("CreateVmInstance", vm).await;
}
