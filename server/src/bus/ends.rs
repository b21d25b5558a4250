//! Waiting for the end of jobs, without asking the database again and again: one follower of the event log wakes those whose
//! job has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use crate::app::App;
use crate::dispatch::{self, Answer};

/// If the event of an end was missed, this is how late it is seen.
const LOOK: Duration = Duration::from_secs(5);

/// Those who wait, by job.
#[derive(Default)]
pub struct Ends {
    waiting: Mutex<HashMap<String, Arc<Notify>>>,
}

/// Takes the wait away when it is over.
struct Registered<'a> {
    ends: &'a Ends,
    job: &'a str,
    notify: Arc<Notify>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut waiting = self.ends.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Two: the map's own and this one. With more, somebody else waits too.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(self.job);
        }
    }
}

impl Ends {
    /// Follows the event log as long as the server lives.
    pub(super) fn follow(self: &Arc<Self>, app: &Arc<App>) {
        let (mut events, ends) = (app.feed.subscribe(), self.clone());
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) if event.resource_type == "CairnRunVO" => ends.seen(&event.data),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => ends.wake_all(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    fn seen(&self, run: &Value) {
        let is_over = run["state"].as_str().is_some_and(|s| ["Done", "Failed", "Stuck"].contains(&s));
        if let (true, Some(job)) = (is_over, run["jobUuid"].as_str()) {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(notify) = waiting.get(job) {
                notify.notify_waiters();
            }
        }
    }

    fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().for_each(|n| n.notify_waiters());
    }

    fn register<'a>(&'a self, job: &'a str) -> Registered<'a> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = waiting.entry(job.to_owned()).or_default().clone();
        drop(waiting);
        Registered { ends: self, job, notify }
    }

    /// What a poll of the job answers once it has ended, or after `most`.
    pub async fn wait(
        &self,
        app: &Arc<App>,
        job: &str,
        (schema, time): (bool, Option<&str>),
        most: Duration,
    ) -> Answer {
        let (end, registered) = (Instant::now() + most, self.register(job));
        loop {
            // Before the look, so that an end between look and wait is seen.
            let woken = registered.notify.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let answer = dispatch::poll(app, job, schema, time).await;
            let left = end.saturating_duration_since(Instant::now());
            if !matches!(answer, Answer::Json(202, _)) || left.is_zero() {
                return answer;
            }
            let _ = timeout(left.min(LOOK), woken).await;
        }
    }
}
