//! Zones, clusters and hosts.

mod cascade;
mod hosts;
mod local;
pub mod site;
mod zones;
