//! Primary storage, backup storage, images and volumes.
//!
//! Who owns what: rows say what there should be, agents say what there is. A status is Connected only while an agent has
//! answered, an image is Ready only once its file was seen with its checksums, a cached image only once the host said so.

mod answer;
pub mod backup_storage;
pub mod cache;
pub mod capacity;
mod check;
pub mod connect;
pub mod image;
mod memory;
pub mod primary_storage;
mod rounds;
pub(crate) mod shared;
pub mod simulator;

use cairn_workflow::Engine;

pub use memory::Memory;

use crate::app::App;
use crate::handlers::Handlers;

/// The operations of this group.
pub fn handlers(h: &mut Handlers) {
    primary_storage::handlers(h);
    backup_storage::handlers(h);
    image::handlers(h);
    capacity::handlers(h);
}

/// The workflows of this group.
pub fn register(engine: &Engine<App>) {
    primary_storage::register(engine);
    backup_storage::register(engine);
    image::register(engine);
}
