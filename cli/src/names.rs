//! Names instead of uuids, where they are unique.

use cairn_api::{Operation, Param, Type};
use serde_json::{Map, Value};

use crate::arguments::Params;
use crate::client::Client;
use crate::command::spoken;
use crate::output::table::plain;
use crate::{Failure, Result, call};

/// How many candidates an error names.
const SHOWN: usize = 10;

/// Replaces names by uuids in every parameter that refers to a resource.
pub fn resolve(client: &Client, op: &Operation, params: &mut Params) -> Result<()> {
    let named_type = params.get("resourceType").and_then(Value::as_str).map(str::to_owned);
    for param in op.params {
        let entity = param.refers.or_else(|| tagged_entity(param, named_type.as_deref()));
        let Some(value) = params.get_mut(param.name) else { continue };
        match (param.ty, entity, value) {
            (Type::Str | Type::StrList, Some(entity), value) => resolve_value(client, entity, value)?,
            (Type::StrListMap, _, Value::Object(map)) if param.name == "networkServices" => {
                resolve_keys(client, map)?
            }
            _ => (),
        }
    }
    Ok(())
}

/// The resource that a call names together with its entity, as tags do.
fn tagged_entity<'a>(param: &Param, named_type: Option<&'a str>) -> Option<&'a str> {
    named_type.filter(|_| param.name == "resourceUuid")
}

fn resolve_value(client: &Client, entity: &str, value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) if !is_uuid(text) => *text = uuid_of(client, entity, text)?,
        Value::Array(list) => {
            for item in list {
                resolve_value(client, entity, item)?;
            }
        }
        _ => (),
    }
    Ok(())
}

/// Providers of network services are the keys of their map, by uuid, name or type.
fn resolve_keys(client: &Client, map: &mut Map<String, Value>) -> Result<()> {
    let mut out = Map::new();
    for (key, services) in std::mem::take(map) {
        let uuid = if is_uuid(&key) { key } else { provider(client, &key)? };
        out.insert(uuid, services);
    }
    *map = out;
    Ok(())
}

/// There is one provider of each type, and `Flat` is easier to type than its name.
fn provider(client: &Client, key: &str) -> Result<String> {
    const ENTITY: &str = "NetworkServiceProviderVO";
    let rows = match call::query_of(ENTITY) {
        Some(query) => search(client, query, &[format!("type={key}")], 2)?,
        None => Vec::new(),
    };
    match rows.as_slice() {
        [only] => Ok(only.get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned()),
        _ => uuid_of(client, ENTITY, key),
    }
}

/// Whether the text has the form of a uuid: 32 hexadecimal digits.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The uuid of the only resource with this name.
pub fn uuid_of(client: &Client, entity: &str, name: &str) -> Result<String> {
    match call::query_of(entity) {
        Some(query) => {
            let row = one(client, query, name)?;
            Ok(row.get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned())
        }
        None => Err(Failure::Usage(format!("{name:?} is no uuid, and {entity} cannot be looked up by name"))),
    }
}

/// The only row with this name or uuid.
pub fn one(client: &Client, query: &Operation, name: &str) -> Result<Value> {
    let field = if is_uuid(name) { "uuid" } else { "name" };
    let mut rows = search(client, query, &[format!("{field}={name}")], SHOWN + 1)?;
    match rows.len() {
        1 => Ok(rows.remove(0)),
        0 => Err(Failure::Failed(none(client, query, field, name))),
        _ => Err(Failure::Usage(several(query, name, &rows))),
    }
}

fn search(client: &Client, query: &Operation, conditions: &[String], limit: usize) -> Result<Vec<Value>> {
    let mut answer = client.ask(&call::search(query, conditions, limit)?)?;
    match answer.get_mut("inventories").map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}

/// Nothing has the name: says which names come near.
fn none(client: &Client, query: &Operation, field: &str, name: &str) -> String {
    let noun = spoken(query.noun);
    let mut text = format!("there is no {noun} with {field} {name:?}");
    if field == "name" {
        let near = search(client, query, &[format!("name~=%{name}%")], SHOWN).unwrap_or_default();
        let rows = if near.is_empty() { search(client, query, &[], SHOWN).unwrap_or_default() } else { near };
        let names: Vec<String> = rows.iter().filter_map(|r| r.get("name")?.as_str()).map(plain).collect();
        if !names.is_empty() {
            text.push_str(&format!("; there is: {}", names.join(", ")));
        }
    }
    format!("{text}; see `cairn {} {}`", query.noun, query.verb)
}

/// Several have the name: lists them, so that one can be named by uuid.
fn several(query: &Operation, name: &str, rows: &[Value]) -> String {
    let noun = spoken(query.noun);
    let mut text = format!("more than one {noun} has the name {name:?}; use the uuid of one of them:");
    for row in rows.iter().take(SHOWN) {
        let part = |field: &str| row.get(field).and_then(Value::as_str).map(plain).unwrap_or_default();
        let line = format!("  {}  {} {} {}", part("uuid"), part("state"), part("status"), part("createDate"));
        text.push_str(&format!("\n{}", line.trim_end()));
    }
    if rows.len() > SHOWN {
        text.push_str("\n  and more");
    }
    text
}
