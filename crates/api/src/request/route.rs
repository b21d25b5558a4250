//! Which operation an address and a body mean.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::{Problem, decode};
use crate::decl::{Kind, Method, Operation};
use crate::operations;

/// An operation and what its path said.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The operation.
    pub op: &'static Operation,
    /// Parameters in the path, decoded.
    pub path_params: Vec<(&'static str, String)>,
}

impl Matched {
    /// The path parameter of this name.
    pub fn path_param(&self, name: &str) -> Option<&str> {
        self.path_params.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

/// One path segment further down.
#[derive(Default)]
struct Node {
    literals: HashMap<&'static str, Node>,
    parameter: Option<Box<Node>>,
    calls: Vec<Call>,
}

struct Call {
    op: &'static Operation,
    names: Vec<&'static str>,
}

static ROOT: LazyLock<Node> = LazyLock::new(|| {
    let mut root = Node::default();
    for op in operations() {
        for path in std::iter::once(&op.path).chain(op.other_paths) {
            root.add(op, path, None);
        }
    }
    // A query also serves one resource by uuid, wherever no other query has that address.
    for op in operations().iter().filter(|op| op.kind == Kind::Query) {
        root.add(op, op.path, Some("uuid"));
    }
    root
});

impl Node {
    fn add(&mut self, op: &'static Operation, path: &'static str, last: Option<&'static str>) {
        let mut node = self;
        let mut names = Vec::new();
        for part in segments(path) {
            node = match parameter_name(part) {
                Some(name) => {
                    names.push(name);
                    node.parameter.get_or_insert_default()
                }
                None => node.literals.entry(part).or_default(),
            };
        }
        if let Some(name) = last {
            names.push(name);
            node = node.parameter.get_or_insert_default();
            if node.calls.iter().any(|c| c.op.method == op.method) {
                return;
            }
        }
        node.calls.push(Call { op, names });
    }

    /// The node at the end of these segments that serves something, literals before parameters.
    fn find<'n>(&'n self, path: &[String], values: &mut Vec<String>) -> Option<&'n Node> {
        let Some((first, rest)) = path.split_first() else {
            return (!self.calls.is_empty()).then_some(self);
        };
        if let Some(found) = self.literals.get(first.as_str()).and_then(|n| n.find(rest, values)) {
            return Some(found);
        }
        let parameter = self.parameter.as_ref()?;
        values.push(first.clone());
        let found = parameter.find(rest, values);
        if found.is_none() {
            values.pop();
        }
        found
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// `{uuid}` is the parameter `uuid`.
fn parameter_name(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// Finds the operation of an address. `path` is as it came, percent-encoded, without query string; `body` is needed
/// for PUT only, where its key names the call.
pub fn route(method: Method, path: &str, body: Option<&Value>) -> Result<Matched, Problem> {
    let mut rest = segments(path).peekable();
    rest.next_if_eq(&"zstack");
    if rest.next() != Some("v1") {
        return Err(Problem::NotFound);
    }
    let path = rest.map(|part| decode(part, false)).collect::<Result<Vec<_>, _>>()?;
    let mut values = Vec::new();
    let node = ROOT.find(&path, &mut values).ok_or(Problem::NotFound)?;
    let mut calls = node.calls.iter().filter(|c| c.op.method == method).peekable();
    if calls.peek().is_none() {
        return Err(Problem::MethodNotAllowed);
    }
    let call = if method == Method::Put {
        named_by_body(calls, body)?
    } else {
        calls.next().ok_or(Problem::NotFound)?
    };
    Ok(Matched { op: call.op, path_params: call.names.iter().copied().zip(values).collect() })
}

fn named_by_body<'c>(
    calls: impl Iterator<Item = &'c Call>,
    body: Option<&Value>,
) -> Result<&'c Call, Problem> {
    let calls: Vec<&Call> = calls.collect();
    let known = || calls.iter().filter_map(|c| c.op.body_key).collect::<Vec<_>>().join(", ");
    let Some(Value::Object(body)) = body else {
        return Err(Problem::bad(format!("the body must be an object whose key is one of: {}", known())));
    };
    let mut named = calls.iter().filter(|c| c.op.body_key.is_some_and(|key| body.contains_key(key)));
    match (named.next(), named.next()) {
        (Some(call), None) => Ok(call),
        (None, _) => {
            Err(Problem::bad(format!("the body names no call of this address; it has: {}", known())))
        }
        (Some(_), Some(_)) => Err(Problem::bad("the body names more than one call")),
    }
}
