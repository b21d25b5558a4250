//! The command tree of `cairn`, built at run time from the operation table.

use std::collections::BTreeMap;

use cairn_api::{Kind, Method, Operation, Param, Type, operations};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

/// Nouns whose resources `wait` can follow, because they have a state or status.
pub const WAITABLE: &[&str] = &["vm", "host", "image", "volume", "primary-storage", "backup-storage"];

/// Own top-level commands; no noun may have one of these names.
pub const OWN: &[&str] = &["login", "logout", "profile", "completion", "api", "events", "help"];

/// The whole tree.
pub fn tree() -> Command {
    let mut root = Command::new("cairn")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Cairn on the command line: every operation of the cloud as noun and verb.")
        .after_help(
            "Resources are named by uuid or, where it is unique, by name: cairn vm stop web-1\n\
             Exit codes: 0 done, 1 failed, 2 usage, 3 server not reached, 4 not logged in",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(global_arguments());
    for command in own_commands() {
        root = root.subcommand(command);
    }
    for (noun, group) in nouns() {
        root = root.subcommand(noun_command(noun, &group));
    }
    root
}

/// Operations by noun, in the order of the table.
pub fn nouns() -> BTreeMap<&'static str, Vec<&'static Operation>> {
    let mut nouns: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for op in operations() {
        nouns.entry(op.noun).or_default().push(op);
    }
    nouns
}

fn global_arguments() -> [Arg; 3] {
    [
        Arg::new("@output")
            .long("output")
            .short('o')
            .global(true)
            .value_name("FORMAT")
            .value_parser(["table", "json", "yaml"])
            .default_value("table")
            .help("How to print the answer"),
        Arg::new("@server")
            .long("server")
            .global(true)
            .value_name("URL")
            .help("Server to talk to, instead of the profile's [env: CAIRN_SERVER]"),
        Arg::new("@profile")
            .long("profile")
            .global(true)
            .value_name("NAME")
            .help("Login profile to use, instead of the current one [env: CAIRN_PROFILE]"),
    ]
}

fn own_commands() -> Vec<Command> {
    let name = |text: &'static str| Arg::new("name").value_name("NAME").required(true).help(text);
    vec![
        Command::new("login")
            .about("Log in and keep the session in a profile, which becomes the current one")
            .long_about(
                "Log in and keep the session in a profile, which becomes the current one.\n\
                 The password comes from a prompt, from standard input, or from CAIRN_PASSWORD.",
            )
            .arg(
                Arg::new("account")
                    .long("account")
                    .value_name("NAME")
                    .default_value("admin")
                    .help("Account to log in to"),
            )
            .arg(Arg::new("access-key").long("access-key").value_name("ID").conflicts_with("account").help(
                "Sign every request with this access key instead; its secret is asked for like a password",
            ))
            .arg(
                Arg::new("password-stdin")
                    .long("password-stdin")
                    .action(ArgAction::SetTrue)
                    .help("Read the password or secret from standard input"),
            ),
        Command::new("logout").about("End the session of the profile"),
        Command::new("profile")
            .about("Login profiles: list, use, delete")
            .subcommand_required(true)
            .subcommand(Command::new("list").about("List profiles; the current one is marked"))
            .subcommand(
                Command::new("use").about("Make a profile the current one").arg(name("Profile to use")),
            )
            .subcommand(Command::new("delete").about("Forget a profile").arg(name("Profile to forget"))),
        Command::new("completion").about("Print a completion script for a shell").arg(
            Arg::new("shell")
                .required(true)
                .value_parser(["bash", "zsh", "fish"])
                .help("Shell to complete in"),
        ),
        Command::new("api")
            .about("Make a call by its action name, with parameters as JSON, and print the whole answer")
            .arg(
                Arg::new("name")
                    .value_name("ACTION")
                    .required_unless_present("list")
                    .help("Action name, such as StartVmInstance"),
            )
            .arg(
                Arg::new("json")
                    .long("json")
                    .value_name("JSON")
                    .help("Parameters as a JSON object; `-` reads them from standard input"),
            )
            .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("List all action names"))
            .args(job_arguments())
            .arg(plan_argument()),
        Command::new("events")
            .about("Follow what happens: one line per event, as JSON with -o json")
            .arg(
                Arg::new("since")
                    .long("since")
                    .value_name("N")
                    .value_parser(value_parser!(u64))
                    .help("Begin after this event instead of now"),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .value_name("N")
                    .value_parser(value_parser!(u64))
                    .help("End after this many events"),
            ),
    ]
}

fn noun_command(noun: &'static str, group: &[&'static Operation]) -> Command {
    let mut command = Command::new(noun).subcommand_required(true).arg_required_else_help(true);
    let mut verbs: Vec<String> = Vec::new();
    for op in group {
        command = command.subcommand(operation_command(op));
        verbs.push(op.verb.to_owned());
    }
    for extra in extra_commands(noun, group) {
        verbs.push(extra.get_name().to_owned());
        command = command.subcommand(extra);
    }
    command.about(verbs.join(", "))
}

/// Verbs that are made of other operations.
fn extra_commands(noun: &'static str, group: &[&'static Operation]) -> Vec<Command> {
    let has = |verb: &str| group.iter().any(|op| op.verb == verb);
    let target = || Arg::new("@target").value_name("NAME|UUID").required(true).help("Which one");
    let mut extra = Vec::new();
    if has("list") && !has("get") {
        extra.push(Command::new("get").about(format!("Show one {}", spoken(noun))).arg(target()));
    }
    if WAITABLE.contains(&noun) && !has("wait") {
        let state = Arg::new("state").long("state").value_name("STATE").help("Wait until `state` is this");
        let status =
            Arg::new("status").long("status").value_name("STATUS").help("Wait until `status` is this");
        let gone =
            Arg::new("gone").long("gone").action(ArgAction::SetTrue).help("Wait until it does not exist");
        let wait = Command::new("wait").about(format!("Wait until one {} is in a state", spoken(noun)));
        let any =
            clap::ArgGroup::new("@what").args(["state", "status", "gone"]).required(true).multiple(true);
        extra.push(wait.arg(target()).args([state, status, gone, timeout_argument()]).group(any));
    }
    match noun {
        "vm" => extra.push(
            Command::new("console-url")
                .about("Print an address for the console that works once")
                .arg(target()),
        ),
        "job" => extra.push(
            Command::new("wait")
                .about("Wait for a job and print its result")
                .arg(Arg::new("job").value_name("JOB").required(true).help("Id that --no-wait printed"))
                .args([timeout_argument(), quiet_argument()]),
        ),
        "image" => extra.extend(Operation::find("AddImage").map(upload_command)),
        _ => (),
    }
    extra
}

fn upload_command(add: &'static Operation) -> Command {
    let file = Arg::new("@file").value_name("FILE").required(true).help("File to upload: qcow2, raw or ISO");
    let mut command = Command::new("upload").about("Add an image from a file on this machine").arg(file);
    for param in add.params.iter().filter(|p| !p.ignored && !matches!(p.name, "url" | "resourceUuid")) {
        command = command.arg(flag(add, param).required(false));
    }
    command.args(tag_arguments()).args([timeout_argument(), quiet_argument()])
}

fn operation_command(op: &'static Operation) -> Command {
    let first_sentence = op.doc.split_once(". ").map_or(op.doc, |(first, _)| first).trim_end_matches('.');
    let mut command =
        Command::new(op.verb).about(first_sentence).long_about(format!("{}\n\nAction: {}", op.doc, op.name));
    let positional = positionals(op);
    for (index, param) in positional.iter().enumerate() {
        command = command.arg(positional_argument(op, param, index + 1));
    }
    for param in op.params.iter().filter(|p| !p.ignored) {
        command = command.arg(flag(op, param));
        if param.secret && !param.in_path {
            command = command.arg(secret_file_flag(param));
        }
    }
    let mut generic: Vec<Arg> = Vec::new();
    if op.kind == Kind::Query {
        generic.extend(query_arguments());
    }
    if op.changes() {
        generic.push(plan_argument());
    }
    if op.job {
        generic.extend(job_arguments());
    }
    if matches!(op.method, Method::Post | Method::Put) {
        generic.extend(tag_arguments());
    }
    let taken: Vec<String> = op.params.iter().map(|p| kebab(p.name)).collect();
    command.args(generic.into_iter().filter(|a| !a.get_long().is_some_and(|l| taken.iter().any(|t| t == l))))
}

/// The parameters that may stand without a flag: what the operation works on, then the rest of the path; or else the
/// name of what is made; or else the only parameter there is.
pub fn positionals(op: &'static Operation) -> Vec<&'static Param> {
    let mut out: Vec<&Param> = op.params.iter().filter(|p| p.target).take(1).collect();
    if out.is_empty() {
        // Of several parts of a path the one that the noun speaks of comes first, wherever the path has it.
        let own = |p: &&Param| kebab(p.name).trim_end_matches("-uuid") == op.noun;
        out.extend(op.params.iter().filter(|p| p.in_path).find(own));
    }
    if out.first().is_none_or(|p| !is_list(p.ty)) {
        out.extend(
            op.params
                .iter()
                .filter(|p| p.in_path && !out.iter().any(|o| o.name == p.name))
                .collect::<Vec<_>>(),
        );
    }
    let mut used = op.params.iter().filter(|p| !p.ignored);
    match (out.is_empty() && op.kind != Kind::Query, op.param("name"), used.next(), used.next()) {
        (true, Some(name), ..) if name.must_be_given() => out.push(name),
        (true, _, Some(only), None) if !matches!(only.ty, Type::Bool) => out.push(only),
        _ => (),
    }
    out
}

/// Id of the positional form of a parameter.
pub fn positional_id(param: &Param) -> String {
    format!("@{}", param.name)
}

/// Id of the flag that reads a secret from a file.
pub fn secret_file_id(param: &Param) -> String {
    format!("{}@file", param.name)
}

fn positional_argument(op: &Operation, param: &'static Param, index: usize) -> Arg {
    let mut arg =
        Arg::new(positional_id(param)).index(index).help(help(op, param)).value_name(value_name(param));
    if is_list(param.ty) {
        arg = arg.action(ArgAction::Append).num_args(1..);
    }
    if param.must_be_given() {
        arg = arg.required_unless_present(param.name);
    }
    arg.conflicts_with(param.name)
}

fn flag(op: &'static Operation, param: &'static Param) -> Arg {
    let kebab_name = kebab(param.name);
    let mut arg = Arg::new(param.name).value_name(value_name(param)).help(help(op, param));
    if let Some(short) = short_name(op, &kebab_name) {
        arg = arg.visible_alias(short);
    }
    arg = arg.long(kebab_name);
    arg = match param.ty {
        Type::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(value_parser!(bool)),
        Type::StrList | Type::LongList | Type::StrListMap => arg.action(ArgAction::Append),
        Type::Str | Type::Int | Type::Long | Type::Any => arg.allow_hyphen_values(true),
    };
    if !param.values.is_empty() {
        arg = arg.value_parser(PossibleValuesParser::new(param.values)).ignore_case(true);
    }
    let is_positional = positionals(op).iter().any(|p| p.name == param.name);
    let required = param.must_be_given() && !is_positional && !param.secret && param.ty != Type::Any;
    arg.required(required)
}

fn secret_file_flag(param: &Param) -> Arg {
    Arg::new(secret_file_id(param))
        .long(format!("{}-file", kebab(param.name)))
        .value_name("FILE")
        .conflicts_with(param.name)
        .help(format!("File with the value of --{}; `-` is standard input", kebab(param.name)))
}

/// `--zone` for `--zone-uuid` and `--l3-network` for `--l3-network-uuids`, unless that is another parameter.
fn short_name(op: &Operation, kebab_name: &str) -> Option<String> {
    let short = kebab_name.strip_suffix("-uuids").or_else(|| kebab_name.strip_suffix("-uuid"))?;
    let clash = |p: &Param| {
        let other = kebab(p.name);
        other == short
            || (other != kebab_name && other.trim_end_matches('s').strip_suffix("-uuid") == Some(short))
    };
    let reserved = matches!(short, "output" | "server" | "profile" | "wait" | "plan" | "timeout" | "quiet");
    (!reserved && short != "resource" && !op.params.iter().any(clash)).then(|| short.to_owned())
}

fn help(op: &Operation, param: &Param) -> String {
    let mut text = if is_hashed_password(op, param) {
        "Password; it is hashed before it is sent".to_owned()
    } else {
        param.doc.trim_end_matches('.').to_owned()
    };
    if let Some(default) =
        param.default.filter(|_| param.values.is_empty() || !param.doc.contains(" if absent"))
    {
        text.push_str(&format!(" [default: {default}]"));
    }
    text
}

fn value_name(param: &Param) -> &'static str {
    match param.ty {
        _ if param.refers.is_some() => "NAME|UUID",
        Type::Str | Type::StrList if param.name.to_ascii_lowercase().ends_with("uuid") => "UUID",
        Type::Str | Type::StrList => "TEXT",
        Type::Int | Type::Long | Type::LongList => "NUMBER",
        Type::Bool => "BOOL",
        Type::StrListMap => "KEY=V1,V2",
        Type::Any => "JSON",
    }
}

/// Whether the parameter is the password of an account, which clients send as its SHA-512.
pub fn is_hashed_password(op: &Operation, param: &Param) -> bool {
    param.name == "password" && op.path.starts_with("/accounts")
}

/// Whether it holds several values.
pub const fn is_list(ty: Type) -> bool {
    matches!(ty, Type::StrList | Type::LongList)
}

fn query_arguments() -> Vec<Arg> {
    let text = |id: &'static str, value: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(value).help(help).allow_hyphen_values(true)
    };
    let switch =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    vec![
        Arg::new("@condition")
            .value_name("CONDITION")
            .action(ArgAction::Append)
            .num_args(0..)
            .help("Conditions that must all hold: name=web-1, cpuNum>4, name~=web%, host.name=h1"),
        Arg::new("@q")
            .long("query")
            .short('q')
            .value_name("CONDITION")
            .action(ArgAction::Append)
            .help("One more condition"),
        text("limit", "N", "Most rows to list").value_parser(value_parser!(u64)),
        text("start", "N", "Rows to skip").value_parser(value_parser!(u64)),
        text("sort", "[+|-]FIELD", "Sort by this field; `-` in front for descending"),
        text("fields", "A,B", "Fields to show"),
        text("group-by", "FIELD", "One row per value of this field"),
        switch("count", "Only say how many there are"),
    ]
}

fn job_arguments() -> Vec<Arg> {
    vec![
        Arg::new("@wait")
            .long("wait")
            .action(ArgAction::SetTrue)
            .help("Wait until it is done (this is the default)"),
        Arg::new("@no-wait")
            .long("no-wait")
            .action(ArgAction::SetTrue)
            .conflicts_with("@wait")
            .help("Print the job id and return at once; see `cairn job wait`"),
        timeout_argument(),
        quiet_argument(),
    ]
}

fn timeout_argument() -> Arg {
    Arg::new("@timeout")
        .long("timeout")
        .value_name("SECONDS")
        .value_parser(value_parser!(u64))
        .help("Give up waiting after this time; the job goes on")
}

fn quiet_argument() -> Arg {
    Arg::new("@quiet").long("quiet").action(ArgAction::SetTrue).help("No progress bar")
}

fn plan_argument() -> Arg {
    Arg::new("@plan")
        .long("plan")
        .action(ArgAction::SetTrue)
        .help("Only say what would be done, and why; change nothing")
}

fn tag_arguments() -> [Arg; 2] {
    let tag = |id: &'static str, long: &'static str, help: &'static str| {
        Arg::new(id).long(long).value_name("TAG").action(ArgAction::Append).help(help)
    };
    [
        tag("@systemTags", "system-tag", "System tag; repeat for more"),
        tag("@userTags", "user-tag", "Tag of your own; repeat for more"),
    ]
}

/// `zoneUuid` is `zone-uuid`, `AccessKeyID` is `access-key-id`.
pub fn kebab(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (i, c) in chars.iter().enumerate() {
        let after_lower = i > 0 && !chars[i - 1].is_ascii_uppercase();
        let before_lower = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && i > 0 && (after_lower || before_lower) {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A noun as people say it.
pub fn spoken(noun: &str) -> String {
    noun.split('-').map(|w| if w == "vm" { "VM" } else { w }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_flags_are_kebab_case() {
        for (camel, flag) in [
            ("zoneUuid", "zone-uuid"),
            ("l3NetworkUuids", "l3-network-uuids"),
            ("stopHA", "stop-ha"),
            ("enableIPAM", "enable-ipam"),
            ("AccessKeyID", "access-key-id"),
            ("SshKey", "ssh-key"),
            ("name", "name"),
        ] {
            assert_eq!(kebab(camel), flag);
        }
    }

    #[test]
    fn cli_01_passwords_are_hashed_exactly_where_the_table_says_so() {
        for op in operations() {
            for param in op.params {
                assert_eq!(
                    is_hashed_password(op, param),
                    param.doc.contains("SHA-512"),
                    "{} {}",
                    op.name,
                    param.name
                );
            }
        }
    }
}
