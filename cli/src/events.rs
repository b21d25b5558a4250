//! `cairn events`: the event stream, followed across broken connections.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use cairn_types::time;
use clap::ArgMatches;
use serde_json::Value;

use crate::call::Request;
use crate::client::Client;
use crate::output::table::cell;
use crate::output::{self, Format};
use crate::{Failure, Result};

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
    loop {
        match stream(client, &mut since, &mut left, format) {
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
    format: Format,
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
                output::write(&line(&data, format))?;
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

fn line(data: &Value, format: Format) -> String {
    match format {
        Format::Json => format!("{data}\n"),
        Format::Yaml => format!("---\n{}", output::yaml::render(data)),
        Format::Table => {
            let text = |name: &str| data.get(name).map(cell).unwrap_or_default();
            let when = data.get("time").and_then(Value::as_i64).map(time::rfc3339).unwrap_or_default();
            let changed = match data.get("data").and_then(Value::as_object) {
                Some(fields) => {
                    fields.iter().map(|(k, v)| format!("{k}={}", cell(v))).collect::<Vec<_>>().join(" ")
                }
                None => String::new(),
            };
            let kind = text("type");
            let kind = kind.strip_suffix("VO").unwrap_or(&kind);
            let line =
                format!("{} {when} {kind} {} {} {changed}", text("cursor"), text("uuid"), text("kind"));
            format!("{}\n", line.trim())
        }
    }
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
    fn cli_01_an_event_is_one_line() {
        let data = json!({"cursor": 5, "time": 0, "type": "VmInstanceVO", "uuid": "u", "kind": "updated", "data": {"state": "Running"}});
        assert_eq!(
            line(&data, Format::Table),
            "5 1970-01-01T00:00:00.000Z VmInstance u updated state=Running\n"
        );
        assert_eq!(line(&json!({"cursor": 5}), Format::Json), "{\"cursor\":5}\n");
    }
}
