//! Whether a call may be made: permission, checks of the parameters, and what they name.

use cairn_api::request::{check, refs};
use cairn_api::{Kind, Operation, Params};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, is_uuid};
use serde_json::{Value, json};

use crate::call::{Call, Caller};
use crate::platform::tags;
use crate::rows;

/// Permission and every check of the parameters. `Some`: what shall be deleted is gone already, which is a success.
pub(super) async fn admit(call: &Call, params: &mut Params) -> Result<Option<Value>> {
    permit(call)?;
    if call.op.kind == Kind::Query {
        return Ok(None);
    }
    check(call.op, params)?;
    if call.op.kind == Kind::Create || !call.system_tags.is_empty() {
        tags::check(call.op.tag_resource, &call.system_tags)?;
    }
    referred(call, params).await
}

/// Refuses what the operation's own rule forbids.
fn permit(call: &Call) -> Result<()> {
    if is_closed(call.op) { call.require_admin() } else { Ok(()) }
}

/// Whether only administrators may make the call.
pub fn is_closed(op: &Operation) -> bool {
    // Progress is asked for by whoever owns the job; the handler looks at that.
    let open = ["SetImageQga", "GetImageQga", "GetTaskProgress"].contains(&op.name);
    let unnamed = op.rbac.category.is_none() && op.session && op.kind != Kind::Query;
    // Sharing and giving away stand in a class that other accounts have too, and are the administrators' all the same.
    let admins = ["ShareResource", "RevokeResourceSharing", "ChangeResourceOwner"].contains(&op.name);
    !open && (op.rbac.admin_only || unnamed || admins)
}

/// Checks that what the parameters name exists and may be used by the caller. `Some`: what shall be deleted is gone
/// already, which is a success.
async fn referred(call: &Call, params: &Params) -> Result<Option<Value>> {
    let (op, caller) = (call.op, call.caller.clone());
    let named = named(op, params);
    if named.is_empty() {
        return Ok(None);
    }
    let gone_is_fine = op.succeeds_if_missing && op.kind == Kind::Delete;
    call.app
        .store
        .read(move |tx| {
            for name in &named {
                if !is_uuid(&name.uuid) {
                    return Err(Fault::argument(format!(
                        "parameter {} is {:?}, which is no uuid of 32 lower-case hexadecimal digits",
                        name.param, name.uuid
                    )));
                }
                let exists = match name.entity {
                    Some(entity) => rows::exists(tx, entity, &name.uuid)?,
                    None => tx.exists("SELECT 1 FROM resource WHERE uuid = ?", params![&name.uuid])?,
                };
                if !exists && gone_is_fine && name.target {
                    return Ok(Some(json!({})));
                }
                if !exists && name.entity.is_some() {
                    return Err(Fault::not_found(name.entity.unwrap_or_default(), &name.uuid)
                        .with("parameter", name.param));
                }
                if exists && !caller.is_admin() {
                    allowed(tx, &caller, name)?;
                }
            }
            Ok(None)
        })
        .await
}

struct Named {
    param: &'static str,
    /// `None`: any resource of the registry.
    entity: Option<&'static str>,
    uuid: String,
    target: bool,
    change: bool,
}

/// Everything that the parameters name by uuid, declared or by the look of the parameter.
fn named(op: &'static Operation, params: &Params) -> Vec<Named> {
    let change = op.changes();
    let target = op.target().map(|p| p.name);
    let mut all: Vec<Named> = refs(op, params)
        .into_iter()
        .map(|r| Named {
            param: r.param,
            entity: Some(r.entity),
            target: r.target || target == Some(r.param),
            uuid: r.uuid,
            change,
        })
        .collect();
    for param in op
        .params
        .iter()
        .filter(|p| p.refers.is_none() && p.name != "resourceUuid" || p.refers.is_none() && p.owned)
    {
        let is_uuid_param =
            param.name == "uuid" || param.name.ends_with("Uuid") || param.name == "resourceUuids";
        let session = param.name == "sessionUuid";
        if !is_uuid_param || session {
            continue;
        }
        let uuids = match params.get(param.name) {
            Some(Value::String(s)) => vec![s.clone()],
            Some(Value::Array(_)) => params.list(param.name),
            _ => continue,
        };
        let target = target == Some(param.name);
        all.extend(uuids.into_iter().map(|uuid| Named {
            param: param.name,
            entity: None,
            uuid,
            target,
            change,
        }));
    }
    all
}

/// A stranger's resource may not be touched; a shared one may be used but not changed.
fn allowed(tx: &mut dyn Tx, caller: &Caller, name: &Named) -> Result<()> {
    let Some(row) = tx.query_opt("SELECT account_uuid FROM resource WHERE uuid = ?", params![&name.uuid])?
    else {
        return Ok(());
    };
    let owner = row.opt_text("account_uuid")?;
    let me = caller.account.to_string();
    if owner.as_deref() == Some(&me) || name.uuid == me {
        return Ok(());
    }
    // What belongs to nobody is the operators': others may choose a zone or a host, but not change it or hang tags on it.
    let touches = name.change && (name.target || name.entity.is_none());
    if owner.is_none() {
        let text = format!("{} named by parameter {} is the administrators'", name.uuid, name.param);
        return if touches { Err(Fault::denied(text)) } else { Ok(()) };
    }
    if !(name.target && name.change) && is_shared(tx, &name.uuid, &me)? {
        return Ok(());
    }
    Err(Fault::denied(format!(
        "resource {} named by parameter {} belongs to another account",
        name.uuid, name.param
    )))
}

/// Whether a resource, or the network of an IP range, is shared with an account or with everybody.
fn is_shared(tx: &mut dyn Tx, uuid: &str, account: &str) -> Result<bool> {
    // The receiver is no condition: SQLite would begin with it, and go through everything that is shared with him.
    let sql = "SELECT receiver_account_uuid, to_public FROM shared_resource
               WHERE resource_uuid IN (?, (SELECT l3_network_uuid FROM ip_range WHERE uuid = ?))";
    for row in tx.query(sql, params![uuid, uuid])? {
        if row.bool("to_public")? || row.opt_text("receiver_account_uuid")?.as_deref() == Some(account) {
            return Ok(true);
        }
    }
    Ok(false)
}
