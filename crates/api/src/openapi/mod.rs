//! The OpenAPI 3.1 document, made from the operation table and the resource tables.
//!
//! PUT verbs that share an address appear as `path#bodyKey`, because OpenAPI knows one operation per method and path. An
//! address that serves the same call again (a query by uuid) has the operationId `<Action>ByUuid`.

mod fixed;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::decl::{Kind, Method, Operation, Param, Type};
use crate::operations;
use crate::request::route;

/// The whole document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for op in operations() {
        add(&mut paths, &path_key(op), op.method, operation(op));
        for path in by_uuid_paths(op) {
            add(&mut paths, &path, op.method, by_uuid(op));
        }
    }
    fixed::add_paths(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": fixed::info(),
        "servers": [{"url": "/zstack/v1", "description": "As ZStack clients expect it"}, {"url": "/v1", "description": "The same, shorter"}],
        "security": [{"session": []}, {"accessKey": []}],
        "tags": groups(),
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": fixed::parameters(),
            "responses": fixed::responses(),
            "securitySchemes": fixed::security_schemes(),
        },
    })
}

/// The document as text, made once.
pub fn document_text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    &TEXT
}

fn add(paths: &mut Map<String, Value>, path: &str, method: Method, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    if let Value::Object(item) = item {
        item.insert(method.as_str().to_ascii_lowercase(), operation);
    }
}

/// The address of an operation; verbs carry their key behind `#`.
fn path_key(op: &Operation) -> String {
    match (op.method, op.body_key) {
        (Method::Put, Some(key)) if op.path.ends_with("/actions") || shares_address(op) => {
            format!("{}#{key}", op.path)
        }
        _ => op.path.to_owned(),
    }
}

fn shares_address(op: &Operation) -> bool {
    operations().iter().filter(|o| o.method == op.method && o.path == op.path).count() > 1
}

/// Addresses that serve a query for one uuid: those of the table, and the one every query has unless it is taken.
fn by_uuid_paths(op: &Operation) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = op.other_paths.iter().map(|p| (*p).to_owned()).collect();
    let assumed = format!("{}/{{uuid}}", op.path);
    let served =
        |path: &str| route(Method::Get, &format!("/v1{path}/x"), None).is_ok_and(|m| m.op.name == op.name);
    if op.kind == Kind::Query && served(op.path) {
        paths.insert(assumed);
    }
    paths
}

fn groups() -> Value {
    let nouns: BTreeSet<&str> = operations().iter().map(|op| op.noun).collect();
    nouns.into_iter().map(|noun| json!({"name": noun})).chain([json!({"name": "event"})]).collect()
}

fn operation(op: &Operation) -> Value {
    let mut out = described(op, op.name);
    let mut parameters: Vec<Value> =
        op.params.iter().filter(|p| p.in_path || !op.method.has_body()).map(parameter).collect();
    if op.kind == Kind::Query {
        parameters.extend(fixed::QUERY_PARAMETERS.iter().map(|(name, _)| reference("parameters", name)));
    }
    if op.changes() {
        parameters.push(reference("parameters", "plan"));
    }
    if op.job {
        parameters.extend(["jobUuid", "webHook"].map(|name| reference("parameters", name)));
    }
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(key) = op.body_key {
        out.insert("requestBody".to_owned(), body(op, key));
    }
    Value::Object(out)
}

fn by_uuid(op: &Operation) -> Value {
    let mut out = described(op, &format!("{}ByUuid", op.name));
    let uuid = json!({"name": "uuid", "in": "path", "required": true, "schema": {"type": "string"},
        "description": "Uuid of the resource; the list is empty if there is none."});
    let wanted = ["fields", "replyWithCount"].map(|name| reference("parameters", name));
    let parameters: Vec<Value> = std::iter::once(uuid).chain(wanted).collect();
    out.insert("parameters".to_owned(), Value::Array(parameters));
    Value::Object(out)
}

/// What an operation has at each of its addresses.
fn described(op: &Operation, id: &str) -> Map<String, Value> {
    let (summary, _) = op.doc.split_once(". ").unwrap_or((op.doc, ""));
    let mut out = json!({
        "operationId": id,
        "summary": summary.trim_end_matches('.'),
        "description": op.doc,
        "tags": [op.noun],
        "responses": answers(op),
        "x-cairn-action": op.name,
        "x-cairn-cli": format!("{} {}", op.noun, op.verb),
        "x-cairn-job": op.job,
        "x-cairn-kind": kind(op.kind),
        "x-cairn-access": access(op),
    });
    if !op.session {
        out["security"] = json!([]);
    }
    if op.ours {
        out["x-cairn-own"] = json!(true);
    }
    if op.succeeds_if_missing {
        out["x-cairn-succeeds-if-missing"] = json!(true);
    }
    if let Value::Object(out) = out { out } else { Map::new() }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "query",
        Kind::Get => "get",
        Kind::Create => "create",
        Kind::Post => "post",
        Kind::Action => "action",
        Kind::Delete => "delete",
        Kind::Remove => "remove",
    }
}

/// Who may call it, and what an access policy calls it.
fn access(op: &Operation) -> Value {
    let mut out = json!({"adminOnly": op.rbac.admin_only, "accountOnly": op.rbac.account_only});
    if let Some(category) = op.rbac.category {
        let granted = op.rbac.names.iter().map(|name| format!("{category}:{name}"));
        out["actions"] = granted.chain([format!("{category}:{}", op.message_name())]).collect();
    }
    out
}

fn answers(op: &Operation) -> Value {
    let result = json!({"application/json": {"schema": reference("schemas", op.result_class)}});
    let mut out = json!({
        "400": reference("responses", "BadRequest"),
        "503": reference("responses", "Failed"),
    });
    if op.job {
        out["202"] = reference("responses", "Accepted");
        let what = "The result, which polling the job's location answers once the job is done. With `X-Cairn-Plan` the plan, at once.";
        out["200"] = json!({"description": what, "content": result});
    } else {
        out["200"] = json!({"description": "The result.", "content": result});
    }
    out
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn parameter(param: &Param) -> Value {
    let mut out = json!({
        "name": param.name,
        "in": if param.in_path { "path" } else { "query" },
        "required": param.required || param.in_path,
        "description": param.doc,
        "schema": schemas::of_param(param),
    });
    if param.ty == Type::StrListMap {
        out["style"] = json!("deepObject");
        out["explode"] = json!(true);
    }
    out
}

/// The body: parameters under the wrapper, tags beside it.
fn body(op: &Operation, key: &str) -> Value {
    let inner = schemas::of_body(op);
    let bare = matches!(key, "" | "null");
    let mut properties = json!({
        "systemTags": {"type": "array", "items": {"type": "string"}, "description": "System tags to attach or to act on the call."},
        "userTags": {"type": "array", "items": {"type": "string"}, "description": "User tags to attach."},
    });
    if !key.is_empty() {
        properties[key] = inner;
    }
    let mut schema = json!({"type": if bare { json!(["object", "null"]) } else { json!("object") }, "properties": properties});
    if !bare {
        schema["required"] = json!([key]);
    }
    json!({"required": !bare, "content": {"application/json": {"schema": schema}}})
}
