//! Every operation and inventory of the API, and the protocol between server and agents.

pub mod agent;
