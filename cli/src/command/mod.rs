//! The command tree of `cairn`, built at run time from the operation table.

mod argument;
mod own;

use std::collections::BTreeMap;

use cairn_api::{Kind, Method, Operation, Param, Type, operations};
use clap::{Arg, ArgAction, Command};

use crate::arguments::is_filled;
use crate::{guest, names, simulated};

use argument::{
    flag, job_arguments, plan_argument, positional_argument, query_arguments, secret_file_flag, tag_arguments,
};
pub use argument::{
    in_flags, is_hashed_password, is_list, kebab, place, positional_id, secret_file_id, shown_flag,
    shown_value,
};
pub use own::keys;
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

/// The same tree for a command line that lacks something: what is missing is told together, with what there is.
pub fn lenient_tree() -> Command {
    tree().mut_subcommands(|noun| {
        noun.mut_subcommands(|verb| {
            verb.mut_args(|arg| if arg.get_id() == "@what" { arg } else { arg.required(false) })
        })
    })
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
    let mut command = Command::new(op.verb)
        .about(in_flags(op, first_sentence))
        .long_about(in_flags(op, &format!("{}\n\nAction: {}", op.doc, op.name)));
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
    generic.extend(guest::flags(op));
    generic.extend(simulated::flags(op));
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
/// name of what is made; or else the only parameter there is. Behind them the only one that is left.
pub fn positionals(op: &'static Operation) -> Vec<&'static Param> {
    // Calls that make something are known by its name.
    let name = op.param("name").filter(|name| op.kind == Kind::Create && name.must_be_given());
    if let Some(name) = name {
        return vec![name];
    }
    let mut out: Vec<&Param> = op.params.iter().filter(|p| p.target).take(1).collect();
    if out.is_empty() {
        // What the noun speaks of comes first, wherever the path or the body has it.
        let own = |p: &&Param| kebab(p.name).trim_end_matches("-uuid") == op.noun;
        let given = |p: &&Param| p.in_path || p.must_be_given();
        out.extend(op.params.iter().filter(given).find(own));
    }
    if out.first().is_none_or(|p| !is_list(p.ty)) {
        out.extend(
            op.params
                .iter()
                .filter(|p| p.in_path && !out.iter().any(|o| o.name == p.name))
                .collect::<Vec<_>>(),
        );
    }
    let may = out.is_empty() && op.kind != Kind::Query;
    // What is tagged or limited, for calls that name it in the body.
    let named = |p: &&Param| names::takes_uuid(op, p) && p.must_be_given() && !is_filled(op, p);
    if may {
        out.extend(op.params.iter().filter(|p| !p.ignored).find(named));
    }
    let mut used = op.params.iter().filter(|p| !p.ignored);
    match (may && out.is_empty(), op.param("name"), used.next(), used.next()) {
        (true, Some(name), ..) if name.must_be_given() => out.push(name),
        (true, _, Some(only), None) if !matches!(only.ty, Type::Bool) => out.push(only),
        _ => (),
    }
    out.extend(values(op, &out));
    out
}

/// What it is changed to, where that is all there is left to say: `global-config update vm deletionPolicy Delay`,
/// `quota update alice vm.num 5`.
fn values(op: &'static Operation, before: &[&'static Param]) -> Vec<&'static Param> {
    let is_left = |p: &&Param| !p.ignored && !is_filled(op, p) && !before.iter().any(|b| b.name == p.name);
    let left: Vec<&Param> = op.params.iter().filter(is_left).collect();
    let simple =
        |p: &&Param| matches!(p.ty, Type::Str | Type::Int | Type::Long) && !p.secret && p.default.is_none();
    let fits = left.len() == 1 || left.len() == 2 && left.iter().all(|p| p.must_be_given());
    let follows = op.changes() && before.last().is_some_and(|p| !is_list(p.ty));
    if follows && fits && left.iter().all(simple) { left } else { Vec::new() }
}

/// A noun as people say it.
pub fn spoken(noun: &str) -> String {
    let word = |word: &str| match word {
        "vm" | "nic" | "ip" | "l2" | "l3" => word.to_ascii_uppercase(),
        "config" => "setting".to_owned(),
        _ => word.to_owned(),
    };
    noun.split('-').map(word).collect::<Vec<_>>().join(" ")
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
