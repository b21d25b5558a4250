//! Tests of the server as a whole, in process, on simulated hosts.

mod hardware;
mod kit;
mod storage;
