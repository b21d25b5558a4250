//! Walks over the operation table: what holds for every operation there is.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::{Kind, Method, Operation, operations, resource};
use cairn_testkit::{Api, Cloud};
use serde_json::{Map, Value, json};

/// Parameters that a call takes, filled with something of the right form. `uuids` gives a resource of each type.
pub(crate) fn filled(op: &Operation, uuids: &BTreeMap<&str, String>) -> Value {
    let mut params = Map::new();
    for param in op.params.iter().filter(|p| !p.ignored && p.name != "resourceUuid" || p.owned) {
        let uuid = param.refers.or_else(|| by_name(op, param.name)).and_then(|entity| uuids.get(entity));
        if uuid.is_none() && !param.required && !param.in_path {
            continue;
        }
        let text = uuid.cloned().unwrap_or_else(|| text_for(param));
        let value = match param.ty {
            cairn_api::Type::Str => json!(text),
            cairn_api::Type::Int | cairn_api::Type::Long => json!(param.min.unwrap_or(1).max(1)),
            cairn_api::Type::Bool => json!(true),
            cairn_api::Type::StrList => json!([text]),
            cairn_api::Type::LongList => json!([1]),
            cairn_api::Type::StrListMap => json!({ uuids["NetworkServiceProviderVO"].clone(): ["DHCP"] }),
            cairn_api::Type::Any => json!({}),
        };
        params.insert(param.name.into(), value);
    }
    if op.name == "ChangeResourceOwner" {
        params.insert("resourceUuid".into(), json!(uuids["VmInstanceVO"]));
    }
    Value::Object(params)
}

/// What a uuid names where the declaration does not say it.
pub(crate) fn by_name(op: &Operation, name: &str) -> Option<&'static str> {
    match (op.name, name) {
        ("DeleteTag", "uuid") => Some("UserTagVO"),
        ("CreateSystemTag" | "CreateUserTag", "resourceUuid") => Some("VmInstanceVO"),
        ("CreateAccessKey", "userUuid") => Some("AccountVO"),
        ("GetTaskProgress", "apiId") => Some("Job"),
        (_, "resourceUuids" | "uuids") => Some("VmInstanceVO"),
        _ => None,
    }
}

fn text_for(param: &cairn_api::Param) -> String {
    match param.name {
        "resourceType" => "VmInstanceVO".into(),
        "tag" => "hostname::stranger".into(),
        "startIp" | "ip" => "10.7.0.251".into(),
        "endIp" => "10.7.0.252".into(),
        "netmask" => "255.255.255.0".into(),
        "gateway" => "10.7.0.1".into(),
        "networkCidr" => "10.9.0.0/24".into(),
        "dns" => "1.1.1.1".into(),
        "url" => "http://images.example.org/x".into(),
        "category" => "vm".into(),
        "sessionUuid" => "5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a".into(),
        "apiNames" => "APIQueryZoneMsg".into(),
        "script" => "put('a', 1)".into(),
        "zql" => "query zone".into(),
        _ => param.values.first().map_or_else(|| "stranger".into(), |v| (*v).to_owned()),
    }
}

#[tokio::test]
async fn api_01_every_operation_has_a_handler() {
    let cloud = Cloud::start().await;
    let handled: BTreeSet<&str> = cloud.app().handlers.names().collect();
    let missing: Vec<&str> = operations()
        .iter()
        .filter(|op| match op.kind {
            Kind::Query => op.inventory.and_then(resource::find).is_none(),
            _ => !handled.contains(op.name),
        })
        .map(|op| op.name)
        .collect();
    assert!(missing.is_empty(), "no handler: {missing:?}");
    let unknown: Vec<_> = handled.iter().filter(|n| Operation::find(n).is_none()).collect();
    assert!(unknown.is_empty(), "handlers without an operation: {unknown:?}");
}

#[tokio::test]
async fn api_01_every_operation_asks_for_a_session() {
    let cloud = Cloud::start().await;
    let nobody = cloud.nobody();
    let unknown = nobody.with("authorization", "OAuth 5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a");
    let uuids =
        BTreeMap::from([("NetworkServiceProviderVO", "0".repeat(32)), ("VmInstanceVO", "0".repeat(32))]);
    for op in operations() {
        let params = filled(op, &uuids);
        let (without, with_unknown) =
            (nobody.send(op.name, params.clone()).await, unknown.send(op.name, params).await);
        if op.session {
            assert_eq!((op.name, without.status), (op.name, 400));
            assert!(without.json().is_null(), "{}: plain text", op.name);
            assert_eq!(
                (op.name, with_unknown.status, with_unknown.code().as_str()),
                (op.name, 503, "ID.1001")
            );
        } else {
            assert_ne!((op.name, without.status), (op.name, 400));
            assert_ne!((op.name, with_unknown.code().as_str()), (op.name, "ID.1001"));
        }
    }
}

/// Something of every type that belongs to somebody else.
async fn foreign(cloud: &Cloud, owner: &Api) -> BTreeMap<&'static str, String> {
    let world = cloud.world().await;
    world.share_with(&cloud.admin, &owner.account).await;
    let text = |v: &Value| v["uuid"].as_str().expect("a uuid").to_owned();
    let job = owner.send("CreateVmInstance", world.vm("theirs")).await;
    let job_id = job.json()["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let vm = owner.settle(job).await.unwrap()["inventory"].take();
    let tag = |tag: &str| json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm["uuid"], "tag": tag });
    let user_tag = owner.make("CreateUserTag", tag("theirs")).await;
    let system_tag = owner.make("CreateSystemTag", tag("hostname::theirs")).await;
    let key = json!({ "accountUuid": owner.account, "userUuid": owner.account });
    let key = owner.make("CreateAccessKey", key).await;
    let hook = json!({ "name": "h", "url": "http://127.0.0.1:9/", "type": "ZoneVO" });
    let hook = cloud.admin.make("CreateWebhook", hook).await;
    let runs = owner.list("QueryCairnRun", &[]).await;
    let providers = cloud.admin.list("QueryNetworkServiceProvider", &[]).await;
    let nodes = cloud.admin.list("QueryManagementNode", &[]).await;
    let proxies = cloud.admin.list("QueryConsoleProxyAgent", &[]).await;
    BTreeMap::from([
        ("AccountVO", owner.account.clone()),
        ("ZoneVO", world.zone.clone()),
        ("ClusterVO", world.cluster.clone()),
        ("HostVO", world.hosts[0].clone()),
        ("PrimaryStorageVO", world.primary_storage.clone()),
        ("BackupStorageVO", world.backup_storage.clone()),
        ("ImageVO", world.image.clone()),
        ("L2NetworkVO", world.l2.clone()),
        ("L3NetworkVO", world.l3.clone()),
        ("IpRangeVO", world.ip_range.clone()),
        ("InstanceOfferingVO", world.instance_offering.clone()),
        ("DiskOfferingVO", world.disk_offering.clone()),
        ("VmInstanceVO", text(&vm)),
        ("VolumeVO", vm["rootVolumeUuid"].as_str().unwrap().to_owned()),
        ("VmNicVO", text(&vm["vmNics"][0])),
        ("SystemTagVO", text(&system_tag)),
        ("UserTagVO", text(&user_tag)),
        ("AccessKeyVO", text(&key)),
        ("WebhookVO", text(&hook)),
        ("CairnRunVO", text(&runs[0])),
        ("NetworkServiceProviderVO", text(&providers[0])),
        ("ManagementNodeVO", text(&nodes[0])),
        ("ConsoleProxyAgentVO", text(&proxies[0])),
        ("Job", job_id),
    ])
}

/// Queries of what everybody may know: settings, and the kinds of things that this installation has.
const OPEN_QUERIES: &[&str] = &["QueryGlobalConfig", "QueryNetworkServiceProvider"];

/// Reads that answer strangers, because they tell nothing of what they were asked about: permissions of the caller himself,
/// names and progress of nothing, and what the installation is made of.
const HARMLESS: &[&str] = &[
    "CheckApiPermission",
    "GetResourceNames",
    "GetTaskProgress",
    "BatchQuery",
    "ZQLQuery",
    "GetHypervisorTypes",
    "GetHostAllocatorStrategies",
    "GetPrimaryStorageTypes",
    "GetPrimaryStorageAllocatorStrategies",
    "GetBackupStorageTypes",
    "GetL2NetworkTypes",
    "GetL3NetworkTypes",
    "GetNetworkServiceTypes",
];

#[tokio::test]
async fn api_01_every_operation_refuses_strangers() {
    let cloud = Cloud::start().await;
    let owner = cloud.account("owner").await;
    let uuids = foreign(&cloud, &owner).await;
    let stranger = cloud.account("stranger").await;
    let owned = owned_by_somebody(&cloud).await;
    let before = cloud.tables().await;
    let mut wrong = Vec::new();
    for op in operations().iter().filter(|op| op.session) {
        let params = filled(op, &uuids);
        let answer = stranger.call(op.name, params.clone()).await;
        if let Some(why) = leak(op, &params, &answer, &owned) {
            wrong.push(format!("{} {params}: {why}", op.name));
        }
        if op.method != Method::Get {
            let differences = before.differences(&cloud.tables().await);
            let theirs =
                |d: &String| d.contains(": - ") || owned.iter().any(|(_, u)| d.contains(&format!("+ {u} ")));
            if let Some(d) = differences.iter().find(|d| theirs(d)) {
                wrong.push(format!("{} {params} changed {d}", op.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} operations:\n{}", wrong.len(), wrong.join("\n"));
    let vm = owner.one("QueryVmInstance", &uuids["VmInstanceVO"]).await;
    assert_eq!((&vm["state"], &vm["name"]), (&json!("Running"), &json!("theirs")));
}

/// Type and uuid of everything in the registry that has an owner.
async fn owned_by_somebody(cloud: &Cloud) -> Vec<(String, String)> {
    let sql = "SELECT resource_type, uuid FROM resource WHERE account_uuid IS NOT NULL
               AND account_uuid NOT IN (SELECT uuid FROM account WHERE name = 'stranger')";
    let rows = cloud.app().store.read(move |tx| tx.query(sql, &[])).await.unwrap();
    rows.iter().map(|r| (r.text("resource_type").unwrap(), r.text("uuid").unwrap())).collect()
}

/// What is wrong with the answer that a stranger got.
fn leak(
    op: &Operation,
    params: &Value,
    answer: &Result<Value, cairn_testkit::Failure>,
    owned: &[(String, String)],
) -> Option<String> {
    let asked = params.to_string();
    let names_foreign = owned.iter().any(|(_, uuid)| asked.contains(uuid.as_str()));
    match answer {
        Err(f) if f.has_code("ID.1002") => None,
        Err(f) if f.status != 503 => Some(format!("{f}")),
        Err(f) if op.rbac.admin_only || names_foreign => {
            Some(format!("failed otherwise than by ID.1002: {f}"))
        }
        Err(_) => None,
        Ok(body) if op.kind == Kind::Query && OPEN_QUERIES.contains(&op.name) => {
            (op.rbac.admin_only).then(|| format!("admin only, answered {body}"))
        }
        Ok(body) if op.kind == Kind::Query => {
            // What the stranger asked for in vain stands in his own audit rows.
            let own = |row: &Value| {
                op.name == "QueryAudit" || row.to_string().contains("stranger") || is_own(row, owned)
            };
            let rows = body["inventories"].as_array().cloned().unwrap_or_default();
            rows.iter().find(|row| !own(row)).map(|row| format!("sees {row}"))
        }
        Ok(body) => {
            let told = owned
                .iter()
                .find(|(_, uuid)| !asked.contains(uuid.as_str()) && body.to_string().contains(uuid.as_str()));
            if let Some((entity, uuid)) = told {
                return Some(format!("was told of {entity} {uuid}"));
            }
            let harmless = HARMLESS.contains(&op.name) || !names_foreign;
            let closed = op.rbac.admin_only && op.name != "GetTaskProgress";
            (closed || !harmless).then(|| format!("answered {body}"))
        }
    }
}

/// A row that names nothing of anybody else.
fn is_own(row: &Value, owned: &[(String, String)]) -> bool {
    let text = row.to_string();
    !owned.iter().any(|(_, uuid)| text.contains(uuid.as_str()))
}
