//! Starting and stopping the installation.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::site::flat_network;

/// The installation and its first resources.
pub struct Lab {
    dir: tempfile::TempDir,
    bin: PathBuf,
    ports: Ports,
    server: Option<Child>,
    agent: Option<Child>,
    /// Client of the admin account.
    pub api: Api,
    /// Uuids of the first resources.
    pub world: World,
    /// SSH key for guests.
    pub key: PathBuf,
    /// The machine had libvirt before; else the one that was started is stopped at the end.
    has_libvirt: bool,
}

/// Uuids of the first resources.
#[derive(Default, Clone)]
pub struct World {
    /// Zone.
    pub zone: String,
    /// Cluster.
    pub cluster: String,
    /// This machine.
    pub host: String,
    /// Local primary storage.
    pub storage: String,
    /// Image store.
    pub store: String,
    /// One processor, 256 MiB.
    pub offering: String,
    /// L2 network.
    pub l2: String,
    /// L3 network.
    pub l3: String,
    /// Guest image.
    pub image: String,
}

struct Ports {
    api: u16,
    page: u16,
    agents: u16,
    images: u16,
}

/// Device of the guests' network; its other end keeps the gateway address.
const UPLINK: &str = "cairn-lab0";
/// First three parts of the guests' addresses.
pub const SUBNET: &str = "172.30.98";

/// A TCP port of this machine that nobody uses.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a program to its end; its output is in the error.
pub fn sh(program: &str, args: &[&str]) -> Result<String> {
    let out =
        Command::new(program).args(args).stdin(Stdio::null()).output().with_context(|| program.to_owned())?;
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "{program} {args:?}: {text}");
    Ok(text)
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// Where the programs are.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CAIRN_BIN") {
        return dir.into();
    }
    std::env::current_exe().ok().and_then(|p| p.ancestors().nth(2).map(Path::to_path_buf)).unwrap_or_default()
}

/// The small guest's image, built if there is none yet.
pub fn guest_image() -> Result<String> {
    match std::env::var("CAIRN_GUEST_IMAGE") {
        Ok(path) => Ok(path),
        Err(_) => Ok(sh(&root().join("scripts/guest-image.sh").to_string_lossy(), &[])?
            .lines()
            .last()
            .unwrap_or_default()
            .into()),
    }
}

impl Lab {
    /// Starts everything and makes the first resources.
    pub fn start() -> Result<Self> {
        let has_libvirt = sh("virsh", &["-q", "-c", "qemu:///system", "uri"]).is_ok();
        sh(&root().join("scripts/hypervisor.sh").to_string_lossy(), &["start"])?;
        make_uplink()?;
        let dir = tempfile::Builder::new().prefix("cairn-lab-").tempdir_in("/var/tmp")?;
        let ports =
            Ports { api: free_port()?, page: free_port()?, agents: free_port()?, images: free_port()? };
        let base = format!("http://127.0.0.1:{}", ports.api);
        let key = dir.path().join("id");
        sh("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()])?;
        let bin = bin_dir();
        let mut lab = Self {
            dir,
            bin,
            ports,
            server: None,
            agent: None,
            api: Api::new(&base),
            world: World::default(),
            key,
            has_libvirt,
        };
        lab.start_server()?;
        lab.start_agent()?;
        lab.api = lab.api.login("admin", "password")?;
        lab.first_resources()?;
        Ok(lab)
    }

    /// Folder of this installation.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Address of the page, where consoles are.
    pub fn page(&self) -> String {
        format!("127.0.0.1:{}", self.ports.page)
    }

    fn spawn(&self, name: &str, args: &[String]) -> Result<Child> {
        let log =
            File::options().create(true).append(true).open(self.dir.path().join(format!("{name}.log")))?;
        let program = self.bin.join(name);
        Command::new(&program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the program that runs the lab; it needs the server to take the guests away.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} can't be started; build it first", program.display()))
    }

    /// Starts the server and waits for its first answer.
    pub fn start_server(&mut self) -> Result<()> {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let dir = self.dir.path();
        let args = [
            "--data-dir".into(),
            dir.join("data").to_string_lossy().into_owned(),
            "--local-agent-dir".into(),
            dir.join("agent").to_string_lossy().into_owned(),
            "--api".into(),
            at(self.ports.api),
            "--page".into(),
            at(self.ports.page),
            "--agents".into(),
            at(self.ports.agents),
            "--agents-advertised".into(),
            at(self.ports.agents),
        ];
        self.server = Some(self.spawn("cairn-server", &args)?);
        let end = Instant::now() + Duration::from_secs(20);
        while self.api.raw("GET", "/management-nodes/ready", None, &[]).map(|a| a.status).unwrap_or(0) != 200
        {
            ensure!(Instant::now() < end, "the server does not answer: {}", self.log("cairn-server"));
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Starts the agent.
    pub fn start_agent(&mut self) -> Result<()> {
        let dir = self.dir.path().join("agent");
        std::fs::create_dir_all(&dir)?;
        let args = [
            "--dir".to_owned(),
            dir.to_string_lossy().into_owned(),
            "--image-store-port".into(),
            self.ports.images.to_string(),
        ];
        self.agent = Some(self.spawn("cairn-agent", &args)?);
        Ok(())
    }

    /// `kill -9` of the server.
    pub fn kill_server(&mut self) -> Result<()> {
        kill(self.server.take())
    }

    /// `kill -9` of the agent; guests go on.
    pub fn kill_agent(&mut self) -> Result<()> {
        kill(self.agent.take())
    }

    /// Process of the server, while it runs.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Process of the agent, while it runs.
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Child::id)
    }

    /// Kills libvirtd, lets `check` look at what follows, and starts it again. Only a libvirtd that this machine's scripts
    /// started is killed.
    pub fn restart_libvirtd(&mut self, check: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let script = root().join("scripts/hypervisor.sh").to_string_lossy().into_owned();
        sh(&script, &["stop"])?;
        let checked = check(self);
        sh(&script, &["start"])?;
        checked
    }

    /// The end of a program's log.
    pub fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn first_resources(&mut self) -> Result<()> {
        let uuid = |v: Value| v["uuid"].as_str().unwrap_or_default().to_owned();
        let api = self.api.clone();
        let mut w = World { zone: uuid(api.post("/zones", json!({ "name": "zone" }))?), ..World::default() };
        let cluster = json!({ "name": "cluster", "zoneUuid": w.zone, "hypervisorType": "KVM" });
        w.cluster = uuid(api.post("/clusters", cluster)?);
        let folder = |name: &str| self.dir.path().join(name).to_string_lossy().into_owned();
        let storage = json!({ "name": "local", "zoneUuid": w.zone, "url": folder("primary") });
        w.storage = uuid(api.post("/primary-storage/local-storage", storage)?);
        api.post(&format!("/clusters/{}/primary-storage/{}", w.cluster, w.storage), json!({}))?;
        let host = json!({ "name": "here", "clusterUuid": w.cluster, "managementIp": "127.0.0.1" });
        w.host = uuid(api.post("/cairn/hosts/local", host)?);
        api.wait_field("/hosts", &w.host, "status", "Connected", Duration::from_secs(30))?;
        let store = json!({ "name": "images", "url": folder("images"), "hostUuid": w.host });
        w.store = uuid(api.post("/cairn/backup-storage/local", store)?);
        api.post(&format!("/zones/{}/backup-storage/{}", w.zone, w.store), json!({}))?;
        let offering = json!({ "name": "tiny", "cpuNum": 1, "memorySize": 256 << 20 });
        w.offering = uuid(api.post("/instance-offerings", offering)?);
        (w.l2, w.l3) = flat_network(&api, &w.zone, &w.cluster, UPLINK, SUBNET)?;
        self.world = w;
        self.world.image =
            self.add_image("guest", &guest_image()?)?["uuid"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    /// Adds an image from a file of this machine.
    pub fn add_image(&self, name: &str, file: &str) -> Result<Value> {
        let folder = self.dir.path().join("import");
        std::fs::create_dir_all(&folder)?;
        let path = "/global-configurations/cairn/image.fileFolder/actions";
        self.api.act(path, "updateGlobalConfig", json!({ "value": folder.to_string_lossy() }))?;
        let copy = folder.join(Path::new(file).file_name().context("no file name")?);
        if Path::new(file) != copy {
            std::fs::copy(file, &copy).with_context(|| file.to_owned())?;
        }
        let image = json!({ "name": name, "url": format!("file://{}", copy.display()), "format": "qcow2",
            "mediaType": "RootVolumeTemplate", "platform": "Linux", "backupStorageUuids": [self.world.store] });
        self.api.post("/images", image)
    }

    /// Ends everything and takes it away.
    pub fn stop(mut self) -> Result<()> {
        for vm in self.api.list("/vm-instances", "").unwrap_or_default() {
            let uuid = vm["uuid"].as_str().unwrap_or_default();
            let _ = self.api.delete(&format!("/vm-instances/{uuid}"));
            let _ = self.api.act(&format!("/vm-instances/{uuid}/actions"), "expungeVmInstance", json!({}));
        }
        kill(self.server.take())?;
        kill(self.agent.take())?;
        let agent = self.bin.join("cairn-agent").to_string_lossy().into_owned();
        let dir = self.dir.path().join("agent").to_string_lossy().into_owned();
        let purged = sh(&agent, &["--dir", &dir, "--purge"]);
        let _ = sh("ip", &["link", "del", UPLINK]);
        if !self.has_libvirt {
            sh(&root().join("scripts/hypervisor.sh").to_string_lossy(), &["stop"])?;
        }
        purged.map(|_| ())
    }
}

impl Drop for Lab {
    /// What [`Lab::stop`] did not end, because the start failed or a case panicked.
    fn drop(&mut self) {
        let _ = kill(self.server.take());
        let _ = kill(self.agent.take());
    }
}

fn kill(child: Option<Child>) -> Result<()> {
    if let Some(mut child) = child {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn make_uplink() -> Result<()> {
    let peer = format!("{UPLINK}p");
    if !Path::new("/sys/class/net").join(UPLINK).exists() {
        sh("ip", &["link", "add", UPLINK, "type", "veth", "peer", "name", &peer])?;
        sh("ip", &["addr", "add", &format!("{SUBNET}.1/24"), "dev", &peer])?;
    }
    sh("ip", &["link", "set", UPLINK, "up"])?;
    if sh("ip", &["link", "set", &peer, "up"]).is_err() {
        bail!("the uplink of the lab can't be set up");
    }
    Ok(())
}
