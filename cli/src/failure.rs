//! How a command can fail, what is said about it, and the exit code.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::table;

/// `Result` with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The server took the call and answered with an error object.
    Api(Value),
    /// Something went wrong that is neither the server's answer nor the caller's mistake.
    Failed(String),
    /// The command makes no sense as it was typed.
    Usage(String),
    /// No answer from the server.
    Unreachable(String),
    /// No session, or one that has ended.
    NotLoggedIn(String),
}

impl Failure {
    /// Exit code: 1 failed, 2 usage, 3 cannot reach the server, 4 not logged in.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Api(_) | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::NotLoggedIn(_) => 4,
        }
    }

    /// What to show: code, details, the chain of causes and the candidates that were rejected.
    pub fn render(&self) -> String {
        match self {
            Self::Api(error) => {
                let mut out = String::new();
                render_error(&mut out, error, "error", 0);
                out
            }
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) | Self::NotLoggedIn(text) => {
                format!("error: {}\n", table::plain(text))
            }
        }
    }
}

fn render_error(out: &mut String, error: &Value, label: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let details = match (text("details"), text("description")) {
        ("", "") => "no details",
        ("", description) => description,
        (details, _) => details,
    };
    let _ = writeln!(out, "{indent}{label}: {}: {}", table::plain(text("code")), table::plain(details));
    if !text("elaboration").is_empty() {
        let _ = writeln!(out, "{indent}  {}", table::plain(text("elaboration")));
    }
    if let Some(candidates) = error.pointer("/opaque/candidates").or_else(|| error.pointer("/opaque/data")) {
        render_candidates(out, candidates, &indent);
    }
    if let Some(cause) = error.get("cause").filter(|c| c.is_object()) {
        render_error(out, cause, "caused by", depth + 1);
    }
    for cause in error.get("causes").and_then(Value::as_array).into_iter().flatten() {
        render_error(out, cause, "caused by", depth + 1);
    }
}

/// One line per candidate: what it was and why it was not taken.
fn render_candidates(out: &mut String, candidates: &Value, indent: &str) {
    let Some(list) = candidates.as_array() else { return };
    for candidate in list {
        let text = |names: &[&str]| {
            names.iter().find_map(|n| candidate.get(n)).map_or_else(String::new, |v| match v {
                Value::String(s) => s.clone(),
                Value::Array(list) => list.iter().map(table::cell).collect::<Vec<_>>().join("; "),
                other => table::cell(other),
            })
        };
        let line = match candidate {
            Value::String(line) => line.clone(),
            _ => {
                let name = text(&["name", "hostName"]);
                let uuid = text(&["uuid", "hostUuid"]);
                let why = text(&["why", "reason", "reasons", "details"]);
                let why = if why.is_empty() { "could be used".to_owned() } else { why };
                let subject =
                    [name, uuid].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
                format!("{subject}: {why}")
            }
        };
        let _ = writeln!(out, "{indent}  - {}", table::plain(&line));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cli_01_errors_show_code_details_causes_and_candidates() {
        let failure = Failure::Api(json!({
            "code": "HOST_ALLOCATION.1001", "description": "no host", "details": "no host can run VM web-1",
            "opaque": {"candidates": [{"hostName": "host-1", "hostUuid": "aa", "reasons": ["2 GiB short", "x"]}]},
            "cause": {"code": "SYS.1006", "details": "deeper", "causes": [{"code": "KVM.1000", "details": "\u{1b}[31mdeepest"}]},
        }));
        let text = failure.render();
        assert_eq!(
            text,
            "error: HOST_ALLOCATION.1001: no host can run VM web-1\n  - host-1 aa: 2 GiB short; x\n  caused by: SYS.1006: deeper\n    caused by: KVM.1000: \\u{1b}[31mdeepest\n"
        );
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn cli_01_each_sort_of_failure_has_its_exit_code() {
        let text = || "x".to_owned();
        for (failure, code) in [
            (Failure::Failed(text()), 1),
            (Failure::Usage(text()), 2),
            (Failure::Unreachable(text()), 3),
            (Failure::NotLoggedIn(text()), 4),
        ] {
            assert_eq!(failure.exit_code(), code);
        }
    }
}
