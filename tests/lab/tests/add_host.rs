//! AddKVMHost against a real sshd on a machine of its own (HOST-01, HOST-02): a server and the second host only.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cairn_lab::api::has_code;
use cairn_lab::site::uuid;
use cairn_lab::{Machine, Site};
use serde_json::{Value, json};

const NET: &str = "172.30.97";

/// There is one cable.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server, and another machine at the end of a cable.
struct Pair {
    site: Site,
    second: Machine,
}

impl Pair {
    fn start() -> Result<Self> {
        let site = Site::start()?;
        let second = Machine::second_host(NET, &site.key)?;
        Ok(Self { site, second })
    }

    /// Runs a shell command on the second host.
    fn there(&self, command: &str) -> String {
        self.second.run(command)
    }

    fn add(&self, more: Value) -> Result<Value> {
        let mut params = self.site.host(&self.second.address, json!({ "name": "second" }));
        if let (Some(all), Value::Object(more)) = (params.as_object_mut(), more) {
            all.extend(more);
        }
        self.site.api.post("/hosts/kvm", params)
    }

    fn update(&self, host: &str, change: Value) -> Result<Value> {
        self.site.api.act(&format!("/hosts/kvm/{host}/actions"), "updateKVMHost", change)
    }

    /// The agent dies; over SSH it is started again.
    fn kill_and_reconnect(&self, host: &str) -> Result<()> {
        self.there("pkill -9 -x cairn-agent");
        self.site.api.wait_field("/hosts", host, "status", "Disconnected", Duration::from_secs(10))?;
        let back = self.site.api.act(&format!("/hosts/{host}/actions"), "reconnectHost", json!({}))?;
        ensure!(text(&back, "status") == "Connected", "{back}");
        Ok(())
    }

    /// Deletes a host, which leaves nothing on its machine.
    fn delete(&self, host: &str) -> Result<()> {
        self.site.api.delete(&format!("/hosts/{host}"))?;
        let left = self.there("ls /var/lib/cairn-agent 2>/dev/null; pgrep -x cairn-agent");
        ensure!(left.is_empty(), "the agent is not gone with its files: {left}");
        Ok(())
    }

    /// An addition that must fail with this code, quickly, and leave nothing.
    fn refused(&self, more: Value, code: &str) -> Result<String> {
        let began = Instant::now();
        let Err(e) = self.add(more.clone()) else { anyhow::bail!("{more} was not refused") };
        ensure!(has_code(&e, code) && has_code(&e, "HOST.1000"), "{more}: {code} is not in {e:#}");
        ensure!(self.site.api.list("/hosts", "")?.is_empty(), "{more} left a host");
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
    let pair = Pair::start()?;
    let site = &pair.site;
    let host = pair.add(json!({}))?;
    assert_eq!((text(&host, "status"), text(&host, "username")), ("Connected".into(), "root".into()));
    let host = uuid(&host);
    let tags = site.api.list("/system-tags", &format!("q=resourceUuid={host}"))?;
    let tags: Vec<String> = tags.iter().map(|t| text(t, "tag")).collect();
    for tag in ["os::distribution::debian", "os::version::12", "os::release::bookworm"] {
        assert!(tags.iter().any(|t| t == tag), "{tag} in {tags:?}");
    }
    assert!(tags.iter().any(|t| t.starts_with("libvirt::version::")), "{tags:?}");
    let modes = pair.there("stat -c %a /var/lib/cairn-agent/key.pem /var/lib/cairn-agent/agent.json");
    assert_eq!(modes, "600\n600");
    let twice = pair.add(json!({})).unwrap_err();
    assert!(has_code(&twice, "HOST.8007"), "{twice:#}");
    assert_eq!(site.files_with("right")?, "", "the password lies open");

    host_02(&pair, &host)?;
    pair.delete(&host)?;

    let host = pair.add(json!({ "username": "worker" }))?;
    assert_eq!(text(&host, "status"), "Connected");
    pair.delete(&uuid(&host))
}

#[test]
fn host_01_what_is_wrong_with_an_address_a_login_or_a_machine_is_told() -> Result<()> {
    let _one = ONE_AT_A_TIME.lock();
    let pair = Pair::start()?;
    pair.refused(json!({ "password": "wrong" }), "HOST.8000")?;
    pair.refused(json!({ "username": "nosuchuser" }), "HOST.8000")?;
    pair.refused(json!({ "sshPort": 2 }), "HOST.8001")?;
    pair.refused(json!({ "managementIp": format!("{NET}.77") }), "HOST.8001")?;
    pair.refused(json!({ "managementIp": "no-such-host.invalid" }), "HOST.8001")?;
    pair.refused(json!({ "username": "nobody2" }), "HOST.8002")?;
    pair.refused(json!({ "password": "", "privateKey": "no key at all" }), "HOST.8000")?;

    pair.there("cp /etc/os-release /etc/os-release.old; rm /etc/os-release; printf 'ID=centos\\nVERSION_ID=7\\n' >/etc/os-release");
    let said = pair.refused(json!({}), "HOST.8003")?;
    assert!(said.contains("centos"), "{said}");
    pair.there("mv /etc/os-release.old /etc/os-release");

    pair.there("cp /var/lib/dpkg/status /tmp/status.second; sed -i '/^Package: genisoimage$/,/^$/d' /var/lib/dpkg/status; rm -rf /var/cache/apt/archives/*.deb");
    let said = pair.refused(json!({}), "HOST.8005")?;
    assert!(said.contains("genisoimage"), "{said}");
    pair.there("cp /tmp/status.second /var/lib/dpkg/status; rm /tmp/status.second");

    pair.there("mount --bind /bin/false /usr/bin/qemu-system-x86_64");
    pair.refused(json!({}), "HOST.8006")?;
    pair.there("umount /usr/bin/qemu-system-x86_64");

    pair.there(&format!(
        "nft add table inet test; nft add chain inet test out '{{ type filter hook output priority 0; }}'; \
        nft add rule inet test out tcp dport {} drop",
        pair.site.agents_port
    ));
    pair.refused(json!({}), "HOST.8004")?;
    pair.there("nft delete table inet test");
    Ok(())
}

#[test]
fn host_02_a_private_key_is_kept_sealed_and_reaches_the_host_again() -> Result<()> {
    let _one = ONE_AT_A_TIME.lock();
    let pair = Pair::start()?;
    let key = pair.site.private_key()?;
    let host = pair.add(json!({ "password": "", "privateKey": key }))?;
    assert_eq!(text(&host, "status"), "Connected");
    let host = uuid(&host);
    pair.kill_and_reconnect(&host)?;

    // It is nowhere to be read: not in files, not in what the API shows.
    let line = key.lines().nth(1).unwrap();
    assert_eq!(pair.site.files_with(line)?, "", "the key lies open");
    let left = Command::new("find").arg(pair.site.path()).args(["-name", "key-*"]).output()?;
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    let shown = pair.site.api.get("/hosts", &host)?.to_string().to_lowercase();
    assert!(!shown.contains("privatekey") && !shown.contains("sealed"), "{shown}");

    // A key that does not fit changes nothing; a password alone takes its place, and a key that of the password.
    let other = pair.site.path().join("other");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status()?;
    assert!(made.success());
    let wrong = pair.update(&host, json!({ "privateKey": std::fs::read_to_string(&other)? })).unwrap_err();
    assert!(has_code(&wrong, "HOST.8000"), "{wrong:#}");
    pair.there("mv /etc/keys/root /etc/keys/root.off");
    assert_eq!(text(&pair.update(&host, json!({ "password": "right" }))?, "status"), "Connected");
    pair.there("mv /etc/keys/root.off /etc/keys/root; echo root:newer | chpasswd");
    assert_eq!(text(&pair.update(&host, json!({ "privateKey": key }))?, "status"), "Connected");

    // The key also takes the agent away.
    pair.delete(&host)
}

fn host_02(pair: &Pair, host: &str) -> Result<()> {
    // The agent died: it is started again over SSH.
    pair.kill_and_reconnect(host)?;
    // A wrong new password changes nothing.
    let wrong = pair.update(host, json!({ "password": "wrong" })).unwrap_err();
    assert!(has_code(&wrong, "HOST.8000"), "{wrong:#}");
    assert_eq!(text(&pair.site.api.get("/hosts", host)?, "status"), "Connected");
    // The right one is used at once.
    pair.there("echo root:newer | chpasswd");
    let now = pair.update(host, json!({ "password": "newer", "name": "renamed" }))?;
    assert_eq!((text(&now, "status"), text(&now, "name")), ("Connected".into(), "renamed".into()));
    pair.there("echo root:right | chpasswd");
    assert_eq!(text(&pair.update(host, json!({ "password": "right" }))?, "status"), "Connected");
    Ok(())
}
