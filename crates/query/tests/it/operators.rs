//! Every operator on every type of field.

use cairn_api::resource::{HOST, IMAGE, USER_TAG, VM_INSTANCE, VM_NIC, ZONE};

use crate::fixture::{Db, id};

#[test]
fn each_operator_finds_what_it_says() {
    let db = Db::new();
    let vm2 = id("vm", 2);
    let list = format!("uuid?={}, {vm2},nothing", id("vm", 1));
    let sure = ["100%_sure"].as_slice();
    for (condition, found) in [
        ("name=web-1", ["web-1"].as_slice()),
        ("name=WEB-1", &[]),
        ("name=web-1 ", &[]),
        ("name!=web-1", &["web-2", "Web-3", "db-1", "100%_sure"]),
        ("name?= web-1 ,db-1", &["web-1", "db-1"]),
        ("name?=", &[]),
        ("name!?=web-1,web-2,db-1", &["Web-3", "100%_sure"]),
        ("name!?=", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
        ("name~=WEB%", &["web-1", "web-2", "Web-3"]),
        ("name~=web-_", &["web-1", "web-2", "Web-3"]),
        ("name~=web", &[]),
        ("name~=100\\%\\_%", sure),
        ("name~=%\\", &[]),
        ("name!~=web%", &["db-1", "100%_sure"]),
        ("name>db", &["web-1", "web-2", "db-1"]),
        ("cpuNum=4", &["Web-3"]),
        ("cpuNum!=1", &["web-2", "Web-3", "db-1"]),
        ("cpuNum>2", &["Web-3", "db-1"]),
        ("cpuNum>=2", &["web-2", "Web-3", "db-1"]),
        ("cpuNum<2", &["web-1", "100%_sure"]),
        ("cpuNum<=2", &["web-1", "web-2", "100%_sure"]),
        ("cpuNum?=2,8", &["web-2", "db-1"]),
        ("cpuNum!?=2,8", &["web-1", "Web-3", "100%_sure"]),
        ("cpuNum~=_", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
        ("memorySize=1073741824", &["web-1", "100%_sure"]),
        ("hostUuid is null", &["Web-3", "100%_sure"]),
        ("hostUuid not null", &["web-1", "web-2", "db-1"]),
        ("hostUuid!=nothing", &["web-1", "web-2", "db-1"]),
        ("state=running", &[]),
        ("state=Running", &["web-1", "web-2", "db-1"]),
        (list.as_str(), &["web-1", "web-2"]),
    ] {
        assert_eq!(db.names(&VM_INSTANCE, &[condition]), found, "{condition}");
    }
}

#[test]
fn dates_stand_for_whole_seconds() {
    let db = Db::new();
    for (condition, found) in [
        ("createDate=1970-01-03 00:00:00", ["web-2"].as_slice()),
        ("createDate!=1970-01-03 00:00:00", &["web-1", "Web-3", "db-1", "100%_sure"]),
        ("createDate>1970-01-03 00:00:00", &["Web-3", "db-1", "100%_sure"]),
        ("createDate>=1970-01-03 00:00:00", &["web-2", "Web-3", "db-1", "100%_sure"]),
        ("createDate<1970-01-03 00:00:00", &["web-1"]),
        ("createDate<=1970-01-03 00:00:00", &["web-1", "web-2"]),
        ("createDate?=1970-01-02 00:00:00,1970-01-03 00:00:00", &["web-1", "web-2"]),
        ("createDate!?=1970-01-02 00:00:00,1970-01-03 00:00:00", &["Web-3", "db-1", "100%_sure"]),
        ("createDate~=1970-01-03%", &["web-2"]),
        ("createDate not null", &["web-1", "web-2", "Web-3", "db-1", "100%_sure"]),
    ] {
        assert_eq!(db.names(&VM_INSTANCE, &[condition]), found, "{condition}");
    }
}

#[test]
fn booleans_are_true_or_anything_else() {
    let db = Db::new();
    assert_eq!(db.names(&IMAGE, &["system=false"]).len(), 3);
    assert_eq!(db.names(&IMAGE, &["system=no"]).len(), 3);
    assert_eq!(db.names(&IMAGE, &["system=TRUE"]).len(), 0);
    assert_eq!(db.names(&IMAGE, &["system!=true"]).len(), 3);
    assert_eq!(db.names(&IMAGE, &["system?=true,false"]).len(), 3);
}

#[test]
fn several_conditions_must_all_hold() {
    let db = Db::new();
    assert_eq!(db.names(&VM_INSTANCE, &["state=Running", "cpuNum>1"]), ["web-2", "db-1"]);
    assert_eq!(db.names(&VM_INSTANCE, &["cpuNum>1", "cpuNum<8"]), ["web-2", "Web-3"]);
    assert_eq!(db.names(&ZONE, &["description=a>=b"]), ["zone-1"]);
}

#[test]
fn values_that_do_not_fit_the_field_are_refused() {
    let db = Db::new();
    for condition in [
        "cpuNum=four",
        "cpuNum>1.5",
        "cpuNum?=1,x",
        "createDate>yesterday",
        "memorySize=99999999999999999999",
        "cpuNum=",
    ] {
        let fault = db.fault(&VM_INSTANCE, &[("q", condition)]);
        assert_eq!(fault.code, "SYS.1007", "{condition}: {fault}");
    }
    let long = format!("name~={}", "%a".repeat(5000));
    assert_eq!(db.fault(&VM_INSTANCE, &[("q", &long)]).code, "QUERY.8000");
}

#[test]
fn unknown_fields_are_refused_with_the_known_ones() {
    let db = Db::new();
    for (condition, hint) in [
        ("nmae=x", Some("name")),
        ("vmNics.ipp=x", Some("ip")),
        ("internalId=5", None),
        ("vmNics.usedIpUuid=5", None),
    ] {
        let fault = db.fault(&VM_INSTANCE, &[("q", condition)]);
        assert_eq!(fault.code, "SYS.1007", "{condition}");
        assert_eq!(fault.params.get("suggestion").and_then(|s| s.as_str()), hint, "{condition}: {fault}");
        assert!(fault.details.contains("Known fields: "), "{fault}");
    }
    let fault = db.fault(&HOST, &[("q", "password=x")]);
    assert!(!fault.details.contains("sealed"), "{fault}");
    for pairs in [[("sort", "vmNics.ip")], [("groupBy", "nothing")], [("fields", "uuid,nothing")]] {
        assert_eq!(db.fault(&VM_INSTANCE, &pairs).code, "SYS.1007", "{pairs:?}");
    }
}

#[test]
fn addresses_sort_as_numbers() {
    let db = Db::new();
    let condition = format!("l3NetworkUuid={}", id("l3", 1));
    let sorted = db.ask(&VM_NIC, &[("sort", "ip"), ("q", &condition)]);
    let ips: Vec<&str> = sorted.inventories.iter().filter_map(|n| n["ip"].as_str()).collect();
    assert_eq!(ips, ["10.0.0.9", "10.0.0.10", "10.0.0.100"]);
}

#[test]
fn long_lists_are_one_parameter() {
    let db = Db::new();
    let many: Vec<String> = (0..50_000).map(|n| id("x", n)).chain([id("vm", 4)]).collect();
    assert_eq!(db.names(&VM_INSTANCE, &[&format!("uuid?={}", many.join(","))]), ["db-1"]);
    assert_eq!(db.names(&USER_TAG, &["tag?=prod,slow"]), ["prod", "slow"]);
}
