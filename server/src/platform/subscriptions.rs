//! Lasting subscriptions to events: `CreateWebhook` and its relatives.
//!
//! The `type` of a web hook says which events it gets:
//!
//! - `VmInstanceVO`: every event of a type of resources; `CairnRunVO` for the progress of workflow runs;
//! - `VmInstanceVO.deleted`: one kind of event (`created`, `updated`, `deleted`, `progress`) of a type of resources;
//! - `*.deleted`: one kind of event of everything;
//! - `*` or, as 2.2 clients write it, `CanonicalEvent`: everything. An `opaque` that begins with `/` then narrows it: a path
//!   `/<type>/<kind>/<uuid>` in which `*` stands for any text, such as `/VmInstanceVO/*`.
//!
//! What is to be sent is written in the transaction of the change, so no event is lost, and posted in the order in which it
//! was committed. The body is the event as the event stream shows it, with `webhookUuid`, `webhookName` and `opaque`. Web hooks
//! belong to the administrators and see the events of every account. A receiver that stays away loses an event after 15
//! retries, and everything that is older than a day.

use cairn_api::ops::platform::{CreateWebhook, DeleteWebhook, UpdateWebhook};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, new_uuid, time};
use serde_json::{Value, json};

use crate::call::{Call, id, opt_id};
use crate::handlers::Handlers;
use crate::platform::{hooks, reach};
use crate::{inventory, rows};

/// How long an event waits for its receiver.
const KEEP_MS: i64 = 86_400_000;

/// The operations about web hooks.
pub(super) fn handlers(h: &mut Handlers) {
    h.change::<CreateWebhook>(create);
    h.change::<UpdateWebhook>(update);
    h.change::<DeleteWebhook>(delete);
}

fn create(call: &Call, tx: &mut dyn Tx, op: &CreateWebhook) -> Result<Value> {
    reach::check_url(&call.app, &op.url, call.caller.is_admin())?;
    check_type(&op.r#type)?;
    let uuid: Id<kind::Webhook> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    rows::register(tx, "WebhookVO", uuid, None)?;
    let now = time::now_ms();
    let sql = "INSERT INTO webhook (uuid, name, description, url, type, opaque, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values =
        params![uuid, &op.name, op.description.clone(), &op.url, &op.r#type, op.opaque.clone(), now, now];
    tx.execute(sql, values)?;
    inventory::answer(tx, "WebhookInventory", uuid, call.dates)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateWebhook) -> Result<Value> {
    if let Some(url) = &op.url {
        reach::check_url(&call.app, url, call.caller.is_admin())?;
    }
    op.r#type.as_deref().map_or(Ok(()), check_type)?;
    let uuid: Id<kind::Webhook> = id("uuid", &op.uuid)?;
    let columns = [
        ("name", op.name.clone().map(Into::into)),
        ("description", op.description.clone().map(Into::into)),
        ("url", op.url.clone().map(Into::into)),
        ("type", op.r#type.clone().map(Into::into)),
        ("opaque", op.opaque.clone().map(Into::into)),
    ];
    rows::update(tx, "WebhookVO", uuid, &columns)?;
    inventory::answer(tx, "WebhookInventory", uuid, call.dates)
}

fn delete(_call: &Call, tx: &mut dyn Tx, op: &DeleteWebhook) -> Result<Value> {
    let uuid: Id<kind::Webhook> = id("uuid", &op.uuid)?;
    rows::remove(tx, "WebhookVO", uuid)?;
    tx.execute("DELETE FROM cleanup WHERE kind = ? AND target_uuid = ?", params![hooks::EVENT, uuid])?;
    Ok(json!({}))
}

/// Any text is stored, as in 2.2; an empty one could only be a mistake.
fn check_type(r#type: &str) -> Result<()> {
    if r#type.is_empty() {
        return Err(Fault::argument(
            "'type' must name events, such as VmInstanceVO, VmInstanceVO.deleted or *",
        )
        .with("field", "type"));
    }
    Ok(())
}

/// Whether anybody may have subscribed to such events.
pub(super) fn has_any(tx: &mut dyn Tx, entity: &str, kind: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM webhook WHERE type IN (?, ?, ?, '*', 'CanonicalEvent') LIMIT 1";
    tx.exists(sql, params![entity, format!("{entity}.{kind}"), format!("*.{kind}")])
}

/// Notes what subscribers of an event have to be sent. Part of the transaction that writes the event.
pub(super) fn queue(
    tx: &mut dyn Tx,
    entity: &str,
    uuid: &str,
    kind: &str,
    data: &Value,
    now: i64,
) -> Result<()> {
    // For a list of values SQLite makes a table and drops it again, which costs more than all the rest of an event.
    if !tx.exists("SELECT 1 FROM webhook LIMIT 1", params![])? {
        return Ok(());
    }
    let sql =
        "SELECT uuid, type, opaque FROM webhook WHERE type IN (?, ?, ?, '*', 'CanonicalEvent') ORDER BY uuid";
    let found = tx.query(sql, params![entity, format!("{entity}.{kind}"), format!("*.{kind}")])?;
    if found.is_empty() {
        return Ok(());
    }
    let cursor = tx.query_int("SELECT max(seq) FROM event", params![])?;
    let path = format!("/{entity}/{kind}/{uuid}");
    let event =
        json!({ "cursor": cursor, "time": now, "type": entity, "uuid": uuid, "kind": kind, "data": data });
    for hook in found {
        let all = matches!(hook.text("type")?.as_str(), "*" | "CanonicalEvent");
        let pattern = hook.opt_text("opaque")?.filter(|o| all && o.starts_with('/'));
        if pattern.is_some_and(|p| !fits(&p, &path)) {
            continue;
        }
        let sql = "INSERT INTO cleanup (uuid, kind, target_uuid, data, tries, next_ms, create_ms) VALUES (?, ?, ?, ?, 0, ?, ?)";
        tx.execute(sql, params![new_uuid(), hooks::EVENT, hook.text("uuid")?, event.to_string(), now, now])?;
    }
    Ok(())
}

/// Whether a path has a form in which `*` stands for any text. A form may leave out the end of the path.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || rest.starts_with('/') || pattern.ends_with('*') || pattern.ends_with('/')
}

/// Address, name and body of a post; none if nobody subscribes any more.
pub(super) fn subscription(
    tx: &mut dyn Tx,
    hook: &str,
    event: &Value,
) -> Result<Option<(String, String, Value)>> {
    let found = tx.query_opt("SELECT name, url, opaque FROM webhook WHERE uuid = ?", params![hook])?;
    let Some(row) = found else { return Ok(None) };
    let mut body = event.clone();
    body["webhookUuid"] = hook.into();
    body["webhookName"] = row.text("name")?.into();
    if let Some(opaque) = row.opt_text("opaque")? {
        body["opaque"] = opaque.into();
    }
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Ok(Some((row.text("url")?, format!("{}.{}", text("type"), text("kind")), body)))
}

/// Forgets events whose receivers stay away.
pub(super) fn prune(tx: &mut dyn Tx) -> Result<usize> {
    let sql = "DELETE FROM cleanup WHERE kind = ? AND create_ms < ?";
    tx.execute(sql, params![hooks::EVENT, time::now_ms() - KEEP_MS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_01_paths_of_events_fit_patterns() {
        let path = "/VmInstanceVO/deleted/0f6f";
        for (pattern, ok) in [
            ("/VmInstanceVO/*", true),
            ("/VmInstanceVO", true),
            ("/VmInstanceVO/deleted", true),
            ("/*/deleted/*", true),
            ("/*/created", false),
            ("/Vm", false),
            ("/", true),
            ("/*", true),
            ("/ZoneVO/*", false),
        ] {
            assert_eq!(fits(pattern, path), ok, "{pattern}");
        }
    }
}
