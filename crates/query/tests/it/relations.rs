//! Conditions on related resources, lists and tags.

use cairn_api::resource::*;
use cairn_query::{Filter, Op, Options, Query, Viewer};

use crate::fixture::{Db, id, name};

#[test]
fn joins_reach_related_rows() {
    let db = Db::new();
    for (condition, found) in [
        ("host.name=host-1", ["web-1", "web-2"].as_slice()),
        ("host.managementIp=192.168.0.2", &["db-1"]),
        ("cluster.name~=RACK%", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
        ("vmNics.ip=10.0.0.9", &["web-1"]),
        ("vmNics.l3Network.name=flat-2", &["web-1", "Web-3"]),
        ("vmNics.l3Network.l2Network.cluster.host.name=host-2", &["web-1", "web-2", "Web-3", "db-1"]),
        ("image.backupStorage.name=store", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
        ("rootVolume.name=root-db-1", &["db-1"]),
        ("allVolumes.size>999", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
        ("account.name=alice", &["web-1", "web-2"]),
        ("zone.cluster.name=other", &[]),
        // A related row for which it holds, also with a negative operator.
        ("vmNics.ip!=10.0.0.9", &["web-1", "web-2", "Web-3", "db-1"]),
        ("vmNics.ip!?=10.0.0.9,10.1.0.5", &["web-2", "Web-3", "db-1"]),
        ("vmNics is null", &["100%_sure"]),
        ("vmNics not null", &["web-1", "web-2", "Web-3", "db-1"]),
        ("host is null", &["Web-3", "100%_sure"]),
    ] {
        assert_eq!(db.names(&VM_INSTANCE, &[condition]), found, "{condition}");
    }
    assert_eq!(db.names(&ZONE, &["backupStorage.name=store"]), ["zone-1", "zone-2"]);
    assert_eq!(db.names(&BACKUP_STORAGE, &["zone.name=zone-2"]), ["store"]);
    assert_eq!(db.names(&CLUSTER, &["l2Network.name=l2"]), ["rack-1"]);
    assert_eq!(db.names(&CLUSTER, &["vmInstance.vmNics.ip=10.1.0.9"]), ["rack-1"]);
    assert_eq!(db.names(&HOST, &["vmInstance is null"]), ["sim-1"]);
}

#[test]
fn conditions_through_one_join_speak_of_one_row() {
    let db = Db::new();
    let l3 = format!("vmNics.l3NetworkUuid={}", id("l3", 2));
    assert_eq!(db.names(&VM_INSTANCE, &["vmNics.ip=10.0.0.9", &l3]), Vec::<String>::new());
    assert_eq!(db.names(&VM_INSTANCE, &["vmNics.ip=10.1.0.5", &l3]), ["web-1"]);
    assert_eq!(
        db.names(&VM_INSTANCE, &["vmNics.ip=10.1.0.5", "vmNics.l3Network.name=flat-1"]),
        Vec::<String>::new()
    );
}

#[test]
fn lists_are_compared_directly() {
    let db = Db::new();
    let (one, two) = (id("zone", 1), id("zone", 2));
    for (condition, found) in [
        (format!("attachedZoneUuids={two}"), ["store"].as_slice()),
        (format!("attachedZoneUuids?={one},{two}"), &["store"]),
        (format!("attachedZoneUuids!?={one},{two}"), &["sim-store"]),
        (format!("attachedZoneUuids!={one}"), &["sim-store"]),
        ("attachedZoneUuids is null".to_owned(), &["sim-store"]),
        ("attachedZoneUuids not null".to_owned(), &["store"]),
    ] {
        assert_eq!(db.names(&BACKUP_STORAGE, &[&condition]), found, "{condition}");
    }
    assert_eq!(db.names(&L3_NETWORK, &["dns=9.9.9.9"]), ["flat-1"]);
    assert_eq!(db.names(&L3_NETWORK, &["ipRanges.name=range-2"]), ["flat-2"]);
    assert_eq!(db.names(&NETWORK_SERVICE_PROVIDER, &["networkServiceTypes=DHCP"]), ["Flat"]);
}

#[test]
fn tag_01_conditions_on_tags() {
    let db = Db::new();
    for (condition, found) in [
        ("__userTag__=fast", ["web-1"].as_slice()),
        ("__userTag__!=fast", &["web-2", "Web-3", "db-1", "100%_sure"]),
        ("__userTag__?=fast,slow", &["web-1", "web-2"]),
        ("__userTag__!?=fast,slow", &["Web-3", "db-1", "100%_sure"]),
        ("__userTag__~=%o%", &["web-1", "web-2"]),
        ("__userTag__!~=%o%", &["Web-3", "db-1", "100%_sure"]),
        ("__userTag__ is null", &["Web-3", "db-1", "100%_sure"]),
        ("__userTag__ not null", &["web-1", "web-2"]),
        ("host.__userTag__=fast", &["web-1", "web-2"]),
        ("host.__userTag__!=fast", &["db-1"]),
        ("image.__systemTag__=applianceType::vrouter", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
    ] {
        assert_eq!(db.names(&VM_INSTANCE, &[condition]), found, "{condition}");
    }
    assert_eq!(db.names(&VM_INSTANCE, &["__userTag__=fast", "__userTag__=prod"]), ["web-1"]);
}

#[test]
fn subtypes_are_returned_and_searched_as_such() {
    let db = Db::new();
    let hosts = db.ask(&HOST, &[("sort", "name")]);
    assert_eq!(hosts.inventories[0]["sshPort"], 22);
    assert_eq!(hosts.inventories[0]["username"], "root");
    assert!(hosts.inventories[0].get("cpuCapacity").is_none());
    assert_eq!(hosts.inventories[2]["cpuCapacity"], 4);
    assert!(hosts.inventories[2].get("sshPort").is_none());
    assert_eq!(db.names(&HOST, &["username=root"]), ["host-1", "host-2"]);
    assert_eq!(db.names(&KVM_HOST, &[]), ["host-1", "host-2"]);
    assert_eq!(db.names(&KVM_HOST, &["cluster.name=rack-1", "sshPort=22"]), ["host-1", "host-2"]);
    assert_eq!(db.names(&IMAGE_STORE_BACKUP_STORAGE, &["zone.name=zone-1"]), ["store"]);
    assert_eq!(db.names(&IMAGE_STORE_BACKUP_STORAGE, &["attachedZoneUuids is null"]), Vec::<String>::new());
}

#[test]
fn alternatives_hold_one_by_one() {
    let db = Db::new();
    let both = Filter::All(vec![Filter::is("cpuNum", Op::Eq, "1"), Filter::is("state", Op::Eq, "Destroyed")]);
    let query = Query {
        filters: vec![Filter::Any(vec![Filter::is("name", Op::Eq, "db-1"), both])],
        ..Query::default()
    };
    let found = db.run(&VM_INSTANCE, query, Viewer::EVERYTHING, Options::default()).unwrap();
    assert_eq!(found.inventories.iter().map(name).collect::<Vec<_>>(), ["db-1", "100%_sure"]);
}

#[test]
fn paths_have_an_end() {
    let db = Db::new();
    let deep = format!("{}name=x", "vmInstance.host.".repeat(5));
    assert_eq!(db.fault(&ZONE, &[("q", &deep)]).code, "QUERY.8000");
    let eight = format!("{}name=host-1", "vmInstance.host.".repeat(4));
    assert_eq!(db.names(&ZONE, &[&eight]), ["zone-1"]);
    let many: Vec<(&str, &str)> = vec![("q", "name!=x"); 500];
    assert_eq!(db.fault(&ZONE, &many).code, "QUERY.8000");
}
