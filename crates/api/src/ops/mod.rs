//! Every operation of the API, declared once, one file per area.

pub mod compute;

use crate::decl::Operation;

/// The groups in the order of the table.
pub(crate) const GROUPS: &[&[Operation]] = &[compute::OPERATIONS];
