//! Moves the write-ahead log into the database file on a thread of its own, so that no commit waits for it.
//!
//! It moves what it can without holding anybody up. The log starts over when a commit finds all of it moved; under writes
//! without pause that comes when the log has reached the writer's own limit, and then little is left to move.

use std::path::Path;
use std::time::Duration;

use cairn_types::{Fault, Result};
use tokio::sync::watch;

use super::connection::open;

/// Pause between two looks at whether there were commits.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts the thread. It ends with the writer.
pub(crate) fn start(path: &Path, mut commits: watch::Receiver<u64>) -> Result<()> {
    let connection = open(path, false)?;
    let work = move || {
        while let Ok(changed) = commits.has_changed() {
            if changed {
                commits.mark_unchanged();
                // Being busy is no error: the next turn moves the rest.
                if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    tracing::warn!(%error, "the log could not be moved into the database; a later turn tries again");
                }
            }
            std::thread::sleep(PAUSE);
        }
    };
    let started = std::thread::Builder::new().name("store-checkpoint".into()).spawn(work);
    started
        .map(|_| ())
        .map_err(|e| Fault::internal(format!("the checkpoint thread could not be started: {e}")))
}
