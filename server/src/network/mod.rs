//! L2 and L3 networks, addresses and network services.

pub mod address;
pub mod apply;
pub mod deletion;
pub mod dhcp;
pub mod ip;
pub mod ip_range;
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
pub fn handlers(h: &mut Handlers) {
    l2::api::handlers(h);
    l3::api::handlers(h);
    ip_range::api::handlers(h);
}

/// The workflows of this group.
pub fn register(engine: &Engine<App>) {
    engine.register::<l2::attach::AttachL2Network>();
    engine.register::<l2::detach::DetachL2Network>();
    engine.register::<l2::delete::DeleteL2Network>();
    engine.register::<l3::delete::DeleteL3Network>();
    engine.register::<ip_range::delete::DeleteIpRange>();
}
