//! Several servers on one database (OPS-14): who is there, who leads, and what the others do meanwhile.
//!
//! Every server has a row with a lease that it renews each second. One of them leads: it has the workflows, the agents and all
//! periodic work, as a single server has. The others pass every connection on to it. When its lease is over, the one that
//! [`rendezvous`] names takes over in a new epoch and goes on as after a restart. A server that lost the lead can neither write,
//! since each of its transactions looks at the lease first, nor command, since agents refuse older epochs; it starts again
//! and joins anew.

mod address;
mod front;
pub mod lease;
mod peers;
pub mod rendezvous;
mod run;
pub mod store;
#[cfg(test)]
mod tests;

pub use run::{Ended, serve};
