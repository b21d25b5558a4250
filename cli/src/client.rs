//! HTTP with the server: authorization, the two kinds of answer, and errors told apart.

use std::io::Read;
use std::time::Duration;

use cairn_types::time;
use serde_json::{Map, Value, json};
use ureq::http;
use ureq::{Agent, AsSendBody, Body};

use crate::call::Request;
use crate::{Failure, Result, sign};

/// How calls are authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a session.
    Session(String),
    /// By signing each request.
    Key {
        /// Access key id.
        id: String,
        /// Its secret.
        secret: String,
    },
}

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The result.
    Done(Value),
    /// The id of a job to wait for.
    Job(String),
}

/// A connection to one server.
pub struct Client {
    agent: Agent,
    base: String,
    auth: Auth,
    account: Option<String>,
}

/// The address of a server in full: `10.0.0.5` is `http://10.0.0.5:8080`.
pub fn server_address(text: &str) -> Result<String> {
    let text = text.trim().trim_end_matches('/');
    let text = text.split_once("/zstack").map_or(text, |(server, _)| server);
    let (scheme, host) = text.split_once("://").unwrap_or(("http", text));
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, port)| port);
    let port = after_brackets.split_once(':').map(|(_, port)| port);
    let good = matches!(scheme, "http" | "https")
        && !host.is_empty()
        && !host.contains(['/', '?', '#', ' ', '@'])
        && port.is_none_or(|p| p.parse::<u16>().is_ok());
    match (good, scheme, port.is_some()) {
        (false, ..) => {
            Err(Failure::Usage(format!("{text:?} is no server address; it looks like http://10.0.0.5:8080")))
        }
        (_, "http", false) => Ok(format!("http://{host}:8080")),
        _ => Ok(format!("{scheme}://{host}")),
    }
}

impl Client {
    /// For the server at `base`, as [`server_address`] gives it.
    pub fn new(base: &str, auth: Auth) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(300)));
        if ["//localhost", "//127.", "//[::1]"].iter().any(|local| base.contains(local)) {
            config = config.proxy(None);
        }
        Self { agent: config.build().into(), base: base.to_owned(), auth, account: None }
    }

    /// The same for a caller whose account is known.
    #[must_use]
    pub fn of_account(mut self, account: Option<String>) -> Self {
        self.account = account;
        self
    }

    /// Name of the account that calls, if it is known.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Address of the server.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Makes a call.
    pub fn call(&self, request: &Request) -> Result<Answer> {
        self.finish(self.open(request)?)
    }

    /// Reads what an opened call answered.
    pub fn finish(&self, response: http::Response<Body>) -> Result<Answer> {
        let status = response.status().as_u16();
        let text = read(response.into_body(), &self.base)?;
        classify(status, &text, &self.base)
    }

    /// Makes a call that answers at once.
    pub fn ask(&self, request: &Request) -> Result<Value> {
        match self.call(request)? {
            Answer::Done(value) => Ok(value),
            Answer::Job(id) => {
                Err(Failure::Failed(format!("the server started job {id} where an answer was due")))
            }
        }
    }

    /// Asks for a job: its result, or `None` while it runs.
    pub fn poll(&self, job: &str) -> Result<Option<Value>> {
        let mut request = Request::get(&["api-jobs", job]);
        request.session = false;
        let response = self.open(&request)?;
        match response.status().as_u16() {
            202 => read(response.into_body(), &self.base).map(|_| None),
            404 => Err(Failure::Failed(format!(
                "the server knows no job {job}; results are kept for some hours only"
            ))),
            _ => match self.finish(response)? {
                Answer::Done(value) => Ok(Some(value)),
                Answer::Job(_) => Ok(None),
            },
        }
    }

    /// Sends a request and leaves the body of the answer unread.
    pub fn open(&self, request: &Request) -> Result<http::Response<Body>> {
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(format!(
            "{}/zstack{}",
            self.base,
            request.target()
        ));
        // Dates with a zone: the API's own form has none.
        builder = builder.header("X-Cairn-Time", "rfc3339");
        if request.session {
            for (name, value) in self.authorize(request)? {
                builder = builder.header(name, value);
            }
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        match &request.body {
            Some(body) => {
                self.run(builder.header("Content-Type", "application/json; charset=utf-8"), body.to_string())
            }
            None => self.run(builder, ()),
        }
    }

    fn authorize(&self, request: &Request) -> Result<Vec<(&'static str, String)>> {
        match &self.auth {
            Auth::None => Err(Failure::NotLoggedIn(format!(
                "not logged in to {}; use `cairn login --server {0}`",
                self.base
            ))),
            Auth::Session(uuid) => Ok(vec![("Authorization", format!("OAuth {uuid}"))]),
            Auth::Key { id, secret } => {
                let date = sign::http_date(time::now_ms());
                let signed =
                    sign::authorization(id, secret, request.method.as_str(), &date, &request.plain_path());
                Ok(vec![("Date", date), ("Authorization", signed)])
            }
        }
    }

    fn run(&self, builder: http::request::Builder, body: impl AsSendBody) -> Result<http::Response<Body>> {
        let request = builder.body(body).map_err(|e| Failure::Usage(format!("this cannot be sent: {e}")))?;
        self.agent.run(request).map_err(|e| unreachable(&self.base, &e))
    }

    /// Posts a stream of known length to an address of the server's choice.
    pub fn post_stream(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: impl Read,
    ) -> Result<(u16, String)> {
        let mut builder = http::Request::builder().method("POST").uri(url);
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        let mut body = body;
        let request = builder
            .body(ureq::SendBody::from_reader(&mut body))
            .map_err(|e| Failure::Failed(format!("cannot upload to {url}: {e}")))?;
        let response = self.agent.run(request).map_err(|e| unreachable(url, &e))?;
        let status = response.status().as_u16();
        Ok((status, read(response.into_body(), url)?))
    }
}

fn read(mut body: Body, base: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let reader = body.as_reader().read_to_end(&mut bytes);
    reader.map_err(|e| Failure::Unreachable(format!("the connection to {base} broke: {e}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreachable(base: &str, error: &ureq::Error) -> Failure {
    Failure::Unreachable(format!("cannot reach {base}: {error}"))
}

fn classify(status: u16, text: &str, base: &str) -> Result<Answer> {
    let body: Option<Value> = if text.trim().is_empty() {
        Some(Value::Object(Map::new()))
    } else {
        serde_json::from_str(text).ok()
    };
    let plain = || text.trim().chars().take(500).collect::<String>();
    match (status, body) {
        (200..=201, Some(value)) => Ok(Answer::Done(value)),
        (202, Some(value)) => match value.get("location").and_then(Value::as_str).and_then(job_id) {
            Some(id) => Ok(Answer::Job(id.to_owned())),
            None => Err(Failure::Failed(format!("{base} started a job without saying where"))),
        },
        (503, Some(value)) if value.get("error").is_some_and(Value::is_object) => {
            Err(api_failure(value["error"].clone()))
        }
        (400 | 401, _) if plain().to_ascii_lowercase().contains("authorization") => {
            Err(Failure::NotLoggedIn(plain()))
        }
        (403, _) if text.contains("requestTimeTooSkewed") => Err(Failure::Failed(
            "the clock of this machine is more than 15 minutes off the server's, so access keys do not work"
                .to_owned(),
        )),
        (404, _) => {
            Err(Failure::Failed(format!("{base} has no such address; is it a Cairn server? {}", plain())))
        }
        (400, _) => Err(Failure::Usage(plain())),
        (status, _) => Err(Failure::Failed(format!("{base} answered {status}: {}", plain()))),
    }
}

fn api_failure(error: Value) -> Failure {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let bad_key = ["wrong accessKey signature", "access key id"].iter().any(|t| text("details").contains(t));
    if text("code") == cairn_types::code::INVALID_SESSION || bad_key {
        return Failure::NotLoggedIn(format!("{}: {}; use `cairn login`", text("code"), text("details")));
    }
    Failure::Api(error)
}

/// The id in a job's address.
fn job_id(location: &str) -> Option<&str> {
    let (_, id) = location.split_once("/api-jobs/")?;
    let id = id.split(['?', '/', '#']).next().unwrap_or_default();
    (!id.is_empty()).then_some(id)
}

/// The error object that a failure of our own would be, for output as JSON.
pub fn error_object(failure: &Failure) -> Value {
    match failure {
        Failure::Api(error) => json!({"error": error}),
        Failure::Failed(text)
        | Failure::Usage(text)
        | Failure::Unreachable(text)
        | Failure::NotLoggedIn(text) => {
            json!({"error": {"details": text, "exitCode": failure.exit_code()}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_01_server_addresses_are_completed() {
        for (typed, full) in [
            ("10.0.0.5", "http://10.0.0.5:8080"),
            ("cloud:9000", "http://cloud:9000"),
            ("http://cloud:8080/", "http://cloud:8080"),
            ("http://cloud:8080/zstack/v1", "http://cloud:8080"),
            ("https://cloud", "https://cloud"),
            ("[fe80::1]", "http://[fe80::1]:8080"),
            ("http://[fe80::1]:5000", "http://[fe80::1]:5000"),
        ] {
            assert_eq!(server_address(typed), Ok(full.to_owned()));
        }
        for typed in ["", "ftp://x", "http://", "a b", "http://x/y"] {
            assert!(matches!(server_address(typed), Err(Failure::Usage(_))), "{typed}");
        }
    }

    #[test]
    fn cli_01_answers_are_told_apart() {
        let location = r#"{"location": "http://other:8080/zstack/v1/api-jobs/abc"}"#;
        assert_eq!(classify(202, location, "x"), Ok(Answer::Job("abc".to_owned())));
        assert_eq!(classify(200, "", "x"), Ok(Answer::Done(json!({}))));
        let expired = r#"{"error": {"code": "ID.1001", "details": "session expired"}}"#;
        assert_eq!(classify(503, expired, "x").map_err(|f| f.exit_code()), Err(4));
        let failed = r#"{"error": {"code": "SYS.1006", "details": "no"}}"#;
        assert_eq!(classify(503, failed, "x").map_err(|f| f.exit_code()), Err(1));
        assert_eq!(classify(400, "no Authorization header", "x").map_err(|f| f.exit_code()), Err(4));
        let odd = "no operator in the condition 'name'";
        assert_eq!(classify(400, odd, "x"), Err(Failure::Usage(odd.to_owned())));
        assert_eq!(classify(502, "<html>", "x").map_err(|f| f.exit_code()), Err(1));
    }
}
