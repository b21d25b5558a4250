//! Machines on which nothing of ours was ever installed, with systemd: what AddKVMHost and AddImageStoreBackupStorage do to
//! them by SSH, and what is left of it (HOST-01, HOST-05, OPS-02, BS-01).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_lab::api::has_code;
use cairn_lab::guest::text;
use cairn_lab::installation::{guest_image, sh};
use cairn_lab::site::{flat_network, uuid};
use cairn_lab::{Machine, Site};
use serde_json::{Value, json};

/// Everything that an agent may leave on a machine.
const LEFT: &str = "ls -d /var/lib/cairn-agent 2>/dev/null; pgrep -x 'cairn-agent|dnsmasq'; ip netns list; \
    systemctl list-unit-files --no-legend 'cairn*'; ls /etc/systemd/system/multi-user.target.wants | grep cairn; \
    nft list tables | grep -i cairn; ls /sys/class/net | grep -vx -e lo -e eth0 -e 'up0p*'";

/// Which of these packages are not installed.
fn missing(machine: &Machine, packages: &str) -> String {
    let state = "dpkg-query -W -f '${db:Status-Status}'";
    machine.run(&format!(
        "for p in {packages}; do [ \"$({state} $p 2>/dev/null)\" = installed ] || echo $p; done"
    ))
}

/// Kills the agent and waits until systemd has started it again, a second later: the server has seen it go by then.
fn kill_agent(machine: &Machine) -> Result<()> {
    let pid = "systemctl show -P MainPID cairn-agent";
    let old = machine.run(pid);
    machine.run("systemctl kill -s KILL cairn-agent");
    let is_new = format!("p=$({pid}); [ $p != 0 ] && [ $p != {old} ] && echo yes");
    machine.wait(&is_new, "yes", Duration::from_secs(15))
}

fn wait_host(site: &Site, host: &str, status: &str, seconds: u64) -> Result<Value> {
    site.api.wait_field("/hosts", host, "status", status, Duration::from_secs(seconds))
}

fn wait_vm(site: &Site, vm: &str, state: &str) -> Result<()> {
    site.api.wait_field("/vm-instances", vm, "state", state, Duration::from_secs(20)).map(|_| ())
}

/// Sends a file into an image store, as a user's browser or curl does.
fn upload(site: &Site, store: &str, file: &str) -> Result<Value> {
    let image = sh("cat", &["/proc/sys/kernel/random/uuid"])?.trim().replace('-', "");
    let params = json!({ "name": "guest", "url": format!("upload://{image}"), "resourceUuid": image,
        "format": "qcow2", "mediaType": "RootVolumeTemplate", "platform": "Linux", "backupStorageUuids": [store] });
    let opened = site.api.post("/images", params)?;
    let address = opened.pointer("/backupStorageRefs/0/installPath").and_then(Value::as_str);
    let (id, size) =
        (format!("X-IMAGE-UUID: {image}"), format!("X-IMAGE-SIZE: {}", std::fs::metadata(file)?.len()));
    sh(
        "curl",
        &["-sS", "-H", &id, "-H", &size, "-F", &format!("file=@{file}"), address.context("no address")?],
    )?;
    site.api.wait_field("/images", &image, "status", "Ready", Duration::from_secs(30))
}

/// A VM on the only host, with all that it needs; gives it when its guest answers at its SSH port.
fn run_vm(site: &Site, machine: &Machine, host: &str) -> Result<Value> {
    let (api, zone, cluster) = (&site.api, &site.zone, &site.cluster);
    let storage = json!({ "name": "local", "zoneUuid": zone, "url": "/srv/primary" });
    let storage = uuid(&api.post("/primary-storage/local-storage", storage)?);
    api.post(&format!("/clusters/{cluster}/primary-storage/{storage}"), json!({}))?;
    let store = json!({ "name": "images", "url": "/srv/images", "hostUuid": host });
    let store = uuid(&api.post("/cairn/backup-storage/local", store)?);
    api.post(&format!("/zones/{zone}/backup-storage/{store}"), json!({}))?;
    let image = upload(site, &store, &guest_image()?)?;
    let offering = json!({ "name": "tiny", "cpuNum": 1, "memorySize": 256 << 20 });
    let offering = uuid(&api.post("/instance-offerings", offering)?);
    let (_, l3) = flat_network(api, zone, cluster, "up0", "172.30.95")?;
    let vm = json!({ "name": "first", "instanceOfferingUuid": offering, "imageUuid": uuid(&image), "l3NetworkUuids": [l3] });
    let vm = api.post("/vm-instances", vm)?;
    guest_answers(machine, &vm)?;
    Ok(vm)
}

fn guest_answers(machine: &Machine, vm: &Value) -> Result<()> {
    let ip = vm["vmNics"][0]["ip"].as_str().context("the VM has no address")?;
    let knock = format!("timeout 2 bash -c ': </dev/tcp/{ip}/22' 2>/dev/null && echo yes");
    machine.wait(&knock, "yes", Duration::from_secs(180))
}

/// Adds a host where apt has nowhere to install from, which is said and leaves nothing; then where it has.
fn add_bare_host(site: &Site, machine: &Machine) -> Result<Value> {
    let packages = include_str!("../../../server/src/hardware/ssh/packages/host").replace('\n', " ");
    let (wanted, lacking) =
        (packages.split_whitespace().count(), missing(machine, &packages).lines().count());
    // It has iproute2 for its cable.
    ensure!(lacking == wanted - 1, "the machine is not bare: {lacking} of {wanted} packages are missing");
    machine.run("mv /etc/apt/sources.list /etc/apt/off");
    let Err(refused) = site.api.post("/hosts/kvm", site.host(&machine.address, json!({}))) else {
        anyhow::bail!("packages came from nowhere")
    };
    ensure!(has_code(&refused, "HOST.8005"), "{refused:#}");
    ensure!(machine.run(LEFT).is_empty() && site.api.list("/hosts", "")?.is_empty(), "it left something");
    machine.run("mv /etc/apt/off /etc/apt/sources.list");

    let began = Instant::now();
    let host = site.api.post("/hosts/kvm", site.host(&machine.address, json!({})))?;
    println!("  a bare machine was a host after {:.1} s", began.elapsed().as_secs_f32());
    ensure!(missing(machine, &packages).is_empty(), "not all packages were installed");
    Ok(host)
}

/// The agent is killed: systemd starts it again, nothing is lost.
fn comes_back_when_killed(site: &Site, machine: &Machine, host: &str, vm: &str) -> Result<()> {
    let qemu = machine.run("pgrep -x qemu-system-x86");
    ensure!(!qemu.is_empty(), "no guest runs");
    kill_agent(machine)?;
    wait_host(site, host, "Connected", 15)?;
    ensure!(machine.run("pgrep -x qemu-system-x86") == qemu, "the guest was lost with the agent");
    wait_vm(site, vm, "Running")
}

/// The machine boots again: the agent comes by itself, and says that its guests went off with it.
fn comes_back_when_booted(site: &Site, machine: &mut Machine, host: &str, vm: &str) -> Result<()> {
    machine.reboot()?;
    wait_vm(site, vm, "Stopped")?;
    wait_host(site, host, "Connected", 60)?;
    let vm = site.api.act(&format!("/vm-instances/{vm}/actions"), "startVmInstance", json!({}))?;
    guest_answers(machine, &vm)
}

#[test]
fn host_01_ops_02_add_kvm_host_installs_packages_and_runs_under_systemd() -> Result<()> {
    let site = Site::start()?;
    let mut machine = Machine::bare(1, &site.key)?;
    let host = add_bare_host(&site, &machine)?;
    assert_eq!(text(&host, "status"), "Connected");
    let (cpu, memory) = (host["totalCpuCapacity"].as_i64(), host["totalMemoryCapacity"].as_i64());
    assert!(cpu > Some(0) && memory > Some(0), "{host}");
    assert_eq!(machine.run("systemctl is-enabled cairn-agent libvirtd"), "enabled\nenabled");
    assert_eq!(machine.run("systemctl is-active cairn-agent libvirtd"), "active\nactive");
    let modes = machine.run("stat -c %a /var/lib/cairn-agent/key.pem /var/lib/cairn-agent/agent.json");
    assert_eq!(modes, "600\n600");

    let host = uuid(&host);
    let vm = uuid(&run_vm(&site, &machine, &host)?);
    comes_back_when_killed(&site, &machine, &host, &vm)?;
    comes_back_when_booted(&site, &mut machine, &host, &vm)?;

    site.api.delete(&format!("/vm-instances/{vm}"))?;
    site.api.act(&format!("/vm-instances/{vm}/actions"), "expungeVmInstance", json!({}))?;
    for store in site.api.list("/backup-storage", "")? {
        site.api.delete(&format!("/backup-storage/{}", uuid(&store)))?;
    }
    site.api.delete(&format!("/hosts/{host}"))?;
    assert_eq!(machine.run(LEFT), "");
    assert_eq!(
        machine.run("systemctl is-active libvirtd"),
        "active",
        "what the machine has for itself stays"
    );
    Ok(())
}

#[test]
fn host_01_several_bare_machines_are_added_at_once() -> Result<()> {
    let site = Site::start()?;
    let machines = [Machine::bare(2, &site.key)?, Machine::bare(3, &site.key)?];
    let by_key = json!({ "username": "worker", "privateKey": site.private_key()? });
    let calls = [json!({}), by_key].into_iter().zip(&machines);
    let begun: Vec<Value> = calls
        .map(|(more, m)| {
            let params = json!({ "params": site.host(&m.address, more) });
            Ok(site.api.start("POST", "/hosts/kvm", Some(params))?.body)
        })
        .collect::<Result<_>>()?;
    for (job, machine) in begun.iter().zip(&machines) {
        let done = site.api.wait(job, Duration::from_secs(180))?;
        assert_eq!(done["inventory"]["status"], "Connected", "{done}");
        assert_eq!(machine.run("systemctl is-active cairn-agent"), "active");
    }
    let both = site.api.list("/hosts", "")?;
    assert_eq!(both.len(), 2);
    for host in both {
        site.api.delete(&format!("/hosts/{}", uuid(&host)))?;
    }
    machines.iter().for_each(|m| assert_eq!(m.run(LEFT), ""));
    Ok(())
}

/// An agent that is killed comes back; one that is stopped and lost its program is deployed again.
fn store_comes_back(site: &Site, machine: &Machine, store: &str) -> Result<()> {
    let status = |wanted: &str| {
        site.api.wait_field("/backup-storage", store, "status", wanted, Duration::from_secs(15)).map(|_| ())
    };
    kill_agent(machine)?;
    status("Connected")?;
    machine.run("systemctl stop cairn-agent; rm /var/lib/cairn-agent/cairn-agent");
    status("Disconnected")?;
    let path = format!("/backup-storage/{store}/actions");
    let back = site.api.act(&path, "reconnectBackupStorage", json!({}))?;
    ensure!(text(&back, "status") == "Connected", "{back}");
    Ok(())
}

#[test]
fn bs_01_an_image_store_is_deployed_on_a_bare_machine() -> Result<()> {
    let site = Site::start()?;
    let machine = Machine::bare(4, &site.key)?;
    let began = Instant::now();
    let store = json!({ "name": "images", "hostname": machine.address, "username": "worker", "password": "right",
        "url": "/srv/images" });
    let store = site.api.post("/backup-storage/image-store", store)?;
    println!("  a bare machine was an image store after {:.1} s", began.elapsed().as_secs_f32());
    assert_eq!(text(&store, "status"), "Connected");
    assert!(store["totalCapacity"].as_i64() > Some(0), "{store}");
    let service = machine.run("systemctl is-enabled cairn-agent; systemctl is-active cairn-agent");
    assert_eq!(service, "enabled\nactive");
    assert_eq!(missing(&machine, "qemu-system-x86 libvirt-daemon"), "qemu-system-x86\nlibvirt-daemon");
    let store = uuid(&store);
    site.api.post(&format!("/zones/{}/backup-storage/{store}", site.zone), json!({}))?;
    let image = uuid(&upload(&site, &store, &guest_image()?)?);
    let files = format!("find /srv/images -type f | grep -c {image}");
    assert_ne!(machine.run(&files), "0");
    store_comes_back(&site, &machine, &store)?;

    // Its agent is not overwritten by that of a host.
    let taken = site.api.post("/hosts/kvm", site.host(&machine.address, json!({}))).unwrap_err();
    assert!(has_code(&taken, "HOST.8009"), "{taken:#}");
    assert_eq!(text(&site.api.get("/backup-storage", &store)?, "status"), "Connected");

    site.api.delete(&format!("/images/{image}"))?;
    site.api.act(&format!("/images/{image}/actions"), "expungeImage", json!({}))?;
    machine.wait(&files, "0", Duration::from_secs(10))?;
    site.api.delete(&format!("/backup-storage/{store}"))?;
    assert_eq!(machine.run(LEFT), "");
    Ok(())
}
