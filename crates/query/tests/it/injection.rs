//! Nothing that a caller writes becomes part of a statement.

use cairn_api::resource::{ALL, BACKUP_STORAGE, FieldType, VM_INSTANCE};
use cairn_query::{Op, Options, Query, Viewer, compile};
use proptest::prelude::*;

use crate::fixture::Db;

const OPS: &[Op] = &[
    Op::Eq,
    Op::NotEq,
    Op::Gt,
    Op::Ge,
    Op::Lt,
    Op::Le,
    Op::In,
    Op::NotIn,
    Op::Like,
    Op::NotLike,
    Op::IsNull,
    Op::NotNull,
];
const FIELDS: &[&str] = &[
    "name",
    "vmNics.ip",
    "__userTag__",
    "host.__systemTag__",
    "image.backupStorage.attachedZoneUuids",
    "account.name",
    "vmNics.l3Network.ipRanges.name",
    "accountUuid",
];

fn sql(field: &str, op: Op, value: &str, viewer: &Viewer) -> String {
    let query = Query { with_total: true, ..Query::default() }.and(field, op, value);
    compile(&VM_INSTANCE, &query, viewer, &Options::default()).unwrap().sql
}

proptest! {
    #[test]
    fn values_never_reach_the_text(field in 0..FIELDS.len(), op in 0..OPS.len(), value in "\\PC{0,40}", me in "\\PC{0,40}") {
        let (field, op) = (FIELDS[field], OPS[op]);
        let stranger = Viewer::Account(me);
        prop_assert_eq!(sql(field, op, &value, &stranger), sql(field, op, "x", &Viewer::Account("x".into())));
    }

    #[test]
    fn names_never_reach_the_text(field in "\\PC{0,30}", sort in "\\PC{0,30}", group in "\\PC{0,30}", own in "\\PC{0,30}") {
        let base = Query::default().and(&field, Op::Eq, "x");
        for query in [
            base,
            Query { sort: vec![cairn_query::Sort { field: sort, descending: true }], ..Query::default() },
            Query { group_by: Some(group), ..Query::default() },
            Query { fields: vec![own], ..Query::default() },
        ] {
            for resource in [&VM_INSTANCE, &BACKUP_STORAGE] {
                if let Err(fault) = compile(resource, &query, &Viewer::EVERYTHING, &Options::default()) {
                    prop_assert!(fault.code == "SYS.1007" || fault.code == "QUERY.8000");
                }
            }
        }
    }
}

#[test]
fn hostile_values_find_nothing_and_break_nothing() {
    let db = Db::new();
    for hostile in [
        "' OR 1=1 --",
        "'; DROP TABLE vm_instance; --",
        "\" OR \"\"=\"",
        "$(reboot)",
        "../..",
        "\u{0}",
        "😀",
        "a\nb",
        "[1",
    ] {
        for field in FIELDS {
            for sign in ["=", "?=", "~=", ">"] {
                let condition = format!("{field}{sign}{hostile}");
                let found = db.names(&VM_INSTANCE, &[&condition]);
                assert!(sign == ">" || found.is_empty(), "{condition}: {found:?}");
            }
        }
    }
    assert_eq!(db.names(&VM_INSTANCE, &[]).len(), 5);
}

#[test]
fn every_field_of_every_resource_compiles_and_runs() {
    let db = Db::new();
    let viewers = [Viewer::EVERYTHING, Viewer::Admin { show_all: false }, Viewer::Account("x".into())];
    let mut turn = 0;
    for resource in ALL.iter().copied().filter(|r| !r.table.is_empty() && !r.given) {
        for field in resource.fields().filter(|f| f.queryable) {
            let value = if field.ty == FieldType::Date { "2018-01-02 15:04:05" } else { "1" };
            for op in OPS {
                let query = Query { with_total: true, ..Query::default() }.and(field.name, *op, value);
                turn += 1;
                let found = db.run(resource, query, viewers[turn % 3].clone(), Options::default());
                assert!(found.is_ok(), "{}.{} {op:?}: {found:?}", resource.inventory, field.name);
            }
        }
        for field in resource.fields() {
            for pairs in [[("sort", field.name)], [("groupBy", field.name)], [("fields", field.name)]] {
                db.ask(resource, &pairs);
            }
        }
    }
}
