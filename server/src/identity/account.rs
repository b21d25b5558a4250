//! Accounts.

use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::Engine;

use crate::app::App;
use crate::handlers::Handlers;
use crate::rows;

pub(super) fn handlers(_h: &mut Handlers) {}

pub(super) fn register(_engine: &Engine<App>) {}

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
    tx.execute(sql, params![uuid, name, description, r#type, password_hash, now, now]).map_err(|f| {
        if is_duplicate(&f) { Fault::argument(format!("there is an account named {name:?} already")) } else { f }
    })?;
    rows::register(tx, "AccountVO", uuid, Some(uuid))
}
