//! Group commit, whatever the database: many logical transactions in one transaction of the database.
//!
//! They run without savepoints, which cost a round trip or a copy of every page. When one fails after it has written
//! something, the batch is taken back and all of it runs again, each in a savepoint of its own. The same is done when the
//! database itself gave the transaction up (a lost connection, a deadlock), a few times.

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
/// How often a batch is run again in savepoints when the database gives it up.
const TRIES: usize = 3;

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

    /// Why the transaction as a whole is lost, if it is; it may be run again.
    fn lost(&self) -> Option<Fault> {
        None
    }
    /// Whether a statement failed since the transaction, or the savepoint, began and the database refuses those after it.
    fn is_poisoned(&self) -> bool {
        false
    }
    /// Whether statements were refused only because one before them had failed.
    fn went_on(&self) -> bool {
        false
    }
    /// Makes a failed statement leave those after it alone, at a cost.
    fn set_careful(&mut self, _: bool) {}
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
        let clean = match &self.begun {
            Err(fault) => {
                work.fail(fault.clone());
                true
            }
            Ok(()) if self.apart => {
                self.in_savepoint(session, &mut work);
                session.lost().is_none()
            }
            Ok(()) => {
                let before = session.changes();
                let kept = self.run(session, &mut work);
                // What failed before it wrote anything is told so and costs its neighbours nothing.
                session.lost().is_none() && !session.is_poisoned() && (kept || session.changes() == before)
            }
        };
        self.all.push(work);
        if !clean {
            self.again(session);
        }
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
    pub(crate) fn again(&mut self, session: &mut impl Session) {
        self.apart = true;
        for _ in 0..TRIES {
            session.roll_back();
            self.allowed = None;
            self.begun = session.begin();
            if self.begun.is_err() {
                break;
            }
            let mut all = std::mem::take(&mut self.all);
            all.iter_mut().for_each(|work| self.in_savepoint(session, work));
            self.all = all;
            if session.lost().is_none() {
                return;
            }
        }
        if let Some(fault) = session.lost() {
            session.roll_back();
            self.begun = Err(fault);
        }
        if let Err(fault) = &self.begun {
            self.all.iter_mut().for_each(|work| work.fail(fault.clone()));
        }
    }

    fn in_savepoint(&mut self, session: &mut impl Session, work: &mut Work) {
        let ended = apart(session, |session| self.run(session, work));
        if let Err(fault) = ended {
            work.fail(fault);
        }
    }
}

/// Runs one logical transaction in a savepoint. `run` says whether to keep its changes.
fn apart<S: Session>(session: &mut S, mut run: impl FnMut(&mut S) -> bool) -> Result<()> {
    session.control("SAVEPOINT t")?;
    let mut kept = run(session);
    // It takes failures of statements in its stride, which PostgreSQL does not unless told to.
    if session.is_poisoned() && (kept || session.went_on()) {
        session.control("ROLLBACK TO t")?;
        session.set_careful(true);
        kept = run(session);
        session.set_careful(false);
    }
    if !kept {
        session.control("ROLLBACK TO t")?;
    }
    session.control("RELEASE t")
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
        if let Err(fault) = apart(session, |session| work.run(session.tx())) {
            work.fail(fault);
        }
        work.answer(Ok(()));
    }
    session.roll_back();
}
