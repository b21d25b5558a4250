//! Queries on a real database.

mod facts;
mod fixture;
mod injection;
mod operators;
mod relations;
mod results;
mod scripts;
mod visibility;
