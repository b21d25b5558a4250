//! Ids, states, sizes, times and errors: the words every other crate uses. No I/O, no async.

pub mod address;
pub mod code;
pub mod fault;
pub mod id;
pub mod mask;
pub mod size;
pub mod state;
pub mod time;

pub use fault::{Fault, Result};
pub use id::{Id, is_uuid, job_uuid, kind, new_uuid, random_uuid};
