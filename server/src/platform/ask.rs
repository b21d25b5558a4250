//! Questions about many resources at once: query scripts, ZQL and names.

use cairn_api::ops::platform::{BatchQuery, GetResourceNames, ZQLQuery};
use cairn_api::resource::{self, Resource};
use cairn_query::{Op as Operator, Query, batch, zql};
use cairn_types::{Fault, Result};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::query;
use crate::call::{Call, Caller};
use crate::dispatch::is_closed;
use crate::handlers::Handlers;

/// Scripts may run for seconds; one at a time leaves readers for everybody else.
static SCRIPTS: Semaphore = Semaphore::const_new(1);

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<BatchQuery, _>(batch);
    h.read::<ZQLQuery, _>(zql);
    h.read::<GetResourceNames, _>(names);
}

impl cairn_query::Caller for Caller {
    fn may_query(&self, resource: &'static Resource) -> bool {
        let is = |inventory: &str| {
            inventory == resource.inventory || resource.parent.is_some_and(|p| p.inventory == inventory)
        };
        let op = cairn_api::operations().iter().find(|op| op.inventory.is_some_and(is));
        op.is_some_and(|op| self.is_admin() || !is_closed(op))
    }
}

async fn batch(call: Call, op: BatchQuery) -> Result<Value> {
    let script = op.script.filter(|s| !s.trim().is_empty()).ok_or_else(|| missing("script"))?;
    let _turn = SCRIPTS.acquire().await.map_err(|_| Fault::internal("stopping"))?;
    let (viewer, options, caller) = (call.viewer(), query::options(&call), call.caller.clone());
    let run = move |tx: &mut dyn cairn_store::Tx| {
        let answer = batch::answer(tx, &script, &viewer, &caller, &options, batch::Limits::default())?;
        mine(tx, &caller, answer)
    };
    call.app.store.read(run).await
}

async fn zql(call: Call, op: ZQLQuery) -> Result<Value> {
    let text = op.zql.filter(|s| !s.trim().is_empty()).ok_or_else(|| missing("zql"))?;
    let (viewer, options, caller) = (call.viewer(), query::options(&call), call.caller.clone());
    let run = move |tx: &mut dyn cairn_store::Tx| {
        let answer = zql::answer(tx, &text, &viewer, &caller, &options)?;
        mine(tx, &caller, answer)
    };
    call.app.store.read(run).await
}

/// What was found, with the actions that the caller may take.
fn mine(tx: &mut dyn cairn_store::Tx, caller: &Caller, mut found: Value) -> Result<Value> {
    if !caller.is_admin() {
        super::shown::found_by_tenant(tx, &caller.account.to_string(), &mut found)?;
    }
    Ok(found)
}

fn missing(field: &str) -> Fault {
    Fault::argument(format!("'{field}' is required")).with("field", field)
}

/// Names of what the caller may see; the others are left out.
async fn names(call: Call, op: GetResourceNames) -> Result<Value> {
    let uuids: Vec<String> = op.uuids.into_iter().filter(|u| cairn_types::is_uuid(u)).collect();
    if uuids.is_empty() {
        return Ok(json!({ "inventories": [] }));
    }
    let asked =
        Query { limit: Some(100_000), ..Query::default() }.and("uuid", Operator::In, &uuids.join(","));
    let found = query::run(&call, resource::RESOURCE.inventory, asked).await?;
    Ok(json!({ "inventories": found.inventories }))
}
