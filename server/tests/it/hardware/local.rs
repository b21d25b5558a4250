//! The server's own machine as a host: its agent is played by a simulated one that obeys the agent's folder as a real one does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_server::app::App;
use cairn_types::{Fault, code};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::site::{Failed, Site, uuid};

/// The agent of the server's machine. It begins when its folder says who it is.
struct LocalAgent {
    task: JoinHandle<()>,
}

impl LocalAgent {
    fn start(site: &Site) -> Self {
        let (folder, app) = (folder(site), Arc::downgrade(&site.app));
        let machines = site.machines.clone();
        let task = tokio::spawn(async move {
            loop {
                let agent = enrolled(&folder).await;
                let it = machines.agent().uuid(&agent).redial(Duration::from_millis(5)).build();
                let dial = || dial(app.clone(), agent.clone());
                tokio::select! {
                    () = it.run(dial) => (),
                    () = replaced(&folder, &agent, &app) => (),
                }
            }
        });
        Self { task }
    }
}

impl Drop for LocalAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn dial(app: Weak<App>, agent: String) -> std::io::Result<tokio::io::DuplexStream> {
    let app = app.upgrade().ok_or(std::io::ErrorKind::NotConnected)?;
    let (ours, its) = tokio::io::duplex(64 << 10);
    app.agents.serve_internal(ours, agent);
    Ok(its)
}

fn folder(site: &Site) -> PathBuf {
    site.app.config.local_agent_dir.clone()
}

fn identity(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("agent.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["agent"].as_str().map(str::to_owned)
}

async fn enrolled(folder: &Path) -> String {
    loop {
        if let Some(agent) = identity(folder) {
            return agent;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A real agent reads its folder before it dials, not while it is connected.
async fn replaced(folder: &Path, agent: &str, app: &Weak<App>) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let is_connected = app.upgrade().is_some_and(|a| a.agents.is_dialled(agent));
        if !is_connected && identity(folder).as_deref() != Some(agent) {
            return;
        }
    }
}

async fn kvm_cluster(site: &Site) -> (String, String) {
    let zone = site.zone("z").await;
    let cluster = json!({ "zoneUuid": zone, "name": "c", "hypervisorType": "KVM" });
    let cluster = uuid(site.post("/v1/clusters", cluster).await);
    (zone, cluster)
}

async fn add_local(site: &Site, cluster: &str) -> Result<Value, Failed> {
    let host = json!({ "name": "here", "clusterUuid": cluster, "managementIp": "127.0.0.1" });
    site.post("/v1/cairn/hosts/local", host).await
}

async fn add_store(site: &Site, host: &str) -> String {
    let store = json!({ "name": "images", "url": "/images", "hostUuid": host });
    uuid(site.post("/v1/cairn/backup-storage/local", store).await)
}

async fn status(site: &Site, store: &str) -> String {
    let seen = site.one("/v1/backup-storage", store).await;
    format!("{} {}", seen["status"].as_str().unwrap(), seen["statusReason"].as_str().unwrap_or_default())
}

fn files(site: &Site) -> Vec<Option<String>> {
    let read = |name: &str| std::fs::read_to_string(folder(site).join(name)).ok();
    ["ca.pem", "cert.pem", "key.pem", "agent.json"].map(read).to_vec()
}

async fn reconnect(site: &Site, store: &str) {
    let action = json!({ "reconnectBackupStorage": {} });
    site.put(&format!("/v1/backup-storage/{store}/actions"), action).await.unwrap();
}

async fn delete_host(site: &Site, host: &str) {
    site.delete(&format!("/v1/hosts/{host}?deleteMode=Enforcing")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_this_machine_is_added_again_while_its_agent_serves_an_image_store() {
    let site = Site::new().await;
    let (_, cluster) = kvm_cluster(&site).await;
    let _agent = LocalAgent::start(&site);
    let host = uuid(add_local(&site, &cluster).await);
    let store = add_store(&site, &host).await;
    let before = files(&site);
    delete_host(&site, &host).await;
    assert_eq!(files(&site), before, "the agent that serves the store stays who it is");
    let host = uuid(add_local(&site, &cluster).await);
    assert_eq!(site.one("/v1/hosts", &host).await["status"], "Connected");
    assert_eq!(files(&site), before);
    assert_eq!(status(&site, &store).await, "Connected ");
    assert_eq!(site.count("agent").await, 1);
    let twice = add_local(&site, &cluster).await.unwrap_err();
    assert_eq!(twice.codes(), ["HOST.1000", "HOST.8007"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_a_failed_addition_of_this_machine_leaves_its_image_store_served() {
    let site = Site::new().await;
    let (_, cluster) = kvm_cluster(&site).await;
    let _agent = LocalAgent::start(&site);
    let host = uuid(add_local(&site, &cluster).await);
    let store = add_store(&site, &host).await;
    delete_host(&site, &host).await;
    let before = files(&site);
    site.machines.all().fail("host.facts", 1, Fault::new(code::AGENT_HYPERVISOR, "QEMU is broken"));
    let failed = add_local(&site, &cluster).await.unwrap_err();
    assert_eq!(failed.codes(), ["HOST.1000", "AGENT.8002"]);
    assert_eq!(files(&site), before);
    assert_eq!((site.count("agent").await, site.count("host").await), (1, 0));
    reconnect(&site, &store).await;
    assert_eq!(status(&site, &store).await, "Connected ");
    let host = uuid(add_local(&site, &cluster).await);
    assert_eq!(site.one("/v1/hosts", &host).await["status"], "Connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_an_identity_that_was_replaced_comes_back_when_the_addition_fails() {
    let site = Site::new().await;
    let (_, cluster) = kvm_cluster(&site).await;
    let agent = LocalAgent::start(&site);
    let host = uuid(add_local(&site, &cluster).await);
    let store = add_store(&site, &host).await;
    delete_host(&site, &host).await;
    // The agent's process is away while the machine is added: it gets a new certificate, and is the same agent.
    let name = identity(&folder(&site)).unwrap();
    drop(agent);
    while site.app.agents.is_dialled(&name) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = files(&site);
    site.machines.all().fail("host.facts", 1, Fault::new(code::AGENT_HYPERVISOR, "QEMU is broken"));
    let (failed, _agent) = tokio::join!(add_local(&site, &cluster), async {
        while files(&site) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        LocalAgent::start(&site)
    });
    assert_eq!(failed.unwrap_err().codes(), ["HOST.1000", "AGENT.8002"]);
    assert_eq!(files(&site), before);
    for _ in 0..500 {
        if status(&site, &store).await == "Connected " {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status(&site, &store).await, "Connected ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bs_01_a_store_of_this_machine_is_bound_to_its_present_agent_when_it_is_reconnected() {
    let site = Site::new().await;
    let (_, cluster) = kvm_cluster(&site).await;
    let agent = LocalAgent::start(&site);
    let host = uuid(add_local(&site, &cluster).await);
    let store = add_store(&site, &host).await;
    delete_host(&site, &host).await;
    drop(agent);
    // As an earlier version left it: the store names an agent whose identity nobody has any more.
    for file in ["agent.json", "key.pem", "cert.pem", "ca.pem"] {
        std::fs::remove_file(folder(&site).join(file)).unwrap();
    }
    site.sql("UPDATE backup_storage SET agent_uuid = NULL").await;
    site.sql("DELETE FROM agent").await;
    let _agent = LocalAgent::start(&site);
    let host = uuid(add_local(&site, &cluster).await);
    site.sql("INSERT INTO agent (uuid, fingerprint, local, create_ms) VALUES ('lost', 'x', 1, 1)").await;
    site.sql("UPDATE backup_storage SET agent_uuid = 'lost'").await;
    assert_ne!(status(&site, &store).await, "Connected ");
    reconnect(&site, &store).await;
    assert_eq!(status(&site, &store).await, "Connected ");
    assert_eq!(site.one("/v1/hosts", &host).await["status"], "Connected");
    assert_eq!(site.count("agent").await, 1, "agents that serve nothing are forgotten");
}
