//! Accounts: the units that own resources, log in and have quotas.

mod api;
pub mod delete;

use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::Engine;

use super::quota;
use crate::app::App;
use crate::handlers::Handlers;
use crate::platform::settings::Settings;
use crate::rows;

pub(super) fn handlers(h: &mut Handlers) {
    api::handlers(h);
}

pub(super) fn register(engine: &Engine<App>) {
    engine.register::<delete::DeleteAccount>();
}

/// Writes an account. Names are unique.
pub fn insert(
    tx: &mut dyn Tx,
    uuid: Id<kind::Account>,
    name: &str,
    description: Option<&str>,
    r#type: &str,
    password_hash: &str,
) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO account (uuid, name, description, type, password_hash, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let written = tx.execute(sql, params![uuid, name, description, r#type, password_hash, now, now]);
    written.map_err(|f| if is_duplicate(&f) { taken(tx, uuid, name) } else { f })?;
    rows::register(tx, "AccountVO", uuid, Some(uuid))
}

/// Writes the limits of a new account, as the settings give them now.
pub fn insert_quotas(tx: &mut dyn Tx, settings: &Settings, account: Id<kind::Account>) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO quota (uuid, name, identity_uuid, identity_type, value, create_ms, last_op_ms)
               VALUES (?, ?, ?, 'AccountVO', ?, ?, ?)";
    for name in quota::names() {
        let value = settings.int("quota", name);
        tx.execute(sql, params![Id::<kind::AnyResource>::new(), name, account, value, now, now])?;
    }
    Ok(())
}

fn taken(tx: &mut dyn Tx, uuid: Id<kind::Account>, name: &str) -> Fault {
    match tx.exists("SELECT 1 FROM account WHERE uuid = ?", params![uuid]) {
        Ok(true) => Fault::new(
            cairn_types::code::UUID_TAKEN,
            format!("the uuid {uuid} is in use already; choose another resourceUuid"),
        ),
        _ => name_taken(name),
    }
}

fn name_taken(name: &str) -> Fault {
    Fault::argument(format!("there is an account named {name:?} already; choose another name"))
        .with("name", name)
}

/// Whether the account exists and has the rights of an administrator.
pub fn is_admin(tx: &mut dyn Tx, account: Id<kind::Account>) -> Result<bool> {
    tx.exists("SELECT 1 FROM account WHERE uuid = ? AND type = 'SystemAdmin'", params![account])
}
