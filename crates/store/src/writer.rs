//! The writer thread: every logical transaction is a SAVEPOINT inside one BEGIN IMMEDIATE … COMMIT, up to
//! [`BATCH`] of them per COMMIT, and answers leave after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::sqlite::run;
use crate::{Tx, stopped};

/// Most logical transactions in one COMMIT.
const BATCH: usize = 512;
/// How long a rehearsal may hold up the writers.
const REHEARSAL: Duration = Duration::from_secs(2);

/// Tells the waiting caller how its COMMIT went.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// One logical transaction that waits for its turn.
trait Logical: Send {
    /// Runs it; says whether to keep its changes.
    fn run(self: Box<Self>, connection: &mut Connection) -> (bool, Answer);
    /// Answers without running it.
    fn refuse(self: Box<Self>, fault: Fault);
}
type Work = Box<dyn Logical>;

struct Pending<T, F> {
    f: F,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Logical for Pending<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    fn run(mut self: Box<Self>, connection: &mut Connection) -> (bool, Answer) {
        let result = catch_unwind(AssertUnwindSafe(|| (self.f)(connection)))
            .unwrap_or_else(|_| Err(Fault::internal("a transaction panicked and was taken back")));
        let keep = result.is_ok();
        let answer: Answer = Box::new(move |committed| {
            // Nobody may wait any more; the commit stands all the same.
            let _ = self.answer.send(result.and_then(|v| committed.map(|()| v)));
        });
        (keep, answer)
    }

    fn refuse(self: Box<Self>, fault: Fault) {
        let _ = self.answer.send(Err(fault));
    }
}

enum Request {
    Write(Work),
    Rehearse(Receiver<Work>, oneshot::Sender<()>),
}

pub(crate) struct Writer {
    sender: Sender<Request>,
}

impl Writer {
    pub(crate) fn start(connection: Connection, commits: watch::Sender<u64>) -> Self {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(connection, &receiver, &commits))
            .expect("the system lets us start the writer thread");
        Self { sender }
    }

    pub(crate) fn submit<T, F>(&self, f: F, answer: oneshot::Sender<Result<T>>)
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        // A closed channel drops `answer`, which the caller sees as "stopping".
        let _ = self.sender.send(Request::Write(Box::new(Pending { f, answer })));
    }

    pub(crate) async fn rehearse(&self) -> Result<Rehearsal> {
        let (sender, receiver) = channel();
        let (ready, is_ready) = oneshot::channel();
        self.sender.send(Request::Rehearse(receiver, ready)).map_err(|_| stopped())?;
        is_ready.await.map_err(|_| stopped())?;
        Ok(Rehearsal { sender })
    }
}

fn serve(mut connection: Connection, requests: &Receiver<Request>, commits: &watch::Sender<u64>) {
    let mut next = requests.recv().ok();
    while let Some(request) = next.take() {
        match request {
            Request::Write(first) => next = batch(&mut connection, first, requests, commits),
            Request::Rehearse(work, ready) => rehearse(&mut connection, &work, ready),
        }
        if next.is_none() {
            next = requests.recv().ok();
        }
    }
}

/// Runs one batch. Returns a request that was taken from the queue but belongs to no batch.
fn batch(
    connection: &mut Connection,
    first: Work,
    requests: &Receiver<Request>,
    commits: &watch::Sender<u64>,
) -> Option<Request> {
    let begun = run(connection, "BEGIN IMMEDIATE");
    let mut answers = Vec::new();
    let mut left = None;
    let mut work = Some(first);
    while let Some(current) = work.take() {
        match &begun {
            Ok(()) => answers.extend(in_savepoint(connection, current)),
            Err(f) => current.refuse(f.clone()),
        }
        if answers.len() < BATCH {
            match requests.try_recv() {
                Ok(Request::Write(w)) => work = Some(w),
                Ok(other) => left = Some(other),
                Err(_) => {}
            }
        }
    }
    let end = begun.and_then(|()| commit(connection));
    if end.is_ok() {
        commits.send_modify(|n| *n += 1);
    }
    for answer in answers {
        answer(end.clone());
    }
    left
}

/// Runs one logical transaction; `None` if it could not even begin and has been answered.
fn in_savepoint(connection: &mut Connection, work: Work) -> Option<Answer> {
    if let Err(f) = run(connection, "SAVEPOINT t") {
        work.refuse(f);
        return None;
    }
    let (keep, answer) = work.run(connection);
    let taken_back = if keep { Ok(()) } else { run(connection, "ROLLBACK TO t") };
    if let Err(f) = taken_back.and_then(|()| run(connection, "RELEASE t")) {
        answer(Err(f));
        return None;
    }
    Some(answer)
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
        self.sender.send(Box::new(Pending { f, answer: sender })).map_err(|_| late())?;
        receiver.await.map_err(|_| late())?
    }
}

fn rehearse(connection: &mut Connection, requests: &Receiver<Work>, ready: oneshot::Sender<()>) {
    if connection.execute_batch("BEGIN IMMEDIATE").is_err() || ready.send(()).is_err() {
        let _ = connection.execute_batch("ROLLBACK");
        return;
    }
    let end = Instant::now() + REHEARSAL;
    while let Ok(work) = requests.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if let Some(answer) = in_savepoint(connection, work) {
            answer(Ok(()));
        }
    }
    if let Err(e) = connection.execute_batch("ROLLBACK") {
        tracing::error!(error = %e, "a rehearsal could not be taken back");
    }
}
