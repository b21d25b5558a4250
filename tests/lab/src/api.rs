//! A client of the HTTP API, as small as a test needs it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// A logged-in client.
#[derive(Clone)]
pub struct Api {
    base: String,
    agent: ureq::Agent,
    session: String,
}

/// An answer: status and body.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON, or a string.
    pub body: Value,
}

/// What the API sends for a plain password.
pub fn digest(password: &str) -> String {
    Sha512::digest(password.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

impl Api {
    /// A client without a session.
    pub fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Self { base: base.to_owned(), agent, session: String::new() }
    }

    /// Logs in.
    pub fn login(&self, account: &str, password: &str) -> Result<Self> {
        let body = json!({ "logInByAccount": { "accountName": account, "password": digest(password) } });
        let answer = self.raw("PUT", "/accounts/login", Some(&body), &[])?;
        let session = answer.body.pointer("/inventory/uuid").and_then(Value::as_str);
        let session = session.with_context(|| format!("login as {account}: {}", answer.body))?;
        Ok(Self { session: session.to_owned(), ..self.clone() })
    }

    /// Where the API is, `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The session's uuid; empty before the login.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// One request.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let url = format!("{}/zstack/v1{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if !self.session.is_empty() {
            request = request.header("authorization", format!("OAuth {}", self.session));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(bytes)?;
        let mut answer = self.agent.run(request)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// A call to its end: waits for the job. `Err` holds the error object of the API as text.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let answer = self.start(method, path, body)?;
        match answer.status {
            200 => Ok(answer.body),
            202 => self.wait(&answer.body, Duration::from_secs(300)),
            _ => bail!("{method} {path}: {} {}", answer.status, answer.body),
        }
    }

    /// A call without waiting for its job.
    pub fn start(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        self.raw(method, path, body.as_ref(), &[])
    }

    /// Waits for a job.
    pub fn wait(&self, accepted: &Value, how_long: Duration) -> Result<Value> {
        let location = accepted["location"].as_str().context("no location in the answer")?;
        let job = location.rsplit('/').next().unwrap_or_default();
        let end = Instant::now() + how_long;
        loop {
            // While the server is being restarted the poll fails; the job survives.
            if let Ok(answer) = self.raw("GET", &format!("/api-jobs/{job}"), None, &[]) {
                match answer.status {
                    200 => return Ok(answer.body),
                    202 => {}
                    status => bail!("job {job}: {status} {}", answer.body),
                }
            }
            if Instant::now() > end {
                bail!("job {job} did not end within {how_long:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `POST` with `params`; gives the inventory.
    pub fn post(&self, path: &str, params: Value) -> Result<Value> {
        Ok(self.call("POST", path, Some(json!({ "params": params })))?["inventory"].clone())
    }

    /// A verb; gives the inventory.
    pub fn act(&self, path: &str, verb: &str, params: Value) -> Result<Value> {
        Ok(self.call("PUT", path, Some(json!({ verb: params })))?["inventory"].clone())
    }

    /// A deletion.
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.call("DELETE", path, None)
    }

    /// Rows of a query; `query` is the query string.
    pub fn list(&self, path: &str, query: &str) -> Result<Vec<Value>> {
        let answer = self.call("GET", &format!("{path}?{query}"), None)?;
        Ok(answer["inventories"].as_array().cloned().unwrap_or_default())
    }

    /// The only row of a query by uuid.
    pub fn get(&self, path: &str, uuid: &str) -> Result<Value> {
        let rows = self.list(&format!("{path}/{uuid}"), "")?;
        rows.into_iter().next().with_context(|| format!("no {path}/{uuid}"))
    }

    /// Waits until a field of a resource has a value.
    pub fn wait_field(
        &self,
        path: &str,
        uuid: &str,
        field: &str,
        value: &str,
        how_long: Duration,
    ) -> Result<Value> {
        let end = Instant::now() + how_long;
        loop {
            let row = self.get(path, uuid);
            match &row {
                Ok(row) if row[field] == value => return Ok(row.clone()),
                _ if Instant::now() > end => {
                    bail!("{path}/{uuid}: {field} is not {value} after {how_long:?}: {row:?}")
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

/// The code of an error, or of one below it.
pub fn has_code(error: &anyhow::Error, code: &str) -> bool {
    format!("{error:#}").contains(&format!("\"{code}\""))
}
