//! A VM instance. The server decides what should run; the host's agent reports what runs.
//!
//! A state that ends in `-ing` is held by the workflow run named in `vm_instance.run_uuid`, which alone may end it. Every
//! other state follows from evidence: events of the agent ([`track`]) move a VM between Running, Paused, Stopped and
//! Unknown, and never touch one that a run holds. When a run ends in doubt it leaves the VM Unknown and asks the host at
//! once ([`track::look_again`]).

mod api;
pub mod delete;
mod guest;
mod model;
pub mod pause;
pub mod reboot;
mod recover;
pub mod spec;
pub mod start;
pub mod stop;
pub mod store;
pub mod track;

pub use api::handlers;
pub(crate) use guest::{tag_allowed, tag_written};
pub use model::VmRow;
