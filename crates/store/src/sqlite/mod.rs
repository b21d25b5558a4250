//! SQLite: one file, one server. One writer, whose commits are made durable on a second thread, and a few readers.

mod checkpoint;
mod connection;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use cairn_types::{Fault, Result};
use tokio::sync::watch;

use crate::logical::Guard;
use crate::migrate;
use crate::reader::{Read, Readers};
use crate::{Tx, params};

pub(crate) use writer::Request;

/// As long as the log gets before a commit moves it into the database: 16,384 pages with a header each (`connection.rs`).
pub(crate) const LOG_BYTES: u64 = 16_384 * (4096 + 24) + 32;

/// One connection that can change nothing.
pub(crate) fn look(path: &Path) -> Result<Box<dyn Tx + Send>> {
    Ok(Box::new(connection::open(path, true)?))
}

/// An open database file.
pub(crate) struct Database {
    writer: writer::Writer,
    readers: Readers,
    durable: sync::Durable,
    path: PathBuf,
}

impl Database {
    pub(crate) fn open(path: &Path, readers: usize, sync: sync::Sync, guard: Guard) -> Result<Self> {
        let mut connection = connection::open(path, false)?;
        migrate::run(&mut connection)?;
        let (sender, requests) = std::sync::mpsc::channel();
        let (commits, durable) = sync::start(sync, sender.clone())?;
        let writer = writer::Writer::start(connection, (sender, requests), commits, guard)?;
        let connections = (0..readers.max(1)).map(|_| connection::open(path, true));
        let readers = Readers::start(connections.collect::<Result<Vec<_>>>()?)?;
        checkpoint::start(path, durable.syncs())?;
        Ok(Self { writer, readers, durable, path: path.to_owned() })
    }

    /// Gives the writer something to do. Once it has stopped the request is dropped, which reads as "stopping".
    pub(crate) fn submit(&self, request: Request) {
        self.writer.submit(request);
    }

    pub(crate) fn submit_read(&self, read: Read) {
        self.readers.submit(read);
    }

    /// Makes a write durable before an answer that may tell of it leaves.
    pub(crate) async fn kept(&self) -> Result<()> {
        self.durable.wait(self.writer.newest()).await
    }

    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.durable.syncs()
    }

    pub(crate) fn reserve_log(&self) -> Result<()> {
        let log = std::fs::File::options().append(true).open(sync::log_of(&self.path));
        let log =
            log.map_err(|e| Fault::internal("the log of the database can't be opened").for_operator(e))?;
        self.writer.submit(Request::Reserve(log, LOG_BYTES));
        Ok(())
    }

    /// Copies the database into a new file. Blocks.
    pub(crate) fn copy_to(path: &Path, target: &Path) -> Result<()> {
        let target = target.to_string_lossy().into_owned();
        Tx::execute(&mut connection::open(path, true)?, "VACUUM INTO ?", params![target]).map(|_| ())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
