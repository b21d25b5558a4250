//! Waiting for a job: short intervals first, progress shown, a restart of the server survived.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::call::Request;
use crate::client::Client;
use crate::progress::Bar;
use crate::{Failure, Result};

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// Progress is asked for only when a job takes longer than people notice.
const PROGRESS_EVERY: Duration = Duration::from_millis(400);
/// Jobs survive a restart of the server, so a server that is away for a moment is waited for.
const AWAY: Duration = Duration::from_secs(60);

/// How to wait.
pub struct Wait<'a> {
    /// What the bar says in front.
    pub label: &'a str,
    /// Give up after this time.
    pub timeout: Option<Duration>,
    /// No bar.
    pub quiet: bool,
}

/// Waits for the end of a job and returns its result.
pub fn wait(client: &Client, job: &str, how: &Wait<'_>) -> Result<Value> {
    let begin = Instant::now();
    let mut bar = Bar::new(how.label, how.quiet);
    let mut interval = FIRST;
    let mut asked = begin;
    let mut away_since: Option<Instant> = None;
    loop {
        match client.poll(job) {
            Ok(Some(result)) => return Ok(result),
            Ok(None) => away_since = None,
            Err(Failure::Unreachable(text)) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if since.elapsed() > AWAY {
                    return Err(Failure::Unreachable(format!(
                        "{text}; job {job} may go on: cairn job wait {job}"
                    )));
                }
                bar.update(None, "the server does not answer, waiting for it");
            }
            Err(other) => return Err(other),
        }
        if how.timeout.is_some_and(|limit| begin.elapsed() >= limit) {
            return Err(Failure::Failed(format!("not done in time; the job goes on: cairn job wait {job}")));
        }
        if bar.is_shown() && away_since.is_none() && asked.elapsed() >= PROGRESS_EVERY {
            asked = Instant::now();
            show(client, job, &mut bar);
        }
        std::thread::sleep(interval);
        interval = (interval * 3 / 2).min(LONGEST);
        if bar.is_shown() {
            interval = interval.min(PROGRESS_EVERY);
        }
    }
}

/// Draws the latest progress of a job. Progress is a courtesy: errors are left to the job itself.
fn show(client: &Client, job: &str, bar: &mut Bar) {
    let (percent, text) = match client.ask(&Request::get(&["task-progresses", job])) {
        Ok(answer) => latest(&answer),
        Err(_) => (None, String::new()),
    };
    bar.update(percent, if text.is_empty() && percent.is_none() { "working" } else { &text });
}

/// Percent and text of a progress answer.
fn latest(answer: &Value) -> (Option<f64>, String) {
    let list = answer.get("inventories").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let content = |entry: &Value| entry.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_percent = |entry: &&Value| entry.get("type").and_then(Value::as_str) == Some("Progress");
    let percent = list.iter().rfind(is_percent);
    let step = list.iter().rfind(|e| !is_percent(e)).map(content);
    let named = percent.and_then(|e| {
        ["/opaque/text", "/opaque/step", "/taskName"]
            .iter()
            .find_map(|at| e.pointer(at)?.as_str())
            .map(str::to_owned)
    });
    (percent.and_then(|e| content(e).trim_end_matches('%').parse().ok()), step.or(named).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_progress_is_percent_and_step() {
        let answer = json!({"inventories": [
            {"type": "Progress", "content": "10"}, {"type": "Task", "content": "Boot"}, {"type": "Progress", "content": "65"},
        ]});
        assert_eq!(latest(&answer), (Some(65.0), "Boot".to_owned()));
        let named =
            json!({"inventories": [{"type": "Progress", "content": "5", "opaque": {"text": "PlugNics"}}]});
        assert_eq!(latest(&named), (Some(5.0), "PlugNics".to_owned()));
        assert_eq!(latest(&json!({})), (None, String::new()));
    }
}
