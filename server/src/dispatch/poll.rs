//! How a job stands, for those who ask after it.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::Operation;
use cairn_query::DateStyle;
use cairn_store::params;
use cairn_types::code;
use serde_json::{Value, json};

use super::{Answer, with_schema};
use crate::app::App;
use crate::platform::{jobs, shown};

/// The longest that a poll waits for the end of its job.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// Answers the poll of a job (rest-conventions section 5). `time` is the poll's own `X-Cairn-Time`: who reads a result decides
/// in which form, whatever the call said. A client that says `Prefer: wait=5` (RFC 7240) is answered when the job ends, or after
/// that many seconds.
pub async fn poll(app: &Arc<App>, job: &str, schema: bool, time: Option<&str>, wait: Duration) -> Answer {
    let dates = app.dates_for(time);
    if app.recent.is_at_work(job, wait.min(MOST_WAIT)).await {
        return Answer::Json(202, json!({}));
    }
    if let Some((op, is_admin, value)) = app.recent.take(job) {
        return polled(app, Some(op), is_admin, value, (schema, dates));
    }
    let id = job.to_owned();
    let found = app.store.read(move |tx| {
        let action = tx.query_opt("SELECT action FROM job WHERE uuid = ?", params![&id])?;
        let action = action.map(|r| r.text("action")).transpose()?;
        Ok((jobs::find(tx, &id)?, action, jobs::is_of_admin(tx, &id)?))
    });
    match found.await {
        Ok((Some(jobs::JobState::Processing), ..)) => Answer::Json(202, json!({})),
        Ok((Some(jobs::JobState::Done(value)), action, is_admin)) => {
            polled(app, action.and_then(|a| Operation::find(&a)), is_admin, value, (schema, dates))
        }
        Ok((Some(jobs::JobState::Failed(fault)), ..)) => (*fault).into(),
        Ok((None, ..)) => Answer::Text(404, "there is no such job, or its result has aged out".into()),
        Err(fault) if fault.has_code(code::NOT_READY) => fault.into(),
        Err(_) => Answer::Text(500, "the job can't be read now; try again".into()),
    }
}

/// The stored result of a job as its caller sees it.
fn polled(
    app: &Arc<App>,
    op: Option<&'static Operation>,
    is_admin: bool,
    mut value: Value,
    (schema, dates): (bool, DateStyle),
) -> Answer {
    crate::platform::sealed::reveal(app, &mut value);
    shown::dates(&mut value, dates);
    if !is_admin {
        shown::for_tenant(&mut value);
    }
    match op {
        Some(op) => with_schema(op, schema, Answer::Json(200, value)),
        None => Answer::Json(200, value),
    }
}
