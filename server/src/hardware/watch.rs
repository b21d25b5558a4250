//! What hosts report by themselves: they come, they go, their VMs change state.

use std::sync::Arc;

use cairn_api::agent::{AgentEvent, Target};
use cairn_types::Fault;

use crate::app::App;

/// A connection serves the host now.
pub async fn host_arrived(_app: Arc<App>, _host: String) {}

/// No connection serves the host any more.
pub async fn host_gone(_app: &Arc<App>, _host: &str) {}

/// Something happened on a target.
pub async fn event(_app: Arc<App>, _target: String, _event: AgentEvent) {}

/// A heartbeat of a connection: all its targets live, but those that are named.
pub fn heartbeat(_app: &Arc<App>, _targets: &[Target], _failing: Vec<(String, Fault)>) {}
