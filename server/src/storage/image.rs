//! Images.

use std::sync::Arc;

use cairn_types::Result;

use crate::app::App;

/// Expunges deleted images whose time has come.
pub async fn expunge_due(_app: &Arc<App>) -> Result<()> {
    Ok(())
}
