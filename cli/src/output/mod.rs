//! How answers are printed: as a table for people, as JSON or YAML for programs.

pub mod columns;
pub mod table;
pub mod yaml;

use std::fmt::Write as _;
use std::io::Write as _;

use cairn_api::resource;
use serde_json::{Map, Value};

use crate::{Failure, Result};

/// A way to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// By its name.
    pub fn parse(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            _ => Self::Table,
        }
    }
}

/// Writes text to standard output. A reader that went away (`| head`) is no failure.
pub fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write: {e}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as it is.
pub fn print_value(format: Format, value: &Value, inventory: Option<&str>) -> Result<()> {
    write(&render(format, value, inventory))
}

/// The value in this format.
pub fn render(format: Format, value: &Value, inventory: Option<&str>) -> String {
    match format {
        Format::Json => serde_json::to_string_pretty(value).map(|t| t + "\n").unwrap_or_default(),
        Format::Yaml => yaml::render(value),
        Format::Table => for_people(value, inventory),
    }
}

/// What is inside an answer: its inventory or inventories, or the answer without class names.
pub fn content(answer: &Value) -> Value {
    let Value::Object(map) = answer else { return answer.clone() };
    let mut map = map.clone();
    map.remove("schema");
    if map.len() == 1 {
        for only in ["inventory", "inventories"] {
            if let Some(value) = map.remove(only) {
                return value;
            }
        }
    }
    Value::Object(map)
}

fn for_people(value: &Value, inventory: Option<&str>) -> String {
    match value {
        Value::Array(list) if list.iter().any(Value::is_object) => list_table(list, inventory, None, ""),
        Value::Array(list) => list.iter().map(|v| table::cell(v) + "\n").collect(),
        Value::Object(map) => details(map, inventory, ""),
        Value::Null => String::new(),
        scalar => table::cell(scalar) + "\n",
    }
}

/// Rows of inventories in columns; `chosen` overrides the default ones.
pub fn list_table(
    rows: &[Value],
    inventory: Option<&str>,
    chosen: Option<&[String]>,
    indent: &str,
) -> String {
    let columns = columns_for(rows, inventory, chosen);
    if columns.is_empty() {
        let each = rows.iter().filter_map(Value::as_object).map(|row| details(row, None, indent));
        return each.collect::<Vec<_>>().join("\n");
    }
    let head: Vec<String> = columns.iter().map(|c| title(c)).collect();
    let cells = rows
        .iter()
        .map(|row| columns.iter().map(|c| shortened(c, column_cell(row, c))).collect())
        .collect::<Vec<Vec<_>>>();
    table::render(&head, &cells, indent)
}

/// The columns of a list.
pub fn columns_for(rows: &[Value], inventory: Option<&str>, chosen: Option<&[String]>) -> Vec<String> {
    match (chosen, inventory.and_then(columns::of)) {
        (Some(chosen), _) => chosen.to_vec(),
        (None, Some(fixed)) => fixed.iter().map(|c| (*c).to_owned()).collect(),
        (None, None) => guessed_columns(rows),
    }
}

/// uuid and name first, then the first plain fields that any row has.
fn guessed_columns(rows: &[Value]) -> Vec<String> {
    let mut names: Vec<&String> = rows.iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    names.sort();
    names.dedup();
    let structured =
        |v: &Value| v.is_object() || v.as_array().is_some_and(|l| l.iter().any(Value::is_object));
    let plain = |name: &&String| !rows.iter().any(|r| r.get(*name).is_some_and(structured));
    names.retain(plain);
    names.sort_by_key(|n| match n.as_str() {
        "uuid" => 0,
        "name" => 1,
        "description" | "lastOpDate" | "createDate" => 4,
        "reasons" => 3,
        _ => 2,
    });
    names.into_iter().take(8).cloned().collect()
}

fn title(column: &str) -> String {
    let name = match column.split_once('.') {
        Some((_, last)) => last,
        None => column,
    };
    if name == "identityUuid" {
        return "ACCOUNT".to_owned();
    }
    // What another resource is, is shown by its name.
    let bare =
        name.strip_suffix("Uuids").or_else(|| name.strip_suffix("Uuid")).filter(|bare| !bare.is_empty());
    let bare = bare.or_else(|| {
        name.strip_suffix("Capacity").filter(|bare| bare.contains(|c: char| c.is_ascii_uppercase()))
    });
    crate::command::kebab(bare.unwrap_or(name)).to_ascii_uppercase()
}

/// Longest text of a column but names and uuids; programs read the whole with `-o json`.
const WIDEST: usize = 60;

fn shortened(column: &str, text: String) -> String {
    let field = column.rsplit('.').next().unwrap_or(column);
    let kept = field == "name" || field.to_ascii_lowercase().ends_with("uuid");
    if kept || text.chars().count() <= WIDEST {
        return text;
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn column_cell(row: &Value, column: &str) -> String {
    match column.split_once('.') {
        None if matches!(column, "value" | "total" | "used") => value_cell(row, column),
        None => field_cell(column, row.get(column).unwrap_or(&Value::Null)),
        Some((list, field)) => {
            let elements = row.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let cells = elements.iter().filter_map(|e| e.get(field)).map(|v| field_cell(field, v));
            cells.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The value of a quota or a setting; the name of the row says what is counted.
fn value_cell(row: &Value, column: &str) -> String {
    let name = row.get("name").and_then(Value::as_str).unwrap_or(column);
    field_cell(name, row.get(column).unwrap_or(&Value::Null))
}

fn field_cell(field: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(bytes) if columns::is_bytes(field) => binary_size(bytes),
        Some(ms) if field == "time" => cairn_types::time::rfc3339(i64::try_from(ms).unwrap_or_default()),
        _ if field == "allowedActions" => commands(value),
        _ if field == "resourceType" => {
            let entity = table::cell(value);
            crate::explain::entity_in_words(&entity).unwrap_or(entity)
        }
        _ => table::cell(value),
    }
}

/// Actions as the commands that call them.
fn commands(actions: &Value) -> String {
    let one = |action: &Value| match action.as_str().and_then(cairn_api::Operation::find) {
        Some(op) => format!("{} {}", op.noun, op.verb),
        None => table::cell(action),
    };
    actions.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

/// `2147483648` is `2 GiB`.
pub fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    let text = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short} {unit}")
}

/// One object: plain fields below each other, then each nested list as a table of its own.
fn details(map: &Map<String, Value>, inventory: Option<&str>, indent: &str) -> String {
    let keys = ordered_keys(map, inventory);
    let nested = |key: &str| match &map[key] {
        Value::Array(list) => list.iter().any(Value::is_object),
        Value::Object(inner) => !inner.is_empty(),
        _ => false,
    };
    let widest = keys.iter().filter(|k| !nested(k)).map(|k| table::width(k)).max().unwrap_or(0);
    let mut out = String::new();
    for key in keys.iter().filter(|k| !nested(k)) {
        let key_text = table::plain(key);
        let value = match &map[key.as_str()] {
            Value::String(text) => {
                table::plain(text).replace('\n', &format!("\n{indent}{}", " ".repeat(widest + 2)))
            }
            other => field_cell(key, other),
        };
        let line = format!("{indent}{key_text:widest$}  {value}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    for key in keys.iter().filter(|k| nested(k)) {
        let inner = format!("{indent}  ");
        let _ = writeln!(out, "{indent}{}:", table::plain(key));
        out.push_str(&match &map[key.as_str()] {
            Value::Array(list) => list_table(list, columns::nested(inventory, key), None, &inner),
            Value::Object(object) => details(object, None, &inner),
            _ => String::new(),
        });
    }
    out
}

/// Keys in the order of the declaration, unknown ones behind them.
fn ordered_keys(map: &Map<String, Value>, inventory: Option<&str>) -> Vec<String> {
    let declared = inventory.and_then(resource::find).map(columns::declared).unwrap_or_default();
    let known = declared.iter().filter(|k| map.contains_key(**k)).map(|k| (*k).to_owned());
    let mut keys: Vec<String> = known.collect();
    keys.extend(map.keys().filter(|k| !declared.contains(&k.as_str())).cloned());
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_lists_have_the_columns_of_their_noun() {
        let rows = json!([{"uuid": "u1", "name": "web-1", "state": "Running", "cpuNum": 2, "memorySize": 1_610_612_736,
            "vmNics": [{"ip": "10.0.0.2"}, {"ip": "10.0.1.2"}], "hostUuid": "h", "zoneUuid": "z"}]);
        let text = render(Format::Table, &rows, Some("VmInstanceInventory"));
        assert_eq!(
            text,
            "UUID  NAME   STATE    IP                  CPU-NUM  MEMORY-SIZE  HOST\n\
             u1    web-1  Running  10.0.0.2, 10.0.1.2  2        1.5 GiB      h\n"
        );
    }

    #[test]
    fn cli_01_one_resource_is_shown_with_its_parts() {
        let vm = json!({"name": "web-1", "uuid": "u1", "memorySize": 2048, "more": {"a": 1},
            "vmNics": [{"uuid": "n", "ip": "10.0.0.2", "mac": "m"}], "description": "two\nlines"});
        let text = render(Format::Table, &vm, Some("VmInstanceInventory"));
        assert!(text.starts_with("uuid         u1\nname         web-1\n"), "{text}");
        assert!(text.contains("description  two\n             lines\nmemorySize   2 KiB\n"), "{text}");
        assert!(text.contains("vmNics:\n  UUID  IP        MAC  L3-NETWORK"), "{text}");
        assert!(text.contains("more:\n  a  1\n"), "{text}");
    }

    #[test]
    fn cli_01_json_is_the_inventory_itself() {
        assert_eq!(content(&json!({"inventory": {"a": 1}, "schema": {}})), json!({"a": 1}));
        assert_eq!(content(&json!({"inventories": [], "schema": {}})), json!([]));
        assert_eq!(content(&json!({"inventories": [], "total": 3})), json!({"inventories": [], "total": 3}));
        assert_eq!(content(&json!({})), json!({}));
    }

    #[test]
    fn cli_01_what_no_table_fits_is_shown_in_full() {
        let results =
            json!({"results": [{"inventories": [{"uuid": "u", "name": "z"}]}, {"inventories": []}]});
        let text = render(Format::Table, &results, None);
        assert_eq!(text, "results:\n  inventories:\n    UUID  NAME\n    u     z\n\n  inventories\n");
    }

    #[test]
    fn cli_01_quotas_have_units_and_long_values_are_cut() {
        let rows = json!([{"name": "vm.memorySize", "value": 85_899_345_920_i64, "identityUuid": "alice"},
            {"name": "vm.num", "value": 20, "identityUuid": "alice"}]);
        assert_eq!(
            render(Format::Table, &rows, Some("QuotaInventory")),
            "ACCOUNT  NAME           VALUE\nalice    vm.memorySize  80 GiB\nalice    vm.num         20\n"
        );
        let rows = json!([{"category": "a", "name": "b", "value": "x".repeat(500), "defaultValue": ""}]);
        assert!(
            render(Format::Table, &rows, Some("GlobalConfigInventory"))
                .lines()
                .all(|l| l.chars().count() < 100)
        );
        let vm = json!({"name": "v", "allowedActions": ["StopVmInstance", "Odd"]});
        assert_eq!(
            render(Format::Table, &vm, Some("VmInstanceInventory")),
            "name            v\nallowedActions  vm stop, Odd\n"
        );
    }

    #[test]
    fn cli_01_sizes_have_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(binary_size(bytes), text);
        }
    }
}
