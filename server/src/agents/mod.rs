//! Connections to agents: the listener, the certificate authority, and the hub through which commands go.

pub mod authority;
mod calls;
mod hub;
mod link;
mod serve;
mod twice;

pub use authority::{Authority, Credentials, SERVER_NAME};
pub use calls::AgentCalls;
pub use hub::{Agents, CallOptions, Patience};
#[allow(unused_imports)]
pub(crate) use serve::targets_of;
