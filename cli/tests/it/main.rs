//! The two programs as they are run: real processes against a small HTTP server in this one.
#![allow(clippy::unwrap_used)] // a helper of tests may panic: that fails the test

mod call;
mod ctl;
mod mock;
mod tree;
mod upload;
mod words;
