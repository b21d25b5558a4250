//! The nested fields that clients of the original know, for every resource that exists.

use std::path::Path;

use cairn_api::resource::{self, Resource};
use cairn_query::{Op, Options, Query, Viewer, compile};
use cairn_store::Dialect;
use serde_json::Value;

/// Inventory; its joins, lists and aliases; its fields that count as unknown.
const FACTS: &[(&str, &str, &str)] = &[
    ("AccountInventory", "quota", ""),
    ("AccountResourceRefInventory", "", "id ownerAccountUuid permission isShared"),
    ("BackupStorageInventory", "zoneRef imageRef attachedZoneUuids zone image", ""),
    ("BackupStorageZoneRefInventory", "zone backupStorage", ""),
    (
        "ClusterInventory",
        "zone host vmInstance l2NetworkRef l2VlanNetworkRef primaryStorageRef l2Network l2VlanNetwork primaryStorage",
        "",
    ),
    ("DiskOfferingInventory", "volume", ""),
    (
        "HostInventory",
        "zone cluster vmInstance totalCpuCapacity availableCpuCapacity cpuSockets totalMemoryCapacity availableMemoryCapacity cpuNum",
        "",
    ),
    ("ImageBackupStorageRefInventory", "image backupStorage", "id"),
    ("ImageInventory", "backupStorageRef volume backupStorageRefs backupStorage", ""),
    ("InstanceOfferingInventory", "vmInstance", ""),
    ("IpRangeInventory", "l3Network", ""),
    ("KVMHostInventory", "", "password"),
    ("L2NetworkClusterRefInventory", "cluster l2Network", ""),
    ("L2NetworkInventory", "zone l3Network clusterRef attachedClusterUuids cluster", ""),
    (
        "L3NetworkInventory",
        "zone l2Network vmNic serviceProviderRef dns ipRanges networkServices serviceProvider",
        "",
    ),
    ("LocalStorageResourceRefInventory", "volume image", ""),
    ("NetworkServiceL3NetworkRefInventory", "l3Network serviceProvider", ""),
    ("NetworkServiceProviderInventory", "networkServiceTypes attachedL2NetworkUuids", ""),
    ("PrimaryStorageClusterRefInventory", "cluster primaryStorage", ""),
    (
        "PrimaryStorageInventory",
        "zone volume clusterRef totalCapacity availableCapacity totalPhysicalCapacity availablePhysicalCapacity systemUsedCapacity attachedClusterUuids cluster",
        "",
    ),
    ("QuotaInventory", "account", ""),
    (
        "VmInstanceInventory",
        "zone cluster host image instanceOffering rootVolume vmNics allVolumes",
        "internalId",
    ),
    ("VmNicInventory", "vmInstance l3Network", "usedIpUuid internalName"),
    ("VolumeInventory", "vmInstance diskOffering primaryStorage image localStorageHostRef", ""),
    (
        "ZoneInventory",
        "vmInstance cluster host primaryStorage l2Network l3Network backupStorageRef backupStorage",
        "",
    ),
];

fn compiles(resource: &'static Resource, field: &str, op: Op) -> bool {
    let query = Query { with_total: true, ..Query::default() }.and(field, op, "1");
    [Dialect::Sqlite, Dialect::Postgres].into_iter().all(|dialect| {
        compile(resource, &query, &Viewer::Account("x".into()), &Options { dialect, ..Options::default() })
            .is_ok()
    })
}

#[test]
fn every_nested_field_of_the_original_works() {
    for (inventory, names, unknown) in FACTS {
        let resource = resource::find(inventory).unwrap_or_else(|| panic!("{inventory} is missing"));
        for name in names.split_whitespace() {
            assert!(compiles(resource, name, Op::NotNull), "{inventory}.{name}");
            if let Some(join) = resource.joins().find(|j| j.name == name) {
                let first = join.to.fields().next().map_or("", |f| f.name);
                assert!(compiles(resource, &format!("{name}.{first}"), Op::Eq), "{inventory}.{name}.{first}");
            }
        }
        for name in unknown.split_whitespace() {
            assert!(!compiles(resource, name, Op::Eq), "{inventory}.{name} must be unknown");
        }
    }
}

/// Compares the table above with the fact tables, where they stand beside the checkout.
#[test]
fn the_facts_above_are_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/api/query-joins.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: {} is not there, so the table of nested fields was not compared with it",
            path.display()
        );
        return;
    };
    let facts: Value = serde_json::from_str(&text).unwrap();
    for (inventory, fact) in facts.as_object().unwrap() {
        let Some(resource) = resource::find(inventory) else { continue };
        assert_eq!(resource.entity, fact["entity"].as_str().unwrap_or_default(), "{inventory}");
        for join in fact["joins"].as_array().into_iter().flatten() {
            check_join(resource, join);
        }
        for list in fact["list_fields"].as_array().into_iter().flatten() {
            let name = list["field"].as_str().unwrap();
            assert!(compiles(resource, name, Op::NotNull), "{inventory}.{name}");
        }
    }
}

fn check_join(resource: &'static Resource, fact: &Value) {
    let text = |key: &str| fact[key].as_str().unwrap_or_default();
    let Some(to) = resource::find(text("to")) else { return };
    let name = text("field");
    let join =
        resource.joins().find(|j| j.name == name).unwrap_or_else(|| panic!("{}.{name}", resource.inventory));
    assert_eq!(join.to.inventory, to.inventory, "{}.{name}", resource.inventory);
    assert_eq!(join.hidden, fact["hidden"].as_bool().unwrap_or(false), "{}.{name}", resource.inventory);
    assert_eq!(
        (join.local, join.remote),
        (snake(text("local_key")).as_str(), snake(text("remote_key")).as_str()),
        "{name}"
    );
}

fn snake(name: &str) -> String {
    name.chars()
        .flat_map(|c| [c.is_uppercase().then_some('_'), Some(c.to_ascii_lowercase())])
        .flatten()
        .collect()
}
