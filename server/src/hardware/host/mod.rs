//! A host: a machine whose agent runs VMs.
//!
//! An administrator owns its *state* (Enabled, Disabled, later Maintenance). Its *status* follows from evidence and from
//! nothing else: [`connect`] ends in Connected when the agent has told what the host is and has been told what should be on
//! it; a lost connection, or a hypervisor that does not answer, makes it Disconnected at once. The status is written in
//! transactions that look at the connection themselves, so it can't stay behind it.

pub mod add;
mod agent;
pub mod api;
pub mod bulk;
pub mod capacity;
pub mod connect;
pub mod connect_many;
pub mod delete;
mod present;
pub mod reconnect;
pub mod store;
pub mod update;

use cairn_workflow::Engine;

pub(super) use store::set_state;

use crate::app::App;

/// Such as tags and events name it.
pub const ENTITY: &str = "HostVO";

pub(super) fn register(engine: &Engine<App>) {
    engine.register::<add::AddHost>();
    engine.register::<connect::ConnectHost>();
    engine.register::<reconnect::ReconnectHost>();
    engine.register::<update::UpdateHost>();
    engine.register::<delete::DeleteHost>();
}
