//! The `schema` map of an answer: the Java class of each object in it, by its place (rest-conventions section 7).

use serde_json::{Map, Value};

use crate::decl::{Kind, Operation};
use crate::resource::{self, Resource, Sql};

/// Classes of objects that no resource table describes.
const CLASSES: &[(&str, &str)] = &[
    (
        "HostDiskCapacity",
        "org.zstack.storage.primary.local.APIGetLocalStorageHostDiskCapacityReply$HostDiskCapacity",
    ),
    ("QuotaUsage", "org.zstack.header.identity.Quota$QuotaUsage"),
];

/// Puts the `schema` map into the answer of an operation. Queries always get one, others only if it says anything.
pub fn add(op: &Operation, body: &mut Value) {
    let schema = of_result(op.result, body);
    if let Value::Object(fields) = body
        && (op.kind == Kind::Query || !schema.is_empty())
    {
        fields.insert("schema".to_owned(), Value::Object(schema));
    }
}

/// The map for a result whose top-level fields have these declared types. Parents come before children, because a
/// child's place begins with its parent's.
pub fn of_result(declared: &[(&str, &str)], body: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for (field, ty) in declared {
        if let Some(value) = body.get(field) {
            visit(value, ty, field, &mut out);
        }
    }
    out
}

fn visit(value: &Value, ty: &str, place: &str, out: &mut Map<String, Value>) {
    let inner = |prefix: &str| ty.strip_prefix(prefix).and_then(|t| t.strip_suffix('>')).map(str::trim);
    match value {
        Value::Array(list) => {
            for (n, element) in list.iter().enumerate() {
                let of = inner("List<").unwrap_or_else(|| undeclared(element));
                visit(element, of, &format!("{place}[{n}]"), out);
            }
        }
        Value::Object(map) => match inner("Map<String,") {
            Some(of) => map.iter().for_each(|(key, v)| visit(v, of, &format!("{place}.{key}"), out)),
            None => visit_object(value, ty, place, out),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit_object(value: &Value, ty: &str, place: &str, out: &mut Map<String, Value>) {
    let Some(resource) = resource::find(ty) else {
        if let Some((_, class)) = CLASSES.iter().find(|(name, _)| *name == ty) {
            out.insert(place.to_owned(), Value::from(*class));
        }
        return;
    };
    let resource = resource.subtype(kind_of(resource, value)).unwrap_or(resource);
    out.insert(place.to_owned(), Value::from(resource.class));
    for nested in resource.nested() {
        if let Some(Value::Array(list)) = value.get(nested.name) {
            for (n, element) in list.iter().enumerate() {
                visit_object(element, nested.of.inventory, &format!("{place}.{}[{n}]", nested.name), out);
            }
        }
    }
}

/// The value of the column that tells subtypes apart, if the answer has it.
fn kind_of<'v>(resource: &Resource, value: &'v Value) -> Option<&'v str> {
    let column = resource.subtypes.as_ref()?.column;
    let field = resource.fields().find(|f| matches!(f.sql, Sql::Column(c) if c == column))?;
    value.get(field.name)?.as_str()
}

/// The inventory of an element of a list that is declared without one: images or L3 networks, in the one call that
/// answers either.
fn undeclared(element: &Value) -> &'static str {
    if element.get("l2NetworkUuid").is_some() {
        "L3NetworkInventory"
    } else if element.get("mediaType").is_some() {
        "ImageInventory"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(action: &str, mut body: Value) -> Value {
        add(Operation::find(action).unwrap(), &mut body);
        body.get("schema").cloned().unwrap_or(Value::Null)
    }

    #[test]
    fn api_01_schema_names_the_class_of_each_object_parents_first() {
        let body =
            json!({"inventories": [{"uuid": "a", "vmNics": [{"uuid": "b"}, {"uuid": "c"}]}, {"uuid": "d"}]});
        let schema = schema("QueryVmInstance", body);
        let wanted = json!({
            "inventories[0]": "org.zstack.header.vm.VmInstanceInventory",
            "inventories[0].vmNics[0]": "org.zstack.header.vm.VmNicInventory",
            "inventories[0].vmNics[1]": "org.zstack.header.vm.VmNicInventory",
            "inventories[1]": "org.zstack.header.vm.VmInstanceInventory",
        });
        assert_eq!(schema, wanted);
        let places: Vec<&String> = schema.as_object().unwrap().keys().collect();
        assert_eq!(places[..2], ["inventories[0]", "inventories[0].vmNics[0]"]);
    }

    #[test]
    fn api_01_schema_tells_subtypes_apart() {
        let hosts =
            json!({"inventories": [{"hypervisorType": "KVM"}, {"hypervisorType": "Xen"}, {"uuid": "x"}]});
        let schema = schema("QueryHost", hosts);
        assert!(schema["inventories[0]"].as_str().unwrap().ends_with(".KVMHostInventory"));
        for place in ["inventories[1]", "inventories[2]"] {
            assert!(schema[place].as_str().unwrap().ends_with(".HostInventory"), "{place}");
        }
    }

    #[test]
    fn api_01_schema_covers_single_objects_maps_and_plain_results() {
        assert!(
            schema("CreateZone", json!({"inventory": {}}))["inventory"]
                .as_str()
                .unwrap()
                .ends_with("ZoneInventory")
        );
        let owners = schema("GetResourceAccount", json!({"inventories": {"u1": {"uuid": "a"}}}));
        assert_eq!(owners["inventories.u1"], "org.zstack.header.identity.AccountInventory");
        let usage = schema("GetAccountQuotaUsage", json!({"usages": [{"name": "vm.num"}]}));
        assert_eq!(usage["usages[0]"], "org.zstack.header.identity.Quota$QuotaUsage");
        assert_eq!(schema("GetVersion", json!({"version": "2.2.4"})), Value::Null);
        assert_eq!(schema("DeleteZone", json!({})), Value::Null);
        assert_eq!(schema("QueryZone", json!({"inventories": []})), json!({}));
        assert_eq!(schema("QueryZone", json!({"total": 3})), json!({}));
        let images =
            schema("GetInterdependentL3NetworksImages", json!({"inventories": [{"mediaType": "ISO"}]}));
        assert!(images["inventories[0]"].as_str().unwrap().ends_with("ImageInventory"));
    }
}
