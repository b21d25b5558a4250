//! Schemas of parameters, results and inventories.

use serde_json::{Map, Value, json};

use super::reference;
use crate::decl::{Operation, Param, Type};
use crate::operations;
use crate::resource::{self, FieldType, Resource};

/// Every named schema.
pub(super) fn all() -> Map<String, Value> {
    let mut out = super::fixed::objects();
    for resource in resource::ALL {
        out.insert(resource.inventory.to_owned(), inventory(resource));
    }
    for op in operations() {
        out.insert(op.result_class.to_owned(), result(op));
    }
    out
}

/// The answer of an operation.
fn result(op: &Operation) -> Value {
    let mut properties: Map<String, Value> =
        op.result.iter().map(|(name, ty)| ((*name).to_owned(), of_type(ty))).collect();
    properties.insert("schema".to_owned(), reference("schemas", "Schema"));
    json!({"type": "object", "properties": properties})
}

/// The schema of a type as the tables write it: `List<ZoneInventory>`, `Map<String, Long>`, `boolean`.
fn of_type(ty: &str) -> Value {
    if let Some(inner) = ty.strip_prefix("List<").and_then(|t| t.strip_suffix('>')) {
        return json!({"type": "array", "items": of_type(inner)});
    }
    if let Some(inner) = ty.strip_prefix("Map<String,").and_then(|t| t.strip_suffix('>')) {
        return json!({"type": "object", "additionalProperties": of_type(inner.trim())});
    }
    match ty {
        "String" => json!({"type": "string"}),
        "int" => json!({"type": "integer", "format": "int32"}),
        "long" | "Long" => json!({"type": "integer", "format": "int64"}),
        "boolean" => json!({"type": "boolean"}),
        "List" => json!({"type": "array", "items": {}}),
        "Map" => json!({"type": "object"}),
        "Object" => json!({}),
        name => reference("schemas", name),
    }
}

/// All fields of an inventory, inherited ones included.
fn inventory(resource: &Resource) -> Value {
    let mut properties = Map::new();
    for field in resource.fields().filter(|f| f.shown) {
        properties.insert(field.name.to_owned(), of_field(field.ty));
    }
    for list in resource.lists() {
        properties.insert(list.name.to_owned(), json!({"type": "array", "items": {"type": "string"}}));
    }
    for nested in resource.nested() {
        let of = reference("schemas", nested.of.inventory);
        properties.insert(nested.name.to_owned(), json!({"type": "array", "items": of}));
    }
    if resource.keys == ["uuid"] && !resource.table.is_empty() {
        let what = "What a user may ask for in the present state.";
        let actions = json!({"type": "array", "items": {"type": "string"}, "description": what});
        properties.insert("allowedActions".to_owned(), actions);
    }
    let mut out = json!({"type": "object", "properties": properties, "x-cairn-class": resource.class});
    if !resource.entity.is_empty() {
        out["x-cairn-entity"] = json!(resource.entity);
    }
    if let Some(parent) = resource.parent {
        out["description"] = json!(format!("A {} with more fields.", parent.inventory));
    }
    if let Some(subtypes) = &resource.subtypes {
        let names: Vec<&str> = subtypes.of.iter().map(|(_, r)| r.inventory).collect();
        out["description"] = json!(format!("Lists hold {} where a row is one.", names.join(" or ")));
    }
    out
}

fn of_field(ty: FieldType) -> Value {
    match ty {
        FieldType::Str => json!({"type": "string"}),
        FieldType::Int => json!({"type": "integer", "format": "int32"}),
        FieldType::Long => json!({"type": "integer", "format": "int64"}),
        FieldType::Bool => json!({"type": "boolean"}),
        FieldType::Date => json!({"type": "string", "examples": ["Jan 2, 2018 3:04:05 PM"]}),
        FieldType::Json => json!({}),
    }
}

/// The parameters of an operation that come in the body.
pub(super) fn of_body(op: &Operation) -> Value {
    let in_body = || op.params.iter().filter(|p| !p.in_path);
    let properties: Map<String, Value> = in_body()
        .map(|p| {
            let mut schema = of_param(p);
            schema["description"] = json!(p.doc);
            (p.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = in_body().filter(|p| p.required).map(|p| p.name).collect();
    let mut out = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

/// Type and limits of a parameter.
pub(super) fn of_param(param: &Param) -> Value {
    let mut out = match param.ty {
        Type::Str => json!({"type": "string"}),
        Type::Int => json!({"type": "integer", "format": "int32"}),
        Type::Long => json!({"type": "integer", "format": "int64"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::StrList => json!({"type": "array", "items": {"type": "string"}}),
        Type::LongList => json!({"type": "array", "items": {"type": "integer", "format": "int64"}}),
        Type::StrListMap => {
            json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}})
        }
        Type::Any => json!({}),
    };
    limit(param, &mut out);
    let mut set = |name: &str, value: Value| out[name] = value;
    if let Some(default) = default(param) {
        set("default", default);
    }
    if let Some(entity) = param.refers {
        set("x-cairn-refers", json!(entity));
    }
    for (name, applies) in [
        ("x-cairn-secret", param.secret),
        ("x-cairn-ignored", param.ignored),
        ("x-cairn-own", param.ours),
        ("x-cairn-optional", param.lenient),
        ("x-cairn-target", param.target),
    ] {
        if applies {
            set(name, json!(true));
        }
    }
    out
}

fn limit(param: &Param, out: &mut Value) {
    let of = if matches!(param.ty, Type::StrList | Type::LongList) { &mut out["items"] } else { &mut *out };
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            of[name] = value;
        }
    };
    set("minLength", param.min_len.map(Value::from));
    set("maxLength", param.max_len.map(Value::from));
    set("minimum", param.min.map(Value::from));
    set("maximum", param.max.filter(|max| *max != i64::MAX).map(Value::from));
    set("pattern", param.pattern.map(|p| Value::from(p.regex)));
    if !param.values.is_empty() {
        let numbers = matches!(param.ty, Type::Int | Type::Long);
        let value = |v: &&str| {
            if numbers { v.parse::<i64>().map_or(Value::Null, Value::from) } else { Value::from(*v) }
        };
        set("enum", Some(param.values.iter().map(value).collect()));
    }
    if param.no_empty_strings && param.min_len.is_none() {
        set("minLength", Some(Value::from(1)));
    }
    if param.non_empty {
        out["minItems"] = json!(1);
    }
}

fn default(param: &Param) -> Option<Value> {
    let text = param.default?;
    Some(match param.ty {
        Type::Int | Type::Long => Value::from(text.parse::<i64>().ok()?),
        Type::Bool => Value::from(text == "true"),
        Type::Str | Type::StrList | Type::LongList | Type::StrListMap | Type::Any => Value::from(text),
    })
}
