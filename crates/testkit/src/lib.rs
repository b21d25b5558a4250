//! What server tests stand on.
//!
//! A [`Cloud`] is a whole server in this process, on free ports of the loopback address, over a database in a folder of its
//! own, with simulated hosts. It runs in a runtime of its own, so that [`Cloud::crash`] ends it as a kill would: nothing
//! more happens, and the next start finds what was committed. An [`Api`] talks to it over real HTTP. [`World`] makes a zone
//! with everything that a VM needs, through the API.
//!
//! ```no_run
//! # async fn example() {
//! use cairn_testkit::Cloud;
//! use serde_json::json;
//! let cloud = Cloud::start().await;
//! let zone = cloud.admin.ok("CreateZone", json!({"name": "z"})).await;
//! let tenant = cloud.account("alice").await;
//! assert_eq!(tenant.fails("DeleteZone", json!({"uuid": zone["inventory"]["uuid"]})).await.code(), "ID.1002");
//! # }
//! ```

mod api;
mod check;
mod cloud;
mod faults;
mod nats;
mod receiver;
mod rows;
pub mod scenarios;
mod servers;
mod simulation;
mod tables;
mod world;

pub use api::{Api, Failure, Reply, digest};
pub use check::{row_violations, violations};
pub use cloud::{Cloud, TEST_PASSWORD};
pub use faults::{Fault, Faults, Trouble};
pub use nats::NatsServer;
pub use receiver::{Received, Receiver};
pub use rows::Rows;
pub use servers::Servers;
pub use simulation::Simulation;
pub use tables::Tables;
pub use world::World;
