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

    /// What to show: details and code, the candidates that were rejected, causes that say more, and what to do next.
    pub fn render(&self) -> String {
        match self {
            Self::Api(error) => {
                let mut out = String::new();
                render_error(&mut out, error, "error", 0);
                if let Some(hint) = error.get("hint").and_then(Value::as_str) {
                    let _ = writeln!(out, "{}", table::plain(hint));
                }
                out
            }
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) | Self::NotLoggedIn(text) => {
                format!("error: {}\n", table::plain(text))
            }
        }
    }
}

fn text<'a>(error: &'a Value, name: &str) -> &'a str {
    error.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn details(error: &Value) -> &str {
    match (text(error, "details"), text(error, "description")) {
        ("", "") => "no details",
        ("", description) => description,
        (details, _) => details,
    }
}

fn render_error(out: &mut String, error: &Value, label: &str, depth: usize) {
    let indent = "  ".repeat(depth);
    let below = |e: &Value| -> Vec<Value> {
        let cause = e.get("cause").filter(|c| c.is_object()).into_iter();
        cause.chain(e.get("causes").and_then(Value::as_array).into_iter().flatten()).cloned().collect()
    };
    // A cause that its effect quotes gives its code and its own causes, and is not said again.
    let said = details(error);
    let (quoted, mut causes): (Vec<Value>, Vec<Value>) =
        below(error).into_iter().partition(|cause| said.contains(details(cause)));
    causes.extend(quoted.iter().flat_map(below).filter(|cause| !said.contains(details(cause))));
    let code = quoted.first().map_or_else(|| text(error, "code"), |cause| text(cause, "code"));
    let lines = candidates(error);
    let said = without_candidates(said, error);
    let code = if code.is_empty() { String::new() } else { format!(" ({})", table::plain(code)) };
    let _ = writeln!(out, "{indent}{label}: {}{code}", table::plain(&said));
    if !text(error, "elaboration").is_empty() {
        let _ = writeln!(out, "{indent}  {}", table::plain(text(error, "elaboration")));
    }
    for line in lines {
        let _ = writeln!(out, "{indent}  - {}", table::plain(&line));
    }
    for cause in causes {
        render_error(out, &cause, "caused by", depth + 1);
    }
}

/// The candidates that an allocation rejected.
fn candidate_list(error: &Value) -> &[Value] {
    let list = error.pointer("/opaque/candidates").or_else(|| error.pointer("/opaque/data"));
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn first_of(candidate: &Value, names: &[&str]) -> String {
    names.iter().find_map(|n| candidate.get(n)).map_or_else(String::new, |v| match v {
        Value::String(s) => s.clone(),
        Value::Array(list) => list.iter().map(table::cell).collect::<Vec<_>>().join("; "),
        other => table::cell(other),
    })
}

fn reasons(candidate: &Value) -> String {
    first_of(candidate, &["why", "reason", "reasons", "details"])
}

fn named(candidate: &Value) -> String {
    first_of(candidate, &["name", "hostName", "uuid", "hostUuid"])
}

/// One line per candidate: what it was and why it was not taken.
fn candidates(error: &Value) -> Vec<String> {
    let line = |candidate: &Value| match candidate {
        Value::String(line) => line.clone(),
        _ => {
            let why = Some(reasons(candidate))
                .filter(|w| !w.is_empty())
                .unwrap_or_else(|| "could be used".to_owned());
            format!("{}: {why}", named(candidate))
        }
    };
    candidate_list(error).iter().map(line).collect()
}

/// The text without what the list of candidates below it says.
fn without_candidates(said: &str, error: &Value) -> String {
    let first = candidate_list(error).iter().map(|c| format!("{}: {}", named(c), reasons(c)));
    let at = first.filter_map(|line| said.find(&line)).min();
    match at {
        Some(at) if at > 0 => said[..at].trim_end().trim_end_matches(['.', ':', ';']).to_owned(),
        _ => said.to_owned(),
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
            "hint": "possible now: nothing",
        }));
        assert_eq!(
            failure.render(),
            "error: no host can run VM web-1 (HOST_ALLOCATION.1001)\n  - host-1: 2 GiB short; x\n  caused by: deeper \
             (SYS.1006)\n    caused by: \\u{1b}[31mdeepest (KVM.1000)\npossible now: nothing\n"
        );
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn cli_01_nothing_is_said_twice() {
        let list = json!([{"hostName": "rack1", "hostUuid": "a", "reasons": ["4 GiB short"]},
            {"hostName": "rack2", "hostUuid": "b", "reasons": ["disabled"]}]);
        let deep = "no host fits. rack1: 4 GiB short; rack2: disabled";
        let failure = Failure::Api(json!({
            "code": "VM.1000", "details": format!("VM big could not be created: {deep}"), "opaque": {"candidates": list},
            "cause": {"code": "HOST_ALLOCATION.1000", "details": deep, "opaque": {"candidates": list}},
        }));
        assert_eq!(
            failure.render(),
            "error: VM big could not be created: no host fits (HOST_ALLOCATION.1000)\n  - rack1: 4 GiB short\n  - rack2: disabled\n"
        );
        let state = "VM web-1 is Paused";
        let failure = Failure::Api(
            json!({"code": "SYS.1006", "details": state, "cause": {"code": "VM.1010", "details": state}}),
        );
        assert_eq!(failure.render(), "error: VM web-1 is Paused (VM.1010)\n");
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
