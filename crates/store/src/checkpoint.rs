//! Moves the write-ahead log into the database file on a thread of its own, so that no commit waits for it.
//!
//! It moves what it can without holding anybody up. The log starts over when a commit finds all of it moved; under writes
//! without pause that comes when the log has reached the writer's own limit, and then little is left to move.

use std::path::Path;
use std::time::Duration;

use cairn_types::{Fault, Result};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::sqlite::{fault, open};

/// Pause between two looks at whether there were commits.
const PAUSE: Duration = Duration::from_millis(500);

/// Pauses without a commit after which the log gives its room back. Under writes it keeps it, which is cheaper.
const QUIET: u32 = 20;

/// Being busy is no error: a later turn moves the rest.
fn checkpoint(connection: &Connection, how: &str) {
    if let Err(error) = connection.query_row(how, [], |_| Ok(())) {
        tracing::warn!(%error, "the log could not be moved into the database; a later turn tries again");
    }
}

/// Starts the thread. It ends with the writer.
pub(crate) fn start(path: &Path, mut commits: watch::Receiver<u64>) -> Result<()> {
    let connection = open(path, false)?;
    // Whoever reads just now must not make writers wait behind a checkpoint.
    connection.busy_timeout(Duration::from_millis(10)).map_err(|e| fault(&e))?;
    let work = move || {
        let (mut quiet, mut is_short) = (0, true);
        while let Ok(changed) = commits.has_changed() {
            if changed {
                commits.mark_unchanged();
                (quiet, is_short) = (0, false);
                checkpoint(&connection, "PRAGMA wal_checkpoint(PASSIVE)");
            } else if quiet < QUIET {
                quiet += 1;
            } else if !is_short {
                is_short = true;
                checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            }
            std::thread::sleep(PAUSE);
        }
    };
    let started = std::thread::Builder::new().name("store-checkpoint".into()).spawn(work);
    started
        .map(|_| ())
        .map_err(|e| Fault::internal(format!("the checkpoint thread could not be started: {e}")))
}
