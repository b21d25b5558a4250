//! The writer thread: many logical transactions share one transaction of the database; answers leave once that is kept.
//!
//! Every batch that wrote something also writes its number into `store_writer`. When the connection breaks while a COMMIT is
//! on its way, that row says whether it stands: the next holder of the lock finds the transaction either kept or gone.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result};
use tokio::sync::{oneshot, watch};

use super::TURN;
use super::fault::{Trouble, uncertain};
use super::listen::CHANNEL;
use super::session::Session;
use crate::Tx;
use crate::batch::{BATCH, Batch, Session as _, rehearse};
use crate::logical::{Guard, Work};

/// A batch takes in no more once it has been open this long: other servers wait for it.
const OPEN: Duration = Duration::from_millis(20);
/// How long a lost COMMIT is asked after.
const ASKING: Duration = Duration::from_secs(8);
/// How often a batch is run when the database gives it up at its end.
const TRIES: usize = 3;
/// Which batch of each server was kept last.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS store_writer (name TEXT PRIMARY KEY, batch BIGINT NOT NULL, kept_at TIMESTAMPTZ NOT NULL)";

pub(crate) enum Request {
    Write(Work),
    Rehearse(Receiver<Work>, oneshot::Sender<Result<()>>),
}

pub(crate) struct Writer {
    sender: Sender<Request>,
}

/// How a batch ended.
enum End {
    Kept,
    /// Nothing is kept, and trying again is of no use.
    Refused(Fault),
    /// Nothing is kept, and it may be run again.
    Repeat(Fault),
    /// Nobody knows.
    Unknown(Fault),
}

/// Makes the table of writers and names this one. Names that have long written nothing are forgotten.
pub(super) fn register(session: &mut Session) -> Result<String> {
    session.begin()?;
    let sql = format!(
        "{TABLE}; DELETE FROM store_writer WHERE kept_at < now() - interval '1 day'; SELECT replace(CAST(gen_random_uuid() AS TEXT), '-', ''); COMMIT"
    );
    let answer = session.simple(&sql).map_err(Trouble::fault)?;
    answer.into_iter().next().ok_or_else(|| Fault::internal("the database gave no name"))
}

impl Writer {
    pub(super) fn start(
        session: Session,
        name: String,
        progress: watch::Sender<u64>,
        guard: Guard,
    ) -> Result<Self> {
        let (sender, requests) = channel();
        let mut thread = Thread { session, requests, progress, guard, name, number: 0 };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.serve())
            .map_err(|e| Fault::internal(format!("the writer thread could not be started: {e}")))?;
        Ok(Self { sender })
    }

    /// A closed channel drops the work with its answer, which the caller sees as "stopping".
    pub(super) fn submit(&self, request: Request) {
        let _ = self.sender.send(request);
    }
}

struct Thread {
    session: Session,
    requests: Receiver<Request>,
    progress: watch::Sender<u64>,
    guard: Guard,
    name: String,
    /// The newest batch that wrote something.
    number: u64,
}

impl Thread {
    fn serve(&mut self) {
        let mut next = self.requests.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Write(first) => next = self.batch(first),
                Request::Rehearse(work, ready) => rehearse(&mut self.session, &work, ready),
            }
            next = next.or_else(|| self.requests.recv().ok());
        }
    }

    /// Runs one batch. Returns a request that was taken from the queue but belongs to no batch.
    fn batch(&mut self, first: Work) -> Option<Request> {
        let (guard, began, before) = (self.guard.clone(), Instant::now(), self.session.changes());
        let mut batch = Batch::begin(&mut self.session, &guard);
        batch.add(&mut self.session, first);
        let mut left = None;
        while batch.all.len() < BATCH && left.is_none() && began.elapsed() < OPEN {
            match self.requests.try_recv() {
                Ok(Request::Write(work)) => batch.add(&mut self.session, work),
                Ok(other) => left = Some(other),
                Err(_) => break,
            }
        }
        let end = self.finish(&mut batch, before);
        if end.is_ok() && self.session.changes() != before {
            self.progress.send_modify(|n| *n += 1);
        }
        for work in batch.all {
            work.answer(end.clone());
        }
        left
    }

    /// Commits; when the database gives the batch up, runs it again.
    fn finish(&mut self, batch: &mut Batch<'_>, before: u64) -> Result<()> {
        let mut tries = 1;
        loop {
            batch.begun.clone()?;
            match self.commit(self.session.changes() != before) {
                End::Kept => return Ok(()),
                End::Repeat(fault) if tries >= TRIES => return Err(fault),
                End::Repeat(_) => batch.again(&mut self.session),
                End::Refused(fault) | End::Unknown(fault) => {
                    tracing::error!(error = %fault, detail = ?fault.operator, "a commit failed");
                    return Err(fault);
                }
            }
            tries += 1;
        }
    }

    fn commit(&mut self, wrote: bool) -> End {
        let mut sql = String::from("COMMIT");
        if wrote {
            self.number += 1;
            let (name, number) = (&self.name, self.number);
            sql = format!(
                "INSERT INTO store_writer VALUES ('{name}', {number}, now()) ON CONFLICT (name) DO UPDATE \
                 SET batch = excluded.batch, kept_at = excluded.kept_at; NOTIFY {CHANNEL}, '{name}'; COMMIT"
            );
        }
        let done = self.session.simple(&sql);
        self.session.reset();
        match done {
            Ok(_) => End::Kept,
            Err(Trouble::Lost(fault)) if !wrote => End::Repeat(fault),
            Err(Trouble::Lost(fault)) => self.ask(fault),
            Err(Trouble::Repeat(fault)) => {
                self.session.roll_back();
                End::Repeat(fault)
            }
            Err(Trouble::Refused(fault)) => {
                self.session.roll_back();
                End::Refused(fault)
            }
        }
    }

    /// Finds out whether the newest batch stands, whose COMMIT got no answer.
    fn ask(&mut self, lost: Fault) -> End {
        let until = Instant::now() + ASKING;
        let sql = format!("SELECT batch FROM store_writer WHERE name = '{}'; COMMIT", self.name);
        loop {
            let asked = self.session.begin().and_then(|()| self.session.simple(&sql).map_err(Trouble::fault));
            match asked {
                Ok(rows) => {
                    let stands = rows.first() == Some(&self.number.to_string());
                    tracing::warn!(
                        stands,
                        "the connection broke at a commit, which {}",
                        if stands { "stands" } else { "is gone" }
                    );
                    return if stands { End::Kept } else { End::Repeat(lost) };
                }
                Err(fault) if Instant::now() >= until => {
                    return End::Unknown(uncertain(&fault.operator.unwrap_or_default()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl crate::batch::Session for Session {
    fn tx(&mut self) -> &mut dyn Tx {
        self
    }

    fn begin(&mut self) -> Result<()> {
        let sql = format!("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({TURN})");
        self.reset();
        for last in [false, true] {
            self.ready()?;
            match self.simple(&sql) {
                Ok(_) => return Ok(()),
                // Broken while nothing went on.
                Err(Trouble::Lost(_)) if !last => {}
                Err(trouble) => {
                    self.roll_back();
                    return Err(trouble.fault());
                }
            }
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.reset();
        if let Err(trouble) = self.simple("ROLLBACK") {
            // Without a connection there is no transaction either.
            tracing::debug!(detail = ?trouble.fault().operator, "a transaction went with its connection");
            self.hang_up();
        }
    }

    /// Goes out with the next statement.
    fn control(&mut self, sql: &'static str) -> Result<()> {
        self.push_ahead(sql);
        Ok(())
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn lost(&self) -> Option<Fault> {
        Session::lost(self)
    }

    fn is_poisoned(&self) -> bool {
        Session::is_poisoned(self)
    }

    fn went_on(&self) -> bool {
        Session::went_on(self)
    }

    fn set_careful(&mut self, careful: bool) {
        self.careful = careful;
    }
}
