//! The one place through which resources come, change and go: registry row, tags, shares and the event of each change are
//! written with the change itself.

use cairn_api::resource;
use cairn_store::{Tx, Value, is_duplicate, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use crate::platform::events;

/// Registers a new resource. A uuid in use is refused, and an owner that is being deleted.
pub fn register<T>(
    tx: &mut dyn Tx,
    entity: &str,
    uuid: Id<T>,
    owner: Option<Id<kind::Account>>,
) -> Result<()> {
    let now = time::now_ms();
    if let Some(owner) = owner {
        claim(tx, "AccountVO", owner)?;
    }
    let sql = "INSERT INTO resource (uuid, resource_type, account_uuid, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?)";
    tx.execute(sql, params![uuid, entity, owner, now, now]).map_err(|f| {
        if is_duplicate(&f) {
            Fault::new(
                code::UUID_TAKEN,
                format!("the uuid {uuid} is in use already; choose another resourceUuid"),
            )
        } else {
            f
        }
    })?;
    events::write(tx, owner.map(|o| o.to_string()), entity, &uuid.to_string(), "created", &json!({}))
}

/// Registers many new resources of one type that belong to nobody, such as hosts.
pub fn register_all<T>(tx: &mut dyn Tx, entity: &str, uuids: &[Id<T>]) -> Result<()> {
    let now = time::now_ms();
    for uuid in uuids {
        let sql = "INSERT INTO resource (uuid, resource_type, account_uuid, create_ms, last_op_ms) VALUES (?, ?, NULL, ?, ?)";
        tx.execute(sql, params![*uuid, entity, now, now])?;
    }
    let data = json!({});
    events::write_all(tx, entity, "created", uuids.iter().map(|uuid| (*uuid, &data)))
}

/// Notes a change of a resource: its event, and its date of last operation.
pub fn changed<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>, data: &serde_json::Value) -> Result<()> {
    if let Some(table) = table_of(entity) {
        let sql = format!("UPDATE {table} SET last_op_ms = ? WHERE uuid = ?");
        tx.execute(&sql, params![time::now_ms(), uuid])?;
    }
    event(tx, entity, uuid, "updated", data)
}

/// Removes a resource: its event, tags, shares, registry row, and its own row.
pub fn remove<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>) -> Result<()> {
    remove_telling(tx, entity, uuid, json!({}))
}

/// The same, with more in its event: what a follower of the log can no longer read from the row.
pub fn remove_telling<T>(
    tx: &mut dyn Tx,
    entity: &str,
    uuid: Id<T>,
    mut data: serde_json::Value,
) -> Result<()> {
    data["name"] = name(tx, entity, uuid).unwrap_or_default().into();
    event(tx, entity, uuid, "deleted", &data)?;
    for table in ["system_tag", "user_tag", "shared_resource"] {
        tx.execute(&format!("DELETE FROM {table} WHERE resource_uuid = ?"), params![uuid])?;
    }
    if let Some(table) = table_of(entity) {
        tx.execute(&format!("DELETE FROM {table} WHERE uuid = ?"), params![uuid])?;
    }
    tx.execute("DELETE FROM resource WHERE uuid = ?", params![uuid])?;
    Ok(())
}

/// Writes an event, which the owner sees.
pub fn event<T>(
    tx: &mut dyn Tx,
    entity: &str,
    uuid: Id<T>,
    kind: &str,
    data: &serde_json::Value,
) -> Result<()> {
    events::write_for_owner(tx, entity, uuid, kind, data)
}

/// The table of an entity, `vm_instance` for `VmInstanceVO`.
pub fn table_of(entity: &str) -> Option<&'static str> {
    resource::find_by_entity(entity).map(|r| r.table)
}

/// Whether a resource of this type exists.
pub fn exists(tx: &mut dyn Tx, entity: &str, uuid: &str) -> Result<bool> {
    let Some(table) = table_of(entity) else { return Ok(false) };
    tx.exists(&format!("SELECT 1 FROM {table} WHERE uuid = ?"), params![uuid])
}

/// Fails with `SYS.1003` unless the resource exists.
pub fn must_exist<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>) -> Result<()> {
    if exists(tx, entity, &uuid.to_string())? { Ok(()) } else { Err(Fault::not_found(entity, uuid)) }
}

/// Claims a resource for a new reference: it must exist and not be on its way out. Called in the transaction that
/// inserts the reference, so a deletion that began earlier always wins and one that comes later sees the reference.
pub fn claim<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>) -> Result<()> {
    let Some(table) = table_of(entity) else { return Err(Fault::internal(format!("{entity} has no table"))) };
    let row = tx.query_opt(&format!("SELECT deleting_run FROM {table} WHERE uuid = ?"), params![uuid])?;
    match row {
        None => Err(Fault::not_found(entity, uuid)),
        Some(row) if row.opt_text("deleting_run")?.is_some() => {
            Err(Fault::new(code::DELETING, format!("{entity} {uuid} is being deleted"))
                .with("uuid", uuid.to_string()))
        }
        Some(_) => Ok(()),
    }
}

/// Marks a resource as on its way out, owned by a run. Safe to repeat by the same run; another run is refused.
pub fn begin_delete<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>, run: Id<kind::Run>) -> Result<()> {
    let Some(table) = table_of(entity) else { return Err(Fault::internal(format!("{entity} has no table"))) };
    let sql = format!(
        "UPDATE {table} SET deleting_run = ? WHERE uuid = ? AND (deleting_run IS NULL OR deleting_run = ?)"
    );
    if tx.execute(&sql, params![run, uuid, run])? == 1 {
        return deleting(tx, entity, uuid, true);
    }
    must_exist(tx, entity, uuid)?;
    Err(Fault::new(code::DELETING, format!("{entity} {uuid} is being deleted already")))
}

/// Takes [`begin_delete`] back.
pub fn end_delete<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>, run: Id<kind::Run>) -> Result<()> {
    if let Some(table) = table_of(entity) {
        let sql = format!("UPDATE {table} SET deleting_run = NULL WHERE uuid = ? AND deleting_run = ?");
        if tx.execute(&sql, params![uuid, run])? == 1 {
            return deleting(tx, entity, uuid, false);
        }
    }
    Ok(())
}

/// A host on its way out takes no VMs: whoever keeps an index of hosts has to hear of it.
fn deleting<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>, is_so: bool) -> Result<()> {
    if entity == "HostVO" {
        event(tx, entity, uuid, "updated", &json!({ "isDeleting": is_so }))
    } else {
        Ok(())
    }
}

/// The owner of a resource; none for infrastructure.
pub fn owner<T>(tx: &mut dyn Tx, uuid: Id<T>) -> Result<Option<Id<kind::Account>>> {
    match tx.query_opt("SELECT account_uuid FROM resource WHERE uuid = ?", params![uuid])? {
        Some(row) => row.opt_id("account_uuid"),
        None => Ok(None),
    }
}

/// The name of a resource; empty if it has none or is gone.
pub fn name<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>) -> Result<String> {
    let Some(resource) =
        resource::find_by_entity(entity).filter(|r| r.fields.iter().any(|f| f.name == "name"))
    else {
        return Ok(String::new());
    };
    let row = tx.query_opt(&format!("SELECT name FROM {} WHERE uuid = ?", resource.table), params![uuid])?;
    row.map_or(Ok(String::new()), |r| r.text("name"))
}

/// Sets the given columns of a resource that have a value, and notes the change. `None` values stay as they are.
pub fn update<T>(
    tx: &mut dyn Tx,
    entity: &str,
    uuid: Id<T>,
    columns: &[(&str, Option<Value>)],
) -> Result<()> {
    let Some(table) = table_of(entity) else { return Err(Fault::internal(format!("{entity} has no table"))) };
    let given: Vec<_> = columns.iter().filter_map(|(c, v)| v.clone().map(|v| (*c, v))).collect();
    if !given.is_empty() {
        let list: Vec<String> = given.iter().map(|(c, _)| format!("{c} = ?")).collect();
        let sql = format!("UPDATE {table} SET {} WHERE uuid = ?", list.join(", "));
        let values: Vec<Value> = given.iter().map(|(_, v)| v.clone()).chain([uuid.into()]).collect();
        tx.execute(&sql, &values)?;
    }
    let names: Vec<&str> = given.iter().map(|(c, _)| *c).collect();
    changed(tx, entity, uuid, &json!({ "changed": names }))
}

/// How SQLite goes about a statement in an installation whose tables it knows nothing of, a line each.
#[cfg(test)]
pub(crate) fn plan_of(sql: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let store = cairn_store::Store::open(&dir.path().join("db"), 1).unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let values = vec![Value::Null; sql.matches('?').count()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime.block_on(store.read(move |tx| tx.query(&explain, &values))).unwrap();
    rows.iter().map(|r| r.text("detail").unwrap() + "\n").collect()
}
