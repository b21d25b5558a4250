//! Who may do what: accounts, sessions, access keys, quotas, sharing.

pub mod access_key;
pub mod account;
pub mod ownership;
pub mod password;
pub mod quota;
pub mod session;
pub mod sharing;
mod throttle;

use cairn_workflow::Engine;

pub use session::Identity;

use crate::app::App;
use crate::handlers::Handlers;

/// The operations of this group.
pub fn handlers(h: &mut Handlers) {
    session::handlers(h);
    account::handlers(h);
    access_key::handlers(h);
    quota::handlers(h);
    sharing::handlers(h);
    ownership::handlers(h);
}

/// The workflows of this group.
pub fn register(engine: &Engine<App>) {
    account::register(engine);
}
