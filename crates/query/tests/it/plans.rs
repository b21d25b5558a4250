//! How SQLite finds the rows: what a cloud of a million VMs must not have read from end to end.

use cairn_api::resource::*;
use cairn_query::{Options, Viewer, compile};
use cairn_store::Dialect;

use crate::fixture::{Db, query};

/// What SQLite does for a query, line by line. None on another database.
fn plan(resource: &'static Resource, pairs: &[(&str, &str)], viewer: Viewer) -> Option<String> {
    let compiled = compile(resource, &query(pairs), &viewer, &Options::default()).unwrap();
    let db = Db::new();
    if db.read(|tx| Ok(tx.dialect())).unwrap() != Dialect::Sqlite {
        return None;
    }
    let sql = format!("EXPLAIN QUERY PLAN {}", compiled.sql);
    let rows = db.read(move |tx| tx.query(&sql, &compiled.params)).unwrap();
    Some(rows.iter().map(|r| r.text("detail").unwrap() + "\n").collect())
}

#[test]
fn bey_07_lists_of_vms_are_found_by_indexes() {
    for (pairs, index) in [
        (vec![("q", "name=web-1")], "SEARCH t USING INDEX vm_instance_name"),
        (vec![("q", "vmNics.ip=10.0.0.9")], "SEARCH j1 USING INDEX vm_nic_ip"),
        (vec![("limit", "100")], "SCAN t USING COVERING INDEX sqlite_autoindex_vm_instance_1"),
        (vec![("limit", "100"), ("sort", "-createDate")], "SCAN t USING INDEX vm_instance_create"),
        (vec![("limit", "100"), ("sort", "+name")], "SCAN t USING INDEX vm_instance_name"),
    ] {
        let Some(found) = plan(&VM_INSTANCE, &pairs, Viewer::EVERYTHING) else { return };
        assert!(found.contains(index), "{pairs:?}:\n{found}");
        let scans = found.lines().filter(|l| l.starts_with("SCAN t") && !l.contains("USING")).count();
        assert_eq!(scans, 0, "{pairs:?}:\n{found}");
    }
}

#[test]
fn bey_07_few_rows_are_looked_up_among_many() {
    for (resource, condition, index) in [
        (&ZONE, "vmInstance.state=Running", "vm_instance_zone_state (zone_uuid=? AND state=?)"),
        (&CLUSTER, "vmInstance.state=Running", "vm_instance_cluster_state (cluster_uuid=? AND state=?)"),
        (&ZONE, "vmInstance.name=web-1", "vm_instance_name (name=?)"),
    ] {
        let Some(found) = plan(resource, &[("q", condition)], Viewer::EVERYTHING) else { return };
        assert!(found.contains(index), "{condition}:\n{found}");
        assert!(!found.contains("SCAN j1"), "{condition}:\n{found}");
    }
}

#[test]
fn bey_07_who_asks_for_one_of_his_vms_has_not_all_of_them_listed() {
    let me = Viewer::Account(crate::fixture::id("ac", 1));
    let Some(found) = plan(&VM_INSTANCE, &[("q", "vmNics.ip=10.0.0.9")], me) else { return };
    assert!(!found.contains("resource_account"), "{found}");
    assert!(found.contains("vm_nic_ip"), "{found}");
}
