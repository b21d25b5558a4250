//! Clients: they make calls over HTTP, wait for their ends across restarts of the server, and judge the answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_testkit::{Api, Reply, TEST_PASSWORD};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// A call ends within this time, counted from when everything was mended.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the clients of a robot share.
pub struct Shared {
    /// Address of the server while it serves.
    pub address: watch::Sender<Option<String>>,
    /// The administrator.
    pub admin: Api,
    /// Calls of this stretch that have ended.
    pub done: AtomicUsize,
    state: Mutex<State>,
}

/// What they found out.
#[derive(Default)]
pub struct State {
    sessions: BTreeMap<String, Api>,
    /// What must not be: one line each.
    pub found: Vec<String>,
    /// Jobs that the server accepted.
    pub accepted: Vec<String>,
    /// Calls by operation: how many went well, and how many were refused.
    pub counts: BTreeMap<String, (usize, usize)>,
    /// How many answers had which code.
    pub codes: BTreeMap<String, usize>,
    providers: Option<String>,
}

/// One call.
pub struct Request<'a> {
    pub n: usize,
    pub who: &'a str,
    pub action: &'a str,
    pub params: &'a Value,
    pub job: &'a str,
    pub plan: bool,
}

impl Shared {
    /// Clients of the server at this address.
    pub fn new(admin: Api, address: &str) -> Self {
        Self {
            address: watch::channel(Some(address.to_owned())).0,
            admin,
            done: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// What was found out.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that must not be.
    pub fn found(&self, line: String) {
        self.state().found.push(line);
    }

    /// Makes a call and waits for its end.
    pub async fn call(&self, request: &Request<'_>) {
        let action = request.action;
        if let Some(reply) = self.to_the_end(request).await {
            let is_good = reply.status == 200 || reply.status == 202;
            if let Some(why) = judge(&reply) {
                self.found(format!("call {} {action}: {why}: {} {}", request.n, reply.status, reply.text));
            }
            let mut state = self.state();
            let counts = state.counts.entry(action.to_owned()).or_default();
            if is_good {
                counts.0 += 1;
            } else {
                counts.1 += 1;
                *state.codes.entry(format!("{action} {}", reply.code())).or_default() += 1;
            }
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    async fn to_the_end(&self, request: &Request<'_>) -> Option<Reply> {
        let params = self.resolve(request).await?;
        let end = Instant::now() + PATIENCE;
        let client = self.client(request.who).await?.with("x-job-uuid", request.job);
        let client = if request.plan { client.with("x-cairn-plan", "true") } else { client };
        let mut reply = self.here(&client).await.send(request.action, params).await;
        if reply.code() == cairn_types::code::INVALID_SESSION {
            // The account may have gone; its sessions with it.
            self.state().sessions.remove(request.who);
        }
        if reply.status == 202 {
            self.state().accepted.push(request.job.to_owned());
        }
        // The server was killed: its job tells whether it had taken the call.
        let mut is_lost = reply.status == 0;
        while reply.status == 202 || reply.status == 0 {
            if Instant::now() > end {
                self.found(format!("call {} {} does not end", request.n, request.action));
                return None;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            let path = format!("/zstack/v1/api-jobs/{}", request.job);
            reply = self.here(&self.admin).await.raw("GET", &path, None).await;
            is_lost |= reply.status == 0;
            if is_lost && reply.status == 404 {
                return None;
            }
        }
        Some(reply)
    }

    /// A client of the server where it serves now; waits while it serves nowhere.
    async fn here(&self, client: &Api) -> Api {
        let mut address = self.address.subscribe();
        let now = address.wait_for(Option::is_some).await.ok().and_then(|a| a.clone());
        client.at(&now.unwrap_or_default())
    }

    async fn client(&self, who: &str) -> Option<Api> {
        if who == "admin" {
            return Some(self.admin.clone());
        }
        if let Some(known) = self.state().sessions.get(who) {
            return Some(known.clone());
        }
        let nobody = self.here(&self.admin.without("authorization")).await;
        let client = nobody.log_in(who, TEST_PASSWORD).await.ok()?;
        self.state().sessions.insert(who.to_owned(), client.clone());
        Some(client)
    }

    /// Parameters with what stands for something replaced by what it is now. None: there is nothing.
    async fn resolve(&self, request: &Request<'_>) -> Option<Value> {
        let mut params = request.params.clone();
        if let Some(services) = params.get_mut("networkServices").and_then(Value::as_object_mut)
            && let Some(wanted) = services.remove("$flat")
        {
            services.insert(self.flat().await?, wanted);
        }
        let looked_up = params["uuid"].as_str().and_then(|u| u.strip_prefix('$')).map(str::to_owned);
        if let Some(what) = looked_up {
            let (sort, of) = what.split_once(':')?;
            let (query, condition) = match sort {
                "systemTag" => ("QuerySystemTag", format!("resourceUuid={of}")),
                "userTag" => ("QueryUserTag", format!("resourceUuid={of}")),
                _ => ("QueryCairnRun", format!("jobUuid={of}")),
            };
            params["uuid"] = json!(self.first(query, &condition).await?);
        }
        Some(params)
    }

    async fn first(&self, query: &str, condition: &str) -> Option<String> {
        let reply = self.here(&self.admin).await.send(query, json!({ "q": [condition] })).await;
        reply.json().pointer("/inventories/0/uuid").and_then(Value::as_str).map(str::to_owned)
    }

    async fn flat(&self) -> Option<String> {
        let known = self.state().providers.clone();
        if known.is_some() {
            return known;
        }
        let found = self.first("QueryNetworkServiceProvider", "type=Flat").await;
        self.state().providers = found.clone();
        found
    }
}

/// What is wrong with an answer, if anything is: every failure has a documented code and a text, and none is the server's own.
fn judge(reply: &Reply) -> Option<&'static str> {
    if reply.text.contains(&format!("\"{}\"", cairn_types::code::INTERNAL)) {
        return Some("an internal error");
    }
    if matches!(reply.status, 200 | 202) {
        return None;
    }
    if reply.status == 500 {
        return Some("the server failed");
    }
    let body = reply.json();
    let empty = Map::new();
    let error = body["error"].as_object().unwrap_or(&empty);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    if cairn_types::code::meaning(text("code")).is_empty() {
        return Some("no documented code");
    }
    if text("details").is_empty() { Some("no text") } else { None }
}
