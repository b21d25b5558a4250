//! What the process with the agents and the one that watches it tell each other: JSON lines over standard input and output.

use std::fmt;
use std::path::{Path, PathBuf};

use cairn_api::agent::Target;
use cairn_simhost::HostShape;
use serde::{Deserialize, Serialize};

/// A moment of a command at which the process can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Point {
    /// It was received, and nothing is done.
    Received,
    /// Its work is done, and nobody was told.
    Done,
}

/// A moment of a kind of command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// Name of the command.
    pub op: String,
    /// The moment.
    pub point: Point,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.op, self.point)
    }
}

/// How the process is started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// The folder of the rig.
    pub folder: PathBuf,
    /// Decides what the machines leave to chance.
    pub seed: u64,
    /// Where it kills itself.
    pub kill: Option<Spot>,
    /// What was on the hosts is gone, as with `cairn-agent --simulate`.
    pub forget: bool,
}

impl Orders {
    /// Where what is on the machines is kept.
    pub fn machines(folder: &Path) -> PathBuf {
        folder.join("machines.json")
    }
}

/// To the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Ask {
    /// An agent shall serve this, over the server's socket.
    Serve {
        /// Uuid of the agent.
        agent: String,
        /// What it serves.
        target: Target,
        /// What a new host is made of.
        shape: HostShape,
        /// Room of a store in bytes; 0: as usual.
        room_bytes: u64,
    },
    /// That agent shall end.
    End {
        /// Uuid of the agent.
        agent: String,
    },
    /// Hosts shall be served as `cairn-agent --simulate` does, by mutual TLS.
    Simulate {
        /// Folder with the credentials.
        credentials: PathBuf,
        /// How many hosts.
        hosts: usize,
    },
    /// The connection of a host's agent shall end once.
    Drop {
        /// Uuid of the host.
        host: String,
    },
    /// From now on this kills the process; what was seen is forgotten.
    Plot {
        /// Where; none: nowhere.
        kill: Option<Spot>,
    },
    /// Which moments were passed?
    Seen,
}

/// From the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "camelCase")]
pub enum Say {
    /// It kills itself now.
    Killing {
        /// Where it is.
        spot: Spot,
    },
    /// Answer to [`Ask::Seen`].
    Seen {
        /// Moments passed since the plot was set.
        spots: Vec<Spot>,
    },
    /// Answer to [`Ask::Plot`].
    Plotted,
}
