//! A server alone, for tests that bring hosts to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::installation::{bin_dir, free_port};

/// A server with a zone and a cluster, and an SSH key.
pub struct Site {
    dir: tempfile::TempDir,
    server: Child,
    /// Client of the admin account.
    pub api: Api,
    /// Uuid of the zone.
    pub zone: String,
    /// Uuid of the cluster.
    pub cluster: String,
    /// A private key; its public half lies beside it.
    pub key: PathBuf,
    /// Where agents dial in.
    pub agents_port: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

impl Site {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("cairn-site-").tempdir_in("/var/tmp")?;
        let key = dir.path().join("id");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status()?;
        ensure!(made.success(), "ssh-keygen failed");
        let (api_port, page_port, agents_port) = (free_port()?, free_port()?, free_port()?);
        let log = File::create(dir.path().join("server.log"))?;
        let server = Command::new(bin_dir().join("cairn-server"))
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args(["--api", &format!("127.0.0.1:{api_port}"), "--page", &format!("127.0.0.1:{page_port}")])
            .args(["--agents", &format!("0.0.0.0:{agents_port}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cairn-server can't be started; build it first")?;
        let api = Api::new(&format!("http://127.0.0.1:{api_port}"));
        let mut site =
            Self { dir, server, api, zone: String::new(), cluster: String::new(), key, agents_port };
        let end = Instant::now() + Duration::from_secs(20);
        site.api = loop {
            match site.api.login("admin", "password") {
                Ok(api) => break api,
                Err(e) => ensure!(Instant::now() < end, "no login: {e:#}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        site.zone = uuid(&site.api.post("/zones", json!({ "name": "z" }))?);
        let cluster = json!({ "name": "c", "zoneUuid": site.zone, "hypervisorType": "KVM" });
        site.cluster = uuid(&site.api.post("/clusters", cluster)?);
        Ok(site)
    }

    /// Folder of the server's data and its log.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("server.log")).unwrap_or_default()
    }

    /// The private key, as a call wants it.
    pub fn private_key(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.key)?)
    }

    /// Parameters of `AddKVMHost` for a machine of the lab; `more` is merged into them.
    pub fn host(&self, address: &str, more: Value) -> Value {
        let mut params = json!({
            "name": address, "clusterUuid": self.cluster, "managementIp": address, "username": "root", "password": "right",
        });
        if let (Some(all), Value::Object(more)) = (params.as_object_mut(), more) {
            all.extend(more);
        }
        params
    }

    /// Files of the server, its log among them, in which a text stands.
    pub fn files_with(&self, text: &str) -> Result<String> {
        let out = Command::new("grep").args(["-rlF", "--", text]).arg(self.path().join("data")).output()?;
        let log = if self.log().contains(text) { "server.log" } else { "" };
        Ok(format!("{}{log}", String::from_utf8_lossy(&out.stdout)))
    }
}

/// The uuid of an inventory.
pub fn uuid(inventory: &Value) -> String {
    inventory["uuid"].as_str().unwrap_or_default().to_owned()
}

/// Makes a flat network with DHCP and metadata on a device of the hosts; gives the uuids of its L2 and L3.
pub fn flat_network(
    api: &Api,
    zone: &str,
    cluster: &str,
    device: &str,
    subnet: &str,
) -> Result<(String, String)> {
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": device });
    let l2 = uuid(&api.post("/l2-networks/no-vlan", l2)?);
    api.post(&format!("/l2-networks/{l2}/clusters/{cluster}"), json!({}))?;
    let l3 = uuid(&api.post("/l3-networks", json!({ "name": "flat", "l2NetworkUuid": l2 }))?);
    let range = json!({ "name": "range", "startIp": format!("{subnet}.10"), "endIp": format!("{subnet}.200"),
        "netmask": "255.255.255.0", "gateway": format!("{subnet}.1") });
    api.post(&format!("/l3-networks/{l3}/ip-ranges"), range)?;
    let providers = api.list("/network-services/providers", "q=type=Flat")?;
    let provider = uuid(providers.first().context("no flat provider")?);
    let services = json!({ "networkServices": { provider: ["DHCP", "Userdata"] } });
    api.post(&format!("/l3-networks/{l3}/network-services"), services)?;
    Ok((l2, l3))
}
