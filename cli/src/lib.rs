//! The command line. `cairn` turns the operation table into nouns and verbs and has no rules of its own; `cairn-ctl`
//! looks after the server on its own machine.

pub mod answer;
pub mod arguments;
pub mod call;
pub mod client;
pub mod command;
pub mod ctl;
pub mod events;
pub mod explain;
pub mod failure;
pub mod guest;
pub mod job;
pub mod known;
pub mod names;
pub mod output;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod run;
pub mod session;
pub mod sign;
pub mod simulated;
pub mod terminal;
pub mod upload;
pub mod watch;

pub use failure::{Failure, Result};
