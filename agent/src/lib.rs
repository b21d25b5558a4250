//! The agent on a host. It holds no truth: it carries out idempotent commands of the server and reports what it sees.
//!
//! [`link`] keeps one connection to the server, [`dispatch`] sees to it that nothing is done twice or out of order,
//! [`ops`] is the table of commands. The work stands behind four small traits ([`drivers`]): libvirt, local disks,
//! host networks, and the image store. What must outlive the process lies in [`state`].

pub mod agent;
pub mod config;
pub mod dispatch;
pub mod drivers;
pub mod host;
pub mod image_store;
pub mod lanes;
pub mod link;
pub mod network;
pub mod ops;
pub mod process;
pub mod simulate;
pub mod state;
pub mod storage;
pub mod vm;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
