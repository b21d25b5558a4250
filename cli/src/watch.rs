//! Waiting until a resource is in a state, whoever brings it there.

use std::time::{Duration, Instant};

use cairn_api::{Kind, Operation, operations};
use clap::ArgMatches;
use serde_json::Value;

use crate::client::Client;
use crate::job::Wait;
use crate::progress::Bar;
use crate::session::simple;
use crate::{Failure, Result, names};

/// The query behind `cairn <noun> list`.
pub fn list_of(noun: &str) -> Option<&'static Operation> {
    operations().iter().find(|op| op.noun == noun && op.verb == "list" && op.kind == Kind::Query)
}

/// `cairn <noun> wait NAME --state X | --status Y | --gone`. The resource as it was last seen.
pub fn wait(client: &Client, noun: &str, matches: &ArgMatches) -> Result<Value> {
    let query = list_of(noun).ok_or_else(|| Failure::Usage(format!("{noun} cannot be listed")))?;
    let name = matches.get_one::<String>("@target").map_or("", String::as_str);
    let gone = matches.get_flag("gone");
    let wanted: Vec<(&str, &String)> =
        ["state", "status"].into_iter().filter_map(|f| Some((f, matches.get_one::<String>(f)?))).collect();
    let uuid = match names::one(client, query, name) {
        Ok(row) => row.get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Err(Failure::Failed(_)) if gone => return Ok(Value::Object(serde_json::Map::new())),
        Err(other) => return Err(other),
    };
    let limit = matches.get_one::<u64>("@timeout").map(|s| Duration::from_secs(*s));
    let how = Wait { label: &format!("{noun} {name}"), timeout: limit, quiet: matches.get_flag("@quiet") };
    until(client, query, &uuid, &how, |row| match row {
        None if gone => Ok(true),
        None => Err(Failure::Failed(format!("{noun} {name} does not exist any more"))),
        Some(row) => Ok(!gone && wanted.iter().all(|(field, value)| is(row, field, value))),
    })
}

fn is(row: &Value, field: &str, value: &str) -> bool {
    row.get(field).and_then(Value::as_str).is_some_and(|v| v.eq_ignore_ascii_case(value))
}

/// Looks at one row, ever less often, until the check says that it is enough.
pub fn until(
    client: &Client,
    query: &'static Operation,
    uuid: &str,
    how: &Wait<'_>,
    enough: impl Fn(Option<&Value>) -> Result<bool>,
) -> Result<Value> {
    let begin = Instant::now();
    let mut bar = Bar::new(how.label, how.quiet);
    let mut pause = Duration::from_millis(100);
    loop {
        let answer = simple(client, query.name, serde_json::json!({"q": [format!("uuid={uuid}")]}))?;
        let row = answer.pointer("/inventories/0");
        if enough(row)? {
            return Ok(row.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())));
        }
        let now: Vec<&str> = ["state", "status"].into_iter().filter_map(|f| row?.get(f)?.as_str()).collect();
        if how.timeout.is_some_and(|limit| begin.elapsed() >= limit) {
            return Err(Failure::Failed(format!(
                "{} is not there in time; it is {}",
                how.label,
                now.join(", ")
            )));
        }
        bar.update(None, &now.join(", "));
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_secs(1));
    }
}
