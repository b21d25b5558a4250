use crate::{Kind, Method, Operation, operations};

#[test]
fn api_01_the_table_is_consistent() {
    let mut seen = std::collections::HashSet::new();
    for op in operations() {
        assert!(seen.insert(op.name.to_owned()), "{} twice", op.name);
        assert!(
            seen.insert(format!("{} {}", op.noun, op.verb)),
            "{}: '{} {}' twice",
            op.name,
            op.noun,
            op.verb
        );
        let key = if op.method == Method::Put { op.body_key.unwrap() } else { "" };
        let path = op
            .path
            .split('/')
            .map(|p| if p.starts_with('{') { "{}" } else { p })
            .collect::<Vec<_>>()
            .join("/");
        assert!(seen.insert(format!("{} {path} {key}", op.method.as_str())), "{}: address twice", op.name);
        assert_eq!(op.method.has_body(), op.body_key.is_some(), "{}", op.name);
        assert!(op.doc.ends_with('.') && !op.noun.is_empty() && !op.verb.is_empty(), "{}", op.name);
        assert!(!(op.job && matches!(op.kind, Kind::Query | Kind::Get)), "{}", op.name);
        assert!(
            !op.result.iter().any(|(field, _)| matches!(*field, "location" | "schema" | "error")),
            "{}",
            op.name
        );
        assert_eq!(op.kind == Kind::Query, op.inventory.is_some(), "{}", op.name);
        check_params(op);
    }
}

fn check_params(op: &Operation) {
    let in_path: Vec<_> = op.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
    let declared: Vec<_> = op.params.iter().filter(|p| p.in_path).map(|p| p.name).collect();
    assert!(in_path.iter().all(|n| declared.contains(n)) && in_path.len() == declared.len(), "{}", op.name);
    for param in op.params {
        assert!(param.doc.ends_with('.'), "{}.{}", op.name, param.name);
        assert!(!matches!(param.name, "systemTags" | "userTags" | "sessionId"), "{}.{}", op.name, param.name);
        let secret =
            ["password", "secret", "privatekey"].iter().any(|s| param.name.to_lowercase().contains(s));
        assert!(!secret || param.secret, "{}.{} must be secret", op.name, param.name);
    }
}

#[test]
fn api_01_every_verb_is_named_after_its_call() {
    for op in operations().iter().filter(|op| op.method == Method::Put) {
        let mut name = op.name.to_owned();
        name[..1].make_ascii_lowercase();
        assert_eq!(op.body_key, Some(name.as_str()));
    }
}
