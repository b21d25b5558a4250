//! System and user tags: stored rows, and the checks before they are stored.

use cairn_api::tags::{self as formats, By, TagFormat};
use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use crate::rows;

/// Checks the system tags of a create call: each must fit a known format, hold a value that the format takes, and not stand
/// twice where a resource has one at most.
pub fn check(op_entity: Option<&str>, tags: &[String]) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    for tag in tags {
        if tag.starts_with("ephemeral::") {
            continue;
        }
        let own = op_entity.and_then(|e| formats::match_format(e, tag));
        let format = own.or_else(|| formats::match_any(tag)).ok_or_else(|| unknown(tag))?;
        format.check(tag)?;
        if own.is_none() {
            continue;
        }
        refuse_foreign(&format, tag)?;
        if format.single && seen.contains(&format.format) {
            return Err(Fault::argument(format!(
                "a resource has one tag of the form {} at most",
                format.format
            )));
        }
        seen.push(format.format);
    }
    Ok(())
}

/// The format of a tag that a caller puts on a resource of this type.
pub fn check_on(entity: &str, tag: &str) -> Result<TagFormat> {
    let format = formats::match_format(entity, tag).ok_or_else(|| {
        let text = format!(
            "system tag {:?} fits no format that a resource of type {entity} has",
            formats::mask(tag)
        );
        Fault::argument(text).with("tag", formats::mask(tag))
    })?;
    format.check(tag)?;
    refuse_foreign(&format, tag)?;
    Ok(format)
}

/// Tags that only the platform writes.
fn refuse_foreign(format: &TagFormat, tag: &str) -> Result<()> {
    if format.inherent || format.by == By::Server {
        return Err(
            Fault::argument(format!("system tag {tag:?} is written by the platform only")).with("tag", tag)
        );
    }
    Ok(())
}

/// Refuses a second tag of a format of which a resource has one at most.
pub fn refuse_second<T>(tx: &mut dyn Tx, resource: Id<T>, format: &TagFormat, tag: &str) -> Result<()> {
    if !format.single {
        return Ok(());
    }
    let rows = tx.query("SELECT uuid, tag FROM system_tag WHERE resource_uuid = ?", params![resource])?;
    for row in rows {
        let other = row.text("tag")?;
        if other != tag && formats::capture(format.format, &other).is_some() {
            let text = format!(
                "resource {resource} has a tag of the form {} already; update or delete it",
                format.format
            );
            return Err(Fault::new(code::DUPLICATED_TAG, text).with("uuid", row.text("uuid")?));
        }
    }
    Ok(())
}

fn unknown(tag: &str) -> Fault {
    Fault::argument(format!("system tag {tag:?} fits no known format")).with("tag", tag)
}

/// A fault of a write as what it says about tags.
pub fn duplicate<T>(fault: Fault, resource: Id<T>, tag: &str) -> Fault {
    if is_duplicate(&fault) {
        let tag = formats::mask(tag);
        Fault::new(code::DUPLICATED_TAG, format!("resource {resource} has the tag {tag:?} already"))
    } else {
        fault
    }
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
    let uuid = if table == "system_tag" {
        put(tx, entity, resource, tag, inherent)?
    } else {
        let (uuid, now) = (Id::new(), time::now_ms());
        let sql =
            "INSERT INTO user_tag (uuid, resource_uuid, resource_type, tag, type, create_ms, last_op_ms)
                   VALUES (?, ?, ?, ?, 'User', ?, ?)";
        let written = tx.execute(sql, params![uuid, resource, entity, tag, now, now]);
        written.map_err(|f| duplicate(f, resource, tag))?;
        uuid
    };
    rows::event(tx, entity, resource, "updated", &json!({ "tag": formats::mask(tag) }))?;
    Ok(uuid)
}

/// Writes a system tag without its event, which is the caller's.
pub fn put<T>(
    tx: &mut dyn Tx,
    entity: &str,
    resource: Id<T>,
    tag: &str,
    inherent: bool,
) -> Result<Id<kind::Tag>> {
    let (uuid, now) = (Id::new(), time::now_ms());
    let sql = "INSERT INTO system_tag (uuid, resource_uuid, resource_type, tag, type, inherent, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, 'System', ?, ?, ?)";
    let written = tx.execute(sql, params![uuid, resource, entity, tag, inherent, now, now]);
    written.map_err(|f| duplicate(f, resource, tag))?;
    Ok(uuid)
}

/// Sets the one tag of a resource that begins with `prefix`; replaces the one that is there.
pub fn set<T>(
    tx: &mut dyn Tx,
    entity: &str,
    resource: Id<T>,
    prefix: &str,
    value: &str,
    inherent: bool,
) -> Result<()> {
    clear(tx, entity, resource, prefix)?;
    insert(tx, "system_tag", entity, resource, &format!("{prefix}{value}"), inherent).map(|_| ())
}

/// Removes the tags of a resource that begin with `prefix`; tells how many there were.
pub fn clear<T>(tx: &mut dyn Tx, entity: &str, resource: Id<T>, prefix: &str) -> Result<usize> {
    let sql = "DELETE FROM system_tag WHERE resource_uuid = ? AND substr(tag, 1, CAST(? AS INTEGER)) = ?";
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
    let sql = "SELECT tag FROM system_tag WHERE resource_uuid = ? AND substr(tag, 1, CAST(? AS INTEGER)) = ? ORDER BY uuid";
    let rows = tx.query(sql, params![resource, prefix.chars().count(), prefix])?;
    rows.iter().map(|r| Ok(r.text("tag")?.strip_prefix(prefix).unwrap_or_default().to_owned())).collect()
}
