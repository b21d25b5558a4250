//! Capacities of storage, read again now and then.

use std::sync::Arc;

use cairn_types::Result;

use crate::app::App;

/// Reads the capacities of all connected storage.
pub async fn refresh(_app: &Arc<App>) -> Result<()> {
    Ok(())
}
