use std::collections::HashSet;
use std::path::PathBuf;

use super::*;

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

/// Every operation of the document with its path and method.
fn each(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let items = paths.iter().flat_map(|(p, item)| {
        item.as_object().unwrap().iter().map(move |(m, op)| (p.clone(), m.clone(), op))
    });
    items.collect()
}

#[test]
fn api_01_the_committed_openapi_document_is_fresh() {
    let fresh = document();
    if std::env::var_os("CAIRN_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&fresh).unwrap() + "\n";
        std::fs::write(committed(), text).unwrap();
    }
    let text = std::fs::read_to_string(committed()).expect("docs/openapi.json exists");
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert!(
        kept == fresh,
        "docs/openapi.json is stale: run the tests of cairn-api once with CAIRN_BLESS=1 and review the diff"
    );
}

#[test]
fn api_01_every_operation_is_in_the_document_once() {
    let document = document();
    let mut ids = HashSet::new();
    for (path, method, op) in each(&document) {
        let id = op["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{method} {path}: {id} twice");
        assert!(path.starts_with('/') && !op["summary"].as_str().unwrap().is_empty());
    }
    for op in operations() {
        assert!(ids.contains(op.name), "{}", op.name);
        assert_eq!(op.kind == Kind::Query, ids.contains(&format!("{}ByUuid", op.name)), "{}", op.name);
    }
}

#[test]
fn api_01_every_reference_of_the_document_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
                }
                map.values().for_each(|v| walk(document, v));
            }
            Value::Array(list) => list.iter().for_each(|v| walk(document, v)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn api_01_path_parameters_of_the_document_match_their_paths() {
    let document = document();
    for (path, method, op) in each(&document) {
        let plain = path.split('#').next().unwrap();
        let wanted: HashSet<&str> =
            plain.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
        let empty = Vec::new();
        let given = op.get("parameters").and_then(Value::as_array).unwrap_or(&empty);
        let given: HashSet<&str> =
            given.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(wanted, given, "{method} {path}");
    }
}

#[test]
fn api_01_templated_paths_are_not_ambiguous() {
    let document = document();
    let mut seen = HashSet::new();
    for path in document["paths"].as_object().unwrap().keys() {
        let shape: Vec<&str> =
            path.split('/').map(|p| if p.starts_with('{') && p.ends_with('}') { "{}" } else { p }).collect();
        assert!(seen.insert(shape.join("/")), "{path} differs from another path in parameter names only");
    }
}
