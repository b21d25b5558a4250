//! The HTTP request of a call, as the REST conventions want it.

use cairn_api::request::{build, encode_path, encode_query, plain_text, take_tags};
use cairn_api::{Kind, Method, Operation};
use serde_json::{Map, Value, json};

use crate::arguments::Params;
use crate::{Failure, Result};

/// One request below the context path.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Parts of the path, `v1` first, not encoded.
    pub path: Vec<String>,
    /// Query string, not encoded.
    pub query: Vec<(String, String)>,
    /// Body, for POST and PUT.
    pub body: Option<Value>,
    /// Whether the call needs a session.
    pub session: bool,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    /// A GET of these path parts below `/v1`.
    pub fn get(parts: &[&str]) -> Self {
        Self {
            method: Method::Get,
            path: std::iter::once(&"v1").chain(parts).map(|p| (*p).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            session: true,
            headers: Vec::new(),
        }
    }

    /// Adds a parameter to the query string.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Path as it is signed: without context path, not encoded.
    pub fn plain_path(&self) -> String {
        format!("/{}", self.path.join("/"))
    }

    /// Path and query string as they are sent.
    pub fn target(&self) -> String {
        let (path, query) = (encode_path(&self.path), encode_query(&self.query));
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }
}

/// The request of an operation with these parameters.
pub fn request(op: &Operation, params: &Params) -> Result<Request> {
    for param in op.params.iter().filter(|p| p.in_path) {
        check_path_value(op, param.name, params.get(param.name))?;
    }
    let mut rest = params.clone();
    let tags = take_tags(op, &mut rest);
    let built = build(op, rest, tags);
    Ok(Request {
        method: op.method,
        path: built.path,
        query: built.query,
        body: built.body,
        session: op.session,
        headers: Vec::new(),
    })
}

fn check_path_value(op: &Operation, name: &str, value: Option<&Value>) -> Result<()> {
    match value.map(plain_text).unwrap_or_default().as_str() {
        "" => Err(Failure::Usage(format!("{} needs {name}", op.name))),
        // Clients and proxies would resolve these away and call another address.
        text @ ("." | "..") => Err(Failure::Usage(format!("{text:?} cannot be {name}"))),
        _ => Ok(()),
    }
}

/// The query operation that lists an entity such as `ZoneVO`.
pub fn query_of(entity: &str) -> Option<&'static Operation> {
    let inventory = format!("{}Inventory", entity.strip_suffix("VO")?);
    cairn_api::operations()
        .iter()
        .find(|op| op.kind == Kind::Query && op.inventory == Some(inventory.as_str()))
}

/// A query for the rows with these conditions.
pub fn search(op: &Operation, conditions: &[String], limit: usize) -> Result<Request> {
    let params = json!({"q": conditions, "limit": limit.to_string()});
    request(op, params.as_object().unwrap_or(&Map::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(action: &str, params: Value) -> Result<(String, Option<Value>)> {
        let Value::Object(params) = params else { unreachable!() };
        request(Operation::find(action).unwrap(), &params).map(|r| (r.target(), r.body))
    }

    #[test]
    fn cli_01_parameters_go_where_the_conventions_want_them() {
        for (action, params, target, body) in [
            (
                "CreateZone",
                json!({"name": "z", "userTags": ["t"]}),
                "/v1/zones",
                Some(json!({"params": {"name": "z"}, "userTags": ["t"]})),
            ),
            (
                "StopVmInstance",
                json!({"uuid": "u", "type": "cold"}),
                "/v1/vm-instances/u/actions",
                Some(json!({"stopVmInstance": {"type": "cold"}})),
            ),
            (
                "DeleteZone",
                json!({"uuid": "u", "deleteMode": "Enforcing"}),
                "/v1/zones/u?deleteMode=Enforcing",
                None,
            ),
            (
                "AttachPrimaryStorageToCluster",
                json!({"clusterUuid": "c", "primaryStorageUuid": "p"}),
                "/v1/clusters/c/primary-storage/p",
                Some(json!({"params": {}})),
            ),
            (
                "AttachL2NetworkToCluster",
                json!({"l2NetworkUuid": "l", "clusterUuid": "c"}),
                "/v1/l2-networks/l/clusters/c",
                Some(json!({"null": {}})),
            ),
            (
                "DetachNetworkServiceFromL3Network",
                json!({"l3NetworkUuid": "l", "networkServices": {"p": ["DHCP", "DNS"]}}),
                "/v1/l3-networks/l/network-services?networkServices.p=DHCP&networkServices.p=DNS",
                None,
            ),
            (
                "RemoveDnsFromL3Network",
                json!({"l3NetworkUuid": "l", "dns": "a/../b c"}),
                "/v1/l3-networks/l/dns/a%2F..%2Fb%20c",
                None,
            ),
            (
                "QueryZone",
                json!({"q": ["name=a&b"], "sort": "+name"}),
                "/v1/zones?q=name%3Da%26b&sort=%2Bname",
                None,
            ),
        ] {
            assert_eq!(built(action, params), Ok((target.to_owned(), body)), "{action}");
        }
        for uuid in ["", "..", "."] {
            assert!(matches!(built("DeleteZone", json!({"uuid": uuid})), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn cli_01_entities_know_the_query_that_lists_them() {
        for op in cairn_api::operations() {
            for entity in op.params.iter().filter_map(|p| p.refers) {
                let found = query_of(entity).is_some() || entity == "UserVO";
                assert!(found, "no query lists {entity}, which {} refers to", op.name);
            }
        }
    }
}
