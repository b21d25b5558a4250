//! Waiting for the end of a job.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::dispatch::{self, Answer};

/// One look waits this long at most for a job that this server works on.
const LOOK: Duration = Duration::from_secs(5);
/// A job that was begun before the server's start, whose end nobody tells, is looked at this often.
const PAUSE: Duration = Duration::from_millis(200);

/// What a poll of the job answers once it has ended, or after `most`.
pub(super) async fn wait(
    app: &Arc<App>,
    job: &str,
    (schema, time): (bool, Option<&str>),
    most: Duration,
) -> Answer {
    let end = Instant::now() + most;
    let left = || end.saturating_duration_since(Instant::now());
    loop {
        let answer = dispatch::poll(app, job, schema, time, left().min(LOOK)).await;
        if !matches!(answer, Answer::Json(202, _)) || left().is_zero() {
            return answer;
        }
        sleep(left().min(PAUSE)).await;
    }
}
