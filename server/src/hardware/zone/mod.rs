//! A zone: a room or site. Clusters, primary storage and L2 networks belong to exactly one.
//!
//! Disabling a zone disables the clusters and hosts in it; single clusters and hosts can be enabled again, and new ones
//! added, while the zone stays disabled. Enabling it enables everything below.

pub mod api;
pub mod delete;
