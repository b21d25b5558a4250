//! What is kept once and shown to many: results of jobs have their dates in one form and their actions for anybody, and become
//! what the one who reads them may see and asked for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cairn_api::Operation;
use cairn_api::resource::{self, FieldType};
use cairn_query::DateStyle;
use cairn_store::{Dialect, Tx, params};
use cairn_types::{Result, time};
use serde_json::{Value, json};

use crate::dispatch::is_closed;

const ACTIONS: &str = "allowedActions";

/// Names of all fields that are dates.
static DATES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let fields = resource::ALL.iter().flat_map(|r| r.fields());
    fields.filter(|f| f.ty == FieldType::Date).map(|f| f.name).collect()
});

/// Writes the dates of a result, which is kept in RFC 3339, in the form of whoever reads it.
pub fn dates(value: &mut Value, style: DateStyle) {
    let DateStyle::Legacy { offset_minutes } = style else { return };
    each_object(value, &mut |fields| {
        for (_, value) in fields.iter_mut().filter(|(name, _)| DATES.contains(name.as_str())) {
            if let Some(ms) = value.as_str().and_then(kept_date) {
                *value = json!(time::legacy(ms, offset_minutes));
            }
        }
    });
}

/// The moment of a date as results keep it; none for any other text.
fn kept_date(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let ms = time::parse_condition(seconds, 0)?.checked_add(fraction.parse().ok()?)?;
    (time::rfc3339(ms) == text).then_some(ms)
}

/// Leaves of all lists of actions what a tenant may do with what is his.
pub fn for_tenant(value: &mut Value) {
    each_object(value, &mut |fields| {
        if let Some(Value::Array(actions)) = fields.get_mut(ACTIONS) {
            actions.retain(|a| a.as_str().and_then(Operation::find).is_none_or(|op| !is_closed(op)));
        }
    });
}

/// The account is no condition: SQLite would begin with it, and go through everything that is its own.
fn owners(dialect: Dialect) -> String {
    format!("SELECT uuid, account_uuid FROM resource WHERE uuid IN {}", dialect.listed(false))
}

/// The same for what a tenant found, of which some may be shared with him only: that he may use, but not change.
pub fn found_by_tenant(tx: &mut dyn Tx, me: &str, value: &mut Value) -> Result<()> {
    for_tenant(value);
    let mut with_actions = BTreeSet::new();
    each_object(value, &mut |fields| {
        let some = fields.get(ACTIONS).and_then(Value::as_array).is_some_and(|a| !a.is_empty());
        if let (true, Some(uuid)) = (some, fields.get("uuid").and_then(Value::as_str)) {
            with_actions.insert(uuid.to_owned());
        }
    });
    if with_actions.is_empty() {
        return Ok(());
    }
    let uuids = json!(with_actions).to_string();
    let sql = owners(tx.dialect());
    let mut own = BTreeSet::new();
    for row in tx.query(&sql, params![uuids])? {
        if row.opt_text("account_uuid")?.as_deref() == Some(me) {
            own.insert(row.text("uuid")?);
        }
    }
    each_object(value, &mut |fields| {
        let is_own = fields.get("uuid").and_then(Value::as_str).is_some_and(|u| own.contains(u));
        if let (Some(actions), false) = (fields.get_mut(ACTIONS), is_own) {
            *actions = json!([]);
        }
    });
    Ok(())
}

fn each_object(value: &mut Value, f: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            f(fields);
            fields.values_mut().for_each(|v| each_object(v, f));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| each_object(v, f)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_02_owners_of_what_was_found_are_read_by_uuid() {
        let plan = crate::rows::plan_of(&owners(Dialect::Sqlite));
        assert!(!plan.contains("resource_account"), "{plan}");
    }

    #[test]
    fn only_kept_dates_of_date_fields_are_written_anew() {
        let kept = json!({ "inventory": { "createDate": "2018-01-02T15:04:05.000Z", "name": "2018-01-02T15:04:05.000Z",
            "lastOpDate": "Jan 2, 2018 3:04:05 PM", "vmNics": [{ "createDate": "2018-01-02T15:04:05.123Z" }] } });
        let mut old = kept.clone();
        dates(&mut old, DateStyle::Legacy { offset_minutes: 60 });
        let shown = &old["inventory"];
        assert_eq!(shown["createDate"], "Jan 2, 2018 4:04:05 PM");
        assert_eq!(shown["vmNics"][0]["createDate"], "Jan 2, 2018 4:04:05 PM");
        assert_eq!(
            (&shown["name"], &shown["lastOpDate"]),
            (&kept["inventory"]["name"], &kept["inventory"]["lastOpDate"])
        );
        let mut new = kept.clone();
        dates(&mut new, DateStyle::Rfc3339);
        assert_eq!(new, kept);
    }

    #[test]
    fn iam_05_lists_of_actions_keep_what_tenants_may_call() {
        let mut value = json!({ "inventories": [{ "allowedActions": ["StopVmInstance", "ChangeResourceOwner", "DeleteHost"] }] });
        for_tenant(&mut value);
        assert_eq!(value["inventories"][0]["allowedActions"], json!(["StopVmInstance"]));
    }
}
