//! Primary storage, backup storage and images.

#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod backup_storage;
mod cache;
mod crash;
mod depot;
mod image_life;
mod images;
mod primary_storage;
mod shared;
mod strangers;
mod uploads;
mod with_vms;
