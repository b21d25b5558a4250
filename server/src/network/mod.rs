//! L2 and L3 networks, addresses and network services.

pub mod address;
pub mod apply;
pub mod dhcp;
pub mod ip;
pub mod l2;
pub mod l3;
pub mod mac;
pub mod metadata;
pub mod nics;
pub mod service;

use cairn_workflow::Engine;

use crate::app::App;
use crate::handlers::Handlers;

/// The operations of this group.
pub fn handlers(_h: &mut Handlers) {}

/// The workflows of this group.
pub fn register(_engine: &Engine<App>) {}
