//! What belongs to somebody else is refused wherever a parameter names it, when everything else about the call is right: all
//! other parameters name what the caller owns or may use. So no refusal comes from an earlier error.

use std::collections::BTreeMap;

use cairn_api::{Kind, Operation, operations};
use cairn_testkit::{Api, Cloud, World};
use serde_json::{Value, json};

use crate::table::{by_name, filled};

type Uuids = BTreeMap<&'static str, String>;

fn uuid(value: &Value) -> String {
    value["uuid"].as_str().expect("a uuid").to_owned()
}

/// A VM of an account, with what belongs to it and to the account.
async fn own(cloud: &Cloud, world: &World, api: &Api, name: &str) -> Uuids {
    let vm = world.create_vm(api, name).await;
    let tag = |tag: &str| json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm["uuid"], "tag": tag });
    let key = json!({ "accountUuid": api.account, "userUuid": api.account });
    let runs = api.list("QueryCairnRun", &[]).await;
    let provider = &cloud.admin.list("QueryNetworkServiceProvider", &["type=Flat"]).await[0];
    BTreeMap::from([
        ("AccountVO", api.account.clone()),
        ("VmInstanceVO", uuid(&vm)),
        ("VolumeVO", vm["rootVolumeUuid"].as_str().expect("a volume").to_owned()),
        ("VmNicVO", uuid(&vm["vmNics"][0])),
        ("UserTagVO", uuid(&api.make("CreateUserTag", tag("tag")).await)),
        ("SystemTagVO", uuid(&api.make("CreateSystemTag", tag(&format!("hostname::{name}"))).await)),
        ("AccessKeyVO", uuid(&api.make("CreateAccessKey", key).await)),
        ("CairnRunVO", uuid(&runs[0])),
        ("ImageVO", world.image.clone()),
        ("L3NetworkVO", world.l3.clone()),
        ("IpRangeVO", world.ip_range.clone()),
        ("InstanceOfferingVO", world.instance_offering.clone()),
        ("DiskOfferingVO", world.disk_offering.clone()),
        ("ZoneVO", world.zone.clone()),
        ("ClusterVO", world.cluster.clone()),
        ("HostVO", world.hosts[0].clone()),
        ("PrimaryStorageVO", world.primary_storage.clone()),
        ("BackupStorageVO", world.backup_storage.clone()),
        ("L2NetworkVO", world.l2.clone()),
        ("NetworkServiceProviderVO", uuid(provider)),
    ])
}

/// What an account has for itself alone, of the types that administrators make.
async fn private(cloud: &Cloud, world: &World, owner: &Api, device: &str) -> Uuids {
    let api = &cloud.admin;
    let l2 = json!({ "name": "own", "zoneUuid": world.zone, "physicalInterface": device });
    let l2 = uuid(&api.make("CreateL2NoVlanNetwork", l2).await);
    let l3 = json!({ "name": "own", "l2NetworkUuid": l2, "type": "L3BasicNetwork" });
    let l3 = uuid(&api.make("CreateL3Network", l3).await);
    let range = json!({
        "l3NetworkUuid": l3, "name": "range", "startIp": "10.8.0.10", "endIp": "10.8.0.250", "netmask": "255.255.255.0",
        "gateway": "10.8.0.1",
    });
    let range = uuid(&api.make("AddIpRange", range).await);
    let image = json!({
        "name": "own", "url": "http://images.example.org/own.qcow2", "mediaType": "RootVolumeTemplate", "format": "qcow2",
        "platform": "Linux", "backupStorageUuids": [world.backup_storage],
    });
    let offering = json!({ "name": "own", "cpuNum": 1, "memorySize": 64 << 20 });
    let made = BTreeMap::from([
        ("L2NetworkVO", l2),
        ("L3NetworkVO", l3),
        ("ImageVO", uuid(&api.make("AddImage", image).await)),
        ("InstanceOfferingVO", uuid(&api.make("CreateInstanceOffering", offering).await)),
        (
            "DiskOfferingVO",
            uuid(&api.make("CreateDiskOffering", json!({ "name": "own", "diskSize": 1 << 30 })).await),
        ),
    ]);
    for resource in made.values() {
        api.ok("ChangeResourceOwner", json!({ "resourceUuid": resource, "accountUuid": owner.account }))
            .await;
    }
    made.into_iter().chain([("IpRangeVO", range)]).collect()
}

/// Types that belong to accounts.
const OWNED: &[&str] = &[
    "AccountVO",
    "VmInstanceVO",
    "VolumeVO",
    "VmNicVO",
    "UserTagVO",
    "SystemTagVO",
    "AccessKeyVO",
    "CairnRunVO",
    "ImageVO",
    "L2NetworkVO",
    "L3NetworkVO",
    "IpRangeVO",
    "InstanceOfferingVO",
    "DiskOfferingVO",
];

/// Names of what one may not see are left out, which tells nothing; and only administrators share.
const OTHERWISE: &[&str] = &["GetResourceNames", "ShareResource", "RevokeResourceSharing"];

/// Each parameter of an operation that names something which accounts own, even if it need not be given.
fn owned_params(op: &'static Operation) -> Vec<(&'static str, &'static str)> {
    let of = |p: &'static cairn_api::Param| {
        p.refers.or_else(|| by_name(op, p.name)).map(|entity| (p.name, entity))
    };
    op.params
        .iter()
        .filter(|p| !p.ignored)
        .filter_map(of)
        .filter(|(_, entity)| OWNED.contains(entity))
        .collect()
}

#[tokio::test]
async fn iam_05_each_parameter_alone_that_names_what_is_anothers_is_refused() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (owner, stranger) = (cloud.account("owner").await, cloud.account("stranger").await);
    world.share_with(&cloud.admin, &owner.account).await;
    world.share_with(&cloud.admin, &stranger.account).await;
    let mut foreign = own(&cloud, &world, &owner, "theirs").await;
    foreign.extend(private(&cloud, &world, &owner, "eth1").await);
    let mut mine = own(&cloud, &world, &stranger, "mine").await;
    mine.extend(private(&cloud, &world, &stranger, "eth2").await);
    let before = cloud.rows().await;
    let (mut asked, mut wrong) = (0, Vec::new());
    for op in operations().iter().filter(|op| op.session && op.kind != Kind::Query) {
        if cairn_server::dispatch::is_closed(op) || OTHERWISE.contains(&op.name) {
            continue;
        }
        // The same call about his own is not refused for what it names.
        if op.changes()
            && let Err(f) = stranger.plan(op.name, filled(op, &mine)).await
            && f.has_code("ID.1002")
        {
            wrong.push(format!("{} about his own: {f}", op.name));
        }
        for (param, entity) in owned_params(op) {
            let mut params = filled(op, &mine);
            let theirs = json!(foreign[entity]);
            let is_list = op.param(param).is_some_and(|p| matches!(p.ty, cairn_api::Type::StrList));
            params[param] = if is_list { json!([theirs]) } else { theirs };
            asked += 1;
            match stranger.call(op.name, params.clone()).await {
                Err(f) if f.code() == "ID.1002" => {}
                Err(f) => wrong.push(format!("{} by {param}: {f}", op.name)),
                Ok(answer) => wrong.push(format!("{} by {param} went well: {answer}", op.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(before.differences(&cloud.rows().await), Vec::<String>::new(), "nothing changed");
    assert!(asked > 50, "{asked}");
}
