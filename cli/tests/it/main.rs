//! The two programs as they are run: real processes against a small HTTP server in this one.

mod call;
mod ctl;
mod mock;
mod tree;
mod upload;
