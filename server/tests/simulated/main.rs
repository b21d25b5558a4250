//! Real processes: a server and `cairn-agent --simulate`, mutual TLS between them. Either is killed, and all hosts come back
//! (BEY-07, OPS-15).
//!
//! Not part of `cargo test`, since it needs the agent's program: `scripts/test.sh simulated`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_testkit::Api;
use serde_json::json;

const HOSTS: usize = 2000;

/// A child that is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(program: &Path, args: &[&str], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn();
        Self(child.unwrap_or_else(|e| panic!("{} can't be started: {e}; build it first", program.display())))
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Stage {
    folder: tempfile::TempDir,
    api: String,
    agents: String,
}

impl Stage {
    fn server(&self) -> Process {
        let data = self.folder.path().join("data");
        let args =
            ["--data-dir", data.to_str().unwrap(), "--api", &self.api, "--page", "127.0.0.1:0", "--agents"];
        let args = [&args[..], &[&self.agents]].concat();
        Process::start(Path::new(env!("CARGO_BIN_EXE_cairn-server")), &args, &self.log("server"))
    }

    fn agent(&self, more: &[&str]) -> Process {
        let program = Path::new(env!("CARGO_BIN_EXE_cairn-server")).with_file_name("cairn-agent");
        let (credentials, hosts) = (self.credentials(), HOSTS.to_string());
        let args = ["--simulate", &hosts, "--credentials", credentials.to_str().unwrap()];
        Process::start(&program, &[&args[..], more].concat(), &self.log("agent"))
    }

    fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    fn log(&self, of: &str) -> PathBuf {
        self.folder.path().join(format!("{of}.log"))
    }

    async fn admin(&self) -> Api {
        let api = Api::new(&self.api);
        for _ in 0..400 {
            if api.raw("GET", "/health", None).await.status == 200 {
                return api.log_in("admin", "password").await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not answer: {}", std::fs::read_to_string(self.log("server")).unwrap());
    }

    async fn until(&self, api: &Api, status: &str, wanted: usize) -> Duration {
        let began = Instant::now();
        loop {
            let query = json!({ "q": [format!("status={status}")], "count": "true" });
            let seen = api.ok("QueryHost", query).await["total"].as_u64().unwrap();
            if seen == wanted as u64 {
                return began.elapsed();
            }
            let agent = std::fs::read_to_string(self.log("agent")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(90), "{seen} are {status}, not {wanted}: {agent}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_two_thousand_hosts_come_back_after_kills_of_the_simulator_and_of_the_server() {
    let at = || format!("127.0.0.1:{}", free_port());
    let stage = Stage { folder: tempfile::tempdir().unwrap(), api: at(), agents: at() };
    let mut server = stage.server();
    let api = stage.admin().await;
    let zone = api.make("CreateZone", json!({ "name": "z" })).await;
    let cluster = json!({ "zoneUuid": zone["uuid"], "name": "c", "hypervisorType": "Simulator" });
    let cluster = api.make("CreateCluster", cluster).await;
    let answer = api.ok("AddSimulatorHosts", json!({ "clusterUuid": cluster["uuid"], "count": HOSTS })).await;
    std::fs::create_dir(stage.credentials()).unwrap();
    for agent in answer["agents"].as_array().unwrap() {
        let mut identity = agent.clone();
        for name in ["ca", "server", "serverName"] {
            identity[name] = answer[name].clone();
        }
        let file = format!("{}.json", agent["uuid"].as_str().unwrap());
        std::fs::write(stage.credentials().join(file), identity.to_string()).unwrap();
    }
    let mut agent = stage.agent(&[]);
    stage.until(&api, "Connected", HOSTS).await;
    agent.kill();
    stage.until(&api, "Disconnected", HOSTS).await;
    let mut agent = stage.agent(&[]);
    stage.until(&api, "Connected", HOSTS).await;
    server.kill();
    let mut server = stage.server();
    let api = stage.admin().await;
    // Their rows said so all the time; a command proves it.
    let last = answer["hostUuids"][HOSTS - 1].clone();
    api.ok("ReconnectHost", json!({ "uuid": last })).await;
    stage.until(&api, "Connected", HOSTS).await;
    // Both at once, and the faults of a simulation are seen here.
    server.kill();
    agent.kill();
    let _server = stage.server();
    let api = stage.admin().await;
    let first = answer["hostUuids"][0].as_str().unwrap().to_owned();
    let fault = format!("hypervisor:after=15s,for=6s,hosts={first}");
    let _agent =
        stage.agent(&["--latency", "host.facts=uniform:1ms..20ms", "--fault", &fault, "--heartbeat", "1s"]);
    let mut was_away = false;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let host = api.one("QueryHost", &first).await;
        match host["status"].as_str().unwrap() {
            "Connected" if was_away => break,
            "Connected" => {}
            _ => was_away |= host["statusReason"].as_str().is_some_and(|r| r.starts_with("AGENT.")),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(was_away, "the hypervisor was never missed");
    stage.until(&api, "Connected", HOSTS).await;
}
