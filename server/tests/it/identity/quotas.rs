use cairn_testkit::{Api, Cloud};
use serde_json::{Value, json};

async fn set(cloud: &Cloud, account: &Api, name: &str, value: i64) -> Value {
    let params = json!({ "identityUuid": account.account, "name": name, "value": value });
    cloud.admin.make("UpdateQuota", params).await
}

async fn used(api: &Api, name: &str) -> i64 {
    let usage = api.ok("GetAccountQuotaUsage", json!({ "uuid": api.account })).await;
    let all = usage["usages"].as_array().unwrap();
    all.iter().find(|u| u["name"] == name).unwrap_or_else(|| panic!("no quota {name}"))["used"]
        .as_i64()
        .unwrap()
}

#[tokio::test]
async fn iam_04_a_new_account_has_the_default_quotas_of_the_settings() {
    let cloud = Cloud::start().await;
    let setting = json!({ "category": "quota", "name": "vm.num", "value": "3" });
    cloud.admin.ok("UpdateGlobalConfig", setting).await;
    let alice = cloud.account("alice").await;
    let quotas = alice.list("QueryQuota", &[]).await;
    let value = |name: &str| quotas.iter().find(|q| q["name"] == name).map(|q| q["value"].as_i64().unwrap());
    assert_eq!(
        (value("vm.num"), value("vm.totalNum"), value("vm.memorySize")),
        (Some(3), Some(20), Some(85_899_345_920))
    );
    for name in [
        "eip.num",
        "image.num",
        "image.size",
        "l3.num",
        "snapshot.volume.num",
        "vip.num",
        "vm.cpuNum",
        "volume.capacity",
        "volume.data.num",
        "securityGroup.num",
        "loadBalancer.num",
        "portForwarding.num",
    ] {
        assert!(value(name).is_some(), "{name}");
    }
    assert!(quotas.iter().all(|q| q["identityUuid"] == alice.account.as_str()));
}

#[tokio::test]
async fn iam_04_nonsense_is_refused_as_a_quota() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let ask = |account: &str, name: &str, value: i64| json!({ "identityUuid": account, "name": name, "value": value });
    for params in [
        ask(&alice.account, "vm.num", -1),
        ask(&alice.account, "vm.colour", 1),
        ask(&cloud.admin.account, "vm.num", 1),
    ] {
        assert_eq!(cloud.admin.fails("UpdateQuota", params).await.code(), "ID.1004");
    }
    let own = ask(&alice.account, "vm.num", 100);
    assert_eq!(alice.fails("UpdateQuota", own).await.code(), "ID.1002");
    assert_eq!(set(&cloud, &alice, "vm.num", 7).await["value"], 7);
    assert_eq!(alice.list("QueryQuota", &["name=vm.num"]).await[0]["value"], 7);
}

#[tokio::test]
async fn iam_04_vms_beyond_a_quota_are_refused_and_tell_why() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    for (name, value) in [
        ("vm.num", 0),
        ("vm.cpuNum", 0),
        ("vm.memorySize", 1 << 20),
        ("vm.totalNum", 0),
        ("volume.capacity", 1),
    ] {
        let before = cloud.tables().await;
        let old = alice.list("QueryQuota", &[&format!("name={name}")]).await[0]["value"].as_i64().unwrap();
        set(&cloud, &alice, name, value).await;
        let refused = alice.fails("CreateVmInstance", world.vm("vm")).await;
        assert!(refused.has_code("ID.1003") && refused.body.contains(name), "{name}: {refused}");
        set(&cloud, &alice, name, old).await;
        cloud.assert_nothing_left(&before).await;
    }
    let vm = world.create_vm(&alice, "vm").await;
    assert_eq!((used(&alice, "vm.num").await, used(&alice, "vm.totalNum").await), (1, 1));
    assert_eq!((used(&alice, "vm.cpuNum").await, used(&alice, "vm.memorySize").await), (1, 64 << 20));
    alice.ok("StopVmInstance", json!({ "uuid": vm["uuid"], "type": "cold" })).await;
    assert_eq!((used(&alice, "vm.num").await, used(&alice, "vm.totalNum").await), (0, 1));
    set(&cloud, &alice, "vm.num", 0).await;
    assert!(alice.fails("StartVmInstance", json!({ "uuid": vm["uuid"] })).await.has_code("ID.1003"));
}

#[tokio::test]
async fn iam_04_quotas_are_exact_under_concurrency() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    set(&cloud, &alice, "vm.num", 3).await;
    let tries = (0..10).map(|n| {
        let (alice, params) = (alice.clone(), world.vm(&format!("vm-{n}")));
        tokio::spawn(async move { alice.call("CreateVmInstance", params).await })
    });
    let tries: Vec<_> = tries.collect();
    let mut made = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(f) => assert!(f.has_code("ID.1003"), "{f}"),
        }
    }
    assert_eq!((made, alice.list("QueryVmInstance", &[]).await.len()), (3, 3));
}

#[tokio::test]
async fn iam_04_what_is_deleted_and_not_expunged_still_takes_room() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    let vm = world.create_vm(&alice, "vm").await;
    let room = used(&alice, "volume.capacity").await;
    assert!(room > 0);
    alice.ok("DestroyVmInstance", json!({ "uuid": vm["uuid"] })).await;
    assert_eq!(used(&alice, "vm.totalNum").await, 0);
    assert_eq!(used(&alice, "volume.capacity").await, room);
    set(&cloud, &alice, "volume.capacity", room).await;
    assert!(alice.fails("CreateVmInstance", world.vm("other")).await.has_code("ID.1003"));
    alice.ok("ExpungeVmInstance", json!({ "uuid": vm["uuid"] })).await;
    assert_eq!(used(&alice, "volume.capacity").await, 0);
    world.create_vm(&alice, "other").await;
}

#[tokio::test]
async fn iam_04_images_count_until_they_are_expunged() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let alice = cloud.account("alice").await;
    set(&cloud, &alice, "image.num", 1).await;
    let image = |name: &str| {
        json!({ "name": name, "url": "http://images.example.org/a.qcow2", "format": "qcow2", "mediaType": "RootVolumeTemplate",
                "backupStorageUuids": [world.backup_storage] })
    };
    let first = alice.make("AddImage", image("a")).await;
    assert!(alice.fails("AddImage", image("b")).await.has_code("ID.1003"));
    alice.ok("DeleteImage", json!({ "uuid": first["uuid"] })).await;
    assert_eq!(used(&alice, "image.num").await, 1);
    alice.ok("ExpungeImage", json!({ "imageUuid": first["uuid"] })).await;
    alice.ok("AddImage", image("b")).await;
}
