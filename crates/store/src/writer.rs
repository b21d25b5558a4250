//! The writer thread: many logical transactions, up to [`BATCH`] of them, share one BEGIN IMMEDIATE … COMMIT; answers leave once
//! that is on disk (see [`crate::sync`]).
//!
//! They run without savepoints, which would copy every page that each of them touches. When one fails after it has written
//! something, the batch is taken back and all of it runs again, each in a savepoint of its own.

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
trait Logical: Send {
    /// Runs it, perhaps again; says whether to keep its changes.
    fn run(&mut self, connection: &mut Connection) -> bool;
    /// Makes it fail.
    fn fail(&mut self, fault: Fault);
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, committed: Result<()>);
}
type Work = Box<dyn Logical>;

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

enum Request {
    Write(Work),
    Rehearse(Receiver<Work>, oneshot::Sender<()>),
}

pub(crate) struct Writer {
    sender: Sender<Request>,
    last: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which hands its commits over to be synced.
    pub(crate) fn start(connection: Connection, commits: Sender<Commit>) -> Result<Self> {
        let (sender, receiver) = channel();
        let last = Arc::<AtomicU64>::default();
        let mut thread = Thread { connection, requests: receiver, commits, last: last.clone() };
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

    /// Number of the newest commit that anybody may have seen.
    pub(crate) fn newest(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }
}

struct Thread {
    connection: Connection,
    requests: Receiver<Request>,
    commits: Sender<Commit>,
    last: Arc<AtomicU64>,
}

impl Thread {
    fn serve(&mut self) {
        let mut next = self.requests.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Write(first) => next = self.batch(first),
                Request::Rehearse(work, ready) => rehearse(&mut self.connection, &work, ready),
            }
            if next.is_none() {
                next = self.requests.recv().ok();
            }
        }
    }

    /// Runs one batch. Returns a request that was taken from the queue but belongs to no batch.
    fn batch(&mut self, first: Work) -> Option<Request> {
        let mut batch =
            Batch { begun: run(&self.connection, "BEGIN IMMEDIATE"), apart: false, all: Vec::new() };
        let before = self.connection.total_changes();
        let (mut next, mut left) = (Some(first), None);
        while let Some(work) = next.take() {
            batch.add(&mut self.connection, work);
            if batch.all.len() < BATCH {
                match self.requests.try_recv() {
                    Ok(Request::Write(work)) => next = Some(work),
                    Ok(other) => left = Some(other),
                    Err(_) => {}
                }
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
