//! Zones, clusters and hosts.

pub mod simulator;
pub mod watch;

use cairn_workflow::Engine;

use crate::app::App;
use crate::handlers::Handlers;

/// The operations of this group.
pub fn handlers(_h: &mut Handlers) {}

/// The workflows of this group.
pub fn register(_engine: &Engine<App>) {}
