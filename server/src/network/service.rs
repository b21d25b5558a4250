//! Network services and their providers.

use cairn_store::Tx;
use cairn_types::Result;

/// Rows that every installation has.
pub fn first_rows(_tx: &mut dyn Tx) -> Result<()> {
    Ok(())
}
