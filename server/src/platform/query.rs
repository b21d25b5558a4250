//! Queries as calls ask them: one inventory, the caller's eyes, and rows that live in memory.

use cairn_api::resource;
use cairn_query::{Options, Query, QueryResult};
use cairn_types::{Fault, Result};
use serde_json::json;

use crate::app::App;
use crate::call::Call;
use crate::inventory;

/// How queries of this call are read and shown.
pub fn options(call: &Call) -> Options {
    let mut options = inventory::options(call.dates);
    options.given.insert("global_config", settings(&call.app).into());
    options
}

/// Runs one query.
pub async fn run(call: &Call, inventory: &str, query: Query) -> Result<QueryResult> {
    let table = resource::find(inventory).ok_or_else(|| Fault::internal(format!("no inventory {inventory}")))?;
    let (viewer, options) = (call.viewer(), options(call));
    call.app.store.read(move |tx| cairn_query::run(tx, table, &query, &viewer, &options)).await
}

/// The global settings as rows of their table.
fn settings(app: &App) -> String {
    let row = |s: &cairn_api::settings::Setting| {
        json!({
            "category": s.category, "name": s.name, "description": s.description, "default_value": s.default_value(),
            "value": app.settings.text(s.category, s.name),
        })
    };
    json!(cairn_api::settings::all().iter().map(row).collect::<Vec<_>>()).to_string()
}
