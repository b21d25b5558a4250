//! The writer thread: many logical transactions, up to [`crate::batch::BATCH`] of them, share one BEGIN IMMEDIATE … COMMIT; answers leave once
//! that is on disk (see [`super::sync`]).
//!
//! A COMMIT made while the disk is busy with the one before would wait for it anyway. So the batch stays open until the disk is
//! free, and takes in whatever comes meanwhile: the busier the disk, the larger the batch.
//!
//! How a batch is run is in [`crate::batch`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use cairn_types::{Fault, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connection::run;
use super::sync::{Answer, Commit};
use crate::Tx;
use crate::batch::{BATCH, Batch, Session, rehearse};
use crate::logical::{Guard, Work};

pub(crate) enum Request {
    Write(Work),
    Rehearse(Receiver<Work>, oneshot::Sender<Result<()>>),
    /// Makes the log this long.
    Reserve(File, u64),
    /// Everything up to this commit is on disk.
    Synced(u64),
    Stop,
}

pub(crate) struct Writer {
    sender: Sender<Request>,
    last: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which hands its commits over to be synced and hears through `requests` when they are.
    pub(crate) fn start(
        connection: Connection,
        (sender, requests): (Sender<Request>, Receiver<Request>),
        commits: Sender<Commit>,
        guard: Guard,
    ) -> Result<Self> {
        let last = Arc::<AtomicU64>::default();
        let mut thread = Thread { connection, requests, commits, guard, last: last.clone(), synced: 0 };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.serve())
            .map_err(|e| Fault::internal(format!("the writer thread could not be started: {e}")))?;
        Ok(Self { sender, last })
    }

    /// A closed channel drops the work with its answer, which the caller sees as "stopping".
    pub(crate) fn submit(&self, request: Request) {
        let _ = self.sender.send(request);
    }

    /// Number of the newest commit that anybody may have seen.
    pub(crate) fn newest(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread that syncs holds the channel open too.
        let _ = self.sender.send(Request::Stop);
    }
}

struct Thread {
    connection: Connection,
    requests: Receiver<Request>,
    commits: Sender<Commit>,
    guard: Guard,
    last: Arc<AtomicU64>,
    /// The newest commit that is on disk.
    synced: u64,
}

impl Thread {
    fn serve(&mut self) {
        let mut next = self.requests.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Write(first) => next = self.batch(first),
                Request::Rehearse(work, ready) => rehearse(&mut self.connection, &work, ready),
                Request::Reserve(log, bytes) => self.reserve(&log, bytes),
                Request::Synced(number) => self.synced = number,
                Request::Stop => return,
            }
            if next.is_none() {
                next = self.requests.recv().ok();
            }
        }
    }

    /// Fills the log up with zeros, which end it for whoever reads it. Nobody writes to it meanwhile.
    fn reserve(&self, log: &File, bytes: u64) {
        let filled = run(&self.connection, "BEGIN IMMEDIATE").map(|()| fill(log, bytes));
        let _ = self.connection.execute_batch("ROLLBACK");
        match filled {
            Ok(Err(error)) => {
                tracing::warn!(%error, "no room could be made for the database's log; commits are slower")
            }
            Err(error) => {
                tracing::warn!(%error, "no room could be made for the database's log; commits are slower")
            }
            Ok(Ok(())) => {}
        }
    }

    /// Runs one batch. Returns a request that was taken from the queue but belongs to no batch.
    fn batch(&mut self, first: Work) -> Option<Request> {
        let guard = self.guard.clone();
        let before = self.connection.total_changes();
        let mut batch = Batch::begin(&mut self.connection, &guard);
        batch.add(&mut self.connection, first);
        let mut left = None;
        while batch.all.len() < BATCH && left.is_none() {
            match self.next() {
                Some(Request::Write(work)) => batch.add(&mut self.connection, work),
                Some(Request::Synced(number)) => self.synced = number,
                Some(other) => left = Some(other),
                None => break,
            }
        }
        let wrote = self.connection.total_changes() != before;
        // Counted before it can be seen, so that no reader sees a commit with a number above this one.
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let end = batch.begun.and_then(|()| commit(&self.connection));
        let answers =
            batch.all.into_iter().map(|work| -> Answer { Box::new(move |committed| work.answer(committed)) });
        // Nobody receives once the store is dropped; then the answers are dropped too, which reads as "stopping".
        let _ = self.commits.send(Commit { number, wrote, end, answers: answers.collect() });
        left
    }

    /// What comes next for the open batch: none if the disk is free and nothing waits.
    fn next(&self) -> Option<Request> {
        let is_busy = self.synced < self.last.load(Ordering::SeqCst);
        if is_busy { self.requests.recv().ok() } else { self.requests.try_recv().ok() }
    }
}

impl Session for Connection {
    fn tx(&mut self) -> &mut dyn Tx {
        self
    }

    fn begin(&mut self) -> Result<()> {
        run(self, "BEGIN IMMEDIATE")
    }

    fn roll_back(&mut self) {
        if let Err(error) = self.execute_batch("ROLLBACK") {
            tracing::error!(%error, "a transaction could not be taken back");
        }
    }

    fn control(&mut self, sql: &'static str) -> Result<()> {
        run(self, sql)
    }

    fn changes(&self) -> u64 {
        self.total_changes()
    }
}

fn fill(mut log: &File, bytes: u64) -> std::io::Result<()> {
    let end = log.seek(SeekFrom::End(0))?;
    std::io::copy(&mut std::io::repeat(0).take(bytes.saturating_sub(end)), &mut log)?;
    log.sync_all()
}

fn commit(connection: &Connection) -> Result<()> {
    run(connection, "COMMIT").inspect_err(|f| {
        tracing::error!(error = %f, detail = ?f.operator, "a commit failed; its transactions are taken back");
        let _ = connection.execute_batch("ROLLBACK");
    })
}
