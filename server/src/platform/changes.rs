//! What a plan says of resources that stay but change (BEY-01). Every resource that an event of the rehearsal names is looked
//! at twice: in the rehearsal, which is what it would be, and in the committed state, which is what it is. The fields that
//! differ are the plan's, so it can't disagree with the deed.
//!
//! Shown are the fields of the inventory, but for dates of bookkeeping, and what the inventory leaves out: the owner, with whom
//! it is shared, tags, quotas, when it would be expunged, and that a secret changes, without the secret.

use std::collections::BTreeSet;

use cairn_api::resource::{self, Resource};
use cairn_api::settings as table;
use cairn_query::DateStyle;
use cairn_store::{Tx, params};
use cairn_types::{Result, mask, time};
use cairn_workflow::{FieldChange, Plan, PlannedChange, PlannedResource};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::inventory;
use crate::platform::{audit, events, settings};

/// Fields that change with every touch, or that follow from others.
const BOOKKEEPING: &[&str] = &["createDate", "lastOpDate", "allowedActions"];
const SETTING: &str = "GlobalConfigVO";

/// Notes every resource that the rehearsal touched and what it would be. Resources that come or go are no changes.
pub(super) fn touched(app: &App, tx: &mut dyn Tx, begun: i64, plan: &mut Plan) -> Result<()> {
    let mut known: BTreeSet<String> =
        plan.creates.iter().chain(&plan.deletes).map(|r| r.uuid.clone()).collect();
    for event in events::after(tx, begun, i64::MAX)? {
        if event.kind != "updated" || !known.insert(event.uuid.clone()) {
            continue;
        }
        let after = seen(app, tx, &event.resource_type, &event.uuid)?;
        let name = after.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let resource = PlannedResource { resource_type: event.resource_type, uuid: event.uuid, name };
        plan.changes.push(PlannedChange { resource, fields: Vec::new(), account: event.account, after });
    }
    Ok(())
}

/// Compares what [`touched`] noted with the committed state. What would stay as it is, is left out.
pub(super) fn compare(app: &App, tx: &mut dyn Tx, plan: &mut Plan) -> Result<()> {
    for change in &mut plan.changes {
        let before = seen(app, tx, &change.resource.resource_type, &change.resource.uuid)?;
        let after = std::mem::take(&mut change.after);
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let differing = names.into_iter().filter(|n| before.get(*n) != after.get(*n));
        // How a connection ends, only the attempt can tell.
        let differing = differing.filter(|n| after.get(*n).and_then(Value::as_str) != Some("Connecting"));
        change.fields = differing.map(|n| field(n, before.get(n), after.get(n))).collect();
        // A name that changes is told by its old value, by which it is known.
        if let Some(name) = before.get("name").and_then(Value::as_str) {
            change.resource.name = name.to_owned();
        }
    }
    plan.changes.retain(|c| !c.fields.is_empty());
    Ok(())
}

fn field(name: &str, from: Option<&Value>, to: Option<&Value>) -> FieldChange {
    let shown = |value: Option<&Value>| match value {
        Some(_) if audit::looks_secret(name) => Some(json!(settings::MASK)),
        other => other.cloned().map(|mut value| {
            mask::json(&mut value);
            value
        }),
    };
    FieldChange { field: name.to_owned(), from: shown(from), to: shown(to) }
}

/// A resource as this transaction sees it; empty if it is not there. Values of secrets are for comparison only.
fn seen(app: &App, tx: &mut dyn Tx, entity: &str, uuid: &str) -> Result<Map<String, Value>> {
    if entity == SETTING {
        return setting(tx, uuid);
    }
    let Some(table) = resource::find_by_entity(entity) else { return Ok(Map::new()) };
    let found = cairn_query::one(tx, table, uuid, &inventory::options(DateStyle::Rfc3339))?;
    let Some(Value::Object(mut fields)) = found else { return Ok(Map::new()) };
    without_bookkeeping(&mut fields);
    secrets(tx, table, uuid, &mut fields)?;
    registered(tx, uuid, &mut fields)?;
    tags(tx, uuid, &mut fields)?;
    if entity == "AccountVO" {
        quotas(tx, uuid, &mut fields)?;
    }
    if let Some(date) = expunge_date(app, tx, entity, uuid)? {
        fields.insert("expungeDate".into(), date);
    }
    Ok(fields)
}

fn without_bookkeeping(fields: &mut Map<String, Value>) {
    fields.retain(|name, _| !BOOKKEEPING.contains(&name.as_str()));
    for value in fields.values_mut() {
        match value {
            Value::Object(inner) => without_bookkeeping(inner),
            Value::Array(list) => {
                list.iter_mut().filter_map(Value::as_object_mut).for_each(without_bookkeeping);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// `vm/deletionPolicy` and its kind.
fn setting(tx: &mut dyn Tx, id: &str) -> Result<Map<String, Value>> {
    let Some((category, name)) = id.split_once('/') else { return Ok(Map::new()) };
    let Some(known) = table::find(category, name) else { return Ok(Map::new()) };
    let sql = "SELECT value FROM global_config WHERE category = ? AND name = ?";
    let row = tx.query_opt(sql, params![category, name])?;
    let value = row.map_or_else(|| Ok(known.default_value().to_owned()), |r| r.text("value"))?;
    // A secret is sealed anew each time, so setting it is always told.
    let field = if known.is_secret() { "secretValue" } else { "value" };
    Ok(Map::from_iter([("name".to_owned(), json!(id)), (field.to_owned(), json!(value))]))
}

/// Columns with hashes of passwords and sealed secrets.
fn secrets(tx: &mut dyn Tx, table: &Resource, uuid: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let Some(row) = tx.query_opt(&format!("SELECT * FROM {} WHERE uuid = ?", table.table), params![uuid])?
    else {
        return Ok(());
    };
    for (column, value) in row.names().iter().zip(row.values()) {
        let bare = column.trim_end_matches("_hash").trim_end_matches("_sealed");
        if let (true, Some(value)) = (audit::looks_secret(bare), value.as_text()) {
            fields.insert(bare.to_owned(), json!(value));
        }
    }
    Ok(())
}

/// Owner and shares.
fn registered(tx: &mut dyn Tx, uuid: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let row = tx.query_opt("SELECT account_uuid FROM resource WHERE uuid = ?", params![uuid])?;
    if let Some(owner) = row.map(|r| r.opt_text("account_uuid")).transpose()?.flatten() {
        fields.insert("ownerAccountUuid".into(), json!(owner));
    }
    let sql = "SELECT coalesce(receiver_account_uuid, 'everybody') AS value FROM shared_resource WHERE resource_uuid = ?
               ORDER BY value";
    list(tx, sql, uuid, "sharedWith", fields)
}

fn tags(tx: &mut dyn Tx, uuid: &str, fields: &mut Map<String, Value>) -> Result<()> {
    for (name, table) in [("systemTags", "system_tag"), ("userTags", "user_tag")] {
        let sql = format!("SELECT tag AS value FROM {table} WHERE resource_uuid = ? ORDER BY tag");
        list(tx, &sql, uuid, name, fields)?;
    }
    Ok(())
}

/// The values of a list, if there are any; tags with secrets in them are masked.
fn list(tx: &mut dyn Tx, sql: &str, uuid: &str, name: &str, fields: &mut Map<String, Value>) -> Result<()> {
    let rows = tx.query(sql, params![uuid])?;
    let values: Vec<String> =
        rows.iter().map(|r| r.text("value").map(|v| cairn_api::tags::mask(&v))).collect::<Result<_>>()?;
    if !values.is_empty() {
        fields.insert(name.to_owned(), json!(values));
    }
    Ok(())
}

fn quotas(tx: &mut dyn Tx, account: &str, fields: &mut Map<String, Value>) -> Result<()> {
    for row in tx.query("SELECT name, value FROM quota WHERE identity_uuid = ?", params![account])? {
        fields.insert(format!("quota {}", row.text("name")?), json!(row.int("value")?));
    }
    Ok(())
}

/// When something that was deleted goes for good; none if that is not going to happen.
fn expunge_date(app: &App, tx: &mut dyn Tx, entity: &str, uuid: &str) -> Result<Option<Value>> {
    let (category, sql) = match entity {
        "VmInstanceVO" => {
            ("vm", "SELECT destroyed_ms AS at FROM vm_instance WHERE uuid = ? AND state = 'Destroyed'")
        }
        "ImageVO" => ("image", "SELECT deleted_ms AS at FROM image WHERE uuid = ? AND status = 'Deleted'"),
        _ => return Ok(None),
    };
    if app.settings.text(category, "deletionPolicy") == "Never" {
        return Ok(None);
    }
    let row = tx.query_opt(sql, params![uuid])?;
    let at = row.map(|r| r.opt_int("at")).transpose()?.flatten();
    let period = app.settings.int(category, "expungePeriod").max(0).saturating_mul(1000);
    Ok(at.map(|at| json!(time::rfc3339(at.saturating_add(period)))))
}
