//! A plan in one sentence.

use cairn_workflow::{FieldChange, Plan, PlannedChange};
use serde_json::Value;

/// Changes that are told one by one.
const TOLD: usize = 2;
/// Fields of each that are told.
const FIELDS: usize = 3;
/// Characters of a value that are told.
const LENGTH: usize = 40;

/// What the plan comes to.
pub fn summary(action: &str, plan: &Plan) -> String {
    let count = |n: usize, verb: &str| match n {
        0 => None,
        1 => Some(format!("1 resource would be {verb}.")),
        n => Some(format!("{n} resources would be {verb}.")),
    };
    let mut sentences: Vec<String> =
        [count(plan.creates.len(), "created"), count(plan.deletes.len(), "deleted")]
            .into_iter()
            .flatten()
            .collect();
    if plan.changes.len() > TOLD {
        sentences.extend(count(plan.changes.len(), "changed"));
    } else {
        sentences.extend(plan.changes.iter().map(change));
    }
    match (sentences.is_empty(), plan.steps.len()) {
        (true, 0) => format!("{action} would change no resource."),
        (true, 1) => format!("{action} would take 1 step, after which every resource is what it is now."),
        (true, n) => format!("{action} would take {n} steps, after which every resource is what it is now."),
        (false, _) => format!("{action}: {}", sentences.join(" ")),
    }
}

fn change(change: &PlannedChange) -> String {
    let resource = &change.resource;
    let kind = resource.resource_type.trim_end_matches("VO");
    let name = if resource.name.is_empty() { &resource.uuid } else { &resource.name };
    let mut fields: Vec<String> = change.fields.iter().take(FIELDS).map(field).collect();
    match change.fields.len().saturating_sub(FIELDS) {
        0 => {}
        1 => fields.push("1 more field".to_owned()),
        more => fields.push(format!("{more} more fields")),
    }
    format!("{kind} {name} would change: {}.", fields.join(", "))
}

fn field(field: &FieldChange) -> String {
    // Lists of whole objects can't be told in a word.
    if [&field.from, &field.to].into_iter().flatten().any(has_objects) {
        return field.field.clone();
    }
    format!("{} {} → {}", field.field, value(field.from.as_ref()), value(field.to.as_ref()))
}

fn has_objects(value: &Value) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "nothing".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => return "nothing".to_owned(),
        Some(Value::String(text)) if text.is_empty() => return "empty".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let shown: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            shown.join(", ")
        }
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= LENGTH {
        return text;
    }
    text.chars().take(LENGTH).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use cairn_workflow::{PlanStep, PlannedResource};
    use serde_json::json;

    use super::*;

    fn changed(name: &str, fields: &[(&str, Value, Value)]) -> PlannedChange {
        let resource =
            PlannedResource { resource_type: "VmInstanceVO".into(), uuid: "u1".into(), name: name.into() };
        let some = |v: &Value| Some(v.clone()).filter(|v| !v.is_null());
        let fields = fields
            .iter()
            .map(|(f, from, to)| FieldChange { field: (*f).into(), from: some(from), to: some(to) })
            .collect();
        PlannedChange { resource, fields, account: None, after: serde_json::Map::default() }
    }

    #[test]
    fn bey_01_a_plan_is_summed_up_by_what_it_changes() {
        let state = ("state", json!("Stopped"), json!("Destroyed"));
        let one = changed("web", &[state.clone(), ("hostUuid", json!("h"), Value::Null)]);
        let nics = ("vmNics", json!([{ "ip": "a" }]), json!([{ "ip": "b" }]));
        let tags = ("userTags", json!(["blue"]), json!(["blue", "red"]));
        let lists = changed("web", &[nics, tags]);
        let many = changed("", &[state.clone(), state.clone(), state.clone(), state.clone(), state.clone()]);
        let step = PlanStep { step: "Boot".into(), text: String::new(), why: String::new() };
        for (plan, text) in [
            (Plan::default(), "Do would change no resource."),
            (
                Plan { steps: vec![step], ..Plan::default() },
                "Do would take 1 step, after which every resource is what it is now.",
            ),
            (
                Plan { changes: vec![one.clone()], ..Plan::default() },
                "Do: VmInstance web would change: state Stopped → Destroyed, hostUuid h → nothing.",
            ),
            (
                Plan { changes: vec![lists], ..Plan::default() },
                "Do: VmInstance web would change: vmNics, userTags blue → blue, red.",
            ),
            (
                Plan { deletes: vec![one.resource.clone()], changes: vec![many], ..Plan::default() },
                "Do: 1 resource would be deleted. VmInstance u1 would change: state Stopped → Destroyed, state Stopped → \
                 Destroyed, state Stopped → Destroyed, 2 more fields.",
            ),
            (
                Plan { changes: vec![one.clone(), one.clone(), one], ..Plan::default() },
                "Do: 3 resources would be changed.",
            ),
        ] {
            assert_eq!(summary("Do", &plan), text);
        }
    }
}
