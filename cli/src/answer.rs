//! What is printed when a call has succeeded.

use cairn_api::{Kind, Operation, resource};
use serde_json::Value;

use crate::client::Client;
use crate::explain::Typed;
use crate::output::{self, Format, table};
use crate::{Result, command, known};

/// Prints the answer of an operation: a line for a change of what exists, else the resource or whatever it is.
pub fn print(client: &Client, typed: &Typed<'_>, answer: &Value, format: Format) -> Result<()> {
    let content = output::content(answer);
    let op = typed.op;
    if format == Format::Table && is_short(op, &content) {
        return output::write(&line(typed, &content));
    }
    let shown = op.result.first().map(|(_, ty)| ty.trim_start_matches("List<").trim_end_matches('>'));
    match if format == Format::Table { by_uuid(content) } else { content } {
        Value::Array(rows) if format == Format::Table && rows.iter().any(Value::is_object) => {
            let owners = ["resourceUuid", "account"].map(str::to_owned);
            let chosen = rows.iter().all(|row| row.get("account").is_some()).then_some(&owners[..]);
            print_list(client, rows, shown, chosen)
        }
        content => print_one(client, content, shown, format),
    }
}

/// An object with a resource at each uuid, as rows.
fn by_uuid(content: Value) -> Value {
    let keyed = |map: &serde_json::Map<String, Value>| {
        !map.is_empty() && map.iter().all(|(key, value)| crate::names::is_uuid(key) && value.is_object())
    };
    match content {
        Value::Object(map) if keyed(&map) => map
            .into_iter()
            .map(|(key, value)| serde_json::json!({"resourceUuid": key, "account": value.get("name")}))
            .collect(),
        other => other,
    }
}

/// Whether the caller knows the resource already, so that the outcome is all there is to say.
fn is_short(op: &Operation, content: &Value) -> bool {
    let Some(map) = content.as_object() else { return false };
    let is_change = matches!(op.kind, Kind::Action | Kind::Post | Kind::Delete | Kind::Remove);
    map.is_empty()
        || is_change
            && op.target().is_some()
            && ["uuid", "resourceUuid"].iter().any(|key| map.contains_key(*key))
}

/// `vm stop web-1: done; it is Stopped`.
fn line(typed: &Typed<'_>, content: &Value) -> String {
    let op = typed.op;
    let what = command::positionals(op).first().copied().or_else(|| op.param("name"));
    let said = what.and_then(|p| typed.said.get(p.name));
    let name = said.map(table::cell).unwrap_or_default();
    let now: Vec<String> = ["state", "status"]
        .iter()
        .filter_map(|field| content.get(field))
        .map(table::cell)
        .filter(|s| !s.is_empty())
        .collect();
    let mut line = format!("{} {} {name}", op.noun, op.verb).trim_end().to_owned();
    line.push_str(": done");
    if !now.is_empty() {
        line.push_str(&format!("; it is {}", now.join(", ")));
    }
    line.push('\n');
    line
}

/// Prints one resource, for people with the names of those that it speaks of.
pub fn print_one(client: &Client, mut value: Value, inventory: Option<&str>, format: Format) -> Result<()> {
    if format == Format::Table && value.is_object() {
        known::name_details(client, &mut value);
    }
    output::print_value(format, &value, inventory)
}

/// Prints a list as a table with names, and with owners when not all is the caller's own.
pub fn print_list(
    client: &Client,
    mut rows: Vec<Value>,
    inventory: Option<&str>,
    chosen: Option<&[String]>,
) -> Result<()> {
    let mut columns = output::columns_for(&rows, inventory, chosen);
    if chosen.is_none() && known::add_owners(client, inventory, &mut rows) {
        columns.push("account".to_owned());
    }
    known::name_rows(client, &mut rows, &columns);
    output::write(&output::list_table(&rows, inventory, Some(&columns), ""))
}

/// The fields that conditions of a list may name.
pub fn fields(op: &Operation) -> Vec<&'static str> {
    let table = op.inventory.and_then(resource::find);
    table.map(|t| t.fields().filter(|f| f.queryable).map(|f| f.name).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arguments::Params;

    fn shown(action: &str, said: Value, content: Value) -> Option<String> {
        let Value::Object(said) = said else { unreachable!() };
        let op = Operation::find(action).unwrap();
        let typed = Typed { op, said: &said, sent: &Params::new() };
        is_short(op, &content).then(|| line(&typed, &content))
    }

    #[test]
    fn cli_01_changes_end_with_one_line_of_the_same_kind() {
        for (action, said, content, expected) in [
            (
                "StopVmInstance",
                json!({"uuid": "web-1"}),
                json!({"uuid": "u", "state": "Stopped"}),
                Some("vm stop web-1: done; it is Stopped\n"),
            ),
            ("DestroyVmInstance", json!({"uuid": "web-1"}), json!({}), Some("vm destroy web-1: done\n")),
            (
                "ShareResource",
                json!({"resourceUuids": ["a", "b"]}),
                json!({}),
                Some("resource share a, b: done\n"),
            ),
            ("CreateVmInstance", json!({"name": "web-1"}), json!({"uuid": "u", "state": "Running"}), None),
            ("GetVersion", json!({}), json!({"version": "2.2"}), None),
        ] {
            assert_eq!(shown(action, said, content).as_deref(), expected, "{action}");
        }
        assert!(fields(Operation::find("QueryVmInstance").unwrap()).contains(&"memorySize"));
    }
}
