//! Tests of the server as a whole, in process, on simulated hosts.

mod hardware;
mod identity;
mod kit;
mod network;
mod platform;
mod storage;
mod table;
