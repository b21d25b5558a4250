//! Checked parameters of one call, and how typed fields are read from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::decl::{Field, Type};

/// Parameters of one call by JSON name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(pub Map<String, Value>);

impl Params {
    /// The value, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// Whether it was given.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Text, or empty.
    pub fn str(&self, name: &str) -> &str {
        self.opt_str(name).unwrap_or_default()
    }

    /// Text if given.
    pub fn opt_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Number, or zero.
    pub fn long(&self, name: &str) -> i64 {
        self.opt_long(name).unwrap_or_default()
    }

    /// Number if given.
    pub fn opt_long(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    /// Number of 32 bits, or zero.
    pub fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or_default()
    }

    /// True if given and true.
    pub fn bool(&self, name: &str) -> bool {
        self.opt_bool(name).unwrap_or_default()
    }

    /// Boolean if given.
    pub fn opt_bool(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    /// List of texts, or empty.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.opt_list(name).unwrap_or_default()
    }

    /// List of texts if given.
    pub fn opt_list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.get(name)?.as_array()?;
        Some(list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
    }

    /// List of numbers, or empty.
    pub fn long_list(&self, name: &str) -> Vec<i64> {
        let list = self.get(name).and_then(Value::as_array);
        list.map_or_else(Vec::new, |l| l.iter().filter_map(Value::as_i64).collect())
    }

    /// Lists of texts by key, or empty.
    pub fn map(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let Some(Value::Object(map)) = self.get(name) else { return BTreeMap::new() };
        map.iter().map(|(k, v)| (k.clone(), texts(v))).collect()
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    }
}

macro_rules! fields {
    ($($ty:ty = $json:ident $(, $required:ident)?: |$p:ident, $n:ident| $read:expr;)*) => { $(
        impl Field for $ty {
            const TYPE: Type = Type::$json;
            $(const REQUIRED: bool = fields!($required);)?
            fn read($p: &Params, $n: &str) -> Self {
                $read
            }
        }
    )* };
    (required) => { true };
}

fields! {
    String = Str, required: |p, n| p.str(n).to_owned();
    Option<String> = Str: |p, n| p.opt_str(n).map(str::to_owned);
    i64 = Long, required: |p, n| p.long(n);
    Option<i64> = Long: |p, n| p.opt_long(n);
    bool = Bool: |p, n| p.bool(n);
    Option<bool> = Bool: |p, n| p.opt_bool(n);
    Vec<String> = StrList: |p, n| p.list(n);
    Option<Vec<String>> = StrList: |p, n| p.opt_list(n);
    Vec<i64> = LongList: |p, n| p.long_list(n);
    BTreeMap<String, Vec<String>> = StrListMap: |p, n| p.map(n);
    Value = Any: |p, n| p.get(n).cloned().unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Kind, Op, Operation, ops::compute::StopVmInstance};

    #[test]
    fn api_01_declarations_become_rows_and_structs() {
        let op = Operation::find("StopVmInstance").unwrap();
        assert_eq!(
            (op.noun, op.verb, op.body_key, op.kind),
            ("vm", "stop", Some("stopVmInstance"), Kind::Action)
        );
        assert_eq!(op.params.iter().map(|p| p.name).collect::<Vec<_>>(), ["uuid", "type", "stopHA"]);
        assert!(op.params[0].must_be_given() && !op.params[1].required);
        assert_eq!(op.result, [("inventory", "VmInstanceInventory")]);
        assert_eq!(op.doc, "Stop a running VM instance. Done when the guest is off.");
        let Value::Object(map) = json!({"uuid": "a", "type": "cold"}) else { unreachable!() };
        let stop = StopVmInstance::from_params(&Params(map));
        assert_eq!((stop.uuid.as_str(), stop.r#type.as_str(), stop.stop_ha), ("a", "cold", None));
    }

    #[test]
    fn api_01_secrets_do_not_show_in_debug_output() {
        let Value::Object(map) = json!({"accountName": "admin", "password": "hunter2"}) else {
            unreachable!()
        };
        let shown = format!("{:?}", crate::ops::identity::LogInByAccount::from_params(&Params(map)));
        assert!(shown.contains("admin") && !shown.contains("hunter2"), "{shown}");
    }
}
