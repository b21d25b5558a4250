//! The one error type that leaves a component: a stable code, named parameters, and what caused it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{code, mask};

/// `Result` with a [`Fault`].
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why something was refused or failed. Stored as it is; rendered when it is read.
///
/// `details` is for the user who asked; `operator` (paths, libvirt output) goes to logs only and never into an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable code of `error-codes.json`, ours from 8000 up. Clients branch on it.
    pub code: String,
    /// What happened to which resource, and what the reader can do.
    pub details: String,
    /// The facts of `details` by name, for translation and for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// The error below this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Fault>>,
    /// Several errors below this one, such as one per rejected host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Fault>,
    /// More data for programs, such as the rejected candidates of an allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Value>,
    /// Detail for operators. Logged, never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// True when the same call may succeed later without any change by the caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
}

impl Fault {
    /// A fault with this code and text.
    pub fn new(code: &str, details: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            details: details.into(),
            params: BTreeMap::new(),
            cause: None,
            causes: Vec::new(),
            opaque: None,
            operator: None,
            retryable: false,
        }
    }

    /// `SYS.1000`: our own mistake.
    pub fn internal(details: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, details)
    }

    /// `SYS.1003`: no such resource.
    pub fn not_found(what: &str, uuid: impl fmt::Display) -> Self {
        Self::new(code::RESOURCE_NOT_FOUND, format!("there is no {what} with uuid {uuid}"))
            .with("type", what)
            .with("uuid", uuid.to_string())
    }

    /// `SYS.1006`: not possible now.
    pub fn operation(details: impl Into<String>) -> Self {
        Self::new(code::OPERATION_ERROR, details)
    }

    /// `SYS.1007`: an argument is wrong.
    pub fn argument(details: impl Into<String>) -> Self {
        Self::new(code::INVALID_ARGUMENT, details)
    }

    /// `ID.1002`: not allowed.
    pub fn denied(details: impl Into<String>) -> Self {
        Self::new(code::PERMISSION_DENIED, details)
    }

    /// Adds a named fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// Puts the error below.
    #[must_use]
    pub fn caused_by(mut self, cause: Fault) -> Self {
        self.retryable |= cause.retryable;
        self.cause = Some(Box::new(cause));
        self
    }

    /// Adds detail for operators only.
    #[must_use]
    pub fn for_operator(mut self, text: impl fmt::Display) -> Self {
        self.operator = Some(text.to_string());
        self
    }

    /// Marks the fault as worth trying again.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// True when this fault or one below it has the code.
    pub fn has_code(&self, code: &str) -> bool {
        self.code == code
            || self.cause.as_deref().is_some_and(|c| c.has_code(code))
            || self.causes.iter().any(|c| c.has_code(code))
    }

    /// The error object of the API (rest-conventions section 6), without operator detail.
    pub fn to_api(&self) -> Value {
        let mut o = Map::new();
        o.insert("code".into(), json!(self.code));
        o.insert("description".into(), json!(code::meaning(&self.code)));
        o.insert("details".into(), json!(self.details));
        if let Some(c) = &self.cause {
            o.insert("cause".into(), c.to_api());
        }
        if !self.causes.is_empty() {
            o.insert("causes".into(), Value::Array(self.causes.iter().map(Fault::to_api).collect()));
        }
        let mut opaque = match &self.opaque {
            Some(Value::Object(m)) => m.clone(),
            Some(v) => Map::from_iter([("data".to_owned(), v.clone())]),
            None => Map::new(),
        };
        if !self.params.is_empty() {
            opaque.insert("params".into(), json!(self.params));
        }
        if !opaque.is_empty() {
            o.insert("opaque".into(), Value::Object(opaque));
        }
        let mut shown = Value::Object(o);
        // An address that was refused is told, not the login in it.
        mask::json(&mut shown);
        shown
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, mask::addresses(&self.details))
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|c| c as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aud_01_logins_in_addresses_reach_neither_answer_nor_log() {
        let cause = Fault::argument("bad").with("url", "http://u:hush@h/i?token=hush");
        let fault = Fault::operation("http://u:hush@h/ is refused").caused_by(cause);
        assert!(!fault.to_api().to_string().contains("hush"), "{}", fault.to_api());
        assert!(!fault.to_string().contains("hush"), "{fault}");
    }

    #[test]
    fn operator_detail_never_reaches_the_answer() {
        let fault = Fault::operation("the disk could not be made")
            .for_operator("qemu-img: /secret/path: No space left");
        let shown = fault.to_api().to_string();
        assert!(!shown.contains("/secret/path"));
        assert!(shown.contains("SYS.1006"));
    }

    #[test]
    fn codes_are_found_below() {
        let fault = Fault::operation("outer").caused_by(Fault::new(code::VM_NOT_IN_STATE, "inner").retry());
        assert!(fault.has_code("VM.1010"));
        assert!(fault.retryable);
        assert!(!fault.has_code("VM.1011"));
    }
}
