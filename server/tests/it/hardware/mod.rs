//! Zones, clusters and hosts.

mod cascade;
mod hosts;
pub mod site;
mod zones;
