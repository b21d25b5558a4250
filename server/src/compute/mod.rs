//! VM instances, offerings and consoles.

pub mod allocation;
pub mod console;
mod dependencies;
pub mod disk_offering;
pub mod expunge;
pub mod instance_offering;
pub mod placement;
pub mod vm;

use cairn_workflow::Engine;

use crate::app::App;
use crate::handlers::Handlers;

/// The operations of this group.
pub fn handlers(h: &mut Handlers) {
    vm::handlers(h);
    allocation::handlers(h);
    console::handlers(h);
    dependencies::handlers(h);
    instance_offering::handlers(h);
    disk_offering::handlers(h);
}

/// The workflows of this group.
pub fn register(engine: &Engine<App>) {
    engine.register::<vm::start::StartVm>();
    engine.register::<vm::stop::StopVm>();
    engine.register::<vm::reboot::RebootVm>();
    engine.register::<vm::pause::PauseVm>();
    engine.register::<vm::delete::DeleteVm>();
}
