//! The commands that are not one operation of the table.

use cairn_api::{Operation, resource};
use clap::{Arg, ArgAction, Command, value_parser};

use super::argument::{flag, job_arguments, plan_argument, tag_arguments, timeout_argument};
use super::{WAITABLE, kebab, spoken};

pub(super) fn own_commands() -> Vec<Command> {
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
            .about("Follow what happens: one line per change, as JSON with -o json")
            .arg(
                Arg::new("all")
                    .long("all")
                    .action(ArgAction::SetTrue)
                    .help("Every event, with the progress of operations step by step"),
            )
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

/// Verbs that are made of other operations.
pub(super) fn extra_commands(noun: &'static str, group: &[&'static Operation]) -> Vec<Command> {
    let has = |verb: &str| group.iter().any(|op| op.verb == verb);
    let target = || Arg::new("@target").value_name("NAME|UUID").required(true).help("Which one");
    let mut extra = Vec::new();
    let keys = keys(group);
    if has("list") && !has("get") && !keys.is_empty() {
        let key =
            |name: &'static str| Arg::new(name).value_name(kebab(name).to_ascii_uppercase()).required(true);
        let about = format!("Show one {}", spoken(noun));
        extra.push(Command::new("get").about(about).args(keys.iter().map(|k| key(k).help("Which one"))));
    } else if has("list") && !has("get") {
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
                .about("Print the address of the VM's console, to open in a browser")
                .arg(target())
                .arg(Arg::new("websocket").long("websocket").action(ArgAction::SetTrue).help(
                    "Print the address for a VNC client that speaks websockets instead; it works once, without a login",
                )),
        ),
        "job" => extra.push(
            Command::new("wait")
                .about("Wait for a job and print its result")
                .arg(Arg::new("job").value_name("JOB").required(true).help("Id that --no-wait printed"))
                .arg(timeout_argument()),
        ),
        "image" => extra.extend(Operation::find("AddImage").map(upload_command)),
        _ => (),
    }
    extra
}

/// The fields that tell resources apart which have no uuid, such as category and name of a setting.
pub fn keys(group: &[&'static Operation]) -> &'static [&'static str] {
    let listed = group.iter().find(|op| op.verb == "list").and_then(|op| resource::find(op.inventory?));
    match listed {
        Some(table)
            if table.field("uuid").is_none() && table.keys.iter().all(|k| table.field(k).is_some()) =>
        {
            table.keys
        }
        _ => &[],
    }
}

fn upload_command(add: &'static Operation) -> Command {
    let file = Arg::new("@file").value_name("FILE").required(true).help("File to upload: qcow2, raw or ISO");
    let mut command = Command::new("upload").about("Add an image from a file on this machine").arg(file);
    for param in add.params.iter().filter(|p| !p.ignored && !matches!(p.name, "url" | "resourceUuid")) {
        command = command.arg(flag(add, param).required(false).hide(false));
    }
    command.args(tag_arguments()).arg(timeout_argument())
}
