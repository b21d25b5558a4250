//! Zones, clusters and hosts.

pub mod cluster;
mod elsewhere;
pub mod host;
pub mod memory;
pub mod simulator;
pub mod ssh;
pub mod watch;
pub mod zone;

use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Fault, Id, Result};
use cairn_workflow::Engine;
use serde_json::json;

pub use elsewhere::Elsewhere;
pub use memory::Hardware;

use crate::app::App;
use crate::handlers::Handlers;
use crate::rows;

/// The operations of this group.
pub fn handlers(h: &mut Handlers) {
    zone::api::handlers(h);
    cluster::api::handlers(h);
    host::api::handlers(h);
    host::bulk::handlers(h);
    host::capacity::handlers(h);
}

/// The workflows of this group.
pub fn register(engine: &Engine<App>) {
    engine.register::<zone::delete::DeleteZone>();
    engine.register::<cluster::delete::DeleteCluster>();
    host::register(engine);
}

/// The state that an event of the API leads to.
fn enabled_by(event: &str) -> EnabledState {
    if event.eq_ignore_ascii_case("disable") { EnabledState::Disabled } else { EnabledState::Enabled }
}

/// Sets the state of a zone or cluster; notes a change only if it is one.
fn set_enabled<T>(tx: &mut dyn Tx, entity: &str, uuid: Id<T>, state: EnabledState) -> Result<()> {
    let Some(table) = rows::table_of(entity) else {
        return Err(Fault::internal(format!("{entity} has no table")));
    };
    let sql = format!("UPDATE {table} SET state = ? WHERE uuid = ? AND state <> ?");
    if tx.execute(&sql, params![state, uuid, state])? == 1 {
        rows::changed(tx, entity, uuid, &json!({ "state": state }))?;
    }
    Ok(())
}
