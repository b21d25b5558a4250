//! An IP range of an L3 network: the addresses that are handed out. All ranges of a network lie in one subnet.

pub mod api;
pub mod delete;

const ENTITY: &str = "IpRangeVO";
