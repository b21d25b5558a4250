//! A plan in words.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::table::{cell, plain};

/// The plan of a call, as the server answers it to `X-Cairn-Plan: true`.
pub fn render(answer: &Value) -> String {
    let plan = answer.get("plan").unwrap_or(answer);
    let mut out = String::new();
    let summary = text(plan, "summary");
    let _ = writeln!(out, "Plan: {}", if summary.is_empty() { "nothing to say" } else { &summary });
    for (index, step) in list(plan, "steps").iter().enumerate() {
        let what = match text(step, "text") {
            what if what.is_empty() => text(step, "step"),
            what => what,
        };
        let _ = writeln!(out, "{:>4}. {what}", index + 1);
        let why = text(step, "why");
        if !why.is_empty() {
            let _ = writeln!(out, "      because {why}");
        }
    }
    items(&mut out, "Creates", list(plan, "creates"), '+');
    items(&mut out, "Deletes", list(plan, "deletes"), '-');
    changes(&mut out, list(plan, "changes"));
    if let Some(facts) = plan.get("facts").and_then(Value::as_object).filter(|f| !f.is_empty()) {
        out.push_str("Facts:\n");
        for (name, value) in facts {
            let _ = writeln!(out, "  {}: {}", plain(name), cell(value));
        }
    }
    out.push_str("Nothing has been changed.\n");
    out
}

fn items(out: &mut String, title: &str, items: &[Value], mark: char) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for item in items {
        let words = match item {
            Value::String(words) => plain(words),
            _ => ["type", "name", "uuid", "text"]
                .map(|n| text(item, n))
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
        };
        let _ = writeln!(out, "  {mark} {words}");
    }
}

/// Resources that stay, each with the fields that change.
fn changes(out: &mut String, changes: &[Value]) {
    if !changes.is_empty() {
        out.push_str("Changes:\n");
    }
    for change in changes {
        let words = ["type", "name", "uuid"].map(|n| text(change, n));
        let words: Vec<String> = words.into_iter().filter(|t| !t.is_empty()).collect();
        let _ = writeln!(out, "  ~ {}", words.join(" "));
        for field in list(change, "fields") {
            let side = |name: &str| match text(field, name) {
                value if value.is_empty() => "nothing".to_owned(),
                value => value,
            };
            let _ = writeln!(out, "      {}: {} → {}", text(field, "field"), side("from"), side("to"));
        }
    }
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

    #[test]
    fn cli_01_plans_are_readable() {
        let answer = json!({"plan": {
            "summary": "create VM web-1",
            "steps": [{"step": "ReserveHost", "text": "reserve host-1", "why": "it has the most free memory"}, {"step": "Boot"}],
            "creates": [{"type": "VmInstanceVO", "uuid": "u", "name": "web-1"}], "deletes": ["volume v"],
            "changes": [{"type": "VmInstanceVO", "uuid": "w", "name": "web-2", "fields": [
                {"field": "state", "from": "Running", "to": "Stopped"}, {"field": "hostUuid", "from": "h"}]}],
            "facts": {"host": "host-1"},
        }});
        assert_eq!(
            render(&answer),
            "Plan: create VM web-1\n   1. reserve host-1\n      because it has the most free memory\n   2. Boot\n\
             Creates:\n  + VmInstanceVO web-1 u\nDeletes:\n  - volume v\n\
             Changes:\n  ~ VmInstanceVO web-2 w\n      state: Running → Stopped\n      hostUuid: h → nothing\nFacts:\n  host: host-1\nNothing has been changed.\n"
        );
    }
}
