//! Expunging.

use std::sync::Arc;

use cairn_types::Result;

use crate::app::App;

/// Expunges destroyed VMs whose time has come.
pub async fn due(_app: &Arc<App>) -> Result<()> {
    Ok(())
}
