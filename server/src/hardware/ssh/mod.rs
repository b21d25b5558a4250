//! Machines reached by SSH: logging in with a password or a key, becoming root, and deploying an agent. Drives the OpenSSH
//! programs.
//!
//! No shell text is ever built from input: what runs on the far side is one of the fixed texts in `scripts/`, and data goes
//! through its standard input. On this side programs are started without a shell.

mod client;
mod deploy;

pub use client::{Login, check_address, check_user};
pub use deploy::{Deployment, Role, deploy, forget, remove, verify};
pub(in crate::hardware) use deploy::{files, log};
