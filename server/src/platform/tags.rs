//! System and user tags: stored rows, and the checks before they are stored.

use cairn_api::tags as formats;
use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use crate::rows;

/// Checks the system tags of a create call: each must fit a known format, or act on the request only.
pub fn check(op_entity: Option<&str>, tags: &[String]) -> Result<()> {
    for tag in tags {
        let known = op_entity.is_some_and(|e| formats::match_format(e, tag).is_some())
            || formats::match_any(tag).is_some()
            || tag.starts_with("ephemeral::");
        if !known {
            return Err(Fault::argument(format!("system tag {tag:?} fits no known format")).with("tag", tag.as_str()));
        }
    }
    Ok(())
}

/// Stores the tags of a create call on the new resource. System tags of other types were passed on and are not stored.
pub fn store<T>(
    tx: &mut dyn Tx,
    entity: &str,
    resource: Id<T>,
    system_tags: &[String],
    user_tags: &[String],
) -> Result<()> {
    for tag in system_tags {
        if let Some(format) = formats::match_format(entity, tag) {
            insert(tx, "system_tag", entity, resource, tag, format.inherent)?;
        }
    }
    user_tags.iter().try_for_each(|tag| insert(tx, "user_tag", entity, resource, tag, false).map(|_| ()))
}

/// Writes one tag; the same tag twice is refused with `TAG.1000`.
pub fn insert<T>(
    tx: &mut dyn Tx,
    table: &str,
    entity: &str,
    resource: Id<T>,
    tag: &str,
    inherent: bool,
) -> Result<Id<kind::Tag>> {
    let (uuid, now) = (Id::new(), time::now_ms());
    let result = if table == "system_tag" {
        let sql = "INSERT INTO system_tag (uuid, resource_uuid, resource_type, tag, type, inherent, create_ms, last_op_ms)
                   VALUES (?, ?, ?, ?, 'System', ?, ?, ?)";
        tx.execute(sql, params![uuid, resource, entity, tag, inherent, now, now])
    } else {
        let sql = "INSERT INTO user_tag (uuid, resource_uuid, resource_type, tag, type, create_ms, last_op_ms)
                   VALUES (?, ?, ?, ?, 'User', ?, ?)";
        tx.execute(sql, params![uuid, resource, entity, tag, now, now])
    };
    result.map_err(|f| {
        if is_duplicate(&f) {
            Fault::new(code::DUPLICATED_TAG, format!("resource {resource} has the tag {tag:?} already"))
        } else {
            f
        }
    })?;
    rows::event(tx, entity, resource, "updated", &json!({ "tag": tag }))?;
    Ok(uuid)
}

/// Sets the one tag of a resource that begins with `prefix`; replaces the one that is there.
pub fn set<T>(tx: &mut dyn Tx, entity: &str, resource: Id<T>, prefix: &str, value: &str, inherent: bool) -> Result<()> {
    clear(tx, entity, resource, prefix)?;
    insert(tx, "system_tag", entity, resource, &format!("{prefix}{value}"), inherent).map(|_| ())
}

/// Removes the tags of a resource that begin with `prefix`; tells how many there were.
pub fn clear<T>(tx: &mut dyn Tx, entity: &str, resource: Id<T>, prefix: &str) -> Result<usize> {
    let sql = "DELETE FROM system_tag WHERE resource_uuid = ? AND substr(tag, 1, ?) = ?";
    let gone = tx.execute(sql, params![resource, prefix.chars().count(), prefix])?;
    if gone > 0 {
        rows::event(tx, entity, resource, "updated", &json!({ "tagRemoved": prefix }))?;
    }
    Ok(gone)
}

/// Everything after `prefix` in the first tag of a resource that begins with it.
pub fn get<T>(tx: &mut dyn Tx, resource: Id<T>, prefix: &str) -> Result<Option<String>> {
    Ok(all(tx, resource, prefix)?.into_iter().next())
}

/// Everything after `prefix` in each tag of a resource that begins with it, oldest first.
pub fn all<T>(tx: &mut dyn Tx, resource: Id<T>, prefix: &str) -> Result<Vec<String>> {
    let sql = "SELECT tag FROM system_tag WHERE resource_uuid = ? AND substr(tag, 1, ?) = ? ORDER BY uuid";
    let rows = tx.query(sql, params![resource, prefix.chars().count(), prefix])?;
    rows.iter().map(|r| Ok(r.text("tag")?.strip_prefix(prefix).unwrap_or_default().to_owned())).collect()
}
