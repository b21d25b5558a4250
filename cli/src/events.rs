//! `cairn events`: the event stream, followed across broken connections.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use cairn_types::time;
use clap::ArgMatches;
use serde_json::Value;

use crate::call::Request;
use crate::client::Client;
use crate::explain::entity_in_words;
use crate::known::{self, Names};
use crate::output::table::{cell, plain};
use crate::output::{self, Format};
use crate::{Failure, Result, terminal};

/// Pause before a broken stream is taken up again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often in a row that is tried.
const TRIES: u32 = 60;

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: String,
}

/// Follows the stream until it was told enough or is stopped.
pub fn follow(client: &Client, matches: &ArgMatches, format: Format) -> Result<()> {
    let mut since = matches.get_one::<u64>("since").map(u64::to_string);
    let mut left = matches.get_one::<u64>("count").copied();
    let mut failures = 0;
    let all = matches.get_flag("all");
    let mut teller = Teller { client, format, all, names: Names::default(), asked: BTreeSet::new() };
    if terminal::stderr_is_terminal() && format == Format::Table {
        eprintln!("Following what happens; Ctrl-C ends it.");
    }
    loop {
        match stream(client, &mut since, &mut left, &mut teller) {
            Ok(true) => return Ok(()),
            Ok(false) => failures = 0,
            // Before the first event is known where to go on from, a server that is not there is an error.
            Err(Failure::Unreachable(text)) if since.is_none() || failures >= TRIES => {
                return Err(Failure::Unreachable(text));
            }
            Err(Failure::Unreachable(_)) => failures += 1,
            Err(other) => return Err(other),
        }
        std::thread::sleep(AGAIN);
    }
}

/// Reads one connection to its end. True when enough events have been seen.
fn stream(
    client: &Client,
    since: &mut Option<String>,
    left: &mut Option<u64>,
    teller: &mut Teller<'_>,
) -> Result<bool> {
    let mut request = Request::get(&["cairn", "events"]);
    request.headers.push(("Accept", "text/event-stream".to_owned()));
    if let Some(cursor) = since {
        request = request.with("since", cursor.as_str());
    }
    let mut response = client.open(&request)?;
    if response.status().as_u16() != 200 {
        return client.finish(response).map(|_| false);
    }
    let mut reader = BufReader::new(response.body_mut().as_reader());
    while let Some(event) = next(&mut reader) {
        let data = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data.clone()));
        match event.kind.as_str() {
            "hello" => *since = since.take().or_else(|| data.get("cursor").map(cell)),
            "gap" => eprintln!(
                "some events are no longer kept; going on from the oldest one that is: {}",
                cell(&data)
            ),
            _ => {
                *since = event.id.or_else(|| since.take());
                let Some(line) = teller.line(&data) else { continue };
                output::write(&line)?;
                if let Some(n) = left {
                    *n = n.saturating_sub(1);
                    if *n == 0 {
                        return Ok(true);
                    }
                }
            }
        }
    }
    Ok(false)
}

/// The next event; `None` at the end of the stream or when the connection breaks.
fn next(reader: &mut impl BufRead) -> Option<Event> {
    let mut event = Event::default();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            if event.data.is_empty() {
                event = Event::default(); // a comment or a bare id
                continue;
            }
            return Some(event);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => event.id = Some(value.to_owned()),
            "event" => event.kind = value.to_owned(),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => (),
        }
    }
}

/// Tells events, and remembers the names that it has asked for.
struct Teller<'a> {
    client: &'a Client,
    format: Format,
    all: bool,
    names: Names,
    asked: BTreeSet<String>,
}

impl Teller<'_> {
    /// The event in one line; `None` for what people do not follow.
    fn line(&mut self, event: &Value) -> Option<String> {
        match self.format {
            Format::Json => return Some(format!("{event}\n")),
            Format::Yaml => return Some(format!("---\n{}", output::yaml::render(event))),
            Format::Table if !self.all && is_noise(event) => return None,
            Format::Table => (),
        }
        let name = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        if name("/type") != RUN {
            self.names.add(&name("/uuid"), &name("/data/name"));
        }
        let mut wanted = BTreeSet::new();
        known::uuids(event, &mut wanted);
        wanted.retain(|uuid| self.asked.insert(uuid.clone()));
        self.names.learn(self.client, &wanted);
        Some(in_words(event, &self.names))
    }
}

const RUN: &str = "CairnRunVO";

/// The steps of operations, and changes of nothing that is shown.
fn is_noise(event: &Value) -> bool {
    let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let is_step = text("/type") == RUN && matches!(text("/data/state"), "Running" | "Undoing");
    let only_allowed = event
        .get("data")
        .and_then(Value::as_object)
        .is_some_and(|data| !data.is_empty() && data.keys().all(|k| k == "allowedActions"));
    is_step || only_allowed
}

/// When, what, and what became of it.
fn in_words(event: &Value, names: &Names) -> String {
    let text = |at: &str| event.pointer(at).map(cell).unwrap_or_default();
    let when = event.get("time").and_then(Value::as_i64).map(time::rfc3339).unwrap_or_default();
    let kind = entity_in_words(&text("/type")).unwrap_or_else(|| text("/type"));
    let head = format!("{:>6}  {when}", text("/cursor"));
    if text("/type") == RUN {
        let run = text("/data/name");
        let run = run.split('/').next().unwrap_or_default();
        let on = names.in_text(&text("/data/resourceUuid"));
        let step = match text("/data/state").as_str() {
            "Done" => String::new(),
            _ => format!(" at {} ({} %)", text("/data/step"), text("/data/progress")),
        };
        return format!("{head}  operation {run} {on}: {}{step}\n", text("/data/state"));
    }
    let what = names.in_text(&text("/uuid"));
    let mut line = format!("{head}  {kind} {what} {}", text("/kind"));
    for (field, value) in event.get("data").and_then(Value::as_object).into_iter().flatten() {
        if field != "allowedActions" && !value.is_null() {
            line.push_str(&format!("  {}={}", plain(field), names.in_text(&cell(value))));
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_event_streams_are_split_into_events() {
        let text = ": keep alive\n\nid: 7\nevent: change\ndata: {\"a\":\ndata: 1}\n\nid: 8\r\ndata: x\r\n\r\nid: 9\ndata: cut";
        let mut reader = text.as_bytes();
        let event = |id: &str, kind: &str, data: &str| Event {
            id: Some(id.into()),
            kind: kind.into(),
            data: data.into(),
        };
        assert_eq!(next(&mut reader), Some(event("7", "change", "{\"a\":\n1}")));
        assert_eq!(next(&mut reader), Some(event("8", "", "x")));
        assert_eq!(next(&mut reader), None);
    }

    #[test]
    fn cli_01_an_event_is_one_line_with_names() {
        const VM: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
        let mut names = Names::default();
        names.add(VM, "web-1");
        let vm = json!({"cursor": 5, "time": 0, "type": "VmInstanceVO", "uuid": VM, "kind": "updated",
            "data": {"state": "Running", "allowedActions": ["StopVmInstance"], "hostUuid": null}});
        assert_eq!(
            in_words(&vm, &names),
            "     5  1970-01-01T00:00:00.000Z  VM web-1 updated  state=Running\n"
        );
        let run = |state: &str| {
            json!({"cursor": 6, "time": 0, "type": RUN, "uuid": "r", "kind": "progress", "data": {"name": "vm.stop/1",
                "state": state, "step": "PowerOff", "progress": 50, "resourceUuid": VM}})
        };
        assert_eq!(
            in_words(&run("Stuck"), &names),
            "     6  1970-01-01T00:00:00.000Z  operation vm.stop web-1: Stuck at PowerOff (50 %)\n"
        );
        assert!(is_noise(&run("Running")) && !is_noise(&run("Done")) && !is_noise(&vm));
        assert!(
            is_noise(&json!({"data": {"allowedActions": []}}))
                && !is_noise(&json!({"kind": "deleted", "data": {}}))
        );
    }
}
