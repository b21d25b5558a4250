//! What answers look like: fields, pages, totals, groups, dates, capacities, classes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::resource::*;
use cairn_query::{DateStyle, Given, Op, Options, Query, Viewer, compile, one};
use cairn_store::Dialect;
use serde_json::json;

use crate::fixture::{Db, id, name};

#[test]
fn rows_have_their_lists_and_no_absent_values() {
    let db = Db::new();
    let vm = db.ask(&VM_INSTANCE, &[("q", "name=web-1")]).inventories.remove(0);
    assert_eq!(vm["createDate"], "Jan 2, 1970 12:00:00 AM");
    assert_eq!(vm["cpuNum"], 1);
    assert!(vm.get("description").is_none() && vm.get("internalId").is_none());
    let nics: Vec<&str> = vm["vmNics"].as_array().unwrap().iter().filter_map(|n| n["ip"].as_str()).collect();
    assert_eq!(nics, ["10.0.0.9", "10.1.0.5"]);
    assert!(vm["vmNics"][0].get("metaData").is_none());
    assert_eq!(vm["allVolumes"][0]["isShareable"], false);
    assert_eq!(vm["allVolumes"][0]["createDate"], "Jan 1, 1970 12:00:00 AM");
    let without = db.ask(&VM_INSTANCE, &[("q", "name=100%_sure")]).inventories.remove(0);
    assert_eq!(without["vmNics"], json!([]));
    let l3 = db.ask(&L3_NETWORK, &[("q", "name=flat-1")]).inventories.remove(0);
    assert_eq!(l3["dns"], json!(["9.9.9.9", "1.1.1.1"]));
    assert_eq!(l3["system"], false);
    assert_eq!(l3["ipRanges"][0]["name"], "range-1");
    assert_eq!(l3["networkServices"][0]["networkServiceType"], "DHCP");
    let image = db.ask(&IMAGE, &[("q", "name=debian")]).inventories.remove(0);
    assert_eq!(image["backupStorageRefs"][0]["status"], "Ready");
    let storage = db.ask(&PRIMARY_STORAGE, &[]).inventories.remove(0);
    assert_eq!(storage["attachedClusterUuids"], json!([id("cluster", 1)]));
}

#[test]
fn capacities_follow_from_rows() {
    let db = Db::new();
    let host = db.ask(&HOST, &[("q", "name=host-1")]).inventories.remove(0);
    assert_eq!((&host["totalCpuCapacity"], &host["availableCpuCapacity"]), (&json!(40), &json!(37)));
    let gib = 1_i64 << 30;
    assert_eq!(
        (&host["totalMemoryCapacity"], &host["availableMemoryCapacity"]),
        (&json!(16 * gib), &json!(12 * gib))
    );
    db.write(|tx| {
        let ratio = "INSERT INTO global_config (category, name, value, last_op_ms) VALUES ('host', 'cpu.overProvisioning.ratio', '2', 1)";
        tx.execute(ratio, &[]).map(|_| ())
    });
    assert_eq!(db.names(&HOST, &["availableCpuCapacity<2"]), ["host-2"], "8 promised of 8");
    let storage = db.ask(&PRIMARY_STORAGE, &[]).inventories.remove(0);
    assert_eq!(storage["totalPhysicalCapacity"], 200_000);
    assert_eq!(storage["availablePhysicalCapacity"], 180_000);
    assert_eq!(storage["availableCapacity"], 200_000 - 5 * 1000);
    assert_eq!(storage["systemUsedCapacity"], 20_000 - 5 * 100);
}

#[test]
fn pages_totals_and_order() {
    let db = Db::new();
    let names =
        |pairs: &[(&str, &str)]| db.ask(&VM_INSTANCE, pairs).inventories.iter().map(name).collect::<Vec<_>>();
    assert_eq!(names(&[("sort", "-cpuNum"), ("limit", "2")]), ["db-1", "Web-3"]);
    assert_eq!(names(&[("sort", "+cpuNum"), ("limit", "2"), ("start", "1")]), ["100%_sure", "web-2"]);
    assert_eq!(names(&[("sort", "-null")])[0], "web-1");
    let page = db.ask(&VM_INSTANCE, &[("q", "cpuNum>1"), ("limit", "1"), ("replyWithCount", "true")]);
    assert_eq!((page.inventories.len(), page.total), (1, Some(3)));
    let beyond = db.ask(&VM_INSTANCE, &[("start", "100"), ("replyWithCount", "true")]);
    assert_eq!((beyond.inventories.len(), beyond.total), (0, Some(5)));
    let nothing = db.ask(&VM_INSTANCE, &[("q", "name=nothing"), ("replyWithCount", "true")]);
    assert_eq!(nothing.into_answer(), json!({"inventories": [], "total": 0}));
    let count = db.ask(&VM_INSTANCE, &[("q", "state=Running"), ("count", "true")]);
    assert_eq!(count.into_answer(), json!({"total": 3}));
    assert_eq!(names(&[("limit", "0")]), Vec::<String>::new());
    let capped = Options { max_limit: 2, ..Options::default() };
    let found = db
        .run(&VM_INSTANCE, Query { limit: Some(9), ..Query::default() }, Viewer::EVERYTHING, capped)
        .unwrap();
    assert_eq!(found.inventories.len(), 2);
}

#[test]
fn fields_and_groups() {
    let db = Db::new();
    let found = db.ask(&VM_INSTANCE, &[("fields", "name,cpuNum"), ("sort", "-name"), ("limit", "1")]);
    assert_eq!(found.inventories, [json!({"name": "web-2", "cpuNum": 2})]);
    let nested = db.ask(&BACKUP_STORAGE, &[("fields", "attachedZoneUuids,hostname"), ("limit", "1")]);
    assert_eq!(nested.inventories[0]["attachedZoneUuids"].as_array().map(Vec::len), Some(2));
    assert_eq!(nested.inventories[0]["hostname"], "192.168.0.1");
    let groups =
        db.ask(&VM_INSTANCE, &[("groupBy", "state"), ("fields", "state"), ("replyWithCount", "true")]);
    assert_eq!(
        groups.inventories,
        [json!({"state": "Running"}), json!({"state": "Stopped"}), json!({"state": "Destroyed"})]
    );
    assert_eq!(groups.total, Some(3));
    let by_host = db.ask(&VM_INSTANCE, &[("groupBy", "hostUuid"), ("count", "true")]);
    assert_eq!(by_host.total, Some(3), "two hosts and none");
    assert_eq!(db.ask(&HOST, &[("groupBy", "totalCpuCapacity")]).inventories.len(), 1);
}

#[test]
fn dates_are_written_as_asked() {
    let db = Db::new();
    let ask = |dates| {
        let query = Query::by_uuid(&id("vm", 1));
        let found =
            db.run(&VM_INSTANCE, query, Viewer::EVERYTHING, Options { dates, ..Options::default() }).unwrap();
        found.inventories[0]["createDate"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask(DateStyle::Rfc3339), "1970-01-02T00:00:00.250Z");
    assert_eq!(ask(DateStyle::Legacy { offset_minutes: 480 }), "Jan 2, 1970 8:00:00 AM");
    let east = Options { dates: DateStyle::Legacy { offset_minutes: 480 }, ..Options::default() };
    let query = Query::default().and("createDate", Op::Eq, "1970-01-02 08:00:00");
    assert_eq!(db.run(&VM_INSTANCE, query, Viewer::EVERYTHING, east).unwrap().inventories.len(), 1);
}

#[test]
fn rows_are_completed_by_the_server() {
    let db = Db::new();
    let options = Options {
        decorate: Some(Arc::new(|resource, extra, row| {
            assert_eq!(resource.inventory, "VmInstanceInventory");
            row.insert("allowedActions".into(), json!([extra.text("state")]));
        })),
        decorated: &["allowedActions"],
        ..Options::default()
    };
    let ask = |fields: &[&str]| {
        let query = Query {
            fields: fields.iter().map(|f| (*f).to_owned()).collect(),
            ..Query::by_uuid(&id("vm", 1))
        };
        db.run(&VM_INSTANCE, query, Viewer::EVERYTHING, options.clone()).unwrap().inventories.remove(0)
    };
    assert_eq!(ask(&[])["allowedActions"], json!(["Running"]));
    assert_eq!(ask(&["name", "allowedActions"]), json!({"name": "web-1", "allowedActions": ["Running"]}));
    assert_eq!(ask(&["name"]), json!({"name": "web-1"}));
}

#[test]
fn one_resource_for_an_answer() {
    let db = Db::new();
    let found = db.read(|tx| one(tx, &ZONE, &id("zone", 1), &Options::default())).unwrap().unwrap();
    assert_eq!(found["name"], "zone-1");
    assert_eq!(db.read(|tx| one(tx, &ZONE, "nothing", &Options::default())).unwrap(), None);
}

#[test]
fn rows_in_memory_are_queried_like_others() {
    let db = Db::new();
    let rows = json!([
        {"category": "host", "name": "ping.interval", "description": "d", "default_value": "60", "value": "30"},
        {"category": "vm", "name": "ping.interval", "description": "d", "default_value": "60", "value": "60"},
    ]);
    let given = BTreeMap::from([("global_config", std::sync::Arc::new(move || rows.to_string()) as Given)]);
    let options = Options { given, ..Options::default() };
    let query = Query { with_total: true, ..Query::default() }.and("category", Op::Like, "HOS%");
    let found = db.run(&GLOBAL_CONFIG, query, Viewer::Account("x".into()), options).unwrap();
    assert_eq!(found.total, Some(1));
    assert_eq!(found.inventories[0]["value"], "30");
    assert_eq!(found.inventories[0]["defaultValue"], "60");
}

#[test]
fn ids_that_are_never_stored_are_refused() {
    let db = Db::new();
    assert_eq!(db.fault(&CONSOLE, &[]).code, "SYS.1007");
    assert_eq!(db.fault(&SESSION, &[]).code, "SYS.1007");
}

#[test]
fn the_other_database_gets_its_own_words() {
    let query = Query::default().and("name", Op::Like, "a%").and("cpuNum", Op::In, "1,2").and(
        "createDate",
        Op::Like,
        "2018%",
    );
    let options = Options { dialect: Dialect::Postgres, ..Options::default() };
    let sql = compile(&VM_INSTANCE, &query, &Viewer::EVERYTHING, &options).map(|c| c.sql).unwrap();
    for word in ["ILIKE", "json_array_elements_text", "json_agg", "to_char"] {
        assert!(sql.contains(word), "{word} in {sql}");
    }
    assert!(!sql.contains("json_each") && !sql.contains("strftime"));
}
