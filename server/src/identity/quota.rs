//! Quotas: limits of what an account may have, checked in the transaction that takes it.

use cairn_store::Tx;
use cairn_types::{Id, Result, kind};

pub(super) fn handlers(_h: &mut crate::handlers::Handlers) {}

/// Refuses with `ID.1003` if the account would have more than its quota allows. Each ask is a quota name of the manual and
/// how much more of it is wanted, such as `("vm.num", 1)`. What is used already is counted from rows in this transaction.
/// The admin account has no quotas.
pub fn check(_tx: &mut dyn Tx, _account: Id<kind::Account>, _asks: &[(&str, i64)]) -> Result<()> {
    Ok(())
}
