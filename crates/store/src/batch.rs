//! Group commit, whatever the database: many logical transactions in one transaction of the database.
//!
//! They run without savepoints, which cost a round trip or a copy of every page. When one fails after it has written
//! something, the batch is taken back and all of it runs again, each in a savepoint of its own.

use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};
use tokio::sync::oneshot;

use crate::Tx;
use crate::logical::{Guard, Work, pending};

/// Most logical transactions in one COMMIT.
pub(crate) const BATCH: usize = 512;
/// How long a rehearsal may hold up the writers.
const REHEARSAL: Duration = Duration::from_secs(2);

/// A connection that writes.
pub(crate) trait Session {
    /// Its statements.
    fn tx(&mut self) -> &mut dyn Tx;
    /// Begins a transaction that nobody else writes beside.
    fn begin(&mut self) -> Result<()>;
    /// Takes the transaction back. A fault is logged: the connection is of no use then and says so at the next statement.
    fn roll_back(&mut self);
    /// Runs a statement without parameters or rows, such as `SAVEPOINT t`.
    fn control(&mut self, sql: &'static str) -> Result<()>;
    /// Grows with everything that is written.
    fn changes(&self) -> u64;
}

/// The logical transactions of one COMMIT.
pub(crate) struct Batch<'a> {
    pub(crate) begun: Result<()>,
    pub(crate) all: Vec<Work>,
    guard: &'a Guard,
    /// What the guard said, until something may have changed that.
    allowed: Option<Result<()>>,
    /// Each logical transaction has a savepoint.
    apart: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(session: &mut impl Session, guard: &'a Guard) -> Self {
        Self { begun: session.begin(), all: Vec::new(), guard, allowed: None, apart: false }
    }

    pub(crate) fn add(&mut self, session: &mut impl Session, mut work: Work) {
        if let Err(fault) = &self.begun {
            work.fail(fault.clone());
        } else if self.apart {
            self.in_savepoint(session, &mut work);
        } else {
            let before = session.changes();
            // What failed before it wrote anything is told so and costs its neighbours nothing.
            let clean = self.run(session, &mut work) || session.changes() == before;
            self.all.push(work);
            if !clean {
                self.again(session);
            }
            return;
        }
        self.all.push(work);
    }

    /// Runs one if it may; says whether to keep its changes.
    fn run(&mut self, session: &mut impl Session, work: &mut Work) -> bool {
        if !work.is_guarded() {
            self.allowed = None;
            return work.run(session.tx());
        }
        match self.allowed.get_or_insert_with(|| self.guard.ask(session.tx())) {
            Ok(()) => work.run(session.tx()),
            Err(fault) => {
                work.fail(fault.clone());
                false
            }
        }
    }

    /// Takes the batch back and runs all of it again, each in a savepoint.
    fn again(&mut self, session: &mut impl Session) {
        session.roll_back();
        self.apart = true;
        self.allowed = None;
        self.begun = session.begin();
        for mut work in std::mem::take(&mut self.all) {
            match &self.begun {
                Ok(()) => self.in_savepoint(session, &mut work),
                Err(fault) => work.fail(fault.clone()),
            }
            self.all.push(work);
        }
    }

    fn in_savepoint(&mut self, session: &mut impl Session, work: &mut Work) {
        let kept = session.control("SAVEPOINT t").map(|()| self.run(session, work));
        end_savepoint(session, work, kept);
    }
}

/// Ends the savepoint of one logical transaction.
fn end_savepoint(session: &mut impl Session, work: &mut Work, kept: Result<bool>) {
    let ended = match kept {
        Ok(true) => session.control("RELEASE t"),
        Ok(false) => session.control("ROLLBACK TO t").and_then(|()| session.control("RELEASE t")),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = ended {
        work.fail(fault);
    }
}

/// A transaction that will be taken back. See [`crate::Store::rehearse`].
pub struct Rehearsal {
    pub(crate) sender: Sender<Work>,
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
        self.sender.send(pending(f, false, sender)).map_err(|_| late())?;
        receiver.await.map_err(|_| late())?
    }
}

/// Serves a rehearsal until its end or its time limit, then takes it back.
pub(crate) fn rehearse(
    session: &mut impl Session,
    requests: &Receiver<Work>,
    ready: oneshot::Sender<Result<()>>,
) {
    let begun = session.begin();
    let goes_on = begun.is_ok();
    if ready.send(begun).is_err() || !goes_on {
        session.roll_back();
        return;
    }
    let end = Instant::now() + REHEARSAL;
    while let Ok(mut work) = requests.recv_timeout(end.saturating_duration_since(Instant::now())) {
        let kept = session.control("SAVEPOINT t").map(|()| work.run(session.tx()));
        end_savepoint(session, &mut work, kept);
        work.answer(Ok(()));
    }
    session.roll_back();
}
