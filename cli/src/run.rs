//! From the command line to the answer.

use std::time::Duration;

use cairn_api::{Kind, Operation, operations};
use cairn_types::random_uuid;
use clap::ArgMatches;
use serde_json::{Map, Value, json};

use crate::arguments::{self, Params};
use crate::call::{self, Request};
use crate::client::{Answer, Client, error_object};
use crate::job::{self, Wait};
use crate::output::{self, Format};
use crate::{Failure, Result, command, events, names, plan, profile, session, terminal, upload, watch};

/// Runs `cairn` with these arguments and returns the exit code.
pub fn main(args: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    let matches = match command::tree().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let format = Format::parse(matches.get_one::<String>("@output").map_or("table", String::as_str));
    match dispatch(&matches, format) {
        Ok(()) => 0,
        Err(failure) => {
            if format == Format::Table {
                eprint!("{}", failure.render());
            } else {
                eprint!("{}", output::render(format, &error_object(&failure), None));
            }
            failure.exit_code()
        }
    }
}

fn dispatch(matches: &ArgMatches, format: Format) -> Result<()> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    match name {
        "login" => session::login(matches),
        "logout" => session::logout(matches),
        "profile" => session::manage(matches, format),
        "completion" => completion(matches),
        "api" => raw(matches, format),
        "events" => events::follow(&connect(matches)?, matches, format),
        noun => {
            let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
            match operations().iter().find(|op| op.noun == noun && op.verb == verb) {
                Some(op) if op.kind == Kind::Query => list(op, matches, format),
                Some(op) => operation(op, matches, format),
                None => extra(noun, verb, matches, format),
            }
        }
    }
}

fn connect(matches: &ArgMatches) -> Result<Client> {
    profile::connect(matches.get_one::<String>("@server"), matches.get_one::<String>("@profile"))
}

fn completion(matches: &ArgMatches) -> Result<()> {
    use clap_complete::{Shell, generate};
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("fish") => Shell::Fish,
        Some("zsh") => Shell::Zsh,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    generate(shell, &mut command::tree(), "cairn", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}

/// One operation with the parameters that were typed.
fn operation(op: &'static Operation, matches: &ArgMatches, format: Format) -> Result<()> {
    let client = connect(matches)?;
    let mut params = arguments::read(op, matches)?;
    names::resolve(&client, op, &mut params)?;
    let request = call::request(op, &params)?;
    let Some(answer) = carry_out(&client, op, request, matches, format)? else { return Ok(()) };
    print_answer(op, &answer, format)
}

/// `cairn api NAME --json '{…}'`.
fn raw(matches: &ArgMatches, format: Format) -> Result<()> {
    if matches.get_flag("list") {
        let names: String = operations().iter().map(|op| format!("{}\n", op.name)).collect();
        return output::write(&names);
    }
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let op = operations().iter().find(|op| op.name.eq_ignore_ascii_case(name));
    let op =
        op.ok_or_else(|| Failure::Usage(format!("there is no action {name:?}; see `cairn api --list`")))?;
    let params = match matches.get_one::<String>("json").map(String::as_str) {
        None => Params::new(),
        Some(json) => parse_object(&if json == "-" { arguments::file("-")? } else { json.to_owned() })?,
    };
    let request = call::request(op, &params)?;
    let Some(answer) = carry_out(&connect(matches)?, op, request, matches, format)? else { return Ok(()) };
    let format = if format == Format::Table { Format::Json } else { format };
    output::print_value(format, &answer, None)
}

fn parse_object(text: &str) -> Result<Params> {
    match serde_json::from_str(text) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(Failure::Usage("the parameters must be a JSON object".to_owned())),
        Err(e) => Err(Failure::Usage(format!("the parameters are not JSON: {e}"))),
    }
}

fn flag(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or_default()
}

/// Sends a request and waits for its job. `None` when everything has been said already.
fn carry_out(
    client: &Client,
    op: &Operation,
    mut request: Request,
    matches: &ArgMatches,
    format: Format,
) -> Result<Option<Value>> {
    let planned = flag(matches, "@plan");
    if planned {
        request.headers.push(("X-Cairn-Plan", "true".to_owned()));
    } else if op.job {
        // Chosen here, so that the job can be found again even when the answer gets lost.
        request.headers.push(("X-Job-UUID", random_uuid()));
    }
    let timeout = matches.try_get_one::<u64>("@timeout").ok().flatten().map(|s| Duration::from_secs(*s));
    let label = format!("{} {}", op.noun, op.verb);
    let how = Wait { label: &label, timeout, quiet: flag(matches, "@quiet") };
    let answer = match client.call(&request)? {
        Answer::Done(answer) => answer,
        Answer::Job(id) if flag(matches, "@no-wait") => {
            let text = if format == Format::Table {
                format!("{id}\n")
            } else {
                output::render(format, &json!({"job": id}), None)
            };
            return output::write(&text).map(|()| None);
        }
        Answer::Job(id) => job::wait(client, &id, &how)?,
    };
    if planned {
        let text = if format == Format::Table {
            plan::render(&answer)
        } else {
            output::render(format, &answer, None)
        };
        return output::write(&text).map(|()| None);
    }
    Ok(Some(answer))
}

fn print_answer(op: &Operation, answer: &Value, format: Format) -> Result<()> {
    let content = output::content(answer);
    if format == Format::Table && content.as_object().is_some_and(Map::is_empty) {
        if terminal::stderr_is_terminal() {
            eprintln!("{} {}: done", op.noun, op.verb);
        }
        return Ok(());
    }
    let shown = op.result.first().map(|(_, ty)| ty.trim_start_matches("List<").trim_end_matches('>'));
    output::print_value(format, &content, shown)
}

/// A query.
fn list(op: &'static Operation, matches: &ArgMatches, format: Format) -> Result<()> {
    let client = connect(matches)?;
    let mut params = Params::new();
    let mut conditions = arguments::texts(matches, "@condition").unwrap_or_default();
    conditions.extend(arguments::texts(matches, "@q").unwrap_or_default());
    if !conditions.is_empty() {
        params.insert("q".to_owned(), json!(conditions));
    }
    for name in ["limit", "start"] {
        params.extend(matches.get_one::<u64>(name).map(|n| (name.to_owned(), json!(n))));
    }
    let text = |id: &str| matches.get_one::<String>(id).cloned();
    params.extend(text("sort").map(|field| ("sort".to_owned(), json!(field))));
    params.extend(text("fields").map(|fields| ("fields".to_owned(), json!(fields))));
    params.extend(text("group-by").map(|field| ("groupBy".to_owned(), json!(field))));
    if matches.get_flag("count") {
        params.insert("count".to_owned(), json!(true));
    }
    let answer = client.ask(&call::request(op, &params)?)?;
    if matches.get_flag("count") {
        let total = answer.get("total").cloned().unwrap_or_default();
        let shown = if format == Format::Table { total } else { json!({"total": total}) };
        return output::print_value(format, &shown, None);
    }
    let rows = answer.get("inventories").cloned().unwrap_or_else(|| json!([]));
    if format != Format::Table {
        return output::print_value(format, &rows, op.inventory);
    }
    let fields = text("fields").map(|f| f.split(',').map(|f| f.trim().to_owned()).collect::<Vec<_>>());
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    output::write(&output::list_table(rows, op.inventory, fields.as_deref(), ""))
}

/// The verbs that are made of other operations.
fn extra(noun: &str, verb: &str, matches: &ArgMatches, format: Format) -> Result<()> {
    let client = connect(matches)?;
    let query = watch::list_of(noun);
    let inventory = query.and_then(|op| op.inventory);
    let target = || matches.try_get_one::<String>("@target").ok().flatten().map_or("", String::as_str);
    match (noun, verb, query) {
        ("job", "wait", _) => {
            let timeout = matches.get_one::<u64>("@timeout").map(|s| Duration::from_secs(*s));
            let id = matches.get_one::<String>("job").map_or("", String::as_str);
            let result =
                job::wait(&client, id, &Wait { label: "job", timeout, quiet: matches.get_flag("@quiet") })?;
            output::print_value(format, &output::content(&result), None)
        }
        ("image", "upload", _) => output::print_value(format, &upload::upload(&client, matches)?, inventory),
        ("vm", "console-url", _) => console(&client, target(), format),
        (_, "wait", Some(_)) => {
            let row = watch::wait(&client, noun, matches)?;
            if format == Format::Table { Ok(()) } else { output::print_value(format, &row, inventory) }
        }
        (_, "get", Some(query)) => {
            output::print_value(format, &names::one(&client, query, target())?, inventory)
        }
        _ => Err(Failure::Usage(format!("there is no command {noun} {verb}"))),
    }
}

/// The address of a VM's console. Its token works once.
fn console(client: &Client, vm: &str, format: Format) -> Result<()> {
    let uuid = if names::is_uuid(vm) { vm.to_owned() } else { names::uuid_of(client, "VmInstanceVO", vm)? };
    let answer = session::simple(client, "RequestConsoleAccess", json!({"vmInstanceUuid": uuid}))?;
    let console = answer.get("inventory").cloned().unwrap_or_default();
    if format != Format::Table {
        return output::print_value(format, &console, None);
    }
    let text = |name: &str| console.get(name).map(output::table::cell).unwrap_or_default();
    let scheme = if text("scheme").ends_with('s') && text("scheme") != "ws" { "wss" } else { "ws" };
    output::write(&format!(
        "{scheme}://{}:{}/console/{}\n",
        text("hostname"),
        text("port"),
        call::encode(&text("token"))
    ))
}
