//! Queries as calls ask them: one inventory, the caller's eyes, and rows that live in memory.

use std::sync::Arc;

use cairn_api::resource;
use cairn_api::settings::Setting;
use cairn_query::{Options, Query, QueryResult, Viewer};
use cairn_store::Tx;
use cairn_types::{Fault, Result, mask};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::inventory;
use crate::platform::settings::MASK;
use crate::platform::shown;

/// How queries of this call are read and shown.
pub fn options(call: &Call) -> Options {
    let mut options = inventory::options(call.dates);
    let (app, is_admin) = (call.app.clone(), call.caller.is_admin());
    options.given.insert("global_config", Arc::new(move || settings(&app, is_admin)));
    let counts = call.app.counts.clone();
    options.total =
        Some(Arc::new(move |tx: &mut dyn Tx, resource: &'static resource::Resource, viewer: &Viewer| {
            counts.total(tx, resource, viewer)
        }));
    options
}

/// Runs one query.
pub async fn run(call: &Call, inventory: &str, query: Query) -> Result<QueryResult> {
    let table =
        resource::find(inventory).ok_or_else(|| Fault::internal(format!("no inventory {inventory}")))?;
    let (viewer, options) = (call.viewer(), options(call));
    let tenant = (!call.caller.is_admin()).then(|| call.caller.account.to_string());
    let find = move |tx: &mut dyn Tx| {
        let mut found = cairn_query::run(tx, table, &query, &viewer, &options)?;
        if let Some(me) = &tenant {
            let mut rows = Value::Array(std::mem::take(&mut found.inventories));
            shown::found_by_tenant(tx, me, &mut rows)?;
            found.inventories = if let Value::Array(rows) = rows { rows } else { Vec::new() };
        }
        Ok(found)
    };
    call.app.store.read(find).await
}

/// The global settings as rows of their table. Secrets are for administrators.
fn settings(app: &App, is_admin: bool) -> String {
    let value = |s: &Setting| match app.settings.text(s.category, s.name) {
        secret if s.is_secret() && !is_admin && !secret.is_empty() => MASK.to_owned(),
        value if !is_admin => mask::addresses(&value),
        value => value,
    };
    let row = |s: &Setting| {
        json!({
            "category": s.category, "name": s.name, "description": s.shown_description(), "default_value": s.default_value(),
            "value": value(s),
        })
    };
    json!(cairn_api::settings::all().iter().map(row).collect::<Vec<_>>()).to_string()
}
