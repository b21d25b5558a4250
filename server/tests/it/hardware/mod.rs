//! Zones, clusters and hosts.

mod cascade;
mod hosts;
mod site;
mod zones;
