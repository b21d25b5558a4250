use cairn_testkit::Cloud;
use serde_json::json;

async fn offering(cloud: &Cloud) -> String {
    let params = json!({ "name": "small", "cpuNum": 1, "memorySize": 64 << 20 });
    cloud.admin.make("CreateInstanceOffering", params).await["uuid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn iam_05_what_is_shared_is_seen_and_recalled() {
    let cloud = Cloud::start().await;
    let (alice, bob) = (cloud.account("alice").await, cloud.account("bob").await);
    let offering = offering(&cloud).await;
    let sees = |api: cairn_testkit::Api| async move { api.list("QueryInstanceOffering", &[]).await.len() };
    assert_eq!((sees(alice.clone()).await, sees(bob.clone()).await), (0, 0));

    let share = json!({ "resourceUuids": [offering], "accountUuids": [alice.account] });
    cloud.admin.ok("ShareResource", share.clone()).await;
    cloud.admin.ok("ShareResource", share.clone()).await;
    assert_eq!((sees(alice.clone()).await, sees(bob.clone()).await), (1, 0));
    let refs = cloud.admin.list("QuerySharedResource", &[]).await;
    assert_eq!(refs.len(), 1, "shared twice is shared once");
    assert_eq!(
        (&refs[0]["receiverAccountUuid"], &refs[0]["toPublic"]),
        (&json!(alice.account), &json!(false))
    );
    let update = json!({ "uuid": offering, "name": "mine" });
    assert_eq!(alice.fails("UpdateInstanceOffering", update).await.code(), "ID.1002", "shared is not given");

    cloud.admin.ok("ShareResource", json!({ "resourceUuids": [offering], "toPublic": true })).await;
    assert_eq!((sees(alice.clone()).await, sees(bob.clone()).await), (1, 1));
    cloud.admin.ok("RevokeResourceSharing", json!({ "resourceUuids": [offering], "toPublic": true })).await;
    assert_eq!((sees(alice.clone()).await, sees(bob.clone()).await), (1, 0));
    cloud.admin.ok("RevokeResourceSharing", share).await;
    assert_eq!(sees(alice.clone()).await, 0);

    for params in [json!({ "accountUuids": [alice.account, bob.account] }), json!({ "toPublic": true })] {
        let mut params = params;
        params["resourceUuids"] = json!([offering]);
        cloud.admin.ok("ShareResource", params).await;
    }
    cloud.admin.ok("RevokeResourceSharing", json!({ "resourceUuids": [offering], "all": true })).await;
    assert_eq!((sees(alice.clone()).await, sees(bob.clone()).await), (0, 0));
}

#[tokio::test]
async fn iam_05_only_administrators_share() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let offering = offering(&cloud).await;
    let share = json!({ "resourceUuids": [offering], "accountUuids": [alice.account] });
    for action in ["ShareResource", "RevokeResourceSharing"] {
        assert_eq!(alice.fails(action, share.clone()).await.code(), "ID.1002");
    }
    let nobody = json!({ "resourceUuids": [offering] });
    assert_eq!(cloud.admin.fails("ShareResource", nobody).await.code(), "SYS.1007");
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let infrastructure = json!({ "resourceUuids": [zone["uuid"]], "toPublic": true });
    assert_eq!(cloud.admin.fails("ShareResource", infrastructure).await.code(), "SYS.1007");
    let unknown =
        json!({ "resourceUuids": [offering], "accountUuids": ["0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4"] });
    assert_eq!(cloud.admin.fails("ShareResource", unknown).await.code(), "SYS.1003");
}

#[tokio::test]
async fn iam_05_a_vm_made_from_what_was_shared_outlives_the_recall() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    assert_eq!(alice.fails("CreateVmInstance", world.vm("vm")).await.code(), "ID.1002");
    world.share_with(&cloud.admin, &alice.account).await;
    let vm = world.create_vm(&alice, "vm").await;
    let resources = [&world.instance_offering, &world.image, &world.l3];
    cloud.admin.ok("RevokeResourceSharing", json!({ "resourceUuids": resources, "all": true })).await;
    assert_eq!(alice.one("QueryVmInstance", vm["uuid"].as_str().unwrap()).await["state"], "Running");
    assert_eq!(alice.fails("CreateVmInstance", world.vm("vm2")).await.code(), "ID.1002");
}

#[tokio::test]
async fn iam_05_owners_of_resources_are_told_to_those_who_may_see_them() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let offering = offering(&cloud).await;
    let ask = json!({ "resourceUuids": [offering] });
    let owners = cloud.admin.ok("GetResourceAccount", ask.clone()).await;
    assert_eq!(owners["inventories"][&offering]["name"], "admin");
    assert_eq!(alice.fails("GetResourceAccount", ask).await.code(), "ID.1002");
    let names = cloud.admin.ok("GetResourceNames", json!({ "uuids": [offering] })).await;
    assert_eq!(names["inventories"][0]["resourceName"], "small");
    assert_eq!(names["inventories"][0]["resourceType"], "InstanceOfferingVO");
    assert_eq!(alice.ok("GetResourceNames", json!({ "uuids": [offering] })).await["inventories"], json!([]));
}
