use cairn_testkit::{Cloud, TEST_PASSWORD, digest};
use serde_json::json;

#[tokio::test]
async fn iam_01_accounts_are_created_renamed_and_have_unique_names() {
    let cloud = Cloud::start().await;
    let params = json!({ "name": "alice", "password": digest(TEST_PASSWORD), "description": "d" });
    let alice = cloud.admin.make("CreateAccount", params.clone()).await;
    assert_eq!(
        (&alice["name"], &alice["type"], &alice["description"]),
        (&json!("alice"), &json!("Normal"), &json!("d"))
    );
    let uuid = alice["uuid"].as_str().unwrap();
    assert_eq!(cloud.admin.fails("CreateAccount", params).await.code(), "SYS.1007");
    let api = cloud.log_in("alice", TEST_PASSWORD).await;
    let renamed =
        api.make("UpdateAccount", json!({ "uuid": uuid, "name": "alice b", "description": "e" })).await;
    assert_eq!((&renamed["name"], &renamed["description"]), (&json!("alice b"), &json!("e")));
    assert_eq!(cloud.admin.one("QueryAccount", uuid).await["name"], "alice b");
    assert_eq!(api.fails("UpdateAccount", json!({ "uuid": uuid, "name": "admin" })).await.code(), "SYS.1007");
    let denied = json!({ "name": "bob", "password": digest("x") });
    assert_eq!(api.fails("CreateAccount", denied).await.code(), "ID.1002");
    let shown = cloud.admin.ok("QueryAccount", json!({})).await.to_string();
    assert!(!shown.contains("argon2") && !shown.to_lowercase().contains("password"), "{shown}");
}

#[tokio::test]
async fn iam_01_a_chosen_uuid_is_taken_once() {
    let cloud = Cloud::start().await;
    let uuid = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    let params = |name: &str| json!({ "name": name, "password": digest("x"), "resourceUuid": uuid });
    assert_eq!(cloud.admin.make("CreateAccount", params("a")).await["uuid"], uuid);
    assert_eq!(cloud.admin.fails("CreateAccount", params("b")).await.code(), "RES.8002");
}

#[tokio::test]
async fn iam_01_a_second_administrator_has_the_rights_of_the_first() {
    let cloud = Cloud::start().await;
    let params = json!({ "name": "root2", "password": digest(TEST_PASSWORD), "type": "systemadmin" });
    assert_eq!(cloud.admin.make("CreateAccount", params).await["type"], "SystemAdmin");
    let second = cloud.log_in("root2", TEST_PASSWORD).await;
    second.ok("CreateZone", json!({ "name": "z" })).await;
    assert_eq!(second.list("QueryZone", &[]).await.len(), 1);
    let usage = second.ok("GetAccountQuotaUsage", json!({ "uuid": second.account })).await;
    assert_eq!(usage["usages"], json!([]), "administrators have no quotas");
    assert_eq!(second.fails("DeleteAccount", json!({ "uuid": second.account })).await.code(), "SYS.1006");
    cloud.admin.ok("DeleteAccount", json!({ "uuid": second.account })).await;
    assert_eq!(second.fails("QueryZone", json!({})).await.code(), "ID.1001");
}

#[tokio::test]
async fn iam_01_the_admin_account_can_not_be_deleted_or_renamed() {
    let cloud = Cloud::start().await;
    let uuid = "36c27e8ff05c4780bf6d2fa65700f22e";
    assert_eq!(cloud.admin.fails("DeleteAccount", json!({ "uuid": uuid })).await.code(), "SYS.1006");
    assert_eq!(
        cloud.admin.fails("UpdateAccount", json!({ "uuid": uuid, "name": "boss" })).await.code(),
        "SYS.1006"
    );
}

#[tokio::test]
async fn iam_01_deleting_an_account_takes_everything_that_it_owns() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    world.warm_up(&cloud.admin).await;
    let before = cloud.tables().await;
    let alice = cloud.account("alice").await;
    world.share_with(&cloud.admin, &alice.account).await;
    let vm = world.create_vm(&alice, "web").await;
    let tag = json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm["uuid"], "tag": "mine" });
    alice.ok("CreateUserTag", tag).await;
    let key = json!({ "accountUuid": alice.account, "userUuid": alice.account });
    alice.ok("CreateAccessKey", key).await;

    let refused = cloud.admin.fails("DeleteAccount", json!({ "uuid": alice.account })).await;
    assert_eq!(refused.code(), "RES.8001", "a VM runs: {refused}");
    let delete = json!({ "uuid": alice.account, "deleteMode": "Enforcing" });
    let plan = cloud.admin.plan("DeleteAccount", delete.clone()).await.unwrap();
    let planned = plan["deletes"].to_string();
    assert!(planned.contains(vm["uuid"].as_str().unwrap()) && planned.contains(&alice.account), "{plan}");
    alice.ok("QueryVmInstance", json!({})).await;

    cloud.admin.ok("DeleteAccount", delete.clone()).await;
    assert_eq!(alice.fails("QueryVmInstance", json!({})).await.code(), "ID.1001");
    assert_eq!(cloud.nobody().log_in("alice", TEST_PASSWORD).await.err().unwrap().code(), "ID.1000");
    cloud.assert_nothing_left(&before).await;
    cloud.admin.ok("DeleteAccount", delete).await;
}

#[tokio::test]
async fn iam_01_check_api_permission_tells_what_an_account_may_do() {
    let cloud = Cloud::start().await;
    let alice = cloud.account("alice").await;
    let names = json!({ "apiNames": ["APIStartVmInstanceMsg", "CreateZone", "org.zstack.header.zone.APIDeleteZoneMsg", "Nonsense"] });
    let mine = alice.make("CheckApiPermission", names.clone()).await;
    assert_eq!(
        mine,
        json!({ "APIStartVmInstanceMsg": "Allow", "CreateZone": "Deny", "org.zstack.header.zone.APIDeleteZoneMsg": "Deny",
                "Nonsense": "Deny" })
    );
    let all = cloud.admin.make("CheckApiPermission", names).await;
    assert_eq!((&all["CreateZone"], &all["Nonsense"]), (&json!("Allow"), &json!("Deny")));
}
