//! Who sees what.

use cairn_api::resource::*;
use cairn_query::{Options, Query, Viewer};

use crate::fixture::{Db, id};

fn account(n: u32) -> Viewer {
    Viewer::Account(id("acc", n))
}

#[test]
fn api_03_accounts_see_what_they_own() {
    let db = Db::new();
    assert_eq!(db.names_as(&VM_INSTANCE, &[], account(1)), ["web-1", "web-2"]);
    assert_eq!(db.names_as(&VM_INSTANCE, &[], account(2)), ["Web-3", "db-1", "100%_sure"]);
    assert_eq!(db.names_as(&VM_INSTANCE, &[], account(9)), Vec::<String>::new());
    assert_eq!(db.names_as(&VOLUME, &[], account(1)), ["root-web-1", "root-web-2"]);
    assert_eq!(db.names_as(&L3_NETWORK, &[], account(1)), ["flat-1"]);
}

#[test]
fn api_03_a_uuid_of_another_account_is_not_found() {
    let db = Db::new();
    let foreign = format!("uuid={}", id("vm", 4));
    assert_eq!(db.names_as(&VM_INSTANCE, &[&foreign], account(1)), Vec::<String>::new());
    assert_eq!(db.names_as(&VM_INSTANCE, &[&foreign], account(2)), ["db-1"]);
    let list = format!("uuid?={},{}", id("vm", 1), id("vm", 4));
    assert_eq!(db.names_as(&VM_INSTANCE, &[&list], account(1)), ["web-1"]);
}

#[test]
fn api_03_totals_count_only_what_is_visible() {
    let db = Db::new();
    let query = Query { with_total: true, limit: Some(1), ..Query::default() };
    let found = db.run(&VM_INSTANCE, query, account(2), Options::default()).unwrap();
    assert_eq!((found.inventories.len(), found.total), (1, Some(3)));
    let query = Query { count: true, ..Query::default() };
    assert_eq!(db.run(&VM_INSTANCE, query, account(1), Options::default()).unwrap().total, Some(2));
}

#[test]
fn api_03_shared_resources_are_seen_by_their_receivers() {
    let db = Db::new();
    assert_eq!(db.names_as(&IMAGE, &[], account(1)), ["debian", "for-alice"]);
    assert_eq!(db.names_as(&IMAGE, &[], account(2)), ["debian", "private"]);
    let one = format!("uuid={}", id("image", 3));
    assert_eq!(db.names_as(&IMAGE, &[&one], account(1)), ["for-alice"]);
    assert_eq!(db.names_as(&IMAGE, &[&one], account(2)), Vec::<String>::new());
    let public = format!("uuid={}", id("image", 1));
    assert_eq!(db.names_as(&IMAGE, &[&public], account(9)), ["debian"]);
}

#[test]
fn api_03_parts_follow_their_whole() {
    let db = Db::new();
    assert_eq!(db.names_as(&VM_NIC, &[], account(1)).len(), 3);
    assert_eq!(db.names_as(&VM_NIC, &["ip=10.0.0.100"], account(1)).len(), 0);
    assert_eq!(db.names_as(&IP_RANGE, &[], account(2)), ["range-2"]);
    assert_eq!(db.names_as(&USER_TAG, &[], account(1)), ["fast", "prod", "slow"]);
    assert_eq!(db.names_as(&USER_TAG, &[], account(2)), Vec::<String>::new());
    assert_eq!(db.names_as(&ACCOUNT, &[], account(1)), ["alice"]);
}

#[test]
fn api_03_joins_tell_nothing_about_strangers() {
    let db = Db::new();
    assert_eq!(db.names_as(&ZONE, &["vmInstance.name=web-1"], account(1)), ["zone-1"]);
    assert_eq!(db.names_as(&ZONE, &["vmInstance.name=db-1"], account(1)), Vec::<String>::new());
    assert_eq!(db.names_as(&HOST, &["vmInstance.vmNics.ip=10.0.0.100"], account(1)), Vec::<String>::new());
    assert_eq!(
        db.names_as(&VM_INSTANCE, &["vmNics.l3Network.name=flat-2"], account(1)),
        Vec::<String>::new()
    );
    assert_eq!(db.names_as(&VM_INSTANCE, &["account.name=alice"], account(1)), ["web-1", "web-2"]);
    let other = format!("accountUuid={}", id("acc", 2));
    assert_eq!(db.names_as(&VM_INSTANCE, &[&other], account(1)), Vec::<String>::new());
    assert_eq!(db.names(&VM_INSTANCE, &[&other]), ["Web-3", "db-1", "100%_sure"]);
}

#[test]
fn api_03_admin_sees_all_unless_the_setting_is_off() {
    let db = Db::new();
    assert_eq!(db.names_as(&VM_INSTANCE, &[], Viewer::Admin { show_all: true }).len(), 5);
    assert_eq!(db.names_as(&VM_INSTANCE, &[], Viewer::Admin { show_all: false }), Vec::<String>::new());
    assert_eq!(db.names_as(&IMAGE, &[], Viewer::Admin { show_all: false }), ["debian", "for-alice"]);
    assert_eq!(db.names_as(&WEBHOOK, &[], Viewer::Admin { show_all: false }), Vec::<String>::new());
    assert_eq!(db.names_as(&HOST, &[], Viewer::Admin { show_all: false }).len(), 3);
}

#[test]
fn api_03_shares_are_seen_from_both_ends() {
    let db = Db::new();
    let count = |viewer| db.names_as(&SHARED_RESOURCE, &[], viewer).len();
    assert_eq!(count(account(1)), 2, "to public, and to alice");
    assert_eq!(count(account(2)), 1, "to public");
    assert_eq!(count(Viewer::Admin { show_all: false }), 2, "both are the admin's");
    let found = db.ask(&SHARED_RESOURCE, &[("q", "toPublic=true")]);
    assert_eq!(found.inventories[0]["ownerAccountUuid"], crate::fixture::ADMIN);
    assert_eq!(found.inventories[0]["resourceType"], "ImageVO");
}
