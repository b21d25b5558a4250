//! A whole installation for tests: the server, an agent and an image store of this checkout, real libvirt and QEMU, a network of
//! its own. Started once, used by all cases one after the other, taken away at the end.

pub mod api;
pub mod guest;
pub mod installation;
pub mod machine;
pub mod runner;
pub mod site;

pub use api::Api;
pub use installation::Lab;
pub use machine::Machine;
pub use runner::{Case, run};
pub use site::Site;
