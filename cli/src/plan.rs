//! A plan in words.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::client::Client;
use crate::explain::entity_in_words;
use crate::known::{self, Names};
use crate::output::table::{cell, plain};

/// What would come into being and has no name yet.
const NEW: &str = "(new)";

/// The plan of a call, as the server answers it to `X-Cairn-Plan: true`, with names for uuids.
pub fn show(client: &Client, answer: &Value) -> String {
    let mut wanted = BTreeSet::new();
    known::uuids(answer, &mut wanted);
    render(answer, Names::read(client, &wanted))
}

fn render(answer: &Value, mut names: Names) -> String {
    let plan = answer.get("plan").unwrap_or(answer);
    for list_name in ["creates", "deletes", "changes"] {
        for item in list(plan, list_name) {
            names.add(&text(item, "uuid"), &text(item, "name"));
        }
    }
    for item in list(plan, "creates") {
        if names.get(&text(item, "uuid")).is_none() {
            names.add(&text(item, "uuid"), NEW);
        }
    }
    let mut out = String::new();
    let summary = in_words(&names, &text(plan, "summary"));
    let _ = writeln!(out, "Plan: {}", if summary.is_empty() { "nothing to say" } else { &summary });
    for (index, step) in list(plan, "steps").iter().enumerate() {
        let what = match text(step, "text") {
            what if what.is_empty() => text(step, "step"),
            what => in_words(&names, &what),
        };
        let _ = writeln!(out, "{:>4}. {what}", index + 1);
        let why = in_words(&names, &text(step, "why"));
        if !why.is_empty() {
            let _ = writeln!(out, "      because {why}");
        }
    }
    items(&mut out, "Creates", list(plan, "creates"), '+', &names);
    items(&mut out, "Deletes", list(plan, "deletes"), '-', &names);
    changes(&mut out, list(plan, "changes"), &names);
    facts(&mut out, plan, &names);
    out.push_str("Nothing has been changed.\n");
    out
}

fn facts(out: &mut String, plan: &Value, names: &Names) {
    let Some(facts) = plan.get("facts").and_then(Value::as_object).filter(|f| !f.is_empty()) else { return };
    out.push_str("Facts:\n");
    for (name, value) in facts {
        let _ = writeln!(out, "  {}: {}", field(name), names.in_text(&cell(value)));
    }
}

fn items(out: &mut String, title: &str, items: &[Value], mark: char, names: &Names) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for item in items {
        let words = match item {
            Value::String(words) => in_words(names, &plain(words)),
            _ => resource(item, names),
        };
        let _ = writeln!(out, "  {mark} {words}");
    }
}

/// Type and name of a resource.
fn resource(item: &Value, names: &Names) -> String {
    let kind = text(item, "type");
    let kind = entity_in_words(&kind).unwrap_or(kind);
    let name = [text(item, "name"), names.in_text(&text(item, "uuid"))]
        .into_iter()
        .find(|t| !t.is_empty() && t != NEW);
    let words = [kind, name.unwrap_or_default(), in_words(names, &text(item, "text"))];
    words.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Resources that stay, each with the fields that change.
fn changes(out: &mut String, changes: &[Value], names: &Names) {
    if !changes.is_empty() {
        out.push_str("Changes:\n");
    }
    for change in changes {
        let _ = writeln!(out, "  ~ {}", resource(change, names));
        for one in list(change, "fields") {
            if ["from", "to"].iter().any(|side| one.get(side).is_some_and(has_objects)) {
                let _ = writeln!(out, "      {} change", field(&text(one, "field")));
                continue;
            }
            let side = |name: &str| match names.in_text(&text(one, name)) {
                value if value.is_empty() => "nothing".to_owned(),
                value => value,
            };
            let _ = writeln!(out, "      {}: {} → {}", field(&text(one, "field")), side("from"), side("to"));
        }
    }
}

/// Lists of whole objects can't be told in a word.
fn has_objects(value: &Value) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

/// `hostUuid` is the host, whose name is shown.
fn field(name: &str) -> String {
    let bare = name.strip_suffix("Uuids").or_else(|| name.strip_suffix("Uuid"));
    plain(bare.filter(|b| !b.is_empty()).unwrap_or(name))
}

/// The text with names for uuids and commands for actions.
fn in_words(names: &Names, said: &str) -> String {
    let one = |word: &str| match cairn_api::Operation::find(word) {
        Some(op) => format!("{} {}", op.noun, op.verb),
        None => names.get(word).unwrap_or(word).to_owned(),
    };
    known::words(said).map(one).collect::<String>().replace(&format!(" {NEW}"), "")
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).map(cell).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const VM: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    const NIC: &str = "1f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
    const STORE: &str = "2f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

    #[test]
    fn cli_01_plans_are_readable() {
        let answer = json!({"plan": {
            "summary": "CreateVmInstance: 2 resources would be created.",
            "steps": [{"step": "ReserveHost", "text": format!("reserve host-1 with {STORE}"), "why": "it has the most free memory"},
                {"step": "Boot"}, {"step": "Plug", "text": format!("VM NIC {NIC} on {VM}")}],
            "creates": [{"type": "VmInstanceVO", "uuid": VM, "name": "web-1"}, {"type": "VmNicVO", "uuid": NIC, "name": ""}],
            "deletes": ["volume v"],
            "changes": [{"type": "ImageVO", "uuid": "w", "name": "deb", "fields": [
                {"field": "state", "from": "Enabled", "to": "Disabled"}, {"field": "hostUuid", "from": STORE}]}],
            "facts": {"primaryStorageUuid": STORE},
        }});
        let mut names = Names::default();
        names.add(STORE, "local1");
        assert_eq!(
            render(&answer, names),
            "Plan: vm create: 2 resources would be created.\n   1. reserve host-1 with local1\n      because it has the most free memory\n   \
             2. Boot\n   3. VM NIC on web-1\nCreates:\n  + VM web-1\n  + VM NIC\nDeletes:\n  - volume v\nChanges:\n  ~ image deb\n      \
             state: Enabled → Disabled\n      host: local1 → nothing\nFacts:\n  primaryStorage: local1\nNothing has been changed.\n"
        );
    }
}
