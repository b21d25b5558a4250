//! Tests of the server as a whole, in process, on simulated hosts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bus;
mod commands;
mod departed;
mod effects;
mod events;
mod faults;
mod hardware;
mod hostile;
mod identity;
mod kit;
mod network;
mod nodes;
mod one_foreign;
mod placement;
mod plans;
mod platform;
mod races;
mod storage;
mod table;
mod vm;
mod vm_states;
