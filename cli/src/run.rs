//! From the command line to the answer.

use std::time::Duration;

use cairn_api::{Kind, Operation, operations};
use cairn_types::random_uuid;
use clap::ArgMatches;
use clap::error::ErrorKind;
use serde_json::{Value, json};

use crate::arguments::{self, Params};
use crate::call::{self, Request};
use crate::client::{Answer, Client, error_object};
use crate::job::{self, Wait};
use crate::output::{self, Format};
use crate::{
    Failure, Result, answer, command, events, explain, guest, names, plan, profile, session, simulated,
    upload, watch,
};

/// Runs `cairn` with these arguments and returns the exit code.
pub fn main(args: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    let args: Vec<_> = args.into_iter().collect();
    let matches = match parse(&args) {
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

/// Reads the command line. What an operation lacks is told later, by the operation.
fn parse(args: &[std::ffi::OsString]) -> Result<ArgMatches, clap::Error> {
    let strict = command::tree().try_get_matches_from(args);
    let Err(error) = &strict else { return strict };
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return strict;
    }
    match command::lenient_tree().try_get_matches_from(args) {
        Ok(matches) if is_operation(&matches) => Ok(matches),
        _ => strict,
    }
}

fn is_operation(matches: &ArgMatches) -> bool {
    let verb = matches.subcommand().and_then(|(noun, below)| Some((noun, below.subcommand()?.0)));
    verb.is_some_and(|(noun, verb)| operations().iter().any(|op| op.noun == noun && op.verb == verb))
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
    let client = connect(matches);
    if let Some(failure) = explain::missing(client.as_ref().ok(), op, matches) {
        return Err(failure);
    }
    let client = client?;
    let said = arguments::read(op, matches)?;
    let mut params = said.clone();
    names::resolve(&client, op, &mut params)?;
    arguments::fill(&client, op, &mut params)?;
    guest::add_tags(&client, matches, &mut params)?;
    let typed = explain::Typed { op, said: &said, sent: &params };
    let request = call::request(op, &params)?;
    let credentials = simulated::folder(op, matches, flag(matches, "@plan"), format)?;
    let answer = match carry_out(&client, op, request, matches, format) {
        Ok(Some(answer)) => match &credentials {
            Some(folder) => simulated::keep(folder, answer)?,
            None => answer,
        },
        Ok(None) => return Ok(()),
        Err(failure) if format == Format::Table => return Err(explain::explain(&client, &typed, failure)),
        Err(failure) => return Err(failure),
    };
    answer::print(&client, &typed, &answer, format)
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
            plan::show(client, &answer)
        } else {
            output::render(format, &answer, None)
        };
        return output::write(&text).map(|()| None);
    }
    Ok(Some(answer))
}

/// A query.
fn list(op: &'static Operation, matches: &ArgMatches, format: Format) -> Result<()> {
    let client = connect(matches)?;
    let params = query_params(&client, op, matches)?;
    let answer = client.ask(&call::request(op, &params)?).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(format!(
            "{text}\na condition is a field, an operator and a value, as in: cairn {} {} name=web-1 'name~=web%' 'createDate>2026-01-31'\n\
             fields: {}",
            op.noun,
            op.verb,
            answer::fields(op).join(", ")
        )),
        other => other,
    })?;
    if matches.get_flag("count") {
        let total = answer.get("total").cloned().unwrap_or_default();
        let shown = if format == Format::Table { total } else { json!({"total": total}) };
        return output::print_value(format, &shown, None);
    }
    let rows = answer.get("inventories").cloned().unwrap_or_else(|| json!([]));
    if format != Format::Table {
        return output::print_value(format, &rows, op.inventory);
    }
    let text = params.get("fields").and_then(Value::as_str);
    let fields = text.map(|f| f.split(',').map(str::to_owned).collect::<Vec<_>>());
    let rows = rows.as_array().cloned().unwrap_or_default();
    answer::print_list(&client, rows, op.inventory, fields.as_deref())
}

fn query_params(client: &Client, op: &Operation, matches: &ArgMatches) -> Result<Params> {
    let mut params = Params::new();
    let mut conditions = arguments::texts(matches, "@condition").unwrap_or_default();
    conditions.extend(arguments::texts(matches, "@q").unwrap_or_default());
    if !conditions.is_empty() {
        let named: Result<Vec<String>> =
            conditions.into_iter().map(|c| names::in_condition(client, op, c)).collect();
        params.insert("q".to_owned(), json!(named?));
    }
    for name in ["limit", "start"] {
        params.extend(matches.get_one::<u64>(name).map(|n| (name.to_owned(), json!(n))));
    }
    if let Some(fields) = matches.get_one::<String>("fields") {
        let full: Vec<String> = fields.split(',').map(|f| names::field_name(op, f.trim())).collect();
        params.insert("fields".to_owned(), json!(full.join(",")));
    }
    for (flag, name) in [("sort", "sort"), ("group-by", "groupBy")] {
        params.extend(matches.get_one::<String>(flag).map(|text| (name.to_owned(), json!(text))));
    }
    if matches.get_flag("count") {
        params.insert("count".to_owned(), json!(true));
    }
    Ok(params)
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
        ("image", "upload", _) => {
            answer::print_one(&client, upload::upload(&client, matches)?, inventory, format)
        }
        ("vm", "console-url", _) => console(&client, target(), matches.get_flag("websocket"), format),
        (_, "wait", Some(_)) => {
            let row = watch::wait(&client, noun, matches)?;
            if format == Format::Table { Ok(()) } else { output::print_value(format, &row, inventory) }
        }
        (_, "get", Some(query)) => {
            let keys = command::keys(&[query]);
            let row = match keys.is_empty() {
                true => names::one(&client, query, target())?,
                false => names::by_keys(&client, query, &typed_keys(matches, keys))?,
            };
            answer::print_one(&client, row, inventory, format)
        }
        _ => Err(Failure::Usage(format!("there is no command {noun} {verb}"))),
    }
}

fn typed_keys<'a>(matches: &'a ArgMatches, keys: &[&'static str]) -> Vec<(&'static str, &'a str)> {
    keys.iter().map(|key| (*key, matches.get_one::<String>(key).map_or("", String::as_str))).collect()
}

/// The address of a VM's console on the page, or that of its websocket, whose token works once.
fn console(client: &Client, vm: &str, websocket: bool, format: Format) -> Result<()> {
    let uuid = if names::is_uuid(vm) { vm.to_owned() } else { names::uuid_of(client, "VmInstanceVO", vm)? };
    let op = Operation::find("RequestConsoleAccess");
    let op = op.ok_or_else(|| Failure::Usage("there are no consoles".to_owned()))?;
    let params = |vm: &str| Params::from_iter([("vmInstanceUuid".to_owned(), json!(vm))]);
    let (said, sent) = (params(vm), params(&uuid));
    let answer = session::simple(client, op.name, json!(sent)).map_err(|failure| match format {
        Format::Table => explain::explain(client, &explain::Typed { op, said: &said, sent: &sent }, failure),
        _ => failure,
    })?;
    let console = answer.get("inventory").cloned().unwrap_or_default();
    if format != Format::Table {
        return output::print_value(format, &console, None);
    }
    let text = |name: &str| console.get(name).map(output::table::cell).unwrap_or_default();
    let secure = text("scheme").ends_with('s') && text("scheme") != "ws";
    let place = format!("{}:{}", text("hostname"), text("port"));
    output::write(&match (websocket, secure) {
        (true, true) => format!("wss://{place}/console/{}\n", cairn_api::request::encode(&text("token"))),
        (true, false) => format!("ws://{place}/console/{}\n", cairn_api::request::encode(&text("token"))),
        (false, true) => format!("https://{place}/vms/{uuid}/console\n"),
        (false, false) => format!("http://{place}/vms/{uuid}/console\n"),
    })
}
