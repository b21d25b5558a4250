//! From an operation and its parameters to what is sent for it: the inverse of [`super::extract`].

use serde_json::{Map, Value};

use super::url::encode;
use crate::Operation;

/// Address and body of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Parts of the path below the context path, `v1` first, not encoded. A parameter that is missing is an empty part.
    pub path: Vec<String>,
    /// Names and values of the query string, not encoded.
    pub query: Vec<(String, String)>,
    /// Body, for POST and PUT.
    pub body: Option<Value>,
}

/// The request of an operation. Parameters go into the path, and then below the wrapper of the body or into the query string;
/// tags stand in the body beside the wrapper, and nowhere for an operation without a body.
pub fn build(op: &Operation, mut params: Map<String, Value>, tags: Map<String, Value>) -> Built {
    let mut path = vec!["v1".to_owned()];
    for part in op.path.split('/').filter(|p| !p.is_empty()) {
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            None => path.push(part.to_owned()),
            Some(name) => path.push(params.remove(name).map(|v| plain_text(&v)).unwrap_or_default()),
        }
    }
    let mut built = Built { path, query: Vec::new(), body: None };
    if op.method.has_body() {
        let mut body = tags;
        let key = op.body_key.filter(|k| !k.is_empty()).unwrap_or("params");
        body.insert(key.to_owned(), Value::Object(params));
        built.body = Some(Value::Object(body));
    } else {
        params.iter().for_each(|(name, value)| add_query(&mut built.query, name, value));
    }
    built
}

/// Takes `systemTags` and `userTags` from among the parameters of an operation with a body.
pub fn take_tags(op: &Operation, params: &mut Map<String, Value>) -> Map<String, Value> {
    let names = ["systemTags", "userTags"].into_iter().filter(|_| op.method.has_body());
    names.filter_map(|name| params.remove(name).map(|tags| (name.to_owned(), tags))).collect()
}

/// A value as it stands in an address: text without quotes, nothing for null, anything else as in JSON.
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn add_query(out: &mut Vec<(String, String)>, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(list) => list.iter().for_each(|item| add_query(out, name, item)),
        Value::Object(map) => {
            map.iter().for_each(|(key, item)| add_query(out, &format!("{name}.{key}"), item))
        }
        other => out.push((name.to_owned(), plain_text(other))),
    }
}

/// The parts of a path, each percent-encoded behind a slash.
pub fn encode_path(parts: &[String]) -> String {
    parts.iter().map(|part| format!("/{}", encode(part))).collect()
}

/// A query string, percent-encoded.
pub fn encode_query(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
    pairs.join("&")
}
