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
const PID: &str = "systemctl show -P MainPID cairn-agent";

/// Which of these packages are not installed.
fn missing(machine: &Machine, packages: &str) -> String {
    let state = "dpkg-query -W -f '${db:Status-Status}'";
    machine.run(&format!(
        "for p in {packages}; do [ \"$({state} $p 2>/dev/null)\" = installed ] || echo $p; done"
    ))
}

fn wait_host(site: &Site, host: &str, status: &str, seconds: u64) -> Result<Value> {
    site.api.wait_field("/hosts", host, "status", status, Duration::from_secs(seconds))
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

#[test]
fn host_01_ops_02_add_kvm_host_installs_packages_and_runs_under_systemd() -> Result<()> {
    let site = Site::start()?;
    let mut machine = Machine::bare(1, &site.key)?;
    let packages = include_str!("../../../server/src/hardware/ssh/packages/host").replace('\n', " ");
    assert_eq!(
        missing(&machine, &packages).lines().count(),
        packages.split_whitespace().count() - 1,
        "it is not bare"
    );

    // Nowhere to install from: said, and nothing is left.
    machine.run("mv /etc/apt/sources.list /etc/apt/off");
    let refused = site.api.post("/hosts/kvm", site.host(&machine.address, json!({}))).unwrap_err();
    assert!(has_code(&refused, "HOST.8005"), "{refused:#}");
    assert_eq!((machine.run(LEFT), site.api.list("/hosts", "")?.len()), (String::new(), 0));
    machine.run("mv /etc/apt/off /etc/apt/sources.list");

    let began = Instant::now();
    let host = site.api.post("/hosts/kvm", site.host(&machine.address, json!({})))?;
    println!("  a bare machine was a host after {:.1} s", began.elapsed().as_secs_f32());
    assert_eq!(text(&host, "status"), "Connected");
    assert!(
        host["totalCpuCapacity"].as_i64() > Some(0) && host["totalMemoryCapacity"].as_i64() > Some(0),
        "{host}"
    );
    assert_eq!(missing(&machine, &packages), "");
    assert_eq!(machine.run("systemctl is-enabled cairn-agent libvirtd"), "enabled\nenabled");
    assert_eq!(machine.run("systemctl is-active cairn-agent libvirtd"), "active\nactive");
    assert_eq!(
        machine.run("stat -c %a /var/lib/cairn-agent/key.pem /var/lib/cairn-agent/agent.json"),
        "600\n600"
    );
    let host = uuid(&host);
    let vm = run_vm(&site, &machine, &host)?;

    // Killed: systemd starts it again, nothing is lost.
    let (agent, qemu) = (machine.run(PID), machine.run("pgrep -x qemu-system-x86"));
    assert!(!qemu.is_empty());
    machine.run("systemctl kill -s KILL cairn-agent");
    wait_host(&site, &host, "Disconnected", 10)?;
    wait_host(&site, &host, "Connected", 15)?;
    assert_ne!(machine.run(PID), agent);
    assert_eq!(machine.run("pgrep -x qemu-system-x86"), qemu);
    let wait_vm = |state: &str| {
        site.api.wait_field("/vm-instances", &uuid(&vm), "state", state, Duration::from_secs(20)).map(|_| ())
    };
    wait_vm("Running")?;

    // Booted again: it comes by itself, and says that its guests went off with it.
    machine.reboot()?;
    wait_vm("Stopped")?;
    wait_host(&site, &host, "Connected", 60)?;
    let vm = site.api.act(&format!("/vm-instances/{}/actions", uuid(&vm)), "startVmInstance", json!({}))?;
    guest_answers(&machine, &vm)?;

    site.api.delete(&format!("/vm-instances/{}", uuid(&vm)))?;
    site.api.act(&format!("/vm-instances/{}/actions", uuid(&vm)), "expungeVmInstance", json!({}))?;
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
    assert_eq!(
        machine.run("systemctl is-enabled cairn-agent; systemctl is-active cairn-agent"),
        "enabled\nactive"
    );
    assert_ne!(missing(&machine, "qemu-system-x86 libvirt-daemon"), "", "it got a hypervisor");
    let store = uuid(&store);
    site.api.post(&format!("/zones/{}/backup-storage/{store}", site.zone), json!({}))?;
    let image = uuid(&upload(&site, &store, &guest_image()?)?);
    let files = format!("find /srv/images -type f | grep -c {image}");
    assert_ne!(machine.run(&files), "0");

    let status = |wanted: &str| {
        site.api.wait_field("/backup-storage", &store, "status", wanted, Duration::from_secs(15)).map(|_| ())
    };
    machine.run("systemctl kill -s KILL cairn-agent");
    status("Disconnected")?;
    status("Connected")?;
    // Stopped and its program gone: it is deployed again.
    machine.run("systemctl stop cairn-agent; rm /var/lib/cairn-agent/cairn-agent");
    status("Disconnected")?;
    let back =
        site.api.act(&format!("/backup-storage/{store}/actions"), "reconnectBackupStorage", json!({}))?;
    ensure!(text(&back, "status") == "Connected", "{back}");

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
