//! The calls about tags (TAG-01).

use cairn_api::ops::platform::{CreateSystemTag, CreateUserTag, DeleteTag, UpdateSystemTag};
use cairn_api::resource;
use cairn_api::tags as formats;
use cairn_store::{Row, Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use super::tags;
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::{compute, hardware, inventory, network, rows};

/// Most characters of a user tag.
const USER_TAG_CHARS: usize = 2048;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<CreateSystemTag>(create_system);
    h.change::<UpdateSystemTag>(update_system);
    h.change::<CreateUserTag>(create_user);
    h.change::<DeleteTag>(delete);
}

fn create_system(call: &Call, tx: &mut dyn Tx, op: &CreateSystemTag) -> Result<Value> {
    let (resource, entity) = tagged(call, tx, &op.resource_type, &op.resource_uuid)?;
    let format = tags::check_on(&entity, &op.tag)?;
    tags::refuse_second(tx, resource, &format, &op.tag)?;
    let tag = tags::insert(tx, "system_tag", &entity, resource, &op.tag, format.inherent)?;
    written(call, tx, &entity, resource, &op.tag, true)?;
    inventory::answer(tx, "SystemTagInventory", tag, call.dates)
}

fn create_user(call: &Call, tx: &mut dyn Tx, op: &CreateUserTag) -> Result<Value> {
    let (resource, entity) = tagged(call, tx, &op.resource_type, &op.resource_uuid)?;
    if op.tag.is_empty() || op.tag.chars().count() > USER_TAG_CHARS {
        let text = format!("'tag' must have 1 to {USER_TAG_CHARS} characters");
        return Err(Fault::argument(text).with("field", "tag"));
    }
    let tag = tags::insert(tx, "user_tag", &entity, resource, &op.tag, false)?;
    inventory::answer(tx, "UserTagInventory", tag, call.dates)
}

/// The resource that gets a tag, and its type in the registry. It belongs to the caller; what is only shared with him, or
/// belongs to nobody, he can't tag.
fn tagged(call: &Call, tx: &mut dyn Tx, r#type: &str, uuid: &str) -> Result<(Id<kind::AnyResource>, String)> {
    let resource: Id<kind::AnyResource> = id("resourceUuid", uuid)?;
    let found = tx.query_opt("SELECT resource_type FROM resource WHERE uuid = ?", params![resource])?;
    let entity = match found {
        Some(row) => row.text("resource_type")?,
        None => return Err(Fault::not_found(r#type, resource)),
    };
    if !is_of_type(&entity, r#type) {
        return Err(Fault::not_found(r#type, resource));
    }
    require_owner(call, tx, resource)?;
    if has_deletion(&entity) {
        rows::claim(tx, &entity, resource)?;
    }
    Ok((resource, entity))
}

/// `KVMHostVO` and `HostVO` both name a host.
fn is_of_type(entity: &str, named: &str) -> bool {
    let extends = |r: &&resource::Resource| r.entity == named && r.parent.is_some_and(|p| p.entity == entity);
    named == entity || resource::ALL.iter().copied().any(|r| extends(&r))
}

/// Whether rows of this type can be on their way out.
fn has_deletion(entity: &str) -> bool {
    resource::find_by_entity(entity).is_some_and(|r| r.post.contains(&"deleting_run"))
}

/// Refuses everybody but the owner and administrators.
fn require_owner(call: &Call, tx: &mut dyn Tx, resource: Id<kind::AnyResource>) -> Result<()> {
    if call.caller.is_admin() || rows::owner(tx, resource)? == Some(call.caller.account) {
        return Ok(());
    }
    Err(Fault::denied(format!("resource {resource} does not belong to the account that calls")))
}

fn update_system(call: &Call, tx: &mut dyn Tx, op: &UpdateSystemTag) -> Result<Value> {
    let uuid: Id<kind::Tag> = id("uuid", &op.uuid)?;
    let row = find(tx, "system_tag", uuid)?.ok_or_else(|| Fault::not_found("SystemTagVO", uuid))?;
    let (resource, entity, old) = (row.id("resource_uuid")?, row.text("resource_type")?, row.text("tag")?);
    require_owner(call, tx, resource)?;
    if row.bool("inherent")? {
        return Err(inherent(&old));
    }
    let format = tags::check_on(&entity, &op.tag)?;
    if formats::match_format(&entity, &old).is_none_or(|f| f.format != format.format) {
        let text = format!("the tag keeps its format; {:?} has the form {}", op.tag, format.format);
        return Err(Fault::argument(text).with("tag", formats::mask(&op.tag)));
    }
    let sql = "UPDATE system_tag SET tag = ?, last_op_ms = ? WHERE uuid = ?";
    let written = tx.execute(sql, params![&op.tag, time::now_ms(), uuid]);
    written.map_err(|f| tags::duplicate(f, resource, &op.tag))?;
    self::written(call, tx, &entity, resource, &op.tag, true)?;
    rows::event(tx, &entity, resource, "updated", &json!({ "tag": formats::mask(&op.tag) }))?;
    inventory::answer(tx, "SystemTagInventory", uuid, call.dates)
}

fn delete(call: &Call, tx: &mut dyn Tx, op: &DeleteTag) -> Result<Value> {
    let uuid: Id<kind::Tag> = id("uuid", &op.uuid)?;
    for table in ["system_tag", "user_tag"] {
        let Some(row) = find(tx, table, uuid)? else { continue };
        let (resource, tag) = (row.id("resource_uuid")?, row.text("tag")?);
        require_owner(call, tx, resource)?;
        if table == "system_tag" && row.bool("inherent")? {
            return Err(inherent(&tag));
        }
        tx.execute(&format!("DELETE FROM {table} WHERE uuid = ?"), params![uuid])?;
        let shown = formats::mask(&tag);
        let entity = row.text("resource_type")?;
        rows::event(tx, &entity, resource, "updated", &json!({ "tagRemoved": shown }))?;
        written(call, tx, &entity, resource, &tag, false)?;
        return Ok(json!({}));
    }
    Err(Fault::not_found("TagVO", uuid))
}

/// What follows from a tag that came, changed or went: the guest of a VM reads host name, keys and user data from its tags,
/// and hosts keep memory back.
fn written(
    call: &Call,
    tx: &mut dyn Tx,
    entity: &str,
    resource: Id<kind::AnyResource>,
    tag: &str,
    comes: bool,
) -> Result<()> {
    if entity != "VmInstanceVO" {
        return hardware::host::capacity::tag_changed(tx, entity, resource);
    }
    let vm: Id<kind::Vm> = resource.cast();
    if comes {
        compute::vm::tag_written(tx, vm, tag)?;
    } else {
        compute::vm::tag_allowed(tx, vm, tag, false)?;
    }
    call.after_commit(move |app| network::apply::refresh_vm(app, vm));
    Ok(())
}

fn find(tx: &mut dyn Tx, table: &str, uuid: Id<kind::Tag>) -> Result<Option<Row>> {
    tx.query_opt(&format!("SELECT * FROM {table} WHERE uuid = ?"), params![uuid])
}

fn inherent(tag: &str) -> Fault {
    Fault::operation(format!(
        "tag {:?} was made by the platform and can't be changed or deleted",
        formats::mask(tag)
    ))
}
