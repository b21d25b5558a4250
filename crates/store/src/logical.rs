//! One logical transaction that waits for its turn, whatever the database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_types::{Fault, Result};
use tokio::sync::oneshot;

use crate::{Tx, stopped};

/// One logical transaction that waits for its turn.
pub(crate) trait Logical: Send {
    /// Runs it, perhaps again; says whether to keep its changes.
    fn run(&mut self, tx: &mut dyn Tx) -> bool;
    /// Makes it fail.
    fn fail(&mut self, fault: Fault);
    /// Whether the guard must agree before it runs.
    fn is_guarded(&self) -> bool;
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, committed: Result<()>);
}
pub(crate) type Work = Box<dyn Logical>;

struct Pending<T, F> {
    f: F,
    guarded: bool,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

/// Makes a closure wait for its turn; its result goes to `answer`.
pub(crate) fn pending<T, F>(f: F, guarded: bool, answer: oneshot::Sender<Result<T>>) -> Work
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    Box::new(Pending { f, guarded, result: None, answer })
}

impl<T, F> Logical for Pending<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    fn run(&mut self, tx: &mut dyn Tx) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| (self.f)(tx)))
            .unwrap_or_else(|_| Err(Fault::internal("a transaction panicked and was taken back")));
        self.result.insert(result).is_ok()
    }

    fn fail(&mut self, fault: Fault) {
        self.result = Some(Err(fault));
    }

    fn is_guarded(&self) -> bool {
        self.guarded
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let result = self.result.unwrap_or_else(|| Err(stopped()));
        // Nobody may wait any more; the commit stands all the same.
        let _ = self.answer.send(result.and_then(|v| committed.map(|()| v)));
    }
}

type Check = Arc<dyn Fn(&mut dyn Tx) -> Result<()> + Send + Sync>;

/// What must hold for this server to write. See [`crate::Store::set_guard`].
#[derive(Clone, Default)]
pub(crate) struct Guard(Arc<RwLock<Option<Check>>>);

impl Guard {
    pub(crate) fn set(&self, check: Check) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(check);
    }

    /// Asks it, in the transaction that is to write.
    pub(crate) fn ask(&self, tx: &mut dyn Tx) -> Result<()> {
        let check = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(check) = check else { return Ok(()) };
        catch_unwind(AssertUnwindSafe(|| check(tx)))
            .unwrap_or_else(|_| Err(Fault::internal("the guard of the database panicked")))
    }
}
