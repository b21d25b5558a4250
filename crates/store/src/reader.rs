//! Reader threads: each has its own read-only connection and takes the next read from one queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use cairn_types::{Fault, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Tx;
use crate::sqlite::{open, run};

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    closed: bool,
}

pub(crate) struct Readers {
    queue: Arc<(Mutex<Queue>, Condvar)>,
}

impl Readers {
    pub(crate) fn start(path: &Path, count: usize) -> Result<Self> {
        let queue = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        for n in 0..count.max(1) {
            let connection = open(path, true)?;
            let queue = queue.clone();
            std::thread::Builder::new()
                .name(format!("store-reader-{n}"))
                .spawn(move || serve(connection, &queue))
                .map_err(|e| Fault::internal(format!("a reader thread could not be started: {e}")))?;
        }
        Ok(Self { queue })
    }

    pub(crate) fn submit<T, F>(&self, f: F, answer: oneshot::Sender<Result<T>>)
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let work: Work = Box::new(move |connection| {
            let _ = answer.send(in_snapshot(connection, f));
        });
        let (queue, wake) = &*self.queue;
        queue.lock().unwrap_or_else(PoisonError::into_inner).work.push_back(work);
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

/// Several statements of one read see the same state.
fn in_snapshot<T>(connection: &mut Connection, f: impl FnOnce(&mut dyn Tx) -> Result<T>) -> Result<T> {
    run(connection, "BEGIN DEFERRED")?;
    let result = catch_unwind(AssertUnwindSafe(|| f(connection)))
        .unwrap_or_else(|_| Err(Fault::internal("a read panicked")));
    if let Err(f) = run(connection, "COMMIT") {
        tracing::warn!(error = %f, "a read transaction did not end cleanly");
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

fn serve(mut connection: Connection, queue: &(Mutex<Queue>, Condvar)) {
    let (queue, wake) = queue;
    loop {
        let work = {
            let mut guard = queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(work) = guard.work.pop_front() {
                    break work;
                }
                if guard.closed {
                    return;
                }
                guard = wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        };
        work(&mut connection);
    }
}
