//! Hosts and image stores in memory behind the agent protocol: the test bed of the server, `cairn-agent --simulate N`, and
//! the load of the benches.
//!
//! A [`SimCloud`] holds what would be on the machines: VMs, volumes, cached images, bridges, leases, images. A [`SimAgent`]
//! serves some of its hosts and image stores over a byte stream, with the semantics that the protocol promises: a command
//! id is never carried out twice, older epochs are refused, results are kept until they are acknowledged. Tests set
//! latencies and faults through the handles [`SimHost`], [`SimImageStore`] and [`SimCloud::all`], and look at what is there
//! through them and through [`SimCloud::snapshot`].
//!
//! One task serves a connection, whatever the number of its hosts, and an idle host takes a few hundred bytes.

mod address;
mod agent;
mod builder;
mod cloud;
mod connection;
mod fault;
mod handle;
mod host;
mod image_store;
mod network;
mod saved;
mod snapshot;
mod storage;
mod target;
mod vm;
mod witness;
mod world;

pub use builder::{AgentBuilder, SimAgent};
pub use cloud::SimCloud;
pub use connection::Ended;
pub use fault::Latency;
pub use handle::{SimHost, SimImageStore, SimTarget};
pub use host::{HostShape, SharedVolumes, SimCachedImage, SimVm, SimVolume};
pub use image_store::SimImage;
pub use snapshot::{CloudSnapshot, HostSnapshot};
pub use witness::{Moment, Witness};

/// Every operation that a simulated host and a simulated image store carry out.
pub const OPERATIONS: [&[&str]; 2] = [world::HOST_OPS, world::IMAGE_STORE_OPS];

#[cfg(test)]
mod tests;
