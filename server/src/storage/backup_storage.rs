//! Backup storage.

use std::sync::Arc;

use crate::app::App;

/// A connection serves the image store now.
pub async fn arrived(_app: Arc<App>, _storage: String) {}

/// No connection serves the image store any more.
pub async fn gone(_app: &Arc<App>, _storage: &str) {}
