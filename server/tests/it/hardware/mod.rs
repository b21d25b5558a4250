//! Zones, clusters and hosts.

mod cascade;
mod hosts;
mod load;
mod local;
mod many;
mod simulated;
pub mod site;
mod zones;
