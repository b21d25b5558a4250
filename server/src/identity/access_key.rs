//! Access keys: programs sign each request with one instead of logging in (rest-conventions section 11).
//!
//! The secret is told once, in the result of the call that makes the key. It is sealed at rest, in the table of keys and in
//! the stored result.

use cairn_api::ops::identity::{ChangeAccessKeyState, CreateAccessKey, DeleteAccessKey};
use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use crate::call::{Call, id, opt_id};
use crate::handlers::Handlers;
use crate::platform::sealed;
use crate::{inventory, rows};

type AccessKey = kind::AnyResource;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<CreateAccessKey>(create);
    h.change::<DeleteAccessKey>(delete);
    h.change::<ChangeAccessKeyState>(change_state);
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AZ";

/// Random letters and digits.
fn random_text(length: usize) -> Result<String> {
    let mut bytes = vec![0u8; length];
    getrandom::fill(&mut bytes).map_err(|e| Fault::internal("no random bytes").for_operator(e))?;
    Ok(bytes.iter().map(|b| char::from(LETTERS[usize::from(b & 63)])).collect())
}

fn create(call: &Call, tx: &mut dyn Tx, op: &CreateAccessKey) -> Result<Value> {
    let uuid: Id<AccessKey> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let account: Id<kind::Account> = id("accountUuid", &op.account_uuid)?;
    if op.user_uuid != op.account_uuid {
        return Err(Fault::not_found("UserVO", &op.user_uuid).with("parameter", "userUuid"));
    }
    let key_id = op.access_key_id.clone().map_or_else(|| random_text(20), Ok)?;
    if !key_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(
            Fault::argument("'AccessKeyID' may hold letters and digits only").with("field", "AccessKeyID")
        );
    }
    let secret = op.access_key_secret.clone().map_or_else(|| random_text(40), Ok)?;
    rows::register(tx, "AccessKeyVO", uuid, Some(account))?;
    let now = time::now_ms();
    let sql = "INSERT INTO access_key (uuid, account_uuid, user_uuid, description, access_key_id, secret_sealed, state, create_ms,
               last_op_ms) VALUES (?, ?, ?, ?, ?, ?, 'Enabled', ?, ?)";
    let sealed = call.app.secrets.seal(&secret)?;
    let values = params![uuid, account, account, op.description.clone(), &key_id, sealed, now, now];
    tx.execute(sql, values).map_err(|f| {
        if is_duplicate(&f) {
            Fault::argument(format!("the access key id {key_id} is in use already"))
                .with("field", "AccessKeyID")
        } else {
            f
        }
    })?;
    let mut answer = inventory::answer(tx, "AccessKeyInventory", uuid, call.dates)?;
    answer["inventory"]["AccessKeySecret"] = sealed::conceal(&call.app, &secret)?;
    Ok(answer)
}

fn delete(_call: &Call, tx: &mut dyn Tx, op: &DeleteAccessKey) -> Result<Value> {
    rows::remove(tx, "AccessKeyVO", id::<AccessKey>("uuid", &op.uuid)?)?;
    Ok(json!({}))
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangeAccessKeyState) -> Result<Value> {
    let uuid: Id<AccessKey> = id("uuid", &op.uuid)?;
    let state = if op.state_event == "enable" { "Enabled" } else { "Disabled" };
    rows::update(tx, "AccessKeyVO", uuid, &[("state", Some(state.into()))])?;
    inventory::answer(tx, "AccessKeyInventory", uuid, call.dates)
}
