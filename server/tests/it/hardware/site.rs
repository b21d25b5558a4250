//! A server in process with simulated hosts, called as a client would.

use std::sync::Arc;
use std::time::Duration;

use cairn_server::app::{App, Tuning};
use cairn_server::config::Config;
use cairn_server::dispatch::{Answer, Request, dispatch, poll};
use cairn_server::identity::password::client_digest;
use cairn_simhost::{SimCloud, SimHost};
use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Site {
    pub app: Arc<App>,
    pub machines: SimCloud,
    pub session: String,
    dir: TempDir,
    tuning: Tuning,
}

/// What a failed call answered.
#[derive(Debug)]
pub struct Failed(pub Value);

impl Failed {
    pub fn code(&self) -> &str {
        self.0.pointer("/error/code").and_then(Value::as_str).unwrap_or("none")
    }

    /// All codes, outermost first.
    pub fn codes(&self) -> Vec<String> {
        let mut codes = Vec::new();
        let mut next = self.0.get("error");
        while let Some(e) = next {
            codes.push(e["code"].as_str().unwrap_or_default().to_owned());
            next = e.get("cause");
        }
        codes
    }
}

impl Site {
    pub async fn new() -> Self {
        Self::tuned(Tuning::default()).await
    }

    pub async fn tuned(tuning: Tuning) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machines = SimCloud::new(7);
        let tuning = Tuning { fast_hash: true, machines: Some(machines.clone()), ..tuning };
        let app = App::start(Config::ephemeral(dir.path()), tuning.clone()).await.unwrap();
        let mut site = Self { app, machines, session: String::new(), dir, tuning };
        site.session = site.log_in("admin", "password").await;
        site
    }

    /// The server dies as if killed, and starts again without the fault harness; machines go on.
    pub async fn restart(&mut self) {
        self.app.engine.halt();
        self.tuning.probe = None;
        self.app = App::start(Config::ephemeral(self.dir.path()), self.tuning.clone()).await.unwrap();
    }

    pub async fn log_in(&self, account: &str, password: &str) -> String {
        let login =
            json!({ "logInByAccount": { "accountName": account, "password": client_digest(password) } });
        let answer = self.send("PUT", "/v1/accounts/login", login, "", false).await.unwrap();
        answer["inventory"]["uuid"].as_str().unwrap().to_owned()
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Value,
        session: &str,
        plan: bool,
    ) -> Result<Value, Failed> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            authorization: (!session.is_empty()).then(|| format!("OAuth {session}")),
            plan,
            host: "localhost:8080".into(),
            ..Request::default()
        };
        let mut answer = dispatch(&self.app, request).await;
        let mut job = String::new();
        for _ in 0..6000 {
            match answer {
                Answer::Accepted(id) => job = id,
                Answer::Json(202, _) => tokio::time::sleep(Duration::from_millis(10)).await,
                Answer::Json(200, value) => return Ok(value),
                Answer::Json(_, value) => return Err(Failed(value)),
                Answer::Text(status, text) => return Err(Failed(json!({ "status": status, "text": text }))),
            }
            answer = poll(&self.app, &job, false, None, std::time::Duration::ZERO).await;
        }
        panic!("{method} {path} did not end");
    }

    pub async fn post(&self, path: &str, params: Value) -> Result<Value, Failed> {
        self.send("POST", path, json!({ "params": params }), &self.session, false).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Failed> {
        self.send("PUT", path, body, &self.session, false).await
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.send("GET", path, Value::Null, &self.session, false).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Failed> {
        self.send("DELETE", path, Value::Null, &self.session, false).await
    }

    /// What a call would do.
    pub async fn plan(&self, method: &str, path: &str, body: Value) -> Result<Value, Failed> {
        self.send(method, path, body, &self.session, true).await.map(|a| a["plan"].clone())
    }

    /// A call of somebody else.
    pub async fn as_account(
        &self,
        session: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, Failed> {
        self.send(method, path, body, session, false).await
    }

    /// The one inventory of a uuid.
    pub async fn one(&self, path: &str, uuid: &str) -> Value {
        self.get(&format!("{path}/{uuid}")).await.unwrap()["inventories"][0].clone()
    }

    pub async fn zone(&self, name: &str) -> String {
        uuid(self.post("/v1/zones", json!({ "name": name })).await)
    }

    pub async fn cluster(&self, zone: &str, name: &str) -> String {
        let params = json!({ "zoneUuid": zone, "name": name, "hypervisorType": "Simulator" });
        uuid(self.post("/v1/clusters", params).await)
    }

    pub async fn host(&self, cluster: &str, ip: &str) -> String {
        uuid(self.post("/v1/hosts/simulators", host_params(cluster, ip)).await)
    }

    pub fn machine(&self, host: &str) -> SimHost {
        self.machines.host(host)
    }

    /// Waits until a host has this status; fails after ten seconds.
    pub async fn wait_status(&self, host: &str, status: &str) -> Value {
        let mut seen = Value::Null;
        for _ in 0..1000 {
            seen = self.one("/v1/hosts", host).await;
            if seen["status"] == status {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("host {host} did not become {status}: {seen}");
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &'static str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.app.store.read(move |tx| tx.query_int(&sql, &[])).await.unwrap()
    }

    /// Runs a statement on the database.
    pub async fn sql(&self, sql: &'static str) {
        self.app.store.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    }
}

pub fn host_params(cluster: &str, ip: &str) -> Value {
    json!({
        "clusterUuid": cluster, "name": format!("host {ip}"), "managementIp": ip,
        "cpuCapacity": 32, "memoryCapacity": 64_i64 << 30,
    })
}

pub fn uuid(answer: Result<Value, Failed>) -> String {
    answer.unwrap()["inventory"]["uuid"].as_str().unwrap().to_owned()
}
