//! Web hooks of calls (rest-conventions section 10): the result of a job is posted, 15 more times if need be, 2 seconds apart.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, time};
use serde_json::{Value, json};

use crate::app::App;
use crate::platform::jobs::{self, JobState};

/// Tries after the first one.
const RETRIES: i64 = 15;
const PAUSE_MS: i64 = 2000;

/// Refuses addresses that are no web addresses; what a name resolves to is checked when it is called.
pub fn check_url(_app: &App, url: &str) -> Result<()> {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match host.and_then(|h| h.split(['/', '?', '#']).next()) {
        Some(host) if !host.is_empty() && !host.contains('@') && url.len() <= 2048 => Ok(()),
        _ => Err(Fault::argument("X-Web-Hook must be an address that begins with http:// or https://")),
    }
}

/// Link-local addresses (cloud metadata among them) are never called, others only as the setting allows.
fn may_call(app: &App, ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || (v6.segments()[0] & 0xffc0) == 0xfe80,
    };
    !link_local && (!ip.is_loopback() || app.settings.bool("cairn", "webHook.mayReachLoopback"))
}

/// Posts what is due. Called after commits and now and then.
pub async fn due(app: &Arc<App>) {
    let now = time::now_ms();
    let sql = "SELECT uuid, target_uuid, data, tries FROM cleanup WHERE kind = 'web-hook' AND next_ms <= ? ORDER BY uuid LIMIT 100";
    let Ok(rows) = app.store.read(move |tx| tx.query(sql, params![now])).await else { return };
    for row in rows {
        let (Ok(uuid), Ok(job), Ok(data), Ok(tries)) =
            (row.text("uuid"), row.text("target_uuid"), row.text("data"), row.int("tries"))
        else {
            continue;
        };
        let url = serde_json::from_str::<Value>(&data).ok().and_then(|d| d["url"].as_str().map(str::to_owned));
        let sent = match url {
            Some(url) => post(app, &job, &url).await,
            None => Ok(()),
        };
        let done = sent.is_ok() || tries >= RETRIES;
        if let Err(f) = &sent {
            tracing::warn!(%job, tries, error = %f, "a web hook could not be called");
        }
        let settle = move |tx: &mut dyn Tx| {
            if done {
                tx.execute("DELETE FROM cleanup WHERE uuid = ?", params![&uuid])
            } else {
                let sql = "UPDATE cleanup SET tries = tries + 1, next_ms = ? WHERE uuid = ?";
                tx.execute(sql, params![time::now_ms() + PAUSE_MS, &uuid])
            }
        };
        if let Err(f) = app.store.write(settle).await {
            tracing::error!(error = %f, "the state of a web hook could not be written");
        }
    }
}

async fn post(app: &Arc<App>, job: &str, url: &str) -> Result<()> {
    let id = job.to_owned();
    let (success, body) = match app.store.read(move |tx| jobs::find(tx, &id)).await? {
        Some(JobState::Done(value)) => (true, value),
        Some(JobState::Failed(fault)) => (false, json!({ "error": fault.to_api() })),
        Some(JobState::Processing) | None => return Ok(()),
    };
    let (app, url, job) = (app.clone(), url.to_owned(), job.to_owned());
    let call = move || send(&app, &url, &job, success, &body.to_string());
    tokio::task::spawn_blocking(call).await.map_err(|_| Fault::internal("the web hook's thread failed"))?
}

fn send(app: &App, url: &str, job: &str, success: bool, body: &str) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Fault::operation(format!("the web hook did not answer: {e}"));
    let uri: ureq::http::Uri = url.parse().map_err(|e| failed(&e))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let mut addresses = (host.as_str(), port).to_socket_addrs().map_err(|e| failed(&e))?;
    if !addresses.all(|a| may_call(app, a.ip())) {
        return Err(Fault::operation("the web hook's address may not be called"));
    }
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).max_redirects(0).build().into();
    let answer = agent
        .post(url)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-job-uuid", job)
        .header("x-job-success", if success { "true" } else { "false" })
        .send(body)
        .map_err(|e| failed(&e))?;
    if answer.status().is_success() { Ok(()) } else { Err(failed(&answer.status())) }
}
