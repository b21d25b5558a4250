//! Arguments: one for each parameter of an operation, and those that many commands share.

use cairn_api::{Operation, Param, Type};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, value_parser};

use super::positionals;
use crate::{arguments, call, names};

/// Id of the positional form of a parameter.
pub fn positional_id(param: &Param) -> String {
    format!("@{}", param.name)
}

/// Id of the flag that reads a secret from a file.
pub fn secret_file_id(param: &Param) -> String {
    format!("{}@file", param.name)
}

pub(super) fn positional_argument(op: &Operation, param: &'static Param, index: usize) -> Arg {
    let mut arg = Arg::new(positional_id(param)).index(index).help(help(op, param)).value_name(place(param));
    if is_list(param.ty) {
        arg = arg.action(ArgAction::Append).num_args(1..);
    }
    // Not asked for when the flag stands for it: the two exclude each other.
    arg.required(param.must_be_given()).conflicts_with(param.name)
}

pub(super) fn flag(op: &'static Operation, param: &'static Param) -> Arg {
    let is_positional = positionals(op).iter().any(|p| p.name == param.name);
    let asked_for = param.must_be_given() && !arguments::is_filled(op, param);
    let required = asked_for && !is_positional && !param.secret && param.ty != Type::Any;
    let mut text = help(op, param);
    if required || param.required && param.lenient {
        text.push_str(if required { " [required]" } else { " [needed as a rule]" });
    }
    let (name, full) = (shown_flag(op, param), kebab(param.name));
    let mut arg = Arg::new(param.name).value_name(value_name(param)).help(text);
    // As the API spells it, and in full.
    for alias in [full, param.name.to_owned()] {
        if alias != name && !arg.get_all_aliases().unwrap_or_default().contains(&alias.as_str()) {
            arg = arg.alias(alias);
        }
    }
    arg = arg.long(name);
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
    // The place without a flag is what help shows.
    arg.required(required).hide(is_positional)
}

pub(super) fn secret_file_flag(param: &Param) -> Arg {
    Arg::new(secret_file_id(param))
        .long(format!("{}-file", kebab(param.name)))
        .value_name("FILE")
        .conflicts_with(param.name)
        .help(format!("File with the value of --{}; `-` is standard input", kebab(param.name)))
}

/// The flag of a parameter as help and errors name it; its full name works too.
pub fn shown_flag(op: &Operation, param: &Param) -> String {
    let full = kebab(param.name);
    let is_new = param.name == "resourceUuid" && !names::takes_uuid(op, param);
    short_name(op, &full).filter(|_| !is_new).unwrap_or(full)
}

/// What stands for a place without a flag: the kind of thing that is named there.
pub fn place(param: &Param) -> String {
    let noun = param.refers.and_then(call::query_of).map(|query| query.noun);
    noun.map_or_else(|| shown_value(param), str::to_ascii_uppercase)
}

/// What stands for the value of a parameter in help and errors.
pub fn shown_value(param: &Param) -> String {
    match value_name(param) {
        "TEXT" => kebab(param.name).to_ascii_uppercase(),
        other => other.to_owned(),
    }
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
    (!reserved && !op.params.iter().any(clash)).then(|| short.to_owned())
}

fn help(op: &Operation, param: &Param) -> String {
    let mut text = if is_hashed_password(op, param) {
        "Password; it is hashed before it is sent".to_owned()
    } else {
        in_flags(op, param.doc.trim_end_matches('.'))
    };
    if param.name == "networkServices" {
        "Services of a provider, as in Flat=DHCP,Userdata".clone_into(&mut text);
    }
    if arguments::is_filled(op, param) {
        text.push_str("; found out if absent");
    }
    if value_name(param) == "SIZE" {
        text.push_str(", or with a unit: 512M, 2G");
    }
    if let Some(default) =
        param.default.filter(|_| param.values.is_empty() || !param.doc.contains(" if absent"))
    {
        text.push_str(&format!(" [default: {default}]"));
    }
    unbroken(&text)
}

/// A text whose `{n}` stays: clap makes a line break of it, unless a colour code that does nothing is inside.
fn unbroken(text: &str) -> String {
    text.replace("{n}", "{\x1b[0mn}")
}

/// A text about parameters with flags for their names.
pub fn in_flags(op: &Operation, doc: &str) -> String {
    op.params.iter().fold(doc.to_owned(), |text, other| {
        text.replace(&format!("`{}`", other.name), &format!("--{}", shown_flag(op, other)))
    })
}

fn value_name(param: &Param) -> &'static str {
    match param.ty {
        _ if param.refers.is_some() => "NAME|UUID",
        Type::Str | Type::StrList if param.doc.starts_with("Uuid that the new") => "UUID",
        Type::Str | Type::StrList if looks_like_uuid(param) => "NAME|UUID",
        Type::Int | Type::Long | Type::LongList if param.doc.contains("bytes") => "SIZE",
        Type::Str | Type::StrList => "TEXT",
        Type::Int | Type::Long | Type::LongList => "NUMBER",
        Type::Bool => "BOOL",
        Type::StrListMap => "KEY=V1,V2",
        Type::Any => "JSON",
    }
}

fn looks_like_uuid(param: &Param) -> bool {
    let name = param.name.to_ascii_lowercase();
    !param.secret && (name.ends_with("uuid") || name.ends_with("uuids"))
}

/// Whether the parameter is the password of an account, which clients send as its SHA-512.
pub fn is_hashed_password(op: &Operation, param: &Param) -> bool {
    param.name == "password" && op.path.starts_with("/accounts")
}

/// Whether it holds several values.
pub const fn is_list(ty: Type) -> bool {
    matches!(ty, Type::StrList | Type::LongList)
}

pub(super) fn query_arguments() -> Vec<Arg> {
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

pub(super) fn job_arguments() -> Vec<Arg> {
    vec![
        Arg::new("@wait")
            .long("wait")
            .help_heading("Options of the call")
            .action(ArgAction::SetTrue)
            .help("Wait until it is done (this is the default)"),
        Arg::new("@no-wait")
            .long("no-wait")
            .help_heading("Options of the call")
            .action(ArgAction::SetTrue)
            .conflicts_with("@wait")
            .help("Print the job id and return at once; see `cairn job wait`"),
        timeout_argument(),
    ]
}

pub(super) fn timeout_argument() -> Arg {
    Arg::new("@timeout")
        .long("timeout")
        .help_heading("Options of the call")
        .value_name("SECONDS")
        .value_parser(value_parser!(u64))
        .help("Give up waiting after this time; the job goes on")
}

pub(super) fn plan_argument() -> Arg {
    Arg::new("@plan")
        .long("plan")
        .help_heading("Options of the call")
        .action(ArgAction::SetTrue)
        .help("Only say what would be done, and why; change nothing")
}

pub(super) fn tag_arguments() -> [Arg; 2] {
    let tag = |id: &'static str, long: &'static str, help: &'static str| {
        Arg::new(id).long(long).value_name("TAG").action(ArgAction::Append).help(help)
    };
    let tags = [
        tag("@systemTags", "system-tag", "System tag; repeat for more"),
        tag("@userTags", "user-tag", "Tag of your own; repeat for more"),
    ];
    tags.map(|arg| arg.help_heading("Options of the call"))
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
