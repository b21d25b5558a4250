//! The calls that make and change accounts.

use cairn_api::ops::identity::{CreateAccount, DeleteAccount, UpdateAccount};
use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::delete;
use crate::call::{ADMIN, Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.prepared::<CreateAccount, _, _>(
        |call, op| async move { hash(&call, Some(&op.password)).await },
        create,
    );
    h.prepared::<UpdateAccount, _, _>(
        |call, op| async move { hash(&call, op.password.as_deref()).await },
        update,
    );
    h.run::<DeleteAccount, _>(delete);
}

/// Hashes a password off the event loop, before the transaction.
async fn hash(call: &Call, password: Option<&str>) -> Result<Option<String>> {
    let Some(password) = password else { return Ok(None) };
    if password.trim().is_empty() {
        return Err(Fault::argument("'password' must not be empty").with("field", "password"));
    }
    // Clients send hexadecimal digits, in whichever case.
    call.app.identity.passwords.hash(&password.to_lowercase()).await.map(Some)
}

fn create(call: &Call, tx: &mut dyn Tx, op: &CreateAccount, hash: &Option<String>) -> Result<Value> {
    let uuid: Id<kind::Account> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let hash =
        hash.as_deref().ok_or_else(|| Fault::argument("'password' is required").with("field", "password"))?;
    let r#type = op.r#type.as_deref().unwrap_or("Normal");
    super::insert(tx, uuid, &op.name, op.description.as_deref(), r#type, hash)?;
    if r#type == "Normal" {
        super::insert_quotas(tx, &call.app.settings, uuid)?;
    }
    inventory::answer(tx, "AccountInventory", uuid, call.dates)
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateAccount, hash: &Option<String>) -> Result<Value> {
    let uuid: Id<kind::Account> = id("uuid", &op.uuid)?;
    rows::claim(tx, "AccountVO", uuid)?;
    if uuid == ADMIN && op.name.as_deref().is_some_and(|n| n != "admin") {
        return Err(Fault::operation("the admin account keeps its name, which clients know"));
    }
    let columns = [
        ("name", op.name.clone().map(Into::into)),
        ("description", op.description.clone().map(Into::into)),
        ("password_hash", hash.clone().map(Into::into)),
    ];
    let taken =
        |f| if is_duplicate(&f) { super::name_taken(op.name.as_deref().unwrap_or_default()) } else { f };
    rows::update(tx, "AccountVO", uuid, &columns).map_err(taken)?;
    if hash.is_some() {
        // Whoever held a session may have known the old password only.
        tx.execute("DELETE FROM session WHERE account_uuid = ?", params![uuid])?;
        call.after_commit(move |app| app.identity.forget_account(uuid));
    }
    inventory::answer(tx, "AccountInventory", uuid, call.dates)
}

async fn delete(call: Call, op: DeleteAccount) -> Result<Launch> {
    let uuid: Id<kind::Account> = id("uuid", &op.uuid)?;
    if uuid == ADMIN {
        return Err(Fault::operation("the admin account can't be deleted").with("uuid", op.uuid));
    }
    if !call.caller.is_admin() && call.caller.account != uuid {
        return Err(Fault::denied("only the admin account may delete another account"));
    }
    if uuid == call.caller.account && call.caller.is_admin() {
        return Err(Fault::operation("an administrator can't delete the account that it works with"));
    }
    let known = call.app.store.read(move |tx| rows::exists(tx, "AccountVO", &uuid.to_string())).await?;
    if known {
        Ok(Launch::run(delete::DeleteAccount::new(uuid).in_mode(&op.delete_mode)))
    } else {
        Ok(Launch::Done(json!({})))
    }
}
