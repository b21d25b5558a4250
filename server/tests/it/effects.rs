//! Operations about offerings, guests' names and keys, candidates and capacities: the effect of each is seen by another path.

use cairn_testkit::Cloud;
use serde_json::{Value, json};

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|v| text(v, "uuid")).collect()
}

#[tokio::test]
async fn off_01_an_instance_offering_is_made_changed_disabled_and_deleted() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let too_small = json!({ "name": "dust", "cpuNum": 1, "memorySize": 1 << 20 });
    assert_eq!(admin.fails("CreateInstanceOffering", too_small).await.code(), "SYS.1007");
    let wanted = json!({ "name": "small", "cpuNum": 2, "memorySize": 64 << 20 });
    let offering = text(&admin.make("CreateInstanceOffering", wanted).await, "uuid");
    admin.ok("UpdateInstanceOffering", json!({ "uuid": offering, "name": "renamed" })).await;
    assert_eq!(text(&admin.one("QueryInstanceOffering", &offering).await, "name"), "renamed");

    admin.ok("ChangeInstanceOfferingState", json!({ "uuid": offering, "stateEvent": "disable" })).await;
    assert_eq!(text(&admin.one("QueryInstanceOffering", &offering).await, "state"), "Disabled");
    let mut vm = world.vm("refused");
    vm["instanceOfferingUuid"] = json!(offering);
    assert!(admin.fails("CreateVmInstance", vm.clone()).await.details().contains("Disabled"));
    admin.ok("ChangeInstanceOfferingState", json!({ "uuid": offering, "stateEvent": "enable" })).await;
    let made = admin.make("CreateVmInstance", vm).await;
    assert_eq!((&made["cpuNum"], &made["memorySize"]), (&json!(2), &json!(64 << 20)));

    admin.ok("DeleteInstanceOffering", json!({ "uuid": offering })).await;
    assert!(admin.list("QueryInstanceOffering", &[&format!("uuid={offering}")]).await.is_empty());
    let left = admin.one("QueryVmInstance", &text(&made, "uuid")).await;
    assert_eq!(
        (text(&left, "state"), text(&left, "instanceOfferingUuid")),
        ("Running".into(), String::new())
    );
}

#[tokio::test]
async fn off_02_a_disk_offering_sizes_root_volumes() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let size: i64 = 8 << 30;
    let offering =
        text(&admin.make("CreateDiskOffering", json!({ "name": "8g", "diskSize": size })).await, "uuid");
    admin.ok("UpdateDiskOffering", json!({ "uuid": offering, "description": "roomy" })).await;
    assert_eq!(text(&admin.one("QueryDiskOffering", &offering).await, "description"), "roomy");
    let mut vm = world.vm("roomy");
    vm["rootDiskOfferingUuid"] = json!(offering);
    let made = admin.make("CreateVmInstance", vm.clone()).await;
    let volume = admin.one("QueryVolume", &text(&made, "rootVolumeUuid")).await;
    assert_eq!((&volume["size"], text(&volume, "diskOfferingUuid")), (&json!(size), offering.clone()));

    admin.ok("ChangeDiskOfferingState", json!({ "uuid": offering, "stateEvent": "disable" })).await;
    assert!(admin.fails("CreateVmInstance", vm).await.details().contains("Disabled"));
    admin.ok("DeleteDiskOffering", json!({ "uuid": offering })).await;
    assert!(admin.list("QueryDiskOffering", &[&format!("uuid={offering}")]).await.is_empty());
    let volume = admin.one("QueryVolume", &text(&made, "rootVolumeUuid")).await;
    assert_eq!(text(&volume, "diskOfferingUuid"), "", "a volume forgets a deleted offering");
}

#[tokio::test]
async fn vm_14_names_and_keys_are_set_shown_and_taken_away() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let vm = text(&world.create_vm(admin, "named").await, "uuid");
    let tags = |prefix: &'static str| {
        let conditions = [format!("resourceUuid={vm}"), format!("tag~={prefix}%")];
        async move { admin.list("QuerySystemTag", &[&conditions[0], &conditions[1]]).await.len() }
    };
    admin.ok("SetVmHostname", json!({ "uuid": vm, "hostname": "web-1" })).await;
    assert_eq!(
        (tags("hostname::").await, admin.ok("GetVmHostname", json!({ "uuid": vm })).await),
        (1, json!({ "hostname": "web-1" }))
    );
    assert_eq!(
        admin.fails("SetVmHostname", json!({ "uuid": vm, "hostname": "$(reboot)" })).await.code(),
        "SYS.1007"
    );
    admin.ok("DeleteVmHostname", json!({ "uuid": vm })).await;
    assert_eq!(
        (tags("hostname::").await, admin.ok("GetVmHostname", json!({ "uuid": vm })).await),
        (0, json!({}))
    );

    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ test";
    admin.ok("SetVmSshKey", json!({ "uuid": vm, "SshKey": key })).await;
    assert_eq!(admin.ok("GetVmSshKey", json!({ "uuid": vm })).await, json!({ "sshKey": key }));
    admin.ok("DeleteVmSshKey", json!({ "uuid": vm })).await;
    assert_eq!(
        (tags("sshkey::").await, admin.ok("GetVmSshKey", json!({ "uuid": vm })).await),
        (0, json!({}))
    );
}

#[tokio::test]
async fn l3_05_a_static_address_is_set_while_stopped_and_taken_away() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let vm = text(&world.create_vm(admin, "fixed").await, "uuid");
    let free = admin.ok("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": world.l3, "limit": 50 })).await;
    let ip = text(&free["inventories"][40], "ip");
    let set = json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3, "ip": ip });
    assert!(admin.fails("SetVmStaticIp", set.clone()).await.has_code("VM.1010"), "it runs");
    admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    admin.ok("SetVmStaticIp", set).await;
    assert_eq!(text(&admin.one("QueryVmInstance", &vm).await["vmNics"][0], "ip"), ip);
    admin.ok("DeleteVmStaticIp", json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3 })).await;
    assert!(
        admin.list("QuerySystemTag", &[&format!("resourceUuid={vm}"), "tag~=staticIp%"]).await.is_empty()
    );
}

#[tokio::test]
async fn vm_01_update_changes_what_is_known_of_a_vm() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let vm = text(&world.create_vm(admin, "before").await, "uuid");
    admin.ok("UpdateVmInstance", json!({ "uuid": vm, "name": "after", "description": "d" })).await;
    let seen = admin.one("QueryVmInstance", &vm).await;
    assert_eq!((text(&seen, "name"), text(&seen, "description")), ("after".into(), "d".into()));
    let grow = json!({ "uuid": vm, "cpuNum": 3 });
    assert_eq!(admin.fails("UpdateVmInstance", grow.clone()).await.code(), "SYS.1006");
    admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    admin.ok("UpdateVmInstance", grow).await;
    admin.ok("StartVmInstance", json!({ "uuid": vm })).await;
    let host = cloud.machines.host(text(&admin.one("QueryVmInstance", &vm).await, "hostUuid"));
    assert_eq!(host.vms().get(&vm).map(|v| v.spec.cpu_num), Some(3));
}

#[tokio::test]
async fn bey_03_candidates_are_those_that_a_creation_could_choose() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let admin = &cloud.admin;
    admin.ok("ChangeHostState", json!({ "uuid": world.hosts[0], "stateEvent": "disable" })).await;
    let ask = json!({
        "instanceOfferingUuid": world.instance_offering, "imageUuid": world.image, "l3NetworkUuids": [world.l3],
    });
    let found = admin.ok("GetCandidateZonesClustersHostsForCreatingVm", ask).await;
    assert_eq!(names(&found["hosts"]), [world.hosts[1].clone()]);
    let ask = json!({ "imageUuid": world.image, "l3NetworkUuids": [world.l3] });
    let storages = admin.ok("GetCandidatePrimaryStoragesForCreatingVm", ask).await;
    assert_eq!(names(&storages["rootVolumePrimaryStorages"]).len(), 1);

    let vm = world.create_vm(admin, "here").await;
    assert_eq!(text(&vm, "hostUuid"), world.hosts[1]);
    let uuid = text(&vm, "uuid");
    let abilities = admin.ok("GetVmCapabilities", json!({ "uuid": uuid })).await;
    assert!(abilities["capabilities"]["LiveMigration"].is_boolean(), "{abilities}");
    assert!(
        admin.fails("GetVmStartingCandidateClustersHosts", json!({ "uuid": uuid })).await.has_code("VM.1010")
    );
    admin.ok("StopVmInstance", json!({ "uuid": uuid, "type": "cold" })).await;
    let hosts = admin.ok("GetVmStartingCandidateClustersHosts", json!({ "uuid": uuid })).await;
    assert!(names(&hosts["hosts"]).contains(&world.hosts[1]), "{hosts}");
}

#[tokio::test]
async fn con_01_the_console_proxy_is_listed_and_reconnected() {
    let cloud = Cloud::start().await;
    let admin = &cloud.admin;
    let agents = admin.list("QueryConsoleProxyAgent", &[]).await;
    assert_eq!((agents.len(), text(&agents[0], "status")), (1, "Connected".into()));
    let uuid = text(&agents[0], "uuid");
    let answer = admin.ok("ReconnectConsoleProxyAgent", json!({ "agentUuids": [uuid] })).await;
    assert_eq!(answer["inventory"][&uuid]["success"], true);
    let unknown = json!({ "agentUuids": [cairn_types::new_uuid()] });
    assert_eq!(admin.fails("ReconnectConsoleProxyAgent", unknown).await.code(), "SYS.1003");
    let stranger = cloud.account("stranger").await;
    assert_eq!(
        stranger.fails("ReconnectConsoleProxyAgent", json!({ "agentUuids": [uuid] })).await.code(),
        "ID.1002"
    );
}

#[tokio::test]
async fn iam_06_owners_are_listed_by_resource() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = text(&world.create_vm(&cloud.admin, "mine").await, "uuid");
    let refs = cloud.admin.list("QueryAccountResourceRef", &[&format!("resourceUuid={vm}")]).await;
    assert_eq!((refs.len(), text(&refs[0], "resourceType")), (1, "VmInstanceVO".into()));
    let stranger = cloud.account("stranger").await;
    assert!(stranger.list("QueryAccountResourceRef", &[&format!("resourceUuid={vm}")]).await.is_empty());
}

/// A create call that names the uuid of something that exists is refused and harms nobody.
#[tokio::test]
async fn vm_01_host_01_a_taken_uuid_is_refused_and_what_has_it_stays() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    let vm = text(&world.create_vm(admin, "victim").await, "uuid");
    let tenant = cloud.account("thief").await;
    let me = text(&admin.list("QueryAccount", &["name=thief"]).await[0], "uuid");
    world.share_with(admin, &me).await;
    let before = cloud.rows().await;
    let mut params = world.vm("thief");
    params["resourceUuid"] = json!(vm);
    assert!(tenant.fails("CreateVmInstance", params.clone()).await.has_code("RES.8002"));
    assert!(admin.fails("CreateVmInstance", params).await.has_code("RES.8002"));
    let host = json!({ "name": "h", "clusterUuid": world.cluster, "managementIp": "10.99.99.99", "memoryCapacity": 1i64 << 34,
        "cpuCapacity": 8, "resourceUuid": world.hosts[0] });
    assert!(admin.fails("AddSimulatorHost", host).await.has_code("RES.8002"));
    assert_eq!(before.differences(&cloud.rows().await), Vec::<String>::new());
    assert_eq!(text(&admin.one("QueryVmInstance", &vm).await, "state"), "Running");
}

#[tokio::test]
async fn ps_06_capacities_follow_what_is_made_and_go_with_it() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let admin = &cloud.admin;
    world.warm_up(admin).await;
    let (storage, store) = (world.primary_storage.clone(), world.backup_storage.clone());
    let free = || async {
        let all = admin.ok("GetPrimaryStorageCapacity", json!({ "primaryStorageUuids": [storage] })).await;
        let host = admin
            .ok(
                "GetLocalStorageHostDiskCapacity",
                json!({ "primaryStorageUuid": storage, "hostUuid": world.hosts[0] }),
            )
            .await;
        assert_eq!(
            host["inventories"][0]["availableCapacity"], all["availableCapacity"],
            "the only host has it all"
        );
        all["availableCapacity"].as_i64().unwrap()
    };
    let before = free().await;
    let vm = world.create_vm(admin, "vm").await;
    let size = admin.one("QueryVolume", &text(&vm, "rootVolumeUuid")).await["size"].as_i64().unwrap();
    assert!(size > 0 && free().await <= before - size, "{size} of {before}");
    admin.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
    admin.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    assert_eq!(free().await, before);

    let capacity = admin.ok("GetBackupStorageCapacity", json!({ "backupStorageUuids": [store] })).await;
    let shown = admin.one("QueryBackupStorage", &store).await;
    assert_eq!(capacity["totalCapacity"], shown["totalCapacity"]);
    assert_eq!(capacity["availableCapacity"], shown["availableCapacity"]);
    let types = admin.ok("GetBackupStorageTypes", json!({})).await;
    let has = |list: &Value, name: &str| list.as_array().unwrap().iter().any(|t| t == name);
    assert!(has(&types["types"], shown["type"].as_str().unwrap()), "{types}");
    let storage_type = admin.one("QueryPrimaryStorage", &storage).await["type"].clone();
    let types = admin.ok("GetPrimaryStorageTypes", json!({})).await;
    assert!(has(&types["types"], storage_type.as_str().unwrap()), "{types}");
}

#[tokio::test]
async fn api_01_the_management_node_is_the_one_that_answers() {
    let mut cloud = Cloud::start().await;
    let node = cloud.admin.list("QueryManagementNode", &[]).await.remove(0);
    assert!(cairn_types::is_uuid(&text(&node, "uuid")), "{node}");
    let beat = |node: &Value| text(node, "heartBeat");
    let exact = cloud.admin.with("x-cairn-time", "rfc3339");
    let before = beat(&exact.list("QueryManagementNode", &[]).await[0]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    cloud.inside(|app| async move { cairn_server::platform::periodic::expire(&app).await }).await.unwrap();
    assert!(beat(&exact.list("QueryManagementNode", &[]).await[0]) > before, "its heart beats");
    cloud.restart().await;
    let nodes = cloud.admin.list("QueryManagementNode", &[]).await;
    assert_eq!((nodes.len(), &nodes[0]["uuid"]), (1, &node["uuid"]), "a restart makes no second one");
}
