//! One operation of a robot, as it stands in a list: a line of JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Its number in the list.
    pub n: usize,
    /// Who of the clients at work carries it out. Operations of one client go one after the other.
    pub client: usize,
    /// What is done.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum Deed {
    /// A call of the API.
    Call {
        /// `admin`, or the name of an account.
        who: String,
        /// Name of the operation.
        action: String,
        /// Its parameters. A text that begins with `$` stands for what is looked up when the call is made.
        params: Value,
        /// Id of its job.
        job: String,
        /// Only a plan is wanted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        plan: bool,
    },
    /// Something goes wrong with a simulated machine.
    Break {
        /// Uuid of the host or backup storage.
        machine: String,
        /// What.
        #[serde(flatten)]
        what: Trouble,
    },
    /// The server's process is killed and started again.
    Kill {
        /// After this long.
        after_ms: u64,
    },
    /// Everything is mended; wait until nothing is at work, and check what must hold.
    Check,
}

/// What goes wrong with a machine until the next check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "camelCase")]
pub enum Trouble {
    /// A command does nothing and fails.
    Fail { op: String, nth: u32 },
    /// A command does its work and fails.
    FailAfter { op: String, nth: u32 },
    /// A command is not answered.
    Hang { op: String },
    /// A command is done, and the connection drops before it is told.
    DropResult { op: String },
    /// A command is done, and the agent's process dies before it is told and forgets it.
    RestartAgentAfter { op: String },
    /// Commands take long.
    Delay { op: String, ms: u64 },
    /// The connection drops.
    DropConnection,
    /// The machine can't be reached.
    Disconnect,
    /// The agent's process stops for a while.
    Freeze,
    /// The agent's process dies and starts again.
    RestartAgent,
    /// The hypervisor does not answer.
    FailHypervisor,
    /// Power is lost and comes back.
    Crash,
    /// Power is lost.
    Vanish,
    /// A guest is gone and nobody says so.
    LoseVm { vm: String },
    /// A guest shuts down from inside.
    PowerOff { vm: String },
    /// The hypervisor pauses a guest.
    PauseVm { vm: String },
    /// The file of an upload has come.
    FinishUpload { image: String },
}

/// Reads a list.
pub fn read(path: &Path) -> Result<Vec<Op>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| serde_json::from_str(l).with_context(|| format!("no operation: {l}")))
        .collect()
}

/// A list as text.
pub fn text(ops: &[Op]) -> String {
    ops.iter().map(|o| serde_json::to_string(o).unwrap_or_default() + "\n").collect()
}

/// Writes a list.
pub fn write(path: &Path, ops: &[Op]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text(ops)).with_context(|| format!("{} can't be written", path.display()))
}
