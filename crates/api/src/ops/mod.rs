//! Every operation of the API, declared once, one file per area.

pub mod compute;
pub mod hardware;
pub mod identity;
pub mod image;
pub mod network;
pub mod platform;
pub mod storage;
#[cfg(test)]
mod tests;

use crate::decl::Operation;

/// The groups in the order of the table.
pub(crate) const GROUPS: &[&[Operation]] = &[
    identity::OPERATIONS,
    hardware::OPERATIONS,
    storage::OPERATIONS,
    image::OPERATIONS,
    network::OPERATIONS,
    compute::OPERATIONS,
    platform::OPERATIONS,
];
