//! Reader threads: each has its own connection and takes the next read from one queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use cairn_types::{Fault, Result};
use tokio::sync::oneshot;

use crate::Tx;

/// A connection that reads.
pub(crate) trait Snapshots: Send + 'static {
    /// Its statements.
    fn tx(&mut self) -> &mut dyn Tx;
    /// From here on every statement sees the same state.
    fn begin_read(&mut self) -> Result<()>;
    /// Lets go of that state.
    fn end_read(&mut self);
}

/// A read that waits for its turn.
pub(crate) type Read = Box<dyn FnOnce(&mut dyn Snapshots) + Send>;

/// Makes a closure wait for its turn; its result goes to `answer`.
pub(crate) fn pending<T, F>(f: F, answer: oneshot::Sender<Result<T>>) -> Read
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
{
    Box::new(move |session| {
        let result = session.begin_read().and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| f(session.tx())))
                .unwrap_or_else(|_| Err(Fault::internal("a read panicked")))
        });
        // Nobody may wait any more.
        let _ = answer.send(result);
        session.end_read();
    })
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Read>,
    closed: bool,
}

pub(crate) struct Readers {
    queue: Arc<(Mutex<Queue>, Condvar)>,
}

impl Readers {
    /// Starts a thread for each of these connections.
    pub(crate) fn start<S: Snapshots>(sessions: Vec<S>) -> Result<Self> {
        let queue = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        for (n, session) in sessions.into_iter().enumerate() {
            let queue = queue.clone();
            std::thread::Builder::new()
                .name(format!("store-reader-{n}"))
                .spawn(move || serve(session, &queue))
                .map_err(|e| Fault::internal(format!("a reader thread could not be started: {e}")))?;
        }
        Ok(Self { queue })
    }

    pub(crate) fn submit(&self, read: Read) {
        let (queue, wake) = &*self.queue;
        queue.lock().unwrap_or_else(PoisonError::into_inner).work.push_back(read);
        wake.notify_one();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let (queue, wake) = &*self.queue;
        queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        wake.notify_all();
    }
}

fn serve(mut session: impl Snapshots, queue: &(Mutex<Queue>, Condvar)) {
    let (queue, wake) = queue;
    loop {
        let read = {
            let mut guard = queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(read) = guard.work.pop_front() {
                    break read;
                }
                if guard.closed {
                    return;
                }
                guard = wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        };
        read(&mut session);
    }
}
