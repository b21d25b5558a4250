//! Reads inventories as the API shows them.

use std::sync::Arc;

use cairn_api::resource::{self, Resource};
use cairn_query::{DateStyle, Decorate, Extra, Options};
use cairn_store::Tx;
use cairn_types::state::VmState;
use cairn_types::{Fault, Result};
use serde_json::{Map, Value, json};

/// How queries are read and shown in this server.
pub fn options(dates: DateStyle) -> Options {
    Options { dates, decorate: Some(decorator()), decorated: &["allowedActions"], ..Options::default() }
}

/// The inventory of one resource, without regard to who asks; the caller checked that already.
pub fn one(tx: &mut dyn Tx, inventory: &str, uuid: impl ToString, dates: DateStyle) -> Result<Value> {
    let uuid = uuid.to_string();
    let table = resource::find(inventory)
        .ok_or_else(|| Fault::internal(format!("inventory {inventory} is unknown")))?;
    cairn_query::one(tx, table, &uuid, &options(dates))?.ok_or_else(|| Fault::not_found(table.entity, uuid))
}

/// `{"inventory": …}` of one resource.
pub fn answer(tx: &mut dyn Tx, inventory: &str, uuid: impl ToString, dates: DateStyle) -> Result<Value> {
    Ok(json!({ "inventory": one(tx, inventory, uuid, dates)? }))
}

/// Adds what is not a column: the actions that the state allows (VM-34), so that page and CLI keep no copy. What is on its
/// way out allows nothing.
fn decorator() -> Decorate {
    Arc::new(|table: &'static Resource, extra: &Extra, fields: &mut Map<String, Value>| {
        let going = extra.text("deleting_run").is_some();
        let (state, status) =
            (extra.text("state").unwrap_or_default(), extra.text("status").unwrap_or_default());
        let actions: Vec<&str> = match table.inventory {
            _ if going => Vec::new(),
            "VmInstanceInventory" => match state.parse::<VmState>() {
                Ok(state) => state.allowed_actions().iter().map(|a| a.as_str()).collect(),
                Err(_) => return,
            },
            other => crate::platform::actions::allowed(other, state, status),
        };
        if going || !actions.is_empty() || table.inventory == "VmInstanceInventory" {
            fields.insert("allowedActions".into(), json!(actions));
        }
    })
}

/// A moment as this caller reads dates.
pub fn date(dates: DateStyle, ms: i64) -> String {
    match dates {
        DateStyle::Legacy { offset_minutes } => cairn_types::time::legacy(ms, offset_minutes),
        DateStyle::Rfc3339 => cairn_types::time::rfc3339(ms),
    }
}
