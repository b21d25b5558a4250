//! Parameters of a call from what was typed.

use std::io::Read as _;

use cairn_api::{Operation, Param, Type};
use clap::ArgMatches;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512};

use crate::client::Client;
use crate::command::{is_hashed_password, positional_id, positionals, secret_file_id};
use crate::{Failure, Result, names, terminal};

/// JSON parameters of one call.
pub type Params = Map<String, Value>;

/// Reads the parameters of an operation. Texts that may be names are left as they are; see [`crate::names`].
pub fn read(op: &'static Operation, matches: &ArgMatches) -> Result<Params> {
    let positional: Vec<&str> = positionals(op).iter().map(|p| p.name).collect();
    let mut params = Params::new();
    for param in op.params.iter().filter(|p| !p.ignored) {
        if let Some(value) = read_one(op, param, matches, positional.contains(&param.name))? {
            params.insert(param.name.to_owned(), value);
        }
    }
    for tags in ["systemTags", "userTags"] {
        if let Some(list) = texts(matches, &format!("@{tags}")) {
            params.insert(tags.to_owned(), list.into_iter().map(Value::String).collect());
        }
    }
    Ok(params)
}

/// The parameters that the call needs and that were not typed. Secrets are asked for instead.
pub fn missing(op: &'static Operation, matches: &ArgMatches) -> Vec<&'static Param> {
    let typed = |id: &str| matches.try_contains_id(id).unwrap_or(false);
    let needed =
        |p: &&Param| p.must_be_given() && !p.ignored && !p.secret && p.ty != Type::Any && !is_filled(op, p);
    let absent = |p: &&Param| !typed(p.name) && !typed(&positional_id(p));
    op.params.iter().filter(needed).filter(absent).collect()
}

/// Whether [`fill`] finds the value when nobody types it.
pub fn is_filled(op: &Operation, param: &Param) -> bool {
    match param.name {
        "resourceType" => op.param("resourceUuid").is_some_and(|p| names::takes_uuid(op, p)),
        "accountUuid" | "userUuid" => op.name == "CreateAccessKey",
        _ => false,
    }
}

/// Adds what was not typed and can be found out: the type of a resource, the account that calls.
pub fn fill(client: &Client, op: &Operation, params: &mut Params) -> Result<()> {
    for param in op.params.iter().filter(|p| is_filled(op, p)) {
        if params.contains_key(param.name) {
            continue;
        }
        let found = match param.name {
            "resourceType" => names::type_of(client, params.get("resourceUuid").and_then(Value::as_str)),
            "userUuid" => params.get("accountUuid").and_then(Value::as_str).map(str::to_owned),
            _ => client.account().map(|name| names::uuid_of(client, "AccountVO", name)).transpose()?,
        };
        let flag = crate::command::kebab(param.name);
        let found = found.ok_or_else(|| Failure::Usage(format!("{} {} needs --{flag}", op.noun, op.verb)))?;
        params.insert(param.name.to_owned(), Value::String(found));
    }
    Ok(())
}

fn read_one(
    op: &'static Operation,
    param: &Param,
    matches: &ArgMatches,
    positional: bool,
) -> Result<Option<Value>> {
    if param.ty == Type::Bool {
        let value = matches.try_get_one::<bool>(param.name).ok().flatten();
        return Ok(value.map(|b| Value::Bool(*b)));
    }
    let mut given = texts(matches, param.name);
    if given.is_none() && positional {
        given = texts(matches, &positional_id(param));
    }
    if given.is_none() && param.secret && !param.in_path {
        given = secret(op, param, matches)?.map(|text| vec![text]);
    }
    let Some(mut given) = given else { return Ok(None) };
    if is_hashed_password(op, param) {
        // The server sees the hash only.
        if given.iter().any(String::is_empty) {
            return Err(Failure::Usage("the password is empty".to_owned()));
        }
        given.iter_mut().for_each(|password| *password = hash(password));
    }
    value(param, &given).map(Some)
}

/// All texts of an argument; `None` if it is unknown here or was not given.
pub fn texts(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    Some(matches.try_get_many::<String>(id).ok()??.cloned().collect())
}

/// A secret from its file, or asked for if the call needs it.
fn secret(op: &Operation, param: &Param, matches: &ArgMatches) -> Result<Option<String>> {
    let flag = crate::command::kebab(param.name);
    if let Some(path) = matches.try_get_one::<String>(&secret_file_id(param)).ok().flatten() {
        return file(path).map(|text| Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if !param.must_be_given() {
        return Ok(None);
    }
    match terminal::ask_secret(&format!("{flag}: ")) {
        Some(answer) => answer.map(Some),
        None => Err(Failure::Usage(format!("{} {} needs --{flag} or --{flag}-file", op.noun, op.verb))),
    }
}

/// Reads a whole text file; `-` is standard input.
pub fn file(path: &str) -> Result<String> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(path).map(|t| text = t),
    };
    read.map(|()| text).map_err(|e| Failure::Failed(format!("cannot read {path}: {e}")))
}

/// What clients send for a password: its SHA-512 in lower-case hexadecimal.
pub fn hash(password: &str) -> String {
    Sha512::digest(password.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(param: &Param, given: &[String]) -> Result<Value> {
    let one = || given.last().cloned().unwrap_or_default();
    let flag = || crate::command::kebab(param.name);
    Ok(match param.ty {
        Type::Str => Value::String(spelled(param, one())),
        Type::StrList => given.iter().map(|text| Value::String(spelled(param, text.clone()))).collect(),
        Type::Int | Type::Long => number(&one(), &flag())?.into(),
        Type::LongList => given
            .iter()
            .map(|text| number(text, &flag()).map(Value::from))
            .collect::<Result<Vec<_>>>()?
            .into(),
        Type::Bool => Value::Bool(one() == "true"),
        Type::StrListMap => Value::Object(map(given, &flag())?),
        Type::Any => serde_json::from_str(&one())
            .map_err(|e| Failure::Usage(format!("the value of --{} is not JSON: {e}", flag())))?,
    })
}

/// An allowed value in the spelling of the table.
fn spelled(param: &Param, text: String) -> String {
    param.values.iter().find(|v| v.eq_ignore_ascii_case(&text)).map_or(text, |v| (*v).to_owned())
}

/// A whole number; `512M`, `8G` and `1T` are in binary units.
fn number(text: &str, flag: &str) -> Result<i64> {
    let bad = || {
        Failure::Usage(format!(
            "--{flag} takes a whole number, with K, M, G or T behind it at most, not {text:?}"
        ))
    };
    let trimmed = text.trim();
    let unit = trimmed.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
    let digits = &trimmed[..trimmed.len() - unit.len()];
    let factor: i64 = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" if unit.is_empty() || unit.eq_ignore_ascii_case("b") => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err(bad()),
    };
    digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// `KEY=V1,V2`, repeated; the same key twice adds to its list.
fn map(given: &[String], flag: &str) -> Result<Map<String, Value>> {
    let mut out = Map::new();
    for text in given {
        let Some((key, values)) = text.split_once('=') else {
            return Err(Failure::Usage(format!("--{flag} takes KEY=V1,V2, not {text:?}")));
        };
        let list = out.entry(key.trim()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.extend(values.split(',').map(str::trim).filter(|v| !v.is_empty()).map(Value::from));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(line: &str) -> Result<Value> {
        let matches = crate::command::tree()
            .try_get_matches_from(line.split(' '))
            .map_err(|e| Failure::Usage(e.to_string()))?;
        let (noun, matches) = matches.subcommand().unwrap();
        let (verb, matches) = matches.subcommand().unwrap();
        let op = cairn_api::operations().iter().find(|o| o.noun == noun && o.verb == verb).unwrap();
        read(op, matches).map(Value::Object)
    }

    #[test]
    fn cli_01_arguments_become_parameters_of_the_right_type() {
        for (line, expected) in [
            ("cairn vm stop web-1 --type COLD", json!({"uuid": "web-1", "type": "cold"})),
            ("cairn vm stop --uuid web-1", json!({"uuid": "web-1"})),
            (
                "cairn vm create v --image i --l3-network a --l3-network-uuids b --memory-size 2G --cpu-num 2 --data-disk-sizes 1T --user-tag t",
                json!({"name": "v", "imageUuid": "i", "l3NetworkUuids": ["a", "b"], "memorySize": 2_147_483_648_i64,
                    "cpuNum": 2, "dataDiskSizes": [1_099_511_627_776_i64], "userTags": ["t"]}),
            ),
            (
                "cairn l3-network attach-service net --network-services Flat=DHCP,Userdata --network-services Flat=DNS",
                json!({"l3NetworkUuid": "net", "networkServices": {"Flat": ["DHCP", "Userdata", "DNS"]}}),
            ),
            ("cairn primary-storage attach ps cl", json!({"clusterUuid": "cl", "primaryStorageUuid": "ps"})),
            ("cairn host show-capacity --all", json!({"all": true})),
            ("cairn image set-qga deb --enable=false", json!({"uuid": "deb", "enable": false})),
            ("cairn resource share a b --to-public", json!({"resourceUuids": ["a", "b"], "toPublic": true})),
            (
                "cairn global-config update vm deletionPolicy --value Delay",
                json!({"category": "vm", "name": "deletionPolicy", "value": "Delay"}),
            ),
            ("cairn account update a --password example", json!({"uuid": "a", "password": hash("example")})),
        ] {
            assert_eq!(params(line), Ok(expected), "{line}");
        }
        assert!(hash("example").starts_with("3bb12eda3c298db5de25597f54d924f2e17e78a2"));
    }

    #[test]
    fn cli_01_wrong_arguments_are_usage_errors() {
        for line in [
            "cairn vm stop",
            "cairn vm stop a --uuid b",
            "cairn vm stop a --type soft",
            "cairn vm create v --memory-size 2X",
            "cairn vm create v --memory-size 99999999999G",
            "cairn l3-network attach-service net --network-services DHCP",
            "cairn vm fly a",
            "cairn account create a --password=",
        ] {
            assert!(matches!(params(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
