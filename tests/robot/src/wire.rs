//! What the server's process and the one that watches it tell each other: JSON lines over its standard input and output.

use std::collections::BTreeMap;
use std::fmt;

use cairn_api::agent::Target;
use cairn_simhost::HostShape;
use serde::{Deserialize, Serialize};

/// A moment in a step at which a process can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Point {
    /// Nothing of the step was done.
    Before,
    /// The journal says that it has begun.
    Noted,
    /// Its commands are through, its transaction is not.
    BeforeCommit,
    /// Its transaction is on disk.
    Committed,
    /// The step is over, the run has not gone on.
    After,
}

/// One moment of one step of one workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// Name of the workflow.
    pub workflow: String,
    /// Position of the step.
    pub index: usize,
    /// Name of the step.
    pub step: String,
    /// While it is taken back.
    pub undo: bool,
    /// The moment.
    pub point: Point,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undo = if self.undo { "undo " } else { "" };
        write!(f, "{} {undo}{} {:?}", self.workflow, self.step, self.point)
    }
}

/// What shall go wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plot {
    /// The process kills itself there. None: it does not, the step only fails.
    pub kill: Option<Spot>,
    /// This step fails first: the run is taken back.
    pub fail: Option<Failing>,
}

/// A step that fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failing {
    /// Name of the workflow.
    pub workflow: String,
    /// Position of the step.
    pub index: usize,
    /// Before its work; else after it.
    pub before: bool,
}

/// From the server's process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "camelCase")]
pub enum Say {
    /// It serves the API at this address, and knows these workflows and steps.
    Ready {
        /// `host:port`.
        api: String,
        /// Steps by workflow.
        steps: BTreeMap<String, Vec<String>>,
    },
    /// A simulated agent shall serve this.
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
    /// A simulated agent shall end.
    End {
        /// Uuid of the agent.
        agent: String,
    },
    /// It kills itself now.
    Killing {
        /// Where it is.
        spot: Spot,
    },
    /// Answer to [`Ask::Calm`].
    Calm {
        /// Runs at work.
        live: usize,
        /// Commands kept for agents that are connected.
        kept: usize,
        /// Hosts and backup storages whose agents have no connection, as the server sees it.
        away: Vec<String>,
    },
    /// Answer to [`Ask::Seen`].
    Seen {
        /// Moments passed since the plot was set.
        spots: Vec<Spot>,
        /// The plot's step has failed.
        is_hit: bool,
    },
    /// Answer to [`Ask::Plot`].
    Plotted,
}

/// To the server's process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Ask {
    /// From now on this goes wrong, once; nothing if none.
    Plot {
        /// What.
        plot: Option<Plot>,
    },
    /// Do what is due for connected agents, and say what is at work.
    Calm,
    /// Which moments were passed?
    Seen,
}
