//! The management server: API, page, console proxy, scheduler and workflows in one process.
//!
//! Grouped by what an operator thinks in. The arrows point one way: platform ← identity ← hardware ← storage ← network ←
//! compute. `dispatch` walks a call from the operation table to its handler; `handlers` is the list of all of them.

pub mod agents;
pub mod app;
pub mod bus;
pub mod call;
pub mod cascade;
pub mod compute;
pub mod config;
pub mod dispatch;
pub mod handlers;
pub mod hardware;
pub mod http;
pub mod identity;
pub mod inventory;
pub mod network;
pub mod nodes;
pub mod platform;
pub mod rows;
pub mod storage;
