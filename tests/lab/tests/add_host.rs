//! AddKVMHost against a real sshd on a machine of its own (HOST-01, HOST-02): a server and the second host only.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::Api;
use cairn_lab::api::has_code;
use serde_json::{Value, json};

const NET: &str = "172.30.97";

/// There is one cable.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server, and another machine at the end of a cable.
struct Site {
    dir: tempfile::TempDir,
    server: Child,
    second: Child,
    _hold: ChildStdin,
    pid: String,
    api: Api,
    cluster: String,
    key: PathBuf,
    agents_port: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        // SIGTERM lets its trap take the cable away.
        let _ = Command::new("kill").arg(self.second.id().to_string()).status();
        let _ = self.second.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

fn bin_dir() -> PathBuf {
    let beside = || std::env::current_exe().ok().and_then(|p| p.ancestors().nth(2).map(Path::to_path_buf));
    std::env::var_os("CAIRN_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Site {
    fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("cairn-add-host-").tempdir_in("/var/tmp")?;
        let key = dir.path().join("id");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status()?;
        ensure!(made.success(), "ssh-keygen failed");
        let script = root().join("tests/lab/second-host.sh");
        let mut second =
            Command::new(script).arg(NET).arg(&key).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let hold = second.stdin.take().context("no pipe")?;
        let mut pid = String::new();
        BufReader::new(second.stdout.take().context("no pipe")?).read_line(&mut pid)?;
        ensure!(!pid.trim().is_empty(), "the second host did not start");

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
        let mut site = Self {
            dir,
            server,
            second,
            _hold: hold,
            pid: pid.trim().into(),
            api,
            cluster: String::new(),
            key,
            agents_port,
        };
        let end = Instant::now() + Duration::from_secs(20);
        site.api = loop {
            match site.api.login("admin", "password") {
                Ok(api) => break api,
                Err(e) => ensure!(Instant::now() < end, "no login: {e:#}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let zone = site.api.post("/zones", json!({ "name": "z" }))?;
        let cluster = json!({ "name": "c", "zoneUuid": zone["uuid"], "hypervisorType": "KVM" });
        site.cluster = text(&site.api.post("/clusters", cluster)?, "uuid");
        Ok(site)
    }

    /// Runs a shell command on the second host.
    fn there(&self, command: &str) -> String {
        let out = Command::new("nsenter")
            .args(["-t", &self.pid, "-m", "-n", "-p", "-u", "sh", "-c", command])
            .output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    }

    fn add(&self, more: Value) -> Result<Value> {
        let mut params = json!({
            "name": "second", "clusterUuid": self.cluster, "managementIp": format!("{NET}.2"), "username": "root",
            "password": "right",
        });
        if let (Some(all), Value::Object(more)) = (params.as_object_mut(), more) {
            all.extend(more);
        }
        self.api.post("/hosts/kvm", params)
    }

    /// An addition that must fail with this code, quickly, and leave nothing.
    fn refused(&self, more: Value, code: &str) -> Result<String> {
        let began = Instant::now();
        let Err(e) = self.add(more.clone()) else { anyhow::bail!("{more} was not refused") };
        ensure!(has_code(&e, code) && has_code(&e, "HOST.1000"), "{more}: {code} is not in {e:#}");
        ensure!(self.api.list("/hosts", "")?.is_empty(), "{more} left a host");
        let left = self.there("ls /var/lib/cairn-agent 2>/dev/null; pgrep -x cairn-agent");
        ensure!(left.is_empty(), "{more} left {left}");
        println!("  {code} after {:.1} s: {e:#}", began.elapsed().as_secs_f32());
        Ok(format!("{e:#}"))
    }
}

fn text(v: &Value, name: &str) -> String {
    v[name].as_str().unwrap_or_default().to_owned()
}

#[test]
fn host_01_add_kvm_host_by_ssh_for_real() -> Result<()> {
    let _one = ONE_AT_A_TIME.lock();
    let site = Site::start()?;
    let host = site.add(json!({}))?;
    assert_eq!((text(&host, "status"), text(&host, "username")), ("Connected".into(), "root".into()));
    let uuid = text(&host, "uuid");
    let tags = site.api.list("/system-tags", &format!("q=resourceUuid={uuid}"))?;
    let tags: Vec<String> = tags.iter().map(|t| text(t, "tag")).collect();
    for tag in ["os::distribution::debian", "os::version::12", "os::release::bookworm"] {
        assert!(tags.iter().any(|t| t == tag), "{tag} in {tags:?}");
    }
    assert!(tags.iter().any(|t| t.starts_with("libvirt::version::")), "{tags:?}");
    let modes = site.there("stat -c %a /var/lib/cairn-agent/key.pem /var/lib/cairn-agent/agent.json");
    assert_eq!(modes, "600\n600");
    let twice = site.add(json!({})).unwrap_err();
    assert!(has_code(&twice, "HOST.8007"), "{twice:#}");
    let secrets = Command::new("grep").args(["-rlF", "right"]).arg(site.dir.path().join("data")).output()?;
    assert!(
        secrets.stdout.is_empty(),
        "the password lies open in {}",
        String::from_utf8_lossy(&secrets.stdout)
    );

    host_02(&site, &uuid)?;

    site.api.delete(&format!("/hosts/{uuid}"))?;
    let left = site.there("ls /var/lib/cairn-agent 2>/dev/null; pgrep -x cairn-agent");
    assert_eq!(left, "", "the agent is gone with its files");
    by_sudo_and_by_key(&site)
}

#[test]
fn host_01_what_is_wrong_with_an_address_a_login_or_a_machine_is_told() -> Result<()> {
    let _one = ONE_AT_A_TIME.lock();
    let site = &Site::start()?;
    site.refused(json!({ "password": "wrong" }), "HOST.8000")?;
    site.refused(json!({ "username": "nosuchuser" }), "HOST.8000")?;
    site.refused(json!({ "sshPort": 2 }), "HOST.8001")?;
    site.refused(json!({ "managementIp": format!("{NET}.77") }), "HOST.8001")?;
    site.refused(json!({ "managementIp": "no-such-host.invalid" }), "HOST.8001")?;
    site.refused(json!({ "username": "nobody2" }), "HOST.8002")?;
    site.refused(json!({ "password": "", "privateKey": "no key at all" }), "HOST.8000")?;

    site.there("cp /etc/os-release /etc/os-release.old; rm /etc/os-release; printf 'ID=centos\\nVERSION_ID=7\\n' >/etc/os-release");
    let said = site.refused(json!({}), "HOST.8003")?;
    assert!(said.contains("centos"), "{said}");
    site.there("mv /etc/os-release.old /etc/os-release");

    site.there("cp /var/lib/dpkg/status /tmp/status.second; sed -i '/^Package: genisoimage$/,/^$/d' /var/lib/dpkg/status; rm -rf /var/cache/apt/archives/*.deb");
    let said = site.refused(json!({}), "HOST.8005")?;
    assert!(said.contains("genisoimage"), "{said}");
    site.there("cp /tmp/status.second /var/lib/dpkg/status; rm /tmp/status.second");

    site.there("mount --bind /bin/false /usr/bin/qemu-system-x86_64");
    site.refused(json!({}), "HOST.8006")?;
    site.there("umount /usr/bin/qemu-system-x86_64");

    site.there(&format!(
        "nft add table inet test; nft add chain inet test out '{{ type filter hook output priority 0; }}'; \
        nft add rule inet test out tcp dport {} drop",
        site.agents_port
    ));
    site.refused(json!({}), "HOST.8004")?;
    site.there("nft delete table inet test");
    Ok(())
}

fn host_02(site: &Site, uuid: &str) -> Result<()> {
    let path = format!("/hosts/{uuid}/actions");
    // The agent died: it is started again over SSH.
    site.there("pkill -9 -x cairn-agent");
    site.api.wait_field("/hosts", uuid, "status", "Disconnected", Duration::from_secs(10))?;
    let host = site.api.act(&path, "reconnectHost", json!({}))?;
    assert_eq!(text(&host, "status"), "Connected");
    // A wrong new password changes nothing.
    let wrong = site
        .api
        .act(&format!("/hosts/kvm/{uuid}/actions"), "updateKVMHost", json!({ "password": "wrong" }))
        .unwrap_err();
    assert!(has_code(&wrong, "HOST.8000"), "{wrong:#}");
    assert_eq!(text(&site.api.get("/hosts", uuid)?, "status"), "Connected");
    // The right one is used at once.
    site.there("echo root:newer | chpasswd");
    let host = site.api.act(
        &format!("/hosts/kvm/{uuid}/actions"),
        "updateKVMHost",
        json!({ "password": "newer", "name": "renamed" }),
    )?;
    assert_eq!((text(&host, "status"), text(&host, "name")), ("Connected".into(), "renamed".into()));
    site.there("echo root:right | chpasswd");
    let host = site.api.act(
        &format!("/hosts/kvm/{uuid}/actions"),
        "updateKVMHost",
        json!({ "password": "right" }),
    )?;
    assert_eq!(text(&host, "status"), "Connected");
    Ok(())
}

fn by_sudo_and_by_key(site: &Site) -> Result<()> {
    let host = site.add(json!({ "username": "worker" }))?;
    assert_eq!(text(&host, "status"), "Connected");
    site.api.delete(&format!("/hosts/{}", text(&host, "uuid")))?;
    let key = std::fs::read_to_string(&site.key)?;
    let host = site.add(json!({ "password": "", "privateKey": key }))?;
    assert_eq!(text(&host, "status"), "Connected");
    site.api.delete(&format!("/hosts/{}", text(&host, "uuid")))?;
    let keys = std::fs::read_dir(site.dir.path().join("data/ssh"))?.filter_map(Result::ok);
    let keys: Vec<_> =
        keys.map(|f| f.file_name()).filter(|n| n.to_string_lossy().starts_with("key-")).collect();
    assert!(keys.is_empty(), "{keys:?}");
    Ok(())
}
