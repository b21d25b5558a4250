use cairn_testkit::Cloud;
use serde_json::json;

#[tokio::test]
async fn iam_06_a_vm_goes_to_another_account_with_all_that_belongs_to_it() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    world.share_with(&cloud.admin, &alice.account).await;
    let vm = world.create_vm(&alice, "web").await;
    let uuid = vm["uuid"].as_str().unwrap();
    let tag = json!({ "resourceType": "VmInstanceVO", "resourceUuid": uuid, "tag": "blue" });
    alice.ok("CreateUserTag", tag).await;

    let change = json!({ "accountUuid": bob.account, "resourceUuid": uuid });
    assert_eq!(alice.fails("ChangeResourceOwner", change.clone()).await.code(), "ID.1002");
    let given = cloud.admin.make("ChangeResourceOwner", change).await;
    assert_eq!(
        (&given["accountUuid"], &given["resourceType"]),
        (&json!(bob.account), &json!("VmInstanceVO"))
    );
    for query in ["QueryVmInstance", "QueryVolume", "QueryVmNic", "QueryUserTag"] {
        assert_eq!((query, alice.list(query, &[]).await.len()), (query, 0));
        assert_eq!((query, bob.list(query, &[]).await.len()), (query, 1));
    }
    assert_eq!(bob.one("QueryVmInstance", uuid).await["state"], "Running");
    bob.ok("StopVmInstance", json!({ "uuid": uuid, "type": "cold" })).await;
    assert_eq!(alice.fails("StartVmInstance", json!({ "uuid": uuid })).await.code(), "ID.1002");
    let owners = cloud.admin.ok("GetResourceAccount", json!({ "resourceUuids": [uuid] })).await;
    assert_eq!(owners["inventories"][uuid]["uuid"], bob.account.as_str());
}

#[tokio::test]
async fn iam_06_the_receiver_needs_room_in_his_quotas() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    world.share_with(&cloud.admin, &alice.account).await;
    let vm = world.create_vm(&alice, "web").await;
    let change = json!({ "accountUuid": bob.account, "resourceUuid": vm["uuid"] });
    for (name, room) in [("vm.num", 0), ("vm.totalNum", 0), ("vm.memorySize", 1), ("volume.capacity", 1)] {
        let quotas = bob.list("QueryQuota", &[&format!("name={name}")]).await;
        let quota = |value: i64| json!({ "identityUuid": bob.account, "name": name, "value": value });
        cloud.admin.ok("UpdateQuota", quota(room)).await;
        let refused = cloud.admin.fails("ChangeResourceOwner", change.clone()).await;
        assert!(refused.code() == "ID.1003" && refused.details().contains(name), "{refused}");
        cloud.admin.ok("UpdateQuota", quota(quotas[0]["value"].as_i64().unwrap())).await;
    }
    assert_eq!(alice.list("QueryVmInstance", &[]).await.len(), 1);
    cloud.admin.ok("ChangeResourceOwner", change).await;
}

#[tokio::test]
async fn iam_06_images_change_hands_and_infrastructure_does_not() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    let give = |uuid: &str| json!({ "accountUuid": alice.account, "resourceUuid": uuid });
    cloud.admin.ok("ChangeResourceOwner", give(&world.image)).await;
    cloud.admin.ok("ChangeResourceOwner", give(&world.image)).await;
    alice.ok("UpdateImage", json!({ "uuid": world.image, "name": "mine" })).await;
    for uuid in [&world.zone, &world.hosts[0], &alice.account] {
        assert_eq!(cloud.admin.fails("ChangeResourceOwner", give(uuid)).await.code(), "SYS.1007");
    }
    let volume = world.create_vm(&cloud.admin, "vm").await["rootVolumeUuid"].as_str().unwrap().to_owned();
    let refused = cloud.admin.fails("ChangeResourceOwner", give(&volume)).await;
    assert!(refused.details().contains("change the owner of the VM"), "{refused}");
}
