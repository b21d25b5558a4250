//! Results of calls that ended a moment ago, for the first poll of their jobs, which follows at once. Every later poll, and any
//! after a restart, reads the table of jobs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_api::Operation;
use serde_json::Value;

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

/// Results by job id.
#[derive(Default)]
pub struct Recent {
    done: Mutex<HashMap<String, Done>>,
}

impl Recent {
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
