//! Asynchronous calls: a row each, from 202 to the result that is polled or posted to a web hook. Survive a restart.

use cairn_store::{Tx, is_duplicate, params};
use cairn_types::{Fault, Result, code, new_uuid, time};
use serde_json::{Value, json};

/// What a call leaves in the table of jobs.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job id.
    pub uuid: String,
    /// Name of the operation.
    pub action: String,
    /// Account that called.
    pub account: String,
    /// Workflow run that does it.
    pub run: Option<String>,
    /// Where the result is posted.
    pub web_hook: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// Still at work.
    Processing,
    /// Ended well, with this result.
    Done(Value),
    /// Failed, with this error.
    Failed(Box<Fault>),
}

/// Writes a job that is at work.
pub fn begin(tx: &mut dyn Tx, job: &NewJob) -> Result<()> {
    insert(tx, job, "processing", None)
}

/// Writes a job that is done in the same transaction as its effect.
pub fn record(tx: &mut dyn Tx, job: &NewJob, outcome: &Result<Value>) -> Result<()> {
    insert(tx, job, "done", Some(outcome))?;
    if let Some(url) = &job.web_hook { queue_hook(tx, &job.uuid, url) } else { Ok(()) }
}

fn insert(tx: &mut dyn Tx, job: &NewJob, state: &str, outcome: Option<&Result<Value>>) -> Result<()> {
    let (result, error) = columns(outcome);
    let now = time::now_ms();
    let done = outcome.map(|_| now);
    let sql = "INSERT INTO job (uuid, action, account_uuid, run_uuid, state, result, error, web_hook, create_ms, done_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        &job.uuid,
        &job.action,
        &job.account,
        job.run.clone(),
        state,
        result,
        error,
        job.web_hook.clone(),
        now,
        done
    ];
    tx.execute(sql, values).map(|_| ()).map_err(|f| {
        if is_duplicate(&f) {
            Fault::new(code::JOB_TAKEN, format!("job id {} is in use already", job.uuid))
        } else {
            f
        }
    })
}

fn columns(outcome: Option<&Result<Value>>) -> (Option<String>, Option<String>) {
    match outcome {
        None => (None, None),
        Some(Ok(v)) => (Some(v.to_string()), None),
        Some(Err(f)) => (None, serde_json::to_string(f).ok()),
    }
}

/// Ends the job of a run. A job that ended already stays as it is.
pub fn finish(tx: &mut dyn Tx, job: &str, outcome: &Result<Value>) -> Result<()> {
    let (result, error) = columns(Some(outcome));
    let sql = "UPDATE job SET state = 'done', result = ?, error = ?, done_ms = ? WHERE uuid = ? AND state = 'processing'";
    if tx.execute(sql, params![result, error, time::now_ms(), job])? == 1 {
        let hook = tx.query_opt("SELECT web_hook FROM job WHERE uuid = ?", params![job])?;
        if let Some(url) = hook.and_then(|r| r.opt_text("web_hook").ok().flatten()) {
            queue_hook(tx, job, &url)?;
        }
    }
    Ok(())
}

fn queue_hook(tx: &mut dyn Tx, job: &str, url: &str) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO cleanup (uuid, kind, target_uuid, data, tries, next_ms, create_ms) VALUES (?, 'web-hook', ?, ?, 0, ?, ?)";
    tx.execute(sql, params![new_uuid(), job, json!({ "url": url }).to_string(), now, now])?;
    Ok(())
}

/// Reads a job; none if it is unknown or aged out.
pub fn find(tx: &mut dyn Tx, job: &str) -> Result<Option<JobState>> {
    let Some(row) = tx.query_opt("SELECT state, result, error FROM job WHERE uuid = ?", params![job])? else {
        return Ok(None);
    };
    if row.text("state")? == "processing" {
        return Ok(Some(JobState::Processing));
    }
    if let Some(error) = row.opt_text("error")? {
        let fault = serde_json::from_str(&error)
            .unwrap_or_else(|_| Fault::internal("the stored error can't be read"));
        return Ok(Some(JobState::Failed(Box::new(fault))));
    }
    let result =
        row.opt_text("result")?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_else(|| json!({}));
    Ok(Some(JobState::Done(result)))
}

/// Whether an administrator called; not if the account is gone.
pub fn is_of_admin(tx: &mut dyn Tx, job: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM job j JOIN account a ON a.uuid = j.account_uuid WHERE j.uuid = ? AND a.type = 'SystemAdmin'";
    tx.exists(sql, params![job])
}

/// Ends jobs that no run will end: the server died between a job and its run. Called once at start.
pub fn fail_orphans(tx: &mut dyn Tx) -> Result<usize> {
    let fault = Fault::new(
        code::RUN_SERVER_STOPPED,
        "the server stopped before the operation began; nothing was done",
    )
    .retry();
    let sql =
        "UPDATE job SET state = 'done', error = ?, done_ms = ? WHERE state = 'processing' AND NOT EXISTS
               (SELECT 1 FROM run WHERE run.uuid = job.run_uuid AND run.state IN ('Running', 'Undoing'))";
    tx.execute(sql, params![serde_json::to_string(&fault).ok(), time::now_ms()])
}

/// Only what is done has a date of that. With the state as a condition SQLite would go through all that is done.
const EXPIRED: &str = "DELETE FROM job WHERE done_ms < ?";

/// Removes results that are older than `rest.completedApi.expiredPeriod` seconds.
pub fn expire(tx: &mut dyn Tx, period_s: i64) -> Result<usize> {
    let before = time::now_ms().saturating_sub(period_s.max(0).saturating_mul(1000));
    tx.execute(EXPIRED, params![before])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_02_old_results_are_found_by_their_date() {
        let plan = crate::rows::plan_of(EXPIRED);
        assert!(plan.contains("job_done"), "{plan}");
    }
}
