//! Raw parameters and tags out of path, query string and body.

use cairn_types::Fault;
use serde_json::{Map, Value};

use super::{Problem, Refusal, pairs};
use crate::Params;
use crate::decl::{Operation, Param, Type};

/// What a request says, before any check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Declared parameters, unchecked.
    pub params: Params,
    /// System tags to attach.
    pub system_tags: Vec<String>,
    /// User tags to attach.
    pub user_tags: Vec<String>,
}

/// Takes the parameters of `op` out of a request. Names the call does not know are ignored.
pub fn extract(
    op: &Operation,
    path_params: &[(&'static str, String)],
    query: &str,
    body: Option<&Value>,
) -> Result<Request, Refusal> {
    let mut request = if op.method.has_body() { from_body(op, body)? } else { from_query(op, query)? };
    for (name, value) in path_params {
        request.params.set(name, value.as_str());
    }
    for param in op.params.iter().filter(|p| p.ty == Type::Bool) {
        read_bool(param, &mut request.params)?;
    }
    Ok(request)
}

fn from_query(op: &Operation, query: &str) -> Result<Request, Refusal> {
    let pairs = pairs(query)?;
    let mut params = Params::default();
    for param in op.params.iter().filter(|p| !p.in_path) {
        let value = match param.ty {
            Type::Str | Type::Int | Type::Long | Type::Bool | Type::Any => single(param, &pairs)?,
            Type::StrList | Type::LongList => list(param, &pairs),
            Type::StrListMap => map(param, &pairs),
        };
        if let Some(value) = value {
            params.set(param.name, value);
        }
    }
    Ok(Request { params, ..Request::default() })
}

fn single(param: &Param, pairs: &[(String, String)]) -> Result<Option<Value>, Problem> {
    let mut given = pairs.iter().filter(|(name, _)| name == param.name);
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => Ok((!value.is_empty()).then(|| Value::from(value.as_str()))),
        (Some(_), Some(_)) => {
            Err(Problem::bad(format!("'{}' takes one value and was given several", param.name)))
        }
    }
}

/// `x=a&x=b`, or `x.0=a&x.1=b` in the order of the numbers.
fn list(param: &Param, pairs: &[(String, String)]) -> Option<Value> {
    let mut list: Vec<&str> =
        pairs.iter().filter(|(n, _)| n == param.name).map(|(_, v)| v.as_str()).collect();
    let mut numbered: Vec<(u32, &str)> = pairs
        .iter()
        .filter_map(|(n, v)| Some((n.strip_prefix(param.name)?.strip_prefix('.')?.parse().ok()?, v.as_str())))
        .collect();
    numbered.sort_by_key(|(index, _)| *index);
    list.extend(numbered.into_iter().map(|(_, value)| value));
    // `?uuids=` alone is how clients send a list that they have nothing for.
    (!list.is_empty() && list != [""]).then(|| Value::from(list))
}

/// `x.<key>=a&x.<key>=b`, or `x[<key>]=a` as programs made from the OpenAPI document send it.
fn map(param: &Param, pairs: &[(String, String)]) -> Option<Value> {
    let mut map = Map::new();
    for (name, value) in pairs {
        let Some(rest) = name.strip_prefix(param.name) else { continue };
        let bracketed = || rest.strip_prefix('[').and_then(|r| r.strip_suffix(']'));
        let Some(key) = rest.strip_prefix('.').or_else(bracketed) else { continue };
        if let Value::Array(list) = map.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(Value::from(value.as_str()));
        }
    }
    (!map.is_empty()).then_some(Value::Object(map))
}

fn from_body(op: &Operation, body: Option<&Value>) -> Result<Request, Refusal> {
    let empty = Map::new();
    let body = match body {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(body)) => body,
        Some(_) => return Err(Problem::bad("the body must be a JSON object").into()),
    };
    let wrapper = match wrapped(op, body) {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(wrapper)) => wrapper,
        Some(_) => {
            let key = op.body_key.unwrap_or_default();
            return Err(Problem::bad(format!("'{key}' must hold an object with the parameters")).into());
        }
    };
    let mut params = Params::default();
    for param in op.params.iter().filter(|p| !p.in_path) {
        if let Some(value) = wrapper.get(param.name).filter(|v| !v.is_null()) {
            params.set(param.name, value.clone());
        }
    }
    Ok(Request {
        params,
        system_tags: tags("systemTags", body, wrapper)?,
        user_tags: tags("userTags", body, wrapper)?,
    })
}

/// The value under the call's wrapper. Calls without one are sent `{"": {}}`, `{"params": {}}` or `{"null": {}}`.
fn wrapped<'b>(op: &Operation, body: &'b Map<String, Value>) -> Option<&'b Value> {
    let key = op.body_key?;
    let spellings: &[&str] = if matches!(key, "" | "null") { &["", "params", "null"] } else { &[] };
    body.get(key).or_else(|| spellings.iter().find_map(|k| body.get(*k)))
}

/// Tags stand beside the wrapper or in it; those beside it win.
fn tags(name: &str, body: &Map<String, Value>, wrapper: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let given = body.get(name).filter(|v| !v.is_null()).or_else(|| wrapper.get(name));
    let wrong = || Fault::argument(format!("'{name}' must be a list of strings")).with("field", name);
    match given {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|v| v.as_str().map(|t| t.trim().to_owned()).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// A boolean may be a text; anything but true and false is no call at all.
fn read_bool(param: &Param, params: &mut Params) -> Result<(), Problem> {
    let Some(value) = params.get(param.name) else { return Ok(()) };
    let read = match value {
        Value::Bool(b) => *b,
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => true,
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => false,
        _ => return Err(Problem::bad(format!("'{}' must be true or false", param.name))),
    };
    params.set(param.name, read);
    Ok(())
}
