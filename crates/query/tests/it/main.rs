//! Queries on a real database.

#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod facts;
mod fixture;
mod injection;
mod operators;
mod plans;
mod relations;
mod results;
mod scripts;
mod visibility;
