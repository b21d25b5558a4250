//! The simulated machines of a rig and their agents: in this process, or in one that can be killed.

mod apart;
mod here;
mod process;
mod wire;

use std::sync::Arc;

use anyhow::Result;
use cairn_api::agent::Target;
use cairn_simhost::{CloudSnapshot, HostShape};

pub use apart::{Apart, End, Herd};
pub use here::Here;
pub use process::run;
pub use wire::{Ask, Point, Spot};

/// Where the agents are.
pub enum Fleet {
    /// In this process.
    Here(Here),
    /// In another one.
    Apart(Arc<Apart>),
}

impl Fleet {
    /// An agent shall serve this.
    pub fn serve(&self, agent: &str, target: &Target, shape: HostShape, room_bytes: u64) {
        match self {
            Self::Here(here) => here.serve(agent, target, shape, room_bytes),
            Self::Apart(apart) => {
                let (agent, target) = (agent.to_owned(), target.clone());
                apart.tell(Ask::Serve { agent, target, shape, room_bytes });
            }
        }
    }

    /// An agent shall end.
    pub fn end(&self, agent: &str) {
        match self {
            Self::Here(here) => here.end(agent),
            Self::Apart(apart) => apart.tell(Ask::End { agent: agent.to_owned() }),
        }
    }

    /// Machines that have no connection; none: only the server knows.
    pub fn away(&self) -> Option<Vec<String>> {
        match self {
            Self::Here(here) => Some(here.away()),
            Self::Apart(_) => None,
        }
    }

    /// What is on the machines.
    pub fn snapshot(&self) -> Result<CloudSnapshot> {
        match self {
            Self::Here(here) => Ok(here.snapshot()),
            Self::Apart(apart) => apart.snapshot(),
        }
    }

    /// Ends the connection of a host's agent, which dials again.
    pub fn drop_connection(&self, host: &str) {
        match self {
            Self::Here(here) => here.drop_connection(host),
            Self::Apart(apart) => apart.tell(Ask::Drop { host: host.to_owned() }),
        }
    }
}
