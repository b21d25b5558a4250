//! Web hooks: results of jobs (rest-conventions section 10) and events that somebody subscribed to ([`super::subscriptions`])
//! are posted, 15 more times if need be, 2 seconds apart. What is still to be sent are rows of table `cleanup`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_store::{Tx, Value as Column, params};
use cairn_types::{Fault, Result, time};
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};
use ureq::unversioned::transport::DefaultConnector;

use crate::app::App;
use crate::platform::jobs::{self, JobState};
use crate::platform::reach::{Checked, Reach};
use crate::platform::shown;

/// Tries after the first one.
const RETRIES: i64 = 15;
const PAUSE_MS: i64 = 2000;
/// Receivers that are called at the same time.
const AT_ONCE: usize = 16;
/// Posts to one receiver before others have their turn again.
const PER_TURN: i64 = 50;

/// Kind of a row that holds the result of a job.
pub(super) const JOB: &str = "web-hook";
/// Kind of a row that holds an event.
pub(super) const EVENT: &str = "event-hook";

/// One post that waits.
struct Waiting {
    uuid: String,
    kind: String,
    target: String,
    data: Value,
    tries: i64,
}

/// What is sent.
struct Post {
    url: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// Posts what is due, each receiver's posts in order.
pub async fn due(app: &Arc<App>) {
    let now = time::now_ms();
    let turns = match app.store.read(move |tx| turns(tx, now)).await {
        Ok(turns) => turns,
        Err(f) => return tracing::error!(error = %f, "the web hooks that are due can't be read"),
    };
    stream::iter(turns).for_each_concurrent(AT_ONCE, |turn| take(app, turn)).await;
}

/// What is due: one list for each receiver.
fn turns(tx: &mut dyn Tx, now: i64) -> Result<Vec<Vec<Waiting>>> {
    let columns = "SELECT uuid, kind, target_uuid, data, tries FROM cleanup WHERE kind = ?";
    let sql = format!("{columns} AND next_ms <= ? ORDER BY uuid LIMIT 200");
    let mut turns: Vec<_> = read(tx, &sql, params![JOB, now])?.into_iter().map(|w| vec![w]).collect();
    let due = tx.query(
        "SELECT DISTINCT target_uuid FROM cleanup WHERE kind = ? AND next_ms <= ?",
        params![EVENT, now],
    )?;
    let receivers: BTreeSet<String> = due.iter().map(|r| r.text("target_uuid")).collect::<Result<_>>()?;
    for receiver in receivers {
        let sql = format!("{columns} AND target_uuid = ? ORDER BY uuid LIMIT {PER_TURN}");
        turns.push(read(tx, &sql, params![EVENT, receiver])?);
    }
    Ok(turns)
}

fn read(tx: &mut dyn Tx, sql: &str, values: &[Column]) -> Result<Vec<Waiting>> {
    let rows = tx.query(sql, values)?;
    rows.iter()
        .map(|r| {
            Ok(Waiting {
                uuid: r.text("uuid")?,
                kind: r.text("kind")?,
                target: r.text("target_uuid")?,
                data: serde_json::from_str(&r.text("data")?).unwrap_or(Value::Null),
                tries: r.int("tries")?,
            })
        })
        .collect()
}

/// Posts one receiver's list until something fails; then the whole list waits.
async fn take(app: &Arc<App>, turn: Vec<Waiting>) {
    for waiting in turn {
        let sent = send_one(app, &waiting).await;
        let goes_on = sent.is_ok();
        if let Err(f) = &sent {
            let (receiver, tries) = (&waiting.target, waiting.tries);
            tracing::warn!(%receiver, tries, error = %f, "a web hook could not be called");
        }
        if let Err(f) = app.store.write(move |tx| settle(tx, &waiting, goes_on)).await {
            tracing::error!(error = %f, "the state of a web hook could not be written");
        }
        if !goes_on {
            return;
        }
    }
}

fn settle(tx: &mut dyn Tx, waiting: &Waiting, sent: bool) -> Result<()> {
    if sent || waiting.tries >= RETRIES {
        tx.execute("DELETE FROM cleanup WHERE uuid = ?", params![&waiting.uuid])?;
    } else {
        tx.execute("UPDATE cleanup SET tries = tries + 1 WHERE uuid = ?", params![&waiting.uuid])?;
    }
    if !sent {
        let sql = "UPDATE cleanup SET next_ms = ? WHERE kind = ? AND target_uuid = ?";
        tx.execute(sql, params![time::now_ms() + PAUSE_MS, &waiting.kind, &waiting.target])?;
    }
    Ok(())
}

async fn send_one(app: &Arc<App>, waiting: &Waiting) -> Result<()> {
    let (target, data, kind) = (waiting.target.clone(), waiting.data.clone(), waiting.kind.clone());
    let env = app.clone();
    let prepare = move |tx: &mut dyn Tx| {
        let (post, is_admin) = match kind.as_str() {
            JOB => {
                let is_admin = jobs::is_of_admin(tx, &target)?;
                (of_job(&env, tx, &target, &data, is_admin)?, is_admin)
            }
            // Subscriptions belong to the administrators.
            _ => (of_event(tx, &target, &data)?, true),
        };
        post.map(|post| Ok((post, Reach::of(&env, tx, is_admin)?))).transpose()
    };
    let Some((mut post, reach)) = app.store.read(prepare).await? else { return Ok(()) };
    post.body = super::sealed::reveal_text(app, post.body);
    let call = move || send(&post, reach);
    tokio::task::spawn_blocking(call).await.map_err(|_| Fault::internal("the web hook's thread failed"))?
}

/// An event for a subscriber; none if nobody subscribes any more.
fn of_event(tx: &mut dyn Tx, hook: &str, event: &Value) -> Result<Option<Post>> {
    let found = super::subscriptions::subscription(tx, hook, event)?;
    Ok(found.map(|(url, event, body)| Post {
        url,
        headers: vec![("x-cairn-event", event)],
        body: body.to_string(),
    }))
}

/// The result of a job; none if it is gone or not there yet.
fn of_job(app: &App, tx: &mut dyn Tx, job: &str, data: &Value, is_admin: bool) -> Result<Option<Post>> {
    let Some(url) = data["url"].as_str() else { return Ok(None) };
    let (success, body) = match jobs::find(tx, job)? {
        Some(JobState::Done(mut value)) => {
            shown::dates(&mut value, app.dates_for(None));
            if !is_admin {
                shown::for_tenant(&mut value);
            }
            (true, value)
        }
        Some(JobState::Failed(fault)) => (false, json!({ "error": fault.to_api() })),
        Some(JobState::Processing) | None => return Ok(None),
    };
    let headers = vec![("x-job-uuid", job.to_owned()), ("x-job-success", success.to_string())];
    Ok(Some(Post { url: url.to_owned(), headers, body: body.to_string() }))
}

fn send(post: &Post, reach: Reach) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Fault::operation(format!("the web hook did not answer: {e}"));
    // A redirect or a proxy would lead around the check of the address.
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .max_redirects(0)
        .proxy(None)
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Checked(reach));
    let mut request = agent.post(&post.url).header("content-type", "application/json; charset=utf-8");
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let answer = request.send(&post.body).map_err(|e| failed(&e))?;
    if answer.status().is_success() { Ok(()) } else { Err(failed(&answer.status())) }
}
