//! Rows of the database become inventories: absent values left out, times written, lists unpacked.

use cairn_api::resource::{Field, FieldType, Nested, Resource};
use cairn_store::{Row, Value};
use cairn_types::{Fault, Result, time};
use serde_json::{Map, Value as Json};

use crate::compile::{Column, Compiled, nested_fields};
use crate::{DateStyle, Options};

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryResult {
    /// The rows of the page.
    pub inventories: Vec<Json>,
    /// The number of matches, if it was asked for.
    pub total: Option<i64>,
    /// True when only the number was asked for.
    pub count_only: bool,
}

impl QueryResult {
    /// The answer of a query call, still without its `schema`.
    pub fn into_answer(self) -> Json {
        let mut answer = Map::new();
        if !self.count_only {
            answer.insert("inventories".into(), Json::Array(self.inventories));
        }
        if let Some(total) = self.total {
            answer.insert("total".into(), total.into());
        }
        Json::Object(answer)
    }
}

/// Columns of a row that are not fields, for whoever completes it.
#[derive(Debug, Default)]
pub struct Extra {
    columns: Vec<(&'static str, Value)>,
}

impl Extra {
    /// The text in a column of the resource's `post` list; `None` if it is empty.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.columns.iter().find(|(name, _)| *name == column).and_then(|(_, value)| value.as_text())
    }
}

pub(crate) fn read(compiled: &Compiled, rows: Vec<Row>, options: &Options) -> Result<QueryResult> {
    let mut result = QueryResult { count_only: compiled.count, ..QueryResult::default() };
    for row in rows {
        let found = read_row(compiled, &row, options)?;
        result.total = result.total.or(found.total);
        result.inventories.extend(found.inventory.map(Json::Object));
    }
    Ok(result)
}

#[derive(Default)]
struct Found {
    total: Option<i64>,
    kind: Option<String>,
    inventory: Option<Map<String, Json>>,
}

fn read_row(compiled: &Compiled, row: &Row, options: &Options) -> Result<Found> {
    let mut found = Found::default();
    let mut extra = Extra::default();
    let mut inventory = Map::new();
    let mut present = false;
    for (column, value) in compiled.columns.iter().zip(row.values()) {
        match column {
            Column::Total => found.total = value.as_int(),
            Column::Present => present = *value != Value::Null,
            Column::Kind => found.kind = value.as_text().map(str::to_owned),
            Column::Post(name) => extra.columns.push((name, value.clone())),
            Column::Field(_, Some(kind)) if !is_kind(compiled.resource, found.kind.as_deref(), kind) => {}
            Column::Field(field, _) => {
                if let Some(json) = field_json(field, from_store(value), options.dates) {
                    inventory.insert(field.name.into(), json);
                }
            }
            Column::List(list) => {
                inventory.insert(list.name.into(), unpack(value)?);
            }
            Column::Nested(nested) => {
                inventory.insert(nested.name.into(), nested_json(nested, unpack(value)?, options.dates));
            }
        }
    }
    if present && !compiled.count {
        if let (Some(decorate), true) = (&options.decorate, compiled.decorate) {
            let resource = compiled.resource.subtype(found.kind.as_deref()).unwrap_or(compiled.resource);
            decorate(resource, &extra, &mut inventory);
        }
        found.inventory = Some(inventory);
    }
    Ok(found)
}

fn is_kind(resource: &Resource, kind: Option<&str>, wanted: &Resource) -> bool {
    resource.subtype(kind).is_some_and(|r| std::ptr::eq(r, wanted))
}

fn from_store(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(n) => (*n).into(),
        Value::Real(n) => (*n).into(),
        Value::Text(s) => Json::String(s.clone()),
    }
}

/// A stored value as the API writes it; `None` if there is none.
fn field_json(field: &Field, value: Json, dates: DateStyle) -> Option<Json> {
    match (field.ty, value) {
        (_, Json::Null) => None,
        (FieldType::Bool, value) => Some(Json::Bool(value.as_i64().unwrap_or(0) != 0)),
        (FieldType::Date, value) => value.as_i64().map(|ms| Json::String(date(ms, dates))),
        (FieldType::Json, Json::String(text)) => {
            Some(serde_json::from_str(&text).unwrap_or(Json::String(text)))
        }
        (FieldType::Int | FieldType::Long, Json::Number(n)) => {
            // Sums and ratios may come as fractions; the API knows whole numbers only.
            #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
            let whole = n.as_i64().or_else(|| n.as_f64().map(|f| f as i64));
            whole.map(Json::from)
        }
        (FieldType::Str | FieldType::Int | FieldType::Long | FieldType::Json, value) => Some(value),
    }
}

fn date(ms: i64, dates: DateStyle) -> String {
    match dates {
        DateStyle::Legacy { offset_minutes } => time::legacy(ms, offset_minutes),
        DateStyle::Rfc3339 => time::rfc3339(ms),
    }
}

fn unpack(value: &Value) -> Result<Json> {
    let text = value.as_text().unwrap_or("[]");
    serde_json::from_str(text)
        .map_err(|e| Fault::internal(format!("a list in a query answer cannot be read: {e}")))
}

fn nested_json(nested: &Nested, rows: Json, dates: DateStyle) -> Json {
    let Json::Array(rows) = rows else { return Json::Array(Vec::new()) };
    let object = |row: Json| {
        // The list of a row may arrive as text, depending on how the database sorted it.
        let row = match row {
            Json::String(text) => serde_json::from_str(&text).unwrap_or(Json::Null),
            other => other,
        };
        let Json::Array(values) = row else { return Json::Object(Map::new()) };
        let pairs = nested_fields(nested).zip(values);
        let shown = pairs
            .filter_map(|(field, value)| Some((field.name.to_owned(), field_json(field, value, dates)?)));
        Json::Object(shown.collect())
    };
    Json::Array(rows.into_iter().map(object).collect())
}
