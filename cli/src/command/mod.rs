//! The command tree of `cairn`, built at run time from the operation table.

mod argument;
mod own;

use std::collections::BTreeMap;

use cairn_api::{Kind, Method, Operation, Param, Type, operations};
use clap::{Arg, ArgAction, Command};

use argument::{
    flag, job_arguments, plan_argument, positional_argument, query_arguments, secret_file_flag, tag_arguments,
};
pub use argument::{is_hashed_password, is_list, kebab, positional_id, secret_file_id};
use own::{extra_commands, own_commands};

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

fn global_arguments() -> impl Iterator<Item = Arg> {
    let all = [
        Arg::new("@output")
            .long("output")
            .short('o')
            .value_name("FORMAT")
            .value_parser(["table", "json", "yaml"])
            .default_value("table")
            .help("How to print the answer"),
        Arg::new("@server")
            .long("server")
            .value_name("URL")
            .help("Server to talk to, instead of the profile's [env: CAIRN_SERVER]"),
        Arg::new("@quiet").long("quiet").global(true).action(ArgAction::SetTrue).help("No progress bar"),
        Arg::new("@profile")
            .long("profile")
            .value_name("NAME")
            .help("Login profile to use, instead of the current one [env: CAIRN_PROFILE]"),
    ];
    all.into_iter().map(|arg| arg.global(true).help_heading("Global options"))
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
    command.about(summary(&verbs))
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

/// The verbs, as many as fit on a line.
fn summary(verbs: &[String]) -> String {
    let fit = (1..=verbs.len()).rev().find(|n| verbs[..*n].join(", ").len() <= 56).unwrap_or(1);
    let more = if fit < verbs.len() { ", …" } else { "" };
    format!("{}{more}", verbs[..fit].join(", "))
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
