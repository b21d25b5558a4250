//! Guests from start to end.

use std::time::{Duration, Instant};

use cairn_api::agent::AgentEvent;
use cairn_api::agent::host::ReadHostFacts;
use cairn_api::agent::network::{RemoveBridge, RemoveL3};
use cairn_api::agent::storage::DeleteVolume;
use cairn_api::agent::vm::{
    ListVms, PauseVm, PowerState, ReadConsole, RebootVm, RemoveVm, ResumeVm, StartVm, StopVm, VmSpec,
};

use crate::guest::{BRIDGE, Net, OUTSIDE, SERVICE, UPLINK};
use crate::server::{attempt, run};
use crate::sniff::Sniffer;

fn told(net: &Net, vm: &str, wanted: PowerState) -> bool {
    net.lab
        .events()
        .iter()
        .any(|e| matches!(e, AgentEvent::Vm { vm: v, state, .. } if v == vm && *state == wanted))
}

fn virsh_state(vm: &str) -> String {
    attempt("virsh", &["-q", "-c", "qemu:///system", "domstate", vm]).1.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_04_flat_01_flat_03_a_guest_lives_and_goes() {
    let mut net = Net::new().await;
    let spec = net.prepare(10, true).await;
    let began = Instant::now();
    let started = net.start(&spec).await;
    println!("start took {:?}", began.elapsed());
    assert_eq!(started.state, PowerState::Running);
    assert_eq!(net.start(&spec).await, started, "a second start changes nothing");
    assert!(started.vnc_port >= 5900);
    let console = net.lab.host(ReadConsole { vm: spec.vm.clone() }).await.unwrap();
    assert_eq!((console.address.as_str(), console.port), ("127.0.0.1", started.vnc_port));
    assert_eq!(virsh_state(&spec.vm), "running");
    net.until_ssh(10).await;
    println!("SSH after {:?}", began.elapsed());
    let lab = net.lab.clone();
    lab.until("the event of the start", || told(&net, &spec.vm, PowerState::Running)).await;

    lab.until("first boot is done", || net.ssh(10, "cat /root/user-data-ran").is_some()).await;
    assert_eq!(net.in_guest(10, "hostname").await.trim(), "guest-10");
    assert!(net.in_guest(10, "ip -4 addr show eth0").await.contains("10.77.0.10/24"));
    assert!(net.in_guest(10, "ip link show eth0").await.contains("mtu 1400"));
    let routes = net.in_guest(10, "ip route").await;
    assert!(
        routes.contains("default via 10.77.0.1")
            && routes.contains(&format!("169.254.169.254 via {SERVICE}")),
        "{routes}"
    );
    assert!(net.in_guest(10, "cat /etc/resolv.conf").await.contains("nameserver 10.77.0.1"));
    let meta =
        async |path: &str| net.in_guest(10, &format!("wget -q -O - http://169.254.169.254/{path}")).await;
    assert_eq!(meta("latest/meta-data/hostname").await, "guest-10");
    assert_eq!(meta("latest/meta-data/local-ipv4").await, "10.77.0.10");
    assert!(meta("openstack/latest/meta_data.json").await.contains("ssh-ed25519"));
    assert!(net.ssh(10, "wget -q -O - http://169.254.169.254/latest/nothing").is_none());

    lab.host(PauseVm { vm: spec.vm.clone() }).await.unwrap();
    assert_eq!(virsh_state(&spec.vm), "paused");
    lab.until("the event of the pause", || told(&net, &spec.vm, PowerState::Paused)).await;
    lab.host(ResumeVm { vm: spec.vm.clone() }).await.unwrap();
    net.in_guest(10, "true").await;

    let began = Instant::now();
    let stopped = lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 60_000 }).await.unwrap();
    println!("stop took {:?}", began.elapsed());
    assert!(!stopped.forced, "the guest goes by itself");
    lab.until("the event of the stop", || told(&net, &spec.vm, PowerState::Off)).await;
    leaves_nothing(&net, &spec);
    assert!(lab.host(ListVms {}).await.unwrap().is_empty());
    clean(net, &[&spec]).await;
}

fn leaves_nothing(net: &Net, spec: &VmSpec) {
    assert!(!attempt("virsh", &["-q", "-c", "qemu:///system", "domstate", &spec.vm]).0);
    assert!(!std::path::Path::new(&format!("/sys/class/net/{}", spec.nics[0].tap)).exists());
    assert!(!run("nft", &["list", "table", "bridge", "cairn_guard"]).contains(&spec.nics[0].mac));
    assert!(!net.lab.dir.join("agent/vms").join(&spec.vm).exists());
}

async fn clean(net: Net, specs: &[&VmSpec]) {
    let lab = &net.lab;
    for spec in specs {
        lab.host(RemoveVm { vm: spec.vm.clone() }).await.unwrap();
        lab.host(RemoveVm { vm: spec.vm.clone() }).await.unwrap();
        let volume = DeleteVolume {
            storage_path: lab.path("ps"),
            volume: spec.disks[0].volume.clone(),
            r#type: "Root".into(),
        };
        lab.host(volume).await.unwrap();
    }
    for _ in 0..2 {
        lab.host(RemoveL3 { l3_network: net.l3.clone() }).await.unwrap();
        lab.host(RemoveBridge { l2_network: net.l2.clone(), bridge: BRIDGE.into() }).await.unwrap();
    }
    let namespaces = run("ip", &["netns", "list"]);
    assert!(!namespaces.contains("cairn-"), "{namespaces}");
    assert!(!std::path::Path::new("/sys/class/net").join(BRIDGE).exists());
    assert!(std::path::Path::new("/sys/class/net").join(UPLINK).exists(), "the uplink is not ours to remove");
    assert!(!attempt("pgrep", &["-x", "dnsmasq"]).0, "no DHCP server is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_04_a_deaf_guest_is_powered_off_and_a_reboot_restarts() {
    let mut net = Net::new().await;
    let spec = net.prepare(11, false).await;
    net.start(&spec).await;
    // Right after its start nobody in the guest hears the power button.
    let began = Instant::now();
    let stopped = net.lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 1500 }).await.unwrap();
    assert!(stopped.forced && began.elapsed() >= Duration::from_millis(1500));
    leaves_nothing(&net, &spec);
    assert!(!net.lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 1500 }).await.unwrap().forced);

    net.start(&spec).await;
    net.until_ssh(11).await;
    let boot = async |net: &Net| net.in_guest(11, "cat /proc/sys/kernel/random/boot_id").await;
    let first = boot(&net).await;
    net.lab.host(RebootVm { spec: spec.clone(), grace_ms: 60_000 }).await.unwrap();
    net.until_ssh(11).await;
    assert_ne!(boot(&net).await, first);
    // Without grace: the reset button.
    let second = boot(&net).await;
    net.lab.host(RebootVm { spec: spec.clone(), grace_ms: 0 }).await.unwrap();
    net.lab
        .until_in(Duration::from_secs(90), "the guest is back", &mut || {
            net.ssh(11, "cat /proc/sys/kernel/random/boot_id").is_some_and(|b| b != second)
        })
        .await;
    let facts = net.lab.host(ReadHostFacts {}).await.unwrap();
    assert_eq!((facts.vms.len(), facts.accelerator.as_str()), (1, "qemu"));
    assert!(facts.libvirt_version.starts_with("9.") && facts.qemu_version.starts_with("7."), "{facts:?}");
    clean(net, &[&spec]).await;
}

const FORGED_MAC: [u8; 6] = [0xfa, 0x16, 0x3e, 0x77, 0x00, 0xee];

/// Forges an address, the services' address, a DHCP server and a hardware address, in this order, and takes each back.
/// In the background: SSH is cut off meanwhile.
async fn forge(net: &Net, n: u8) {
    let own = format!("fa:16:3e:77:00:{n:02x}");
    let script = format!(
        "(ip neigh replace 10.77.0.1 lladdr $(ip neigh show 10.77.0.1 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/') dev eth0; \
          ip addr add 10.77.0.99/32 dev eth0; ping -c 2 -W 1 -I 10.77.0.99 10.77.0.1; arping -c 2 -w 2 -I eth0 -s 10.77.0.99 10.77.0.1; \
          ip addr del 10.77.0.99/32 dev eth0; \
          ip addr add {SERVICE}/32 dev eth0; ping -c 2 -W 1 -I {SERVICE} 10.77.0.1; ip addr del {SERVICE}/32 dev eth0; \
          sleep 1; ip link set eth0 address fa:16:3e:77:00:ee; arping -c 2 -w 2 -I eth0 -s 10.77.0.{n} 10.77.0.1; \
          ping -c 2 -W 1 10.77.0.1; ip link set eth0 address {own}; touch /tmp/forged) >/dev/null 2>&1 </dev/null &"
    );
    net.in_guest(n, &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sg_03_forged_packets_of_a_guest_never_arrive() {
    let mut net = Net::new().await;
    let mut free = net.prepare(13, false).await;
    free.nics[0].anti_spoofing = false;
    let strict = net.prepare(12, false).await;
    for (spec, n, is_strict) in [(&free, 13, false), (&strict, 12, true)] {
        net.start(spec).await;
        net.until_ssh(n).await;
        let seen = Sniffer::at(OUTSIDE);
        forge(&net, n).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        net.lab
            .until("the guest has its own address again", || net.ssh(n, "cat /tmp/forged").is_some())
            .await;
        let (ip, mac) = (seen.count_ip([10, 77, 0, 99]), seen.count_mac(FORGED_MAC));
        println!(
            "guest with anti-spoofing {is_strict}: {ip} packets with a forged address, {mac} with a forged MAC"
        );
        assert_eq!(ip == 0, is_strict, "forged addresses pass exactly without anti-spoofing");
        assert_eq!(mac == 0, is_strict, "forged hardware addresses too");
        assert!(seen.count_ip([10, 77, 0, n]) > 0, "honest packets pass");
        // Whatever the setting: nobody speaks for the services, and no DHCP leaves or enters by the uplink.
        assert_eq!(seen.count_ip([10, 77, 0, 2]), 0);
        assert_eq!(seen.count_udp_port(67) + seen.count_udp_port(68), 0);
        net.lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 0 }).await.unwrap();
    }
    clean(net, &[&strict, &free]).await;
}

/// Without anti-spoofing a guest may send from any address, but the services know a guest by its own.
#[tokio::test(flavor = "multi_thread")]
async fn flat_03_a_guest_can_not_ask_for_the_metadata_of_another() {
    let mut net = Net::new().await;
    let mut thief = net.prepare(18, false).await;
    thief.nics[0].anti_spoofing = false;
    net.prepare(19, false).await;
    net.start(&thief).await;
    net.until_ssh(18).await;
    let ask = "wget -q -O - http://169.254.169.254/latest/meta-data/local-ipv4";
    assert_eq!(net.in_guest(18, ask).await, "10.77.0.18");
    let as_another = format!(
        "ip addr add 10.77.0.19/24 dev eth0; ip route replace 169.254.169.254 via {SERVICE} src 10.77.0.19; \
         ({ask} >/tmp/stolen & sleep 6; kill $!) 2>/dev/null; cat /tmp/stolen; \
         ip route replace 169.254.169.254 via {SERVICE} src 10.77.0.18; ip addr del 10.77.0.19/24 dev eth0"
    );
    assert_eq!(net.in_guest(18, &as_another).await, "", "the metadata of another guest");
    assert_eq!(net.in_guest(18, ask).await, "10.77.0.18");
    clean(net, &[&thief]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sg_03_flat_01_what_was_taken_away_from_a_network_is_made_again() {
    let mut net = Net::new().await;
    let spec = net.prepare(20, false).await;
    net.start(&spec).await;
    let (lab, tap) = (net.lab.clone(), spec.nics[0].tap.clone());
    let guarded = || attempt("nft", &["list", "set", "bridge", "cairn_guard", "guest"]).1.contains(&tap);
    let pid = || std::fs::read_to_string(format!("/run/cairn/l3/{}/pid", net.l3)).unwrap_or_default();
    assert!(guarded());
    run("nft", &["delete", "table", "bridge", "cairn_guard"]);
    let old = pid();
    run("kill", &["-9", old.trim()]);
    lab.until("the guard is back", guarded).await;
    lab.until("DHCP is back", || pid() != old && attempt("kill", &["-0", pid().trim()]).0).await;
    net.until_ssh(20).await;
    clean(net, &[&spec]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_01_dhcp_stays_on_the_host() {
    let mut net = Net::new().await;
    let spec = net.prepare(16, false).await;
    let seen = Sniffer::at(OUTSIDE);
    // The guest gets its address from us and from nobody outside, and nothing of that is seen outside.
    let rogue = Rogue::start();
    net.start(&spec).await;
    net.until_ssh(16).await;
    assert_eq!(seen.count_udp_port(67) + seen.count_udp_port(68), 0, "DHCP left by the uplink");
    assert_eq!(seen.count_ip([10, 77, 0, 2]), 0, "the service address left by the uplink");
    drop(rogue);
    // A lease that moves to another guest: the old owner's claim does not block it.
    let other = net.prepare(17, false).await;
    net.lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 0 }).await.unwrap();
    net.leases.retain(|l| l.ip != "10.77.0.17");
    net.leases[0].vm = other.vm.clone();
    net.leases[0].mac = other.nics[0].mac.clone();
    net.lab.host(net.wanted()).await.unwrap();
    let mut moved = other.clone();
    moved.nics[0].addresses = vec!["10.77.0.16".into()];
    net.start(&moved).await;
    net.until_ssh(16).await;
    clean(net, &[&spec, &moved]).await;
}

/// A DHCP server in the world outside that would give addresses to anybody.
struct Rogue(std::process::Child);

impl Rogue {
    fn start() -> Self {
        let args = [
            "--conf-file=/dev/null",
            "--keep-in-foreground",
            "--port=0",
            "--bind-interfaces",
            "--dhcp-authoritative",
            "--no-ping",
            "--dhcp-range=10.77.0.200,10.77.0.220,1h",
            "--leasefile-ro",
            "--pid-file=",
            &format!("--interface={OUTSIDE}"),
        ];
        Self(
            std::process::Command::new("dnsmasq")
                .args(args)
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_outlive_agent_and_libvirtd() {
    let mut net = Net::new().await;
    let spec = net.prepare(14, false).await;
    net.start(&spec).await;
    net.until_ssh(14).await;
    let boot = net.in_guest(14, "cat /proc/sys/kernel/random/boot_id").await;
    let lab = net.lab.clone();

    // The agent dies at once and comes back: everything stands, and metadata answers again.
    lab.kill_agent();
    net.in_guest(14, "true").await;
    assert!(run("nft", &["list", "table", "bridge", "cairn_guard"]).contains(&spec.nics[0].mac));
    run("nft", &["delete", "table", "bridge", "cairn_guard"]);
    run("pkill", &["-x", "dnsmasq"]);
    lab.start_agent().await;
    assert!(
        run("nft", &["list", "table", "bridge", "cairn_guard"]).contains(&spec.nics[0].mac),
        "the guard is made again"
    );
    assert!(attempt("pgrep", &["-x", "dnsmasq"]).0, "the DHCP server is started again");
    net.in_guest(14, "wget -q -O - http://169.254.169.254/latest/meta-data/hostname").await;
    let vms = lab.host(ListVms {}).await.unwrap();
    assert_eq!((vms.len(), vms[0].state), (1, PowerState::Running));

    // libvirtd dies: the server hears it, the guest does not.
    run("pkill", &["-KILL", "-x", "libvirtd"]);
    lab.until("the heartbeat tells", || {
        let seen = lab.seen.lock().unwrap();
        seen.failing.iter().any(|(target, f)| *target == lab.host && f.code == "AGENT.8006")
    })
    .await;
    let fault = lab.host(ListVms {}).await.unwrap_err();
    assert_eq!(fault.code, "AGENT.8006");
    net.in_guest(14, "true").await;
    restart_libvirtd();
    lab.until("the heartbeat is well again", || lab.seen.lock().unwrap().failing.is_empty()).await;
    assert_eq!(lab.host(ListVms {}).await.unwrap().len(), 1);
    assert_eq!(net.in_guest(14, "cat /proc/sys/kernel/random/boot_id").await, boot);

    // libvirtd hangs: noticed by its silence.
    run("pkill", &["-STOP", "-x", "libvirtd"]);
    lab.until("the silence is noticed", || !lab.seen.lock().unwrap().failing.is_empty()).await;
    run("pkill", &["-CONT", "-x", "libvirtd"]);
    lab.until("libvirtd is heard again", || lab.seen.lock().unwrap().failing.is_empty()).await;
    assert_eq!(lab.host(ListVms {}).await.unwrap().len(), 1);

    // The emulator dies while libvirtd is away: told when it is back.
    run("pkill", &["-KILL", "-x", "libvirtd"]);
    lab.until("the loss is noticed", || !lab.seen.lock().unwrap().failing.is_empty()).await;
    lab.seen.lock().unwrap().events.clear();
    run("pkill", &["-KILL", "-f", "qemu-system-x86_64"]);
    restart_libvirtd();
    lab.until("the end of the VM is told", || told(&net, &spec.vm, PowerState::Off)).await;
    lab.until("nothing is left", || {
        !lab.dir.join("agent/state/vms").join(format!("{}.json", spec.vm)).exists()
    })
    .await;
    leaves_nothing(&net, &spec);
    clean(net, &[&spec]).await;
}

fn restart_libvirtd() {
    let base = std::env::var("CAIRN_TEST_HOST").unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/hypervisor.sh");
    run(&script.to_string_lossy(), &["start", &format!("{base}/hypervisor")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_cost_little_over_bare_libvirt_and_failures_leave_nothing() {
    let mut net = Net::new().await;
    let mut spec = net.prepare(15, true).await;
    spec.disks[0].bytes_per_second = Some(20 << 20);
    spec.disks[0].iops = Some(700);
    let xml = net.lab.path("bare.xml");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let began = Instant::now();
        net.start(&spec).await;
        ours.push(began.elapsed().as_secs_f64() * 1000.0);
        let limits = run("virsh", &["-q", "-c", "qemu:///system", "blkdeviotune", &spec.vm, "vda"]);
        assert!(
            limits.contains("total_bytes_sec: 20971520") && limits.contains("total_iops_sec : 700"),
            "{limits}"
        );
        std::fs::write(&xml, run("virsh", &["-c", "qemu:///system", "dumpxml", "--inactive", &spec.vm]))
            .unwrap();
        net.lab.host(StopVm { vm: spec.vm.clone(), grace_ms: 0 }).await.unwrap();
        let text = std::fs::read_to_string(&xml).unwrap();
        let without_drive = remove_config_drive(&text);
        std::fs::write(&xml, without_drive).unwrap();
        let began = Instant::now();
        run("virsh", &["-q", "-c", "qemu:///system", "create", &xml]);
        bare.push(began.elapsed().as_secs_f64() * 1000.0);
        run("virsh", &["-q", "-c", "qemu:///system", "destroy", &spec.vm]);
    }
    let median = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    println!("start {:.0} ms, bare virsh create {:.0} ms", median(&mut ours), median(&mut bare));

    // A disk that is not there.
    let mut broken = spec.clone();
    broken.disks[0].path = net.lab.path("ps/no-such-file");
    let fault = net.lab.host(StartVm { spec: broken }).await.unwrap_err();
    assert_eq!(fault.code, "AGENT.8002");
    assert!(!fault.details.contains("no-such-file"), "paths are for operators: {}", fault.details);
    assert!(fault.operator.unwrap().contains("no-such-file"));
    leaves_nothing(&net, &spec);
    // A bridge that is not there.
    let mut broken = spec.clone();
    broken.nics[0].bridge = "nobridge".into();
    assert_eq!(net.lab.host(StartVm { spec: broken }).await.unwrap_err().code, "AGENT.8002");
    leaves_nothing(&net, &spec);
    let rss = resident_mib(net.lab.agent_pid());
    println!("the agent takes {rss} MiB");
    clean(net, &[&spec]).await;
}

fn remove_config_drive(xml: &str) -> String {
    let Some(at) = xml.find("device='cdrom'") else { return xml.to_owned() };
    let from = xml[..at].rfind("<disk").unwrap();
    let to = at + xml[at..].find("</disk>").unwrap() + "</disk>".len();
    format!("{}{}", &xml[..from], &xml[to..])
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
