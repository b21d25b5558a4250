//! What every group stands on: settings, jobs, events, tags, audit, secrets, and the calls about them.

pub mod actions;
pub mod api;
pub mod ask;
pub mod audit;
mod changes;
pub mod cleanup;
pub mod compare;
pub mod config;
pub mod counts;
pub mod departed;
pub mod env;
pub mod events;
pub mod hooks;
pub mod jobs;
pub mod metrics;
pub mod periodic;
pub(crate) mod plan_text;
pub mod query;
pub mod reach;
pub mod recent;
pub mod runs;
pub mod sealed;
pub mod secrets;
pub mod settings;
pub mod shown;
pub mod stuck;
pub mod subscriptions;
pub mod sums;
pub mod tag_api;
pub mod tags;

use cairn_store::{Tx, params};
use cairn_types::{Result, new_uuid, time};

pub use api::handlers;

/// Rows that every installation has: the providers of network services and the console proxy.
pub fn first_rows(tx: &mut dyn Tx) -> Result<()> {
    crate::network::service::first_rows(tx)?;
    if !tx.exists("SELECT 1 FROM console_proxy_agent", params![])? {
        let now = time::now_ms();
        let sql = "INSERT INTO console_proxy_agent (uuid, description, management_ip, type, status, state, create_ms, last_op_ms)
                   VALUES (?, 'console proxy of the management node', '127.0.0.1', 'ManagementServerConsoleProxy', 'Connected', 'Enabled', ?, ?)";
        tx.execute(sql, params![new_uuid(), now, now])?;
    }
    Ok(())
}
