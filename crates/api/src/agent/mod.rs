//! The protocol between server and agents: JSON frames over one mutual-TLS connection that the agent dials.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON, at most [`MAX_FRAME`] bytes. The agent speaks
//! first ([`AgentFrame::Hello`]); the server answers with [`ServerFrame::Welcome`] or [`ServerFrame::Refuse`]. Commands
//! go down, results and events come up. Nothing is ever asked twice with two effects: a command id that the agent has
//! seen gets the kept result, or goes on waiting for the one that is under way.
//!
//! One connection may serve several *targets*: the KVM host and the image store of one machine, or up to 1,000
//! simulated hosts. A target is named by its resource uuid.

pub mod host;
pub mod image_store;
pub mod network;
pub mod storage;
pub mod vm;

use cairn_types::Fault;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Protocol versions this build speaks, newest first. Server and agent take the highest that both know.
pub const PROTOCOLS: &[u32] = &[1];
/// Largest frame either side accepts, in bytes.
pub const MAX_FRAME: usize = 16 << 20;
/// Seconds between heartbeats of an agent where the server names no other interval in its welcome; three missed ones mean that
/// the connection is lost.
pub const HEARTBEAT_S: u64 = 5;

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetKind {
    /// A KVM host (or a simulated one).
    Host,
    /// An image store.
    ImageStore,
}

/// One resource that an agent serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Uuid of the host or backup storage.
    pub uuid: String,
    /// What it is.
    pub kind: TargetKind,
}

/// Server to agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerFrame {
    /// The connection stands.
    Welcome {
        /// The version both sides use from now on.
        protocol: u32,
        /// Uuid of the server (management node).
        server: String,
        /// The targets that the server lets this agent serve: a subset of what Hello named, plus newly assigned ones.
        targets: Vec<Target>,
        /// The server's clock: milliseconds since some moment of its own. None (0): it does not say until when commands are
        /// wanted.
        #[serde(default)]
        now_ms: u64,
        /// Seconds between the agent's heartbeats. None (0): [`HEARTBEAT_S`].
        #[serde(default)]
        heartbeat_s: u64,
    },
    /// The server wants no such connection; the agent waits before it dials again.
    Refuse {
        /// Why.
        fault: Fault,
    },
    /// The targets served by this connection have changed (an image store was added on a host).
    Targets {
        /// The new list.
        targets: Vec<Target>,
    },
    /// Where the agent finds this server and those that may take its place. Sent by one of several servers, which from then on
    /// says something at least every `beat_ms` milliseconds; after three times that the agent dials again.
    Servers {
        /// `host:port` each.
        addresses: Vec<String>,
        /// Longest silence of the server.
        beat_ms: u64,
    },
    /// Do something. The answer is one [`AgentFrame::Result`] with the same id.
    Command(Command),
    /// The caller no longer waits; the agent may stop the command if that leaves nothing half done.
    Cancel {
        /// The command.
        id: String,
    },
    /// Results that the server has stored; the agent may forget them.
    Acknowledge {
        /// Command ids.
        ids: Vec<String>,
    },
}

/// A command for one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Unique and stable: the same step of the same run sends the same id again after a restart of the server.
    pub id: String,
    /// The target's uuid.
    pub target: String,
    /// Workflow run that asks, for logs; empty for reads.
    #[serde(default)]
    pub run: String,
    /// Epoch of the server that owns the target. The agent refuses commands older than the highest it has seen for
    /// the target (`AGENT.8000`).
    pub epoch: u64,
    /// [`AgentOp::NAME`].
    pub op: String,
    /// The operation's own struct.
    pub args: Value,
    /// The server waits this long, in milliseconds.
    pub timeout_ms: u64,
    /// The agent must have received it by then, by the server's clock; later its caller may have been told that the agent is
    /// gone, and it is refused as stale (`AGENT.8008`). 0: whenever.
    #[serde(default)]
    pub receive_by_ms: u64,
    /// The agent must have begun it by then; later its caller has been told that it failed. 0: whenever.
    #[serde(default)]
    pub begin_by_ms: u64,
}

/// Agent to server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AgentFrame {
    /// First frame of a connection.
    Hello {
        /// Versions the agent speaks.
        protocols: Vec<u32>,
        /// Uuid of the agent; must be the common name of its certificate.
        agent: String,
        /// Version of the agent's program.
        version: String,
        /// What it serves.
        targets: Vec<Target>,
        /// Random per process start: tells a reconnect from a restart.
        boot: String,
    },
    /// The end of a command.
    Result {
        /// The command's id.
        id: String,
        /// The operation's reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ok: Option<Value>,
        /// Or why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        err: Option<Fault>,
    },
    /// How far a command is. Lossy.
    Progress {
        /// The command's id.
        id: String,
        /// 0..=100.
        percent: u8,
        /// What is being done, for people.
        #[serde(default)]
        text: String,
    },
    /// Something happened that nobody asked for.
    Event {
        /// The target it happened on.
        target: String,
        /// What.
        event: AgentEvent,
    },
    /// "I am alive", as often as the server's welcome says; it covers all targets of the connection but those named.
    Heartbeat {
        /// Targets that do not answer (libvirtd is gone), with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failing: Vec<(String, Fault)>,
    },
}

/// Something that happened on a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AgentEvent {
    /// A domain changed its state.
    Vm {
        /// The VM.
        vm: String,
        /// Its state now.
        state: vm::PowerState,
        /// libvirt's reason, for the log.
        #[serde(default)]
        reason: String,
    },
    /// An upload to the image store ended or failed to begin in time.
    Upload {
        /// The image.
        image: String,
        /// Evidence, or why not.
        #[serde(default)]
        file: Option<image_store::ImageFile>,
        /// Why it failed.
        #[serde(default)]
        fault: Option<Fault>,
    },
    /// Bytes received of an upload so far.
    UploadProgress {
        /// The image.
        image: String,
        /// 0..=100.
        percent: u8,
    },
}

/// An operation that a server asks of an agent. All are idempotent: done twice, they leave the same state.
pub trait AgentOp: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the agent answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Name on the wire.
    const NAME: &'static str;
    /// How long the server waits by default, in milliseconds.
    const TIMEOUT_MS: u64 = 30_000;
}

/// The empty answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

macro_rules! agent_op {
    ($ty:ty => $name:literal, $reply:ty $(, $timeout:expr)?) => {
        impl $crate::agent::AgentOp for $ty {
            type Reply = $reply;
            const NAME: &'static str = $name;
            $(const TIMEOUT_MS: u64 = $timeout;)?
        }
    };
}
pub(crate) use agent_op;
