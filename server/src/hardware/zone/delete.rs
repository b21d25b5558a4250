//! Deletes a zone and everything in it. What that is stands in [`crate::cascade::EDGES`].

use cairn_types::kind;

use crate::cascade::{Deletable, Deletion};

/// The kind of resource.
pub struct Zone;

impl Deletable for Zone {
    const WORKFLOW: &'static str = "zone.delete/1";
    const ENTITY: &'static str = "ZoneVO";
    type Kind = kind::Zone;
}

/// Deletes a zone.
pub type DeleteZone = Deletion<Zone>;
