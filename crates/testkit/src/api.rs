//! A client of the API over real HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use cairn_api::Operation;
use cairn_api::request::{build, encode_path, encode_query, take_tags};
use serde_json::{Value, json};
use ureq::http;

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients send for a plain password.
pub fn digest(plain: &str) -> String {
    cairn_server::identity::password::client_digest(plain)
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status; 0: the server was lost before it answered.
    pub status: u16,
    /// Headers with small names.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Code of the error in the body; empty if there is none.
    pub fn code(&self) -> String {
        self.json().pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// A call that did not go well.
#[derive(Debug, Clone)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// The body: an error, or plain text.
    pub body: String,
}

impl Failure {
    /// The error object.
    pub fn error(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).map_or(Value::Null, |v| v["error"].clone())
    }

    /// Its code; `HTTP.<status>` for plain text.
    pub fn code(&self) -> String {
        self.error()["code"].as_str().map_or_else(|| format!("HTTP.{}", self.status), str::to_owned)
    }

    /// Its text for people.
    pub fn details(&self) -> String {
        self.error()["details"].as_str().unwrap_or(&self.body).to_owned()
    }

    /// Whether the error or one below it has this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.body.contains(&format!("\"code\":\"{code}\""))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

/// A client with or without a session. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    base: String,
    headers: Vec<(String, String)>,
    /// The account that it acts for; empty without a session.
    pub account: String,
}

impl Api {
    /// A client of the server at `host:port`, without a session.
    pub fn new(address: &str) -> Self {
        Self {
            agent: agent(PATIENCE),
            base: format!("http://{address}"),
            headers: Vec::new(),
            account: String::new(),
        }
    }

    /// The same session with a server at another address.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self { base: format!("http://{address}"), ..self.clone() }
    }

    /// The same client, waiting no longer than this for an answer.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { agent: agent(patience), ..self.clone() }
    }

    /// Logs in with a plain password.
    pub async fn log_in(&self, name: &str, password: &str) -> Result<Self, Failure> {
        let params = json!({ "accountName": name, "password": digest(password) });
        let session = self.call("LogInByAccount", params).await?;
        let text = |name: &str| session["inventory"][name].as_str().unwrap_or_default().to_owned();
        let mut api = self.without("authorization").with("authorization", &format!("OAuth {}", text("uuid")));
        api.account = text("accountUuid");
        Ok(api)
    }

    /// The same client, sending one more header.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut api = self.clone();
        api.headers.push((name.to_owned(), value.to_owned()));
        api
    }

    /// The same client, not sending a header.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut api = self.clone();
        api.headers.retain(|(n, _)| n != name);
        api
    }

    /// The session that it sends.
    pub fn session(&self) -> String {
        let header = self.headers.iter().find(|(n, _)| n == "authorization");
        header.and_then(|(_, v)| v.strip_prefix("OAuth ")).unwrap_or_default().to_owned()
    }

    /// `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request as it is; `path` begins with the context path, a body with a brace or whatever it shall be.
    pub async fn raw(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json; charset=utf-8");
        }
        let (agent, body) = (self.agent.clone(), body.map(str::to_owned));
        let work = move || {
            let sent = match body {
                Some(body) => agent.run(request.body(body).expect("a request")),
                None => agent.run(request.body(()).expect("a request")),
            };
            let lost = |e: ureq::Error| Reply {
                status: 0,
                headers: BTreeMap::new(),
                text: format!("no answer: {e}"),
            };
            let mut answer = match sent {
                Ok(answer) => answer,
                Err(e) => return lost(e),
            };
            let headers = answer.headers().iter();
            let headers =
                headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
            match answer.body_mut().read_to_string() {
                Ok(text) => Reply { status: answer.status().as_u16(), headers, text },
                Err(e) => lost(e),
            }
        };
        tokio::task::spawn_blocking(work).await.expect("the client's thread")
    }

    /// `GET /zstack/v1<path>`.
    pub async fn get(&self, path: &str) -> Reply {
        self.raw("GET", &format!("/zstack/v1{path}"), None).await
    }

    /// `POST /zstack/v1<path>` with a whole body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.raw("POST", &format!("/zstack/v1{path}"), Some(&body.to_string())).await
    }

    /// `PUT /zstack/v1<path>` with a whole body.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.raw("PUT", &format!("/zstack/v1{path}"), Some(&body.to_string())).await
    }

    /// `DELETE /zstack/v1<path>`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.raw("DELETE", &format!("/zstack/v1{path}"), None).await
    }

    /// Sends a call by its action name and gives the first answer. `systemTags` and `userTags` may stand among the
    /// parameters; queries take theirs (`q`, `limit`, …) there too, `q` as a list.
    pub async fn send(&self, action: &str, params: Value) -> Reply {
        let op = Operation::find(action).unwrap_or_else(|| panic!("there is no operation {action}"));
        let (path, body) = request_of(op, params);
        self.raw(op.method.as_str(), &path, body.as_deref()).await
    }

    /// Makes a call and waits for its job.
    pub async fn call(&self, action: &str, params: Value) -> Result<Value, Failure> {
        let first = self.send(action, params).await;
        self.settle(first).await
    }

    /// Makes a call that must go well.
    pub async fn ok(&self, action: &str, params: Value) -> Value {
        let shown = params.to_string();
        self.call(action, params).await.unwrap_or_else(|f| panic!("{action} {shown} failed: {f}"))
    }

    /// Makes a call that must go well; its `inventory`.
    pub async fn make(&self, action: &str, params: Value) -> Value {
        self.ok(action, params).await["inventory"].take()
    }

    /// Makes a call that must fail.
    pub async fn fails(&self, action: &str, params: Value) -> Failure {
        let shown = params.to_string();
        match self.call(action, params).await {
            Ok(answer) => panic!("{action} {shown} went well: {answer}"),
            Err(failure) => failure,
        }
    }

    /// The rows of a query with these conditions.
    pub async fn list(&self, action: &str, conditions: &[&str]) -> Vec<Value> {
        let mut answer = self.ok(action, json!({ "q": conditions })).await;
        match answer["inventories"].take() {
            Value::Array(rows) => rows,
            other => panic!("{action} answered {other}"),
        }
    }

    /// The only row of a query for this uuid.
    pub async fn one(&self, action: &str, uuid: &str) -> Value {
        let mut rows = self.list(action, &[&format!("uuid={uuid}")]).await;
        assert_eq!(rows.len(), 1, "{action} of {uuid}");
        rows.remove(0)
    }

    /// What a call would do.
    pub async fn plan(&self, action: &str, params: Value) -> Result<Value, Failure> {
        let reply = self.with("x-cairn-plan", "true").send(action, params).await;
        if reply.status == 200 { Ok(reply.json()["plan"].take()) } else { Err(failure(reply)) }
    }

    /// Waits for the job of a 202; other answers are what they are.
    pub async fn settle(&self, first: Reply) -> Result<Value, Failure> {
        let mut reply = first;
        if reply.status == 202 {
            let location = reply.json()["location"].as_str().expect("a location").to_owned();
            reply = self.poll(&location).await;
        }
        if reply.status == 200 { Ok(reply.json()) } else { Err(failure(reply)) }
    }

    /// Polls a job until it ends. Without authorization, as some clients do.
    pub async fn poll(&self, location: &str) -> Reply {
        let (client, begun) = (self.without("authorization"), Instant::now());
        loop {
            let reply = client.raw("GET", location, None).await;
            if reply.status != 202 {
                return reply;
            }
            assert!(begun.elapsed() < PATIENCE, "the job {location} does not end");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(patience))
        .build();
    config.into()
}

fn failure(reply: Reply) -> Failure {
    Failure { status: reply.status, body: reply.text }
}

/// Address and body of a call.
fn request_of(op: &Operation, params: Value) -> (String, Option<String>) {
    let Value::Object(mut params) = params else { panic!("parameters are an object") };
    let tags = take_tags(op, &mut params);
    let built = build(op, params, tags);
    let mut path = format!("/zstack{}", encode_path(&built.path));
    if !built.query.is_empty() {
        path = format!("{path}?{}", encode_query(&built.query));
    }
    (path, built.body.map(|b| b.to_string()))
}
