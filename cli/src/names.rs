//! Names instead of uuids, where they are unique.

use cairn_api::resource::{self, Resource};
use cairn_api::{Kind, Operation, Param, Type, operations};
use serde_json::{Map, Value, json};

use crate::arguments::Params;
use crate::client::Client;
use crate::command::spoken;
use crate::output::table::plain;
use crate::{Failure, Result, call, output, session, watch};

/// How many candidates an error names.
const SHOWN: usize = 10;

/// A condition such as `hostUuid=rack1` with the uuid of what is named.
pub fn in_condition(client: &Client, op: &Operation, condition: String) -> Result<String> {
    let Some((field, value)) = condition.split_once('=') else { return Ok(condition) };
    let full = field_name(op, field);
    let field = full.as_str();
    let is_reference = field.chars().all(|c| c.is_ascii_alphanumeric()) && field.ends_with("Uuid");
    if !is_reference || is_uuid(value) || value.is_empty() {
        return Ok(condition);
    }
    let uuid = match refers(op, field) {
        Some(entity) => uuid_of(client, entity, value)?,
        None => anything(client, value)?,
    };
    Ok(format!("{field}={uuid}"))
}

/// `host` is `hostUuid`, where there is no field of the shorter name.
pub fn field_name(op: &Operation, field: &str) -> String {
    let table = op.inventory.and_then(resource::find);
    let has = |name: &str| table.is_some_and(|t| t.field(name).is_some());
    let full = if field == "account" && has("identityUuid") {
        "identityUuid".to_owned()
    } else {
        format!("{field}Uuid")
    };
    if !has(field) && has(&full) { full } else { field.to_owned() }
}

/// The entity that a field such as `hostUuid` names: that of the join of the same name.
fn refers(op: &Operation, field: &str) -> Option<&'static str> {
    if matches!(field, "accountUuid" | "identityUuid" | "receiverAccountUuid") {
        return Some("AccountVO");
    }
    let table = resource::find(op.inventory?)?;
    let join = table.joins().find(|j| Some(j.name) == field.strip_suffix("Uuid"))?;
    Some(join.to.entity)
}

/// User tags and system tags, which one operation deletes.
const TAG: &str = "TagVO";

/// Replaces names by uuids in every parameter that takes a uuid.
pub fn resolve(client: &Client, op: &Operation, params: &mut Params) -> Result<()> {
    let named_type = resource_type(params);
    for param in op.params {
        let Some(value) = params.get_mut(param.name) else { continue };
        match (param.ty, value) {
            (Type::Str | Type::StrList, value) if takes_uuid(op, param) => {
                resolve_value(client, entity_of(op, param, named_type.as_deref()), value)?;
            }
            (Type::StrListMap, Value::Object(map)) if param.name == "networkServices" => {
                resolve_keys(client, map)?
            }
            _ => (),
        }
    }
    Ok(())
}

/// Whether the parameter is the uuid of something that exists, or a list of such.
pub fn takes_uuid(op: &Operation, param: &Param) -> bool {
    let name = param.name;
    let is_new = name == "resourceUuid" && op.kind == Kind::Create && !param.owned;
    let looks = name == "uuid" || name.ends_with("Uuid") || name.ends_with("Uuids") || name == "uuids";
    param.refers.is_some() || looks && !param.secret && !is_new
}

/// The entity that the parameter names, where it is one only.
fn entity_of<'a>(op: &Operation, param: &Param, named_type: Option<&'a str>) -> Option<&'a str> {
    match param.name {
        _ if param.refers.is_some() => param.refers,
        "resourceUuid" => named_type,
        // The account itself, which may stand for a user.
        "userUuid" => Some("AccountVO"),
        "uuid" if op.noun == "tag" => Some(TAG),
        "uuid" => own_entity(op),
        _ => None,
    }
}

/// What the noun of the operation lists.
fn own_entity(op: &Operation) -> Option<&'static str> {
    let listed = watch::list_of(op.noun)?.inventory?;
    Some(resource::find(listed)?.entity)
}

/// The entity beside a resource that a call names, as tags do. A noun will do for it.
fn resource_type(params: &mut Params) -> Option<String> {
    let value = params.get_mut("resourceType")?;
    let entity = watch::list_of(value.as_str()?)
        .and_then(|query| resource::find(query.inventory?))
        .map(|found| found.entity.to_owned());
    if let Some(entity) = entity {
        *value = json!(entity);
    }
    value.as_str().map(str::to_owned)
}

fn resolve_value(client: &Client, entity: Option<&str>, value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) if !is_uuid(text) => {
            *text = match entity {
                Some(TAG) => tag(client, text)?,
                Some(entity) => uuid_of(client, entity, text)?,
                None => anything(client, text)?,
            }
        }
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
        [only] => Ok(uuid_in(only)),
        _ => uuid_of(client, ENTITY, key),
    }
}

/// Whether the text has the form of a uuid: 32 hexadecimal digits.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn uuid_in(row: &Value) -> String {
    row.get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The uuid of the only resource with this name.
pub fn uuid_of(client: &Client, entity: &str, name: &str) -> Result<String> {
    match call::query_of(entity) {
        Some(query) => one(client, query, name).map(|row| uuid_in(&row)),
        None => Err(Failure::Usage(format!("{name:?} is no uuid, and {entity} cannot be looked up by name"))),
    }
}

/// The entity of any resource, `VmInstanceVO`.
pub fn type_of(client: &Client, uuid: Option<&str>) -> Option<String> {
    let answer = session::simple(client, "GetResourceNames", json!({"uuids": [uuid?]})).ok()?;
    answer.pointer("/inventories/0/resourceType").and_then(Value::as_str).map(str::to_owned)
}

/// The uuid of the only user tag with this text, or else of the only system tag.
fn tag(client: &Client, text: &str) -> Result<String> {
    match uuid_of(client, "UserTagVO", text) {
        Err(Failure::Failed(none)) => uuid_of(client, "SystemTagVO", text).map_err(|_| Failure::Failed(none)),
        other => other,
    }
}

/// The uuid of the only resource of any type with this name. `image/debian-12` says of which type it is.
fn anything(client: &Client, name: &str) -> Result<String> {
    if let Some((noun, rest)) = name.split_once('/')
        && let Some(query) = watch::list_of(noun)
    {
        return one(client, query, rest).map(|row| uuid_in(&row));
    }
    let mut found: Vec<(&Operation, Value)> = Vec::new();
    for query in named_lists() {
        // Some lists are for administrators only.
        let rows = search(client, query, &[format!("name={name}")], 2).unwrap_or_default();
        found.extend(rows.into_iter().map(|row| (query, row)));
    }
    match found.as_slice() {
        [(_, only)] => Ok(uuid_in(only)),
        [] => Err(Failure::Failed(format!(
            "nothing has the name {name:?}; see `cairn <what> list` for what there is"
        ))),
        several => {
            let all: Vec<String> = several
                .iter()
                .map(|(query, row)| format!("{}/{} ({})", query.noun, plain(name), uuid_in(row)))
                .collect();
            Err(Failure::Usage(format!(
                "more than one resource has the name {name:?}; type one of these, or its uuid: {}",
                all.join(", ")
            )))
        }
    }
}

/// Lists of the resources that have a name and an owner, or that tags may be on.
fn named_lists() -> impl Iterator<Item = &'static Operation> {
    operations().iter().filter(|op| {
        let table =
            op.inventory.and_then(resource::find).filter(|_| op.kind == Kind::Query && op.verb == "list");
        table.is_some_and(|r| {
            let has = |name: &str| r.fields().any(|f| f.name == name);
            let plain = !matches!(r.entity, "CairnRunVO" | "QuotaVO" | "GlobalConfigVO" | "WebhookVO");
            has("uuid") && has("name") && plain && r.parent.is_none()
        })
    })
}

/// The field by which people know a resource.
fn naming_field(query: &Operation) -> &'static str {
    let table: Option<&Resource> = query.inventory.and_then(resource::find);
    let has = |name: &&&str| table.is_some_and(|r| r.fields().any(|f| f.name == **name));
    ["name", "AccessKeyID", "tag", "hostName", "ip"].iter().find(has).copied().unwrap_or("name")
}

/// The only row with this name or uuid.
pub fn one(client: &Client, query: &Operation, name: &str) -> Result<Value> {
    let field = if is_uuid(name) { "uuid" } else { naming_field(query) };
    let mut rows = search(client, query, &[format!("{field}={name}")], SHOWN + 1)?;
    match rows.len() {
        1 => Ok(rows.remove(0)),
        0 => Err(Failure::Failed(none(client, query, field, name))),
        _ => Err(Failure::Usage(several(query, name, &rows))),
    }
}

/// The only row with these values of the fields that identify it, such as category and name of a setting.
pub fn by_keys(client: &Client, query: &Operation, keys: &[(&str, &str)]) -> Result<Value> {
    let conditions: Vec<String> = keys.iter().map(|(field, value)| format!("{field}={value}")).collect();
    match search(client, query, &conditions, 1)?.pop() {
        Some(row) => Ok(row),
        None => Err(Failure::Failed(format!(
            "there is no {} with {}; see `cairn {} {}`",
            spoken(query.noun),
            keys.iter().map(|(field, value)| format!("{field} {value:?}")).collect::<Vec<_>>().join(" and "),
            query.noun,
            query.verb
        ))),
    }
}

fn search(client: &Client, query: &Operation, conditions: &[String], limit: usize) -> Result<Vec<Value>> {
    let mut answer = client.ask(&call::search(query, conditions, limit)?)?;
    match answer.get_mut("inventories").map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}

/// The first names of what there is of an entity, for people to choose from: `a, b, …`. Empty if there is none.
pub fn existing(client: &Client, query: &Operation, conditions: &[String]) -> String {
    let rows = search(client, query, conditions, SHOWN + 1).unwrap_or_default();
    let field = naming_field(query);
    let mut names: Vec<String> = rows.iter().filter_map(|r| r.get(field)?.as_str()).map(plain).collect();
    names.dedup();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Nothing has the name: says which names come near.
fn none(client: &Client, query: &Operation, field: &str, name: &str) -> String {
    let mut text = format!("there is no {} with {field} {name:?}", spoken(query.noun));
    if field != "uuid" {
        let near = existing(client, query, &[format!("{field}~=%{name}%")]);
        let there = if near.is_empty() { existing(client, query, &[]) } else { near };
        if !there.is_empty() {
            text.push_str(&format!("; there is: {there}"));
        }
    }
    format!("{text}; see `cairn {} {}`", query.noun, query.verb)
}

/// Several have the name: lists them, so that one can be named by uuid.
fn several(query: &Operation, name: &str, rows: &[Value]) -> String {
    let noun = spoken(query.noun);
    let table = output::list_table(&rows[..rows.len().min(SHOWN)], query.inventory, None, "  ");
    let more = if rows.len() > SHOWN { "\n  and more" } else { "" };
    format!(
        "more than one {noun} has the name {name:?}; use the uuid of one of them:\n{}{more}",
        table.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_every_uuid_parameter_takes_a_name() {
        for op in operations() {
            for param in op.params.iter().filter(|p| !p.ignored && takes_uuid(op, p)) {
                let can = match entity_of(op, param, Some("VmInstanceVO")) {
                    Some(TAG) => true,
                    Some(entity) => call::query_of(entity).is_some() || entity == "UserVO",
                    None => true,
                };
                assert!(can, "{} {} cannot be looked up by name", op.name, param.name);
            }
        }
        let takes = |action: &str, name: &str| {
            let op = Operation::find(action).unwrap();
            takes_uuid(op, op.param(name).unwrap())
        };
        assert!(takes("ShareResource", "resourceUuids") && takes("ChangeResourceOwner", "resourceUuid"));
        assert!(takes("GetResourceNames", "uuids") && takes("CreateUserTag", "resourceUuid"));
        assert!(!takes("CreateZone", "resourceUuid") && !takes("LogOut", "sessionUuid"));
        assert!(
            named_lists().any(|op| op.noun == "image") && named_lists().any(|op| op.noun == "l3-network")
        );
    }
}
