//! The writer thread: many logical transactions, up to [`BATCH`] of them, share one BEGIN IMMEDIATE … COMMIT; answers leave once
//! that is on disk (see [`crate::sync`]).
//!
//! A COMMIT made while the disk is busy with the one before would wait for it anyway. So the batch stays open until the disk is
//! free, and takes in whatever comes meanwhile: the busier the disk, the larger the batch.
//!
//! They run without savepoints, which would copy every page that each of them touches. When one fails after it has written
//! something, the batch is taken back and all of it runs again, each in a savepoint of its own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::sqlite::run;
use crate::sync::Commit;
use crate::{Tx, stopped};

/// Most logical transactions in one COMMIT.
const BATCH: usize = 512;
/// How long a rehearsal may hold up the writers.
const REHEARSAL: Duration = Duration::from_secs(2);

/// One logical transaction that waits for its turn.
pub(crate) trait Logical: Send {
    /// Runs it, perhaps again; says whether to keep its changes.
    fn run(&mut self, connection: &mut Connection) -> bool;
    /// Makes it fail.
    fn fail(&mut self, fault: Fault);
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, committed: Result<()>);
}
pub(crate) type Work = Box<dyn Logical>;

struct Pending<T, F> {
    f: F,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Logical for Pending<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    fn run(&mut self, connection: &mut Connection) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| (self.f)(connection)))
            .unwrap_or_else(|_| Err(Fault::internal("a transaction panicked and was taken back")));
        self.result.insert(result).is_ok()
    }

    fn fail(&mut self, fault: Fault) {
        self.result = Some(Err(fault));
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let result = self.result.unwrap_or_else(|| Err(stopped()));
        // Nobody may wait any more; the commit stands all the same.
        let _ = self.answer.send(result.and_then(|v| committed.map(|()| v)));
    }
}

pub(crate) enum Request {
    Write(Work),
    Rehearse(Receiver<Work>, oneshot::Sender<()>),
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
    ) -> Result<Self> {
        let last = Arc::<AtomicU64>::default();
        let mut thread = Thread { connection, requests, commits, last: last.clone(), synced: 0 };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.serve())
            .map_err(|e| Fault::internal(format!("the writer thread could not be started: {e}")))?;
        Ok(Self { sender, last })
    }

    pub(crate) fn submit<T, F>(&self, f: F, answer: oneshot::Sender<Result<T>>)
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        // A closed channel drops `answer`, which the caller sees as "stopping".
        let _ = self.sender.send(Request::Write(Box::new(Pending { f, result: None, answer })));
    }

    pub(crate) async fn rehearse(&self) -> Result<Rehearsal> {
        let (sender, receiver) = channel();
        let (ready, is_ready) = oneshot::channel();
        self.sender.send(Request::Rehearse(receiver, ready)).map_err(|_| stopped())?;
        is_ready.await.map_err(|_| stopped())?;
        Ok(Rehearsal { sender })
    }

    pub(crate) fn reserve(&self, log: File, bytes: u64) {
        let _ = self.sender.send(Request::Reserve(log, bytes));
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
        let mut batch =
            Batch { begun: run(&self.connection, "BEGIN IMMEDIATE"), apart: false, all: Vec::new() };
        let before = self.connection.total_changes();
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
        let answers = batch
            .all
            .into_iter()
            .map(|work| -> crate::sync::Answer { Box::new(move |committed| work.answer(committed)) });
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

fn fill(mut log: &File, bytes: u64) -> std::io::Result<()> {
    let end = log.seek(SeekFrom::End(0))?;
    std::io::copy(&mut std::io::repeat(0).take(bytes.saturating_sub(end)), &mut log)?;
    log.sync_all()
}

struct Batch {
    begun: Result<()>,
    /// Each logical transaction has a savepoint.
    apart: bool,
    all: Vec<Work>,
}

impl Batch {
    fn add(&mut self, connection: &mut Connection, mut work: Work) {
        if let Err(fault) = &self.begun {
            work.fail(fault.clone());
        } else if self.apart {
            in_savepoint(connection, work.as_mut());
        } else {
            let before = connection.total_changes();
            // What failed before it wrote anything is told so and costs its neighbours nothing.
            let clean = work.run(connection) || connection.total_changes() == before;
            self.all.push(work);
            if !clean {
                self.again(connection);
            }
            return;
        }
        self.all.push(work);
    }

    /// Takes everything back and runs it again, each apart from the others.
    fn again(&mut self, connection: &mut Connection) {
        self.apart = true;
        self.begun = run(connection, "ROLLBACK").and_then(|()| run(connection, "BEGIN IMMEDIATE"));
        for work in &mut self.all {
            match &self.begun {
                Ok(()) => in_savepoint(connection, work.as_mut()),
                Err(fault) => work.fail(fault.clone()),
            }
        }
    }
}

/// Runs one logical transaction so that it can be taken back alone.
fn in_savepoint(connection: &mut Connection, work: &mut dyn Logical) {
    if let Err(fault) = run(connection, "SAVEPOINT t") {
        return work.fail(fault);
    }
    let kept = if work.run(connection) { Ok(()) } else { run(connection, "ROLLBACK TO t") };
    if let Err(fault) = kept.and_then(|()| run(connection, "RELEASE t")) {
        work.fail(fault);
    }
}

fn commit(connection: &Connection) -> Result<()> {
    run(connection, "COMMIT").inspect_err(|f| {
        tracing::error!(error = %f, detail = ?f.operator, "a commit failed; its transactions are taken back");
        let _ = connection.execute_batch("ROLLBACK");
    })
}

/// A transaction that will be taken back. See [`crate::Store::rehearse`].
pub struct Rehearsal {
    sender: Sender<Work>,
}

impl Rehearsal {
    /// Runs statements on the state that the earlier ones of this rehearsal left.
    pub async fn run<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let late = || Fault::new(code::TIMEOUT, "the plan took too long to make").retry();
        self.sender.send(Box::new(Pending { f, result: None, answer: sender })).map_err(|_| late())?;
        receiver.await.map_err(|_| late())?
    }
}

fn rehearse(connection: &mut Connection, requests: &Receiver<Work>, ready: oneshot::Sender<()>) {
    if connection.execute_batch("BEGIN IMMEDIATE").is_err() || ready.send(()).is_err() {
        let _ = connection.execute_batch("ROLLBACK");
        return;
    }
    let end = Instant::now() + REHEARSAL;
    while let Ok(mut work) = requests.recv_timeout(end.saturating_duration_since(Instant::now())) {
        in_savepoint(connection, work.as_mut());
        work.answer(Ok(()));
    }
    if let Err(e) = connection.execute_batch("ROLLBACK") {
        tracing::error!(error = %e, "a rehearsal could not be taken back");
    }
}
