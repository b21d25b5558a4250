//! Names beside uuids: what people read, where programs read uuids.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::resource::Visibility;
use cairn_api::{Operation, resource};
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::names::is_uuid;
use crate::output::table::plain;
use crate::session::simple;

/// How many uuids one question names, so that its address stays short.
const AT_ONCE: usize = 100;

/// Names of resources by uuid.
#[derive(Debug, Default, Clone)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The names of these resources, as far as the caller may see them. One question for all types.
    pub fn read(client: &Client, uuids: &BTreeSet<String>) -> Self {
        let mut names = Self::default();
        names.learn(client, uuids);
        names
    }

    /// Asks for the names that are not known yet.
    pub fn learn(&mut self, client: &Client, uuids: &BTreeSet<String>) {
        let unknown: Vec<&String> = uuids.iter().filter(|u| !self.0.contains_key(*u)).collect();
        for some in unknown.chunks(AT_ONCE) {
            // Names are a courtesy: without them the uuids are shown.
            let Ok(answer) = simple(client, "GetResourceNames", json!({ "uuids": some })) else { return };
            for row in answer.get("inventories").and_then(Value::as_array).into_iter().flatten() {
                let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
                self.add(text("uuid"), text("resourceName"));
            }
        }
    }

    /// Remembers a name.
    pub fn add(&mut self, uuid: &str, name: &str) {
        if is_uuid(uuid) && !name.is_empty() {
            self.0.insert(uuid.to_owned(), plain(name));
        }
    }

    /// The name of a resource.
    pub fn get(&self, uuid: &str) -> Option<&str> {
        self.0.get(uuid).map(String::as_str)
    }

    /// The text with each known uuid replaced by its name.
    pub fn in_text(&self, text: &str) -> String {
        words(text).map(|word| self.get(word).unwrap_or(word)).collect()
    }
}

/// The text cut into words and what stands between them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_word = first.is_ascii_alphanumeric();
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() != is_word).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Every uuid in the texts of a value.
pub fn uuids(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => into.extend(words(text).filter(|w| is_uuid(w)).map(str::to_owned)),
        Value::Array(list) => list.iter().for_each(|v| uuids(v, into)),
        Value::Object(map) => map.values().for_each(|v| uuids(v, into)),
        _ => (),
    }
}

/// Rows with names in place of uuids in these columns, but for the uuid of the row itself.
pub fn name_rows(client: &Client, rows: &mut [Value], columns: &[String]) {
    let mut wanted = BTreeSet::new();
    let mut each = |visit: &mut dyn FnMut(&mut Value)| {
        for row in rows.iter_mut() {
            for column in columns.iter().filter(|c| *c != "uuid") {
                match column.split_once('.') {
                    None => row.get_mut(column.as_str()).into_iter().for_each(&mut *visit),
                    Some((list, field)) => row
                        .get_mut(list)
                        .and_then(Value::as_array_mut)
                        .into_iter()
                        .flatten()
                        .filter_map(|e| e.get_mut(field))
                        .for_each(&mut *visit),
                }
            }
        }
    };
    each(&mut |value| uuids(value, &mut wanted));
    if wanted.is_empty() {
        return;
    }
    let names = Names::read(client, &wanted);
    each(&mut |value| replace(value, &names));
}

fn replace(value: &mut Value, names: &Names) {
    match value {
        Value::String(text) if is_uuid(text) => {
            if let Some(name) = names.get(text) {
                *text = name.to_owned();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| replace(v, names)),
        _ => (),
    }
}

/// One resource with the name of each other one that it speaks of: `vm (01a2…)`.
pub fn name_details(client: &Client, value: &mut Value) {
    let mut wanted = BTreeSet::new();
    uuids(value, &mut wanted);
    let names = Names::read(client, &wanted);
    beside(value, &names);
}

fn beside(value: &mut Value, names: &Names) {
    let known = |text: &str| names.get(text).map(|name| format!("{name} ({text})"));
    let Value::Object(map) = value else { return };
    for (key, inner) in map.iter_mut() {
        match inner {
            Value::String(_) if key == "uuid" => (),
            Value::String(text) => *text = known(text).unwrap_or_else(|| text.clone()),
            Value::Object(_) => beside(inner, names),
            // Lists are tables, in which there is room for one of the two only.
            inner => instead(inner, names),
        }
    }
}

fn instead(value: &mut Value, names: &Names) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| instead(v, names)),
        Value::Object(map) => {
            map.iter_mut().filter(|(key, _)| *key != "uuid").for_each(|(_, v)| instead(v, names))
        }
        other => replace(other, names),
    }
}

/// Adds the field `account` to rows of owned resources, unless all are the caller's own. True if it did.
pub fn add_owners(client: &Client, inventory: Option<&str>, rows: &mut [Value]) -> bool {
    let owned = inventory.and_then(resource::find).is_some_and(|r| {
        matches!(r.visibility, Visibility::Owned) && Operation::find("GetResourceAccount").is_some()
    });
    if !owned || rows.is_empty() {
        return false;
    }
    let uuids: Vec<&str> = rows.iter().filter_map(|r| r.get("uuid")?.as_str()).collect();
    let mut owners = Map::new();
    for some in uuids.chunks(AT_ONCE) {
        let Ok(answer) = simple(client, "GetResourceAccount", json!({ "resourceUuids": some })) else {
            return false;
        };
        if let Some(Value::Object(found)) = answer.get("inventories") {
            owners.extend(found.iter().filter_map(|(k, v)| Some((k.clone(), v.get("name")?.clone()))));
        }
    }
    if owners.values().all(|name| name.as_str() == client.account()) {
        return false;
    }
    for row in rows.iter_mut() {
        let owner = row.get("uuid").and_then(Value::as_str).and_then(|u| owners.get(u)).cloned();
        if let (Value::Object(row), Some(owner)) = (row, owner) {
            row.insert("account".to_owned(), owner);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    const HOST: &str = "1f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

    #[test]
    fn cli_01_names_stand_where_uuids_stood() {
        let mut names = Names::default();
        names.add(VM, "web-1\u{1b}");
        names.add(HOST, "rack1");
        assert_eq!(
            names.in_text(&format!("VM {VM} on host \"{HOST}\": no {}", &VM[1..])),
            format!("VM web-1\\u{{1b}} on host \"rack1\": no {}", &VM[1..])
        );
        let mut vm = json!({"uuid": VM, "hostUuid": HOST, "tags": [HOST, "x"], "nics": [{"uuid": HOST, "vmUuid": VM}]});
        let mut found = BTreeSet::new();
        uuids(&vm, &mut found);
        assert_eq!(found.len(), 2);
        beside(&mut vm, &names);
        assert_eq!(vm["hostUuid"], format!("rack1 ({HOST})"));
        assert_eq!(vm["tags"][0], "rack1");
        let nic = &vm["nics"][0];
        assert_eq!(
            (&vm["uuid"], &nic["uuid"], &nic["vmUuid"]),
            (&json!(VM), &json!(HOST), &json!("web-1\\u{1b}"))
        );
    }
}
