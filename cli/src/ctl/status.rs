//! `cairn-ctl status` and `ui-status`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use super::home::{Home, local, public};
use super::process;
use crate::Result;
use crate::output::{self, Format};

/// What the API says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// It takes calls.
    Running,
    /// It answers, but does not take calls yet.
    Starting,
    /// Nobody answers.
    Stopped,
}

impl Api {
    const fn text(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Starting => "Starting",
            Self::Stopped => "Stopped",
        }
    }
}

/// An HTTP client for this machine: short waits and never through a proxy.
fn agent() -> Agent {
    let short = Some(Duration::from_secs(3));
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(short)
        .build()
        .into()
}

/// Whether the API takes calls.
pub fn api(home: &Home) -> Api {
    let url = format!("http://{}/zstack/v1/management-nodes/ready", local(home.api));
    match agent().get(&url).call() {
        Ok(response) if response.status().as_u16() == 200 => Api::Running,
        Ok(_) => Api::Starting,
        Err(_) => Api::Stopped,
    }
}

/// Whether the page is served, and if not, why.
fn page_state(address: SocketAddr) -> &'static str {
    match agent().get(format!("http://{}/", local(address))).call() {
        Ok(response) if response.status().as_u16() == 200 => "Running",
        Ok(_) => "Not installed",
        Err(_) => "Stopped",
    }
}

/// Prints all about the server. Exit code 0 if it runs and takes calls, 1 if not.
pub fn server(home: &Home, format: Format) -> Result<u8> {
    let pid = process::find(home);
    let state = api(home);
    // Another program may answer on the port: without our process it is not our server.
    let state =
        if pid.is_none() && state != Api::Stopped { "Port taken by another program" } else { state.text() };
    let running = state == Api::Running.text();
    let page = if running { page_state(home.page) } else { "Stopped" };
    let rows = [
        ("Home", json!(home.dir.display().to_string())),
        ("Config file", json!(home.config().display().to_string())),
        ("Log file", json!(home.log().display().to_string())),
        ("PID", pid.map_or(Value::Null, Value::from)),
        ("Management node", json!(state)),
        ("API URL", json!(format!("http://{}/zstack/v1", public(home.api)))),
        ("UI status", json!(page)),
        ("UI URL", json!(format!("http://{}", public(home.page)))),
        ("Version", json!(env!("CARGO_PKG_VERSION"))),
    ];
    print(&rows, format)?;
    Ok(u8::from(!running))
}

/// Prints the state of the page. Exit code 0 if it is served, 1 if not.
pub fn page(home: &Home, format: Format) -> Result<u8> {
    let state = if process::find(home).is_some() { page_state(home.page) } else { "Stopped" };
    let rows = [("UI status", json!(state)), ("UI URL", json!(format!("http://{}", public(home.page))))];
    print(&rows, format)?;
    Ok(u8::from(state != "Running"))
}

fn print(rows: &[(&str, Value)], format: Format) -> Result<()> {
    if format == Format::Table {
        let line = |(name, value): &(&str, Value)| {
            let shown = if value.is_null() { "-".to_owned() } else { output::table::cell(value) };
            format!("{:<17}{shown}\n", format!("{name}:"))
        };
        return output::write(&rows.iter().map(line).collect::<String>());
    }
    let key = |name: &str| name.to_ascii_lowercase().replace(' ', "_");
    let object: serde_json::Map<String, Value> =
        rows.iter().map(|(name, value)| (key(name), value.clone())).collect();
    output::print_value(format, &Value::Object(object), None)
}
