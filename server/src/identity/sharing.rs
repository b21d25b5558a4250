//! Who may use what belongs to another account (IAM-05), and who owns what.

use cairn_api::Operation;
use cairn_api::ops::identity::{
    CheckApiPermission, GetResourceAccount, RevokeResourceSharing, ShareResource,
};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Map, Value, json};

use crate::call::{Call, id};
use crate::dispatch::is_closed;
use crate::handlers::Handlers;
use crate::{inventory, rows};

type Any = kind::AnyResource;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<ShareResource>(share);
    h.change::<RevokeResourceSharing>(revoke);
    h.read::<GetResourceAccount, _>(owners);
    h.read::<CheckApiPermission, _>(permissions);
}

/// What has an owner and never changes hands in any way.
const PERSONAL: &[&str] = &["AccountVO", "AccessKeyVO", "VmNicVO"];

/// The type of a resource that an account owns and may pass on.
pub(super) fn owned_type(tx: &mut dyn Tx, resource: Id<Any>) -> Result<String> {
    let sql = "SELECT resource_type, account_uuid FROM resource WHERE uuid = ?";
    let row =
        tx.query_opt(sql, params![resource])?.ok_or_else(|| Fault::not_found("ResourceVO", resource))?;
    let entity = row.text("resource_type")?;
    if row.opt_text("account_uuid")?.is_none() || PERSONAL.contains(&entity.as_str()) {
        let text = format!(
            "{entity} {resource} does not belong to an account in a way that could be shared or given away"
        );
        return Err(Fault::argument(text).with("uuid", resource.to_string()));
    }
    Ok(entity)
}

fn share(call: &Call, tx: &mut dyn Tx, op: &ShareResource) -> Result<Value> {
    call.require_admin()?;
    if op.account_uuids.is_empty() && !op.to_public {
        return Err(Fault::argument("name accounts in accountUuids, or share with all by toPublic")
            .with("field", "accountUuids"));
    }
    for uuid in &op.resource_uuids {
        let resource: Id<Any> = id("resourceUuids", uuid)?;
        let entity = owned_type(tx, resource)?;
        rows::claim(tx, &entity, resource)?;
        let owner = rows::owner(tx, resource)?;
        if op.to_public {
            let known = "SELECT 1 FROM shared_resource WHERE resource_uuid = ? AND to_public = 1";
            if !tx.exists(known, params![resource])? {
                insert(tx, resource, None)?;
            }
        }
        for account in &op.account_uuids {
            let account: Id<kind::Account> = id("accountUuids", account)?;
            rows::claim(tx, "AccountVO", account)?;
            let known = "SELECT 1 FROM shared_resource WHERE resource_uuid = ? AND receiver_account_uuid = ?";
            if owner != Some(account) && !tx.exists(known, params![resource, account])? {
                insert(tx, resource, Some(account))?;
            }
        }
        let data = json!({ "sharedWith": op.account_uuids, "sharedToPublic": op.to_public });
        rows::event(tx, &entity, resource, "updated", &data)?;
    }
    Ok(json!({}))
}

fn insert(tx: &mut dyn Tx, resource: Id<Any>, receiver: Option<Id<kind::Account>>) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO shared_resource (uuid, resource_uuid, receiver_account_uuid, to_public, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![Id::<Any>::new(), resource, receiver, receiver.is_none(), now, now])?;
    Ok(())
}

fn revoke(call: &Call, tx: &mut dyn Tx, op: &RevokeResourceSharing) -> Result<Value> {
    call.require_admin()?;
    if op.account_uuids.is_empty() && !op.to_public && !op.all {
        let text = "say from whom to take it back: accountUuids, toPublic or all";
        return Err(Fault::argument(text).with("field", "accountUuids"));
    }
    for uuid in &op.resource_uuids {
        let resource: Id<Any> = id("resourceUuids", uuid)?;
        let entity = owned_type(tx, resource)?;
        // Whoever loses it hears of it while he still may.
        let data = json!({ "recalledFrom": op.account_uuids, "recalledFromPublic": op.to_public, "recalledFromAll": op.all });
        rows::event(tx, &entity, resource, "updated", &data)?;
        if op.all {
            tx.execute("DELETE FROM shared_resource WHERE resource_uuid = ?", params![resource])?;
        }
        if op.to_public {
            tx.execute(
                "DELETE FROM shared_resource WHERE resource_uuid = ? AND to_public = 1",
                params![resource],
            )?;
        }
        for account in &op.account_uuids {
            let sql = "DELETE FROM shared_resource WHERE resource_uuid = ? AND receiver_account_uuid = ?";
            tx.execute(sql, params![resource, account])?;
        }
    }
    Ok(json!({}))
}

/// The owner of each resource that has one.
async fn owners(call: Call, op: GetResourceAccount) -> Result<Value> {
    let dates = call.dates;
    let list = move |tx: &mut dyn Tx| {
        let mut found = Map::new();
        for uuid in &op.resource_uuids {
            if let Some(owner) = rows::owner(tx, id::<Any>("resourceUuids", uuid)?)? {
                found.insert(uuid.clone(), inventory::one(tx, "AccountInventory", owner, dates)?);
            }
        }
        Ok(found)
    };
    Ok(json!({ "inventories": call.app.store.read(list).await? }))
}

/// `Allow` or `Deny` for each call by name. A call that does not exist can't be made by anybody.
async fn permissions(call: Call, op: CheckApiPermission) -> Result<Value> {
    let verdict = |name: &String| {
        let short = name.rsplit('.').next().unwrap_or(name);
        let action = short.strip_prefix("API").and_then(|s| s.strip_suffix("Msg")).unwrap_or(short);
        let allowed = Operation::find(action).is_some_and(|op| call.caller.is_admin() || !is_closed(op));
        (name.clone(), json!(if allowed { "Allow" } else { "Deny" }))
    };
    Ok(json!({ "inventory": op.api_names.iter().map(verdict).collect::<Map<_, _>>() }))
}
