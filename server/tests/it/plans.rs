//! BEY-01: what a plan says of changes, against what the deed changes. Seen through queries, which know nothing of plans.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::{Kind, operations, resource};
use cairn_testkit::{Api, Cloud, World};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;
/// Every resource that a query shows, by type and uuid.
type Shown = BTreeMap<(String, String), Fields>;
/// Fields that change, of each resource: from and to.
type Changes = BTreeMap<(String, String), BTreeMap<String, (Value, Value)>>;

/// What is computed from the rows of other resources, or measured.
const DERIVED: &[&str] = &[
    "createDate",
    "lastOpDate",
    "allowedActions",
    "totalCapacity",
    "availableCapacity",
    "availablePhysicalCapacity",
    "totalPhysicalCapacity",
    "availableCpuCapacity",
    "availableMemoryCapacity",
    "statusReason",
];
/// What is told with the resource that it belongs to.
const ATTACHED: &[&str] = &["SystemTagVO", "UserTagVO", "SharedResourceVO", "QuotaVO"];
/// What a plan tells beyond the inventories.
const BEYOND: &[&str] =
    &["systemTags", "userTags", "sharedWith", "ownerAccountUuid", "expungeDate", "password"];

async fn shown(cloud: &Cloud) -> Shown {
    let api = cloud.admin.with("x-cairn-time", "rfc3339");
    let mut shown = Shown::new();
    for op in operations().iter().filter(|op| op.kind == Kind::Query) {
        let Some(of) = op.inventory.and_then(resource::find) else { continue };
        if ["CairnRunVO", "AuditVO", "EventVO", "SessionVO", "ManagementNodeVO"].contains(&of.entity) {
            continue;
        }
        for row in api.list(op.name, &[]).await {
            let uuid = match of.entity {
                "GlobalConfigVO" => format!("{}/{}", text(&row["category"]), text(&row["name"])),
                _ => text(&row["uuid"]),
            };
            let Value::Object(mut fields) = row else { continue };
            if uuid.is_empty() {
                continue;
            }
            bare(&mut fields);
            shown.entry((of.entity.to_owned(), uuid)).or_default().extend(fields);
        }
    }
    shown
}

fn bare(fields: &mut Fields) {
    fields.retain(|name, _| !DERIVED.contains(&name.as_str()));
    for value in fields.values_mut() {
        match value {
            Value::Object(inner) => bare(inner),
            Value::Array(list) => list.iter_mut().filter_map(Value::as_object_mut).for_each(bare),
            _ => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn deed(before: &Shown, after: &Shown) -> Changes {
    let mut changes = Changes::new();
    for (key, old) in before {
        let Some(new) = after.get(key) else { continue };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|n| old.get(*n) != new.get(*n)) {
            let side = |fields: &Fields| fields.get(name).cloned().unwrap_or_default();
            changes.entry(key.clone()).or_default().insert(name.clone(), (side(old), side(new)));
        }
    }
    changes
}

/// Inventories hold others, such as a network its ranges. What is told of those need not be told again.
fn leave_out_lists_of_told(done: &mut Changes, told: &Changes) {
    let is_told = |element: &Value| told.keys().any(|(_, uuid)| element["uuid"] == *uuid);
    for (key, fields) in done.iter_mut().filter(|(key, _)| !told.contains_key(*key)) {
        assert!(!key.1.is_empty());
        fields.retain(|_, (from, to)| match (from.as_array(), to.as_array()) {
            (Some(from), Some(to)) if from.len() == to.len() => {
                from.iter().zip(to).any(|(f, t)| f != t && !is_told(f))
            }
            _ => true,
        });
    }
    done.retain(|_, fields| !fields.is_empty());
}

fn told(plan: &Value) -> Changes {
    let mut changes = Changes::new();
    for change in plan["changes"].as_array().expect("changes") {
        let key = (text(&change["type"]), text(&change["uuid"]));
        for field in change["fields"].as_array().expect("fields") {
            let name = text(&field["field"]);
            if !DERIVED.contains(&name.as_str())
                && !BEYOND.contains(&name.as_str())
                && !name.starts_with("quota ")
            {
                let side = |name: &str| {
                    let mut value = Map::from_iter([("v".to_owned(), field[name].clone())]);
                    bare(&mut value);
                    value["v"].take()
                };
                changes.entry(key.clone()).or_default().insert(name, (side("from"), side("to")));
            }
        }
    }
    changes
}

/// Asks for the plan, does it, and compares. The plan.
async fn planned(cloud: &Cloud, api: &Api, action: &str, params: Value) -> Value {
    let before = shown(cloud).await;
    let rows = cloud.rows().await;
    let plan = api.plan(action, params.clone()).await.unwrap_or_else(|f| panic!("plan of {action}: {f}"));
    assert_eq!(
        rows.differences(&cloud.rows().await),
        Vec::<String>::new(),
        "the plan of {action} changes nothing"
    );
    api.ok(action, params).await;
    let after = shown(cloud).await;
    let (told, mut done) = (told(&plan), deed(&before, &after));
    leave_out_lists_of_told(&mut done, &told);
    assert_eq!(told, done, "{action}: told is left, done is right\n{plan:#}");
    let ended = |kind: &str| -> BTreeSet<String> {
        plan[kind].as_array().unwrap().iter().map(|r| text(&r["uuid"])).collect()
    };
    let own = |key: &&(String, String)| !ATTACHED.contains(&key.0.as_str());
    for (_, uuid) in before.keys().filter(own).filter(|k| !after.contains_key(*k)) {
        assert!(ended("deletes").contains(uuid), "{action} deleted {uuid}: {plan:#}");
    }
    for (_, uuid) in after.keys().filter(own).filter(|k| !before.contains_key(*k)) {
        assert!(ended("creates").contains(uuid), "{action} created {uuid}: {plan:#}");
    }
    plan
}

fn field<'a>(plan: &'a Value, entity: &str, name: &str) -> &'a Value {
    let changes = plan["changes"].as_array().unwrap();
    let change =
        changes.iter().find(|c| c["type"] == entity).unwrap_or_else(|| panic!("no {entity} in {plan:#}"));
    let fields = change["fields"].as_array().unwrap();
    fields.iter().find(|f| f["field"] == name).unwrap_or_else(|| panic!("no {name} in {plan:#}"))
}

async fn vm_of(world: &World, api: &Api) -> String {
    text(&world.create_vm(api, "web").await["uuid"])
}

#[tokio::test]
async fn bey_01_plans_of_the_life_of_a_vm_tell_what_the_deed_changes() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let vm = vm_of(&world, api).await;
    let it = json!({ "uuid": vm });
    let plan = planned(&cloud, api, "StopVmInstance", it.clone()).await;
    assert_eq!(
        field(&plan, "VmInstanceVO", "state"),
        &json!({ "field": "state", "from": "Running", "to": "Stopped" })
    );
    assert!(text(&plan["summary"]).contains("VmInstance web would change"), "{plan:#}");
    planned(&cloud, api, "StartVmInstance", it.clone()).await;
    planned(&cloud, api, "PauseVmInstance", it.clone()).await;
    planned(&cloud, api, "ResumeVmInstance", it.clone()).await;
    let plan = planned(&cloud, api, "RebootVmInstance", it.clone()).await;
    assert_eq!(plan["changes"], json!([]));
    assert!(text(&plan["summary"]).contains("every resource is what it is now"), "{plan:#}");
    planned(&cloud, api, "UpdateVmInstance", json!({ "uuid": vm, "name": "web-2", "description": "new" }))
        .await;
    planned(&cloud, api, "StopVmInstance", it.clone()).await;
    let free = api.ok("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": world.l3, "limit": 1 })).await;
    let address =
        json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3, "ip": free["inventories"][0]["ip"] });
    planned(&cloud, api, "SetVmStaticIp", address).await;
    let plan = planned(&cloud, api, "DestroyVmInstance", it.clone()).await;
    assert_eq!(field(&plan, "VmInstanceVO", "state")["to"], "Destroyed");
    let expunged = text(&field(&plan, "VmInstanceVO", "expungeDate")["to"]);
    let tomorrow = cairn_types::time::rfc3339(cairn_types::time::now_ms() + 86_400_000);
    assert_eq!(expunged[..13], tomorrow[..13], "the hour in which it is expunged");
    assert_eq!(field(&plan, "VolumeVO", "status")["to"], "Deleted");
    planned(&cloud, api, "RecoverVmInstance", it.clone()).await;
    planned(&cloud, api, "DestroyVmInstance", it.clone()).await;
    planned(&cloud, api, "ExpungeVmInstance", it).await;
}

#[tokio::test]
async fn bey_01_plans_of_changes_of_the_site_tell_what_the_deed_changes() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let vm = vm_of(&world, api).await;
    for (action, params) in [
        ("UpdateZone", json!({ "uuid": world.zone, "name": "east" })),
        ("UpdateCluster", json!({ "uuid": world.cluster, "name": "rack" })),
        ("ChangeHostState", json!({ "uuid": world.hosts[1], "stateEvent": "disable" })),
        ("ChangeClusterState", json!({ "uuid": world.cluster, "stateEvent": "disable" })),
        ("ChangeZoneState", json!({ "uuid": world.zone, "stateEvent": "disable" })),
        ("UpdateHost", json!({ "uuid": world.hosts[0], "name": "h", "description": "d" })),
        ("UpdateL2Network", json!({ "uuid": world.l2, "name": "wire" })),
        ("UpdateL3Network", json!({ "uuid": world.l3, "name": "net" })),
        ("ChangeL3NetworkState", json!({ "uuid": world.l3, "stateEvent": "disable" })),
        ("AddDnsToL3Network", json!({ "l3NetworkUuid": world.l3, "dns": "1.1.1.1" })),
        ("RemoveDnsFromL3Network", json!({ "l3NetworkUuid": world.l3, "dns": "1.1.1.1" })),
        ("UpdateIpRange", json!({ "uuid": world.ip_range, "name": "r" })),
        ("UpdateImage", json!({ "uuid": world.image, "name": "i" })),
        ("ChangeImageState", json!({ "uuid": world.image, "stateEvent": "disable" })),
        ("DeleteImage", json!({ "uuid": world.image })),
        ("RecoverImage", json!({ "imageUuid": world.image })),
        ("UpdatePrimaryStorage", json!({ "uuid": world.primary_storage, "name": "p" })),
        ("ChangePrimaryStorageState", json!({ "uuid": world.primary_storage, "stateEvent": "disable" })),
        ("UpdateBackupStorage", json!({ "uuid": world.backup_storage, "name": "b" })),
        ("ChangeBackupStorageState", json!({ "uuid": world.backup_storage, "stateEvent": "disable" })),
        ("UpdateInstanceOffering", json!({ "uuid": world.instance_offering, "name": "o" })),
        ("ChangeInstanceOfferingState", json!({ "uuid": world.instance_offering, "stateEvent": "disable" })),
        ("UpdateDiskOffering", json!({ "uuid": world.disk_offering, "name": "d" })),
        ("ChangeDiskOfferingState", json!({ "uuid": world.disk_offering, "stateEvent": "disable" })),
        ("SetVmHostname", json!({ "uuid": vm, "hostname": "w" })),
        ("DeleteVmHostname", json!({ "uuid": vm })),
        ("UpdateGlobalConfig", json!({ "category": "vm", "name": "deletionPolicy", "value": "Direct" })),
        ("ResetGlobalConfig", json!({ "category": "vm", "name": "deletionPolicy" })),
    ] {
        let plan = planned(&cloud, api, action, params).await;
        let changes = plan["changes"].as_array().unwrap().len();
        assert!(changes > 0, "{action}: {plan:#}");
        let says = if changes > 2 { "would be changed" } else { "would change: " };
        assert!(text(&plan["summary"]).contains(says), "{action}: {}", plan["summary"]);
    }
    planned(&cloud, api, "StopVmInstance", json!({ "uuid": vm })).await;
    planned(&cloud, api, "DestroyVmInstance", json!({ "uuid": vm })).await;
    planned(&cloud, api, "ExpungeVmInstance", json!({ "uuid": vm })).await;
    for (action, params) in [
        (
            "DetachPrimaryStorageFromCluster",
            json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster }),
        ),
        (
            "AttachPrimaryStorageToCluster",
            json!({ "primaryStorageUuid": world.primary_storage, "clusterUuid": world.cluster }),
        ),
        (
            "DetachBackupStorageFromZone",
            json!({ "backupStorageUuid": world.backup_storage, "zoneUuid": world.zone }),
        ),
        (
            "AttachBackupStorageToZone",
            json!({ "backupStorageUuid": world.backup_storage, "zoneUuid": world.zone }),
        ),
        ("DetachL2NetworkFromCluster", json!({ "l2NetworkUuid": world.l2, "clusterUuid": world.cluster })),
        ("AttachL2NetworkToCluster", json!({ "l2NetworkUuid": world.l2, "clusterUuid": world.cluster })),
    ] {
        let plan = planned(&cloud, api, action, params).await;
        assert!(!plan["changes"].as_array().unwrap().is_empty(), "{action}: {plan:#}");
    }
}

#[tokio::test]
async fn bey_01_plans_tell_of_shares_owners_tags_and_quotas() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, alice) = (&cloud.admin, cloud.account("alice").await);
    let share = json!({ "resourceUuids": [world.l3], "accountUuids": [alice.account], "toPublic": true });
    let plan = planned(&cloud, api, "ShareResource", share).await;
    let shared = field(&plan, "L3NetworkVO", "sharedWith");
    assert_eq!((shared.get("from"), &shared["to"]), (None, &json!([alice.account, "everybody"])));
    let recall = json!({ "resourceUuids": [world.l3], "all": true });
    let plan = planned(&cloud, api, "RevokeResourceSharing", recall).await;
    assert_eq!(field(&plan, "L3NetworkVO", "sharedWith").get("to"), None);
    let pass = json!({ "resourceUuid": world.image, "accountUuid": alice.account });
    let plan = planned(&cloud, api, "ChangeResourceOwner", pass).await;
    assert_eq!(field(&plan, "ImageVO", "ownerAccountUuid")["to"], alice.account);
    let quota = json!({ "identityUuid": alice.account, "name": "vm.num", "value": 7 });
    let plan = api.plan("UpdateQuota", quota).await.unwrap();
    assert_eq!(
        field(&plan, "AccountVO", "quota vm.num"),
        &json!({ "field": "quota vm.num", "from": 20, "to": 7 })
    );
    let tag = json!({ "resourceType": "ZoneVO", "resourceUuid": world.zone, "tag": "blue" });
    let plan = planned(&cloud, api, "CreateUserTag", tag).await;
    assert_eq!(field(&plan, "ZoneVO", "userTags")["to"], json!(["blue"]));
}

#[tokio::test]
async fn bey_01_plans_mask_secrets_and_tell_tenants_only_of_their_own() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, alice) = (&cloud.admin, cloud.account("alice").await);
    let fresh = cairn_testkit::digest("fresh-secret");
    let change = json!({ "uuid": alice.account, "password": fresh });
    let plan = api.plan("UpdateAccount", change).await.unwrap();
    assert_eq!(
        field(&plan, "AccountVO", "password"),
        &json!({ "field": "password", "from": "*****", "to": "*****" })
    );
    assert!(!plan.to_string().contains(&fresh) && !plan.to_string().contains("argon2"), "{plan}");
    let setting = json!({ "category": "virtualRouter", "name": "vrouter.password", "value": "hush-hush-1" });
    let plan = api.plan("UpdateGlobalConfig", setting).await.unwrap();
    assert_eq!(field(&plan, "GlobalConfigVO", "secretValue")["to"], "*****");
    assert!(!plan.to_string().contains("hush"), "{plan}");
    let vm = vm_of(&world, api).await;
    let tag = json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm, "tag": "rootPassword::hush1" });
    let plan = api.plan("CreateSystemTag", tag).await.unwrap();
    assert!(!plan.to_string().contains("hush1"), "{plan}");

    world.share_with(api, &alice.account).await;
    let mine = vm_of(&world, &alice).await;
    let plan = alice.plan("StopVmInstance", json!({ "uuid": mine })).await.unwrap();
    let told: BTreeSet<String> =
        plan["changes"].as_array().unwrap().iter().map(|c| text(&c["uuid"])).collect();
    assert_eq!(told, BTreeSet::from([mine]), "{plan:#}");
}
