//! Jobs whose runs are at work in this process, and results of calls that ended a moment ago: polls of them need no database.
//! Every other poll, and any after a restart, reads the table of jobs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_api::Operation;
use serde_json::Value;
use tokio::sync::watch;

/// How long a result is kept for a poll that may never come.
const KEPT: Duration = Duration::from_secs(2);
/// Most results that are kept.
const MOST: usize = 1024;

struct Done {
    op: &'static Operation,
    is_admin: bool,
    result: Value,
    at: Instant,
}

/// Jobs at work, and results, by job id.
#[derive(Default)]
pub struct Recent {
    at_work: Mutex<HashMap<String, watch::Receiver<()>>>,
    done: Mutex<HashMap<String, Done>>,
}

/// Held while a job is at work.
pub struct AtWork {
    job: String,
    end: Option<watch::Sender<()>>,
}

impl Recent {
    /// A job has begun that ends in this process: polls of it wait for nothing else until [`Recent::end`].
    pub fn begin(&self, job: &str) -> AtWork {
        let (end, ended) = watch::channel(());
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned(), ended);
        AtWork { job: job.to_owned(), end: Some(end) }
    }

    /// The job is at work no more. Its result, if there is one to keep, must be put before.
    pub fn end(&self, mut work: AtWork) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&work.job);
        drop(work.end.take());
    }

    /// Whether a job is at work, waiting up to a time for its end.
    pub async fn is_at_work(&self, job: &str, wait: Duration) -> bool {
        let found = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned();
        let Some(mut ended) = found else { return false };
        // It changes only by being dropped.
        tokio::time::timeout(wait, ended.changed()).await.is_err()
    }

    /// Keeps the result of a job that is committed. When there are too many it is not kept, which costs a read.
    pub fn put(&self, job: &str, op: &'static Operation, is_admin: bool, result: Value) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() >= MOST {
            done.retain(|_, d| d.at.elapsed() < KEPT);
        }
        if done.len() < MOST {
            done.insert(job.to_owned(), Done { op, is_admin, result, at: Instant::now() });
        }
    }

    /// Takes the result of a job, with its operation and whether an administrator called.
    pub fn take(&self, job: &str) -> Option<(&'static Operation, bool, Value)> {
        let found = self.done.lock().unwrap_or_else(PoisonError::into_inner).remove(job)?;
        (found.at.elapsed() < KEPT).then_some((found.op, found.is_admin, found.result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_taken_once_and_there_is_an_end_to_them() {
        let (recent, op) = (Recent::default(), Operation::find("CreateZone").unwrap());
        for n in 0..2 * MOST {
            recent.put(&n.to_string(), op, true, Value::from(n));
        }
        assert_eq!(recent.take("5").map(|(_, _, v)| v), Some(Value::from(5)));
        assert!(recent.take("5").is_none());
        assert!(recent.take(&MOST.to_string()).is_none());
    }
}
