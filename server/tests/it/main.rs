//! Tests of the server as a whole, in process, on simulated hosts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod hardware;
mod identity;
mod kit;
mod network;
mod platform;
mod storage;
mod table;
