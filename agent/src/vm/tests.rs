use std::path::Path;
use std::sync::Mutex;

use cairn_api::agent::network::{Applied, ApplyBridge, ApplyGuard, ApplyL3, RemoveBridge};
use cairn_api::agent::vm::{ConfigDrive, Disk, Nic};

use super::testing::Fake;
use super::*;
use crate::drivers::{Answer, Ask, Call};

const VM: &str = "0189b2c3d4e57f60a1b2c3d4e5f60718";

fn nic() -> Nic {
    Nic {
        nic: "1".repeat(32),
        tap: "vnic1.0".into(),
        mac: "fa:16:3e:00:00:01".into(),
        bridge: "br_eth1".into(),
        l3_network: "2".repeat(32),
        addresses: vec!["10.0.0.5".into()],
        anti_spoofing: true,
        mtu: 1450,
    }
}

fn disk(n: u32) -> Disk {
    let volume = format!("0189b2c3d4e57f60a1b2c3d4e5f607{n:02x}");
    let path = format!("/cairn_ps/rootVolumes/{volume}/{volume}.qcow2");
    Disk { volume, path, format: "qcow2".into(), device_id: n, bytes_per_second: None, iops: None }
}

fn spec(platform: &str) -> VmSpec {
    VmSpec {
        vm: VM.into(),
        title: "web 1".into(),
        cpu_num: 2,
        memory_bytes: 512 << 20,
        platform: platform.into(),
        cpu_mode: "none".into(),
        video: "cirrus".into(),
        cache: "none".into(),
        kvm_hidden: false,
        boot_menu: false,
        boot: vec!["hd".into(), "cdrom".into()],
        disks: vec![disk(0)],
        iso: None,
        nics: vec![nic()],
        vnc_listen: "10.99.0.1".into(),
        guest_agent: true,
        config_drive: None,
    }
}

fn golden(name: &str, xml: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("CAIRN_BLESS").is_some() {
        std::fs::write(&path, xml).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == xml, "{name} differs; run with CAIRN_BLESS=1 and read the difference\n{xml}");
}

#[test]
fn domains_are_as_they_were() {
    let drive = Path::new("/var/lib/cairn/agent/vms/x/config.iso");
    let kvm = xml::HostSide { kvm: true, config_drive: None };
    let emulated = xml::HostSide { kvm: false, config_drive: Some(drive) };
    golden("linux-emulated.xml", &xml::domain(&spec("Linux"), emulated));
    golden("linux-kvm.xml", &xml::domain(&spec("Linux"), kvm));
    let windows = VmSpec {
        cpu_mode: "host-passthrough".into(),
        video: "vga".into(),
        kvm_hidden: true,
        ..spec("Windows")
    };
    golden("windows-kvm.xml", &xml::domain(&windows, kvm));
    golden(
        "windows-virtio-kvm.xml",
        &xml::domain(&VmSpec { cpu_mode: "host-model".into(), ..spec("WindowsVirtio") }, kvm),
    );
    let other = VmSpec {
        disks: (0..4).map(disk).collect(),
        iso: Some("/cairn_ps/imageCache/i/i.iso".into()),
        boot: vec!["cdrom".into(), "hd".into(), "network".into()],
        boot_menu: true,
        video: "qxl".into(),
        ..spec("Other")
    };
    golden("other-emulated.xml", &xml::domain(&other, xml::HostSide { kvm: false, config_drive: None }));
    let limited = Disk { bytes_per_second: Some(10 << 20), iops: Some(500), ..disk(0) };
    let limited = VmSpec {
        disks: vec![limited, disk(1)],
        cache: "writeback".into(),
        memory_bytes: 4 << 30,
        ..spec("Paravirtualization")
    };
    golden("off-01-limited.xml", &xml::domain(&limited, kvm));
}

#[test]
fn hostile_names_are_escaped() {
    let title = "</title><os>$(reboot)\n\0'\"&😀\u{fffe}".to_owned();
    let xml =
        xml::domain(&VmSpec { title, ..spec("Linux") }, xml::HostSide { kvm: true, config_drive: None });
    assert!(xml.contains("<title>&lt;/title&gt;&lt;os&gt;$(reboot)  "), "{xml}");
    assert!(xml.contains('😀') && !xml.contains('\0') && !xml.contains('\u{fffe}'));
}

#[test]
fn uuids_get_dashes() {
    assert_eq!(xml::dashed(VM), "0189b2c3-d4e5-7f60-a1b2-c3d4e5f60718");
}

#[derive(Default)]
struct FakeNetwork(Mutex<Vec<String>>);

impl HostNetwork for FakeNetwork {
    fn apply_bridge(&self, _: ApplyBridge) -> Answer<'_, Applied> {
        Box::pin(async { Ok(Applied { hash: String::new() }) })
    }
    fn remove_bridge(&self, _: RemoveBridge) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn apply_l3(&self, _: ApplyL3) -> Answer<'_, Applied> {
        Box::pin(async { Ok(Applied { hash: String::new() }) })
    }
    fn apply_guard(&self, _: ApplyGuard) -> Answer<'_, Applied> {
        Box::pin(async { Ok(Applied { hash: String::new() }) })
    }
    fn remove_l3<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn guard_vm<'a>(&'a self, vm: &'a str, _: &'a [Nic]) -> Answer<'a, ()> {
        self.0.lock().unwrap().push(vm.into());
        Box::pin(async { Ok(()) })
    }
    fn release_vm<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        self.0.lock().unwrap().retain(|v| v != vm);
        Box::pin(async { Ok(()) })
    }
}

struct Bench {
    _tmp: tempfile::TempDir,
    hypervisor: Arc<Fake>,
    network: Arc<FakeNetwork>,
    vms: Vms,
}

fn bench(fake: Fake) -> Bench {
    let tmp = tempfile::tempdir().unwrap();
    let dir = AgentDir::open(tmp.path()).unwrap();
    let (hypervisor, network) = (Arc::new(fake), Arc::new(FakeNetwork::default()));
    let vms = Vms::new(&dir, hypervisor.clone(), network.clone(), false).unwrap();
    Bench { _tmp: tmp, hypervisor, network, vms }
}

impl Bench {
    fn log(&self) -> String {
        self.hypervisor.log.lock().unwrap().join(" ")
    }
    fn guarded(&self) -> usize {
        self.network.0.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn vm_04_stop_grace_powers_off_after_timeout() {
    let b = bench(Fake::new(None));
    b.vms.start(spec("Linux")).await.unwrap();
    let stopped = b.vms.stop(VM, 12_000, &Call::silent()).await.unwrap();
    assert!(stopped.forced);
    assert_eq!(b.log(), "create GuestAgent PowerButton PowerButton PowerButton destroy");
    assert_eq!(b.guarded(), 0);
}

#[tokio::test(start_paused = true)]
async fn vm_04_a_guest_that_obeys_is_not_forced() {
    for how in [Ask::GuestAgent, Ask::PowerButton] {
        let b = bench(Fake::new(Some(how)));
        b.vms.start(spec("Linux")).await.unwrap();
        assert!(!b.vms.stop(VM, 10_000, &Call::silent()).await.unwrap().forced);
        assert!(!b.log().contains("destroy"));
        assert!(
            !b.vms.stop(VM, 10_000, &Call::silent()).await.unwrap().forced,
            "stopping twice is a success"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn vm_04_cold_stop_asks_nobody() {
    let b = bench(Fake::new(Some(Ask::GuestAgent)));
    b.vms.start(spec("Linux")).await.unwrap();
    assert!(b.vms.stop(VM, 0, &Call::silent()).await.unwrap().forced);
    assert_eq!(b.log(), "create destroy");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_stop_leaves_the_guest() {
    let b = bench(Fake::new(None));
    b.vms.start(spec("Linux")).await.unwrap();
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    let call = Call::new(cancelled, Arc::new(|_, _| ()));
    let stop = b.vms.stop(VM, 60_000, &call);
    let (stopped, ()) = tokio::join!(stop, async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        cancel.send_replace(true);
    });
    assert_eq!(stopped.unwrap_err().code, "RUN.8000");
    assert!(!b.log().contains("destroy"));
}

#[tokio::test(start_paused = true)]
async fn vm_04_reboot_starts_again_or_resets() {
    let b = bench(Fake::new(Some(Ask::PowerButton)));
    b.vms.start(spec("Linux")).await.unwrap();
    b.vms.reboot(spec("Linux"), 10_000, &Call::silent()).await.unwrap();
    assert_eq!(b.log(), "create GuestAgent PowerButton create");
    let b = bench(Fake::new(None));
    b.vms.start(spec("Linux")).await.unwrap();
    b.vms.reboot(spec("Linux"), 1_000, &Call::silent()).await.unwrap();
    assert!(b.log().ends_with("reset"));
    b.vms.reboot(VmSpec { cpu_num: 4, ..spec("Linux") }, 0, &Call::silent()).await.unwrap();
    assert!(b.log().ends_with("destroy create"), "a changed specification needs a new domain");
}

#[tokio::test]
async fn a_running_vm_is_left_alone_and_a_failed_start_leaves_nothing() {
    let b = bench(Fake::new(None));
    b.vms.start(spec("Linux")).await.unwrap();
    b.vms.start(spec("Linux")).await.unwrap();
    assert_eq!(b.log(), "create");
    let mut fake = Fake::new(None);
    fake.refuses_start = true;
    let b = bench(fake);
    let drive =
        ConfigDrive { hostname: "h".into(), ssh_keys: vec![], user_data: String::new(), meta: [].into() };
    let wanted = VmSpec { config_drive: Some(drive), ..spec("Linux") };
    assert_eq!(b.vms.start(wanted).await.unwrap_err().code, "AGENT.8002");
    assert_eq!(b.guarded(), 0);
    assert!(b.vms.guarded_nics().is_empty());
    assert!(!b.vms.folder.join(VM).exists());
}

#[tokio::test]
async fn wrong_specifications_are_refused() {
    let b = bench(Fake::new(None));
    let bad_tap = VmSpec { nics: vec![Nic { tap: "a b; reboot".into(), ..nic() }], ..spec("Linux") };
    let bad_path = VmSpec { iso: Some("/a/../etc/shadow".into()), ..spec("Linux") };
    let bad_vnc = VmSpec { vnc_listen: "' /><x".into(), ..spec("Linux") };
    for wrong in [bad_tap, bad_path, bad_vnc, VmSpec { cpu_num: 0, ..spec("Linux") }] {
        assert_eq!(b.vms.start(wrong).await.unwrap_err().code, "SYS.1007");
    }
    assert_eq!(b.log(), "");
}

#[tokio::test]
async fn pause_and_resume_are_idempotent_and_need_a_domain() {
    let b = bench(Fake::new(None));
    assert_eq!(b.vms.pause(VM).await.unwrap_err().code, "VM.1010");
    b.vms.start(spec("Linux")).await.unwrap();
    b.vms.pause(VM).await.unwrap();
    b.vms.pause(VM).await.unwrap();
    b.vms.resume(VM).await.unwrap();
    b.vms.resume(VM).await.unwrap();
    b.vms.remove(VM).await.unwrap();
    assert!(b.vms.guarded_nics().is_empty());
}

#[tokio::test]
async fn tidying_never_touches_a_vm_that_runs() {
    let b = bench(Fake::new(None));
    b.vms.start(spec("Linux")).await.unwrap();
    b.vms.tidy(VM).await;
    assert_eq!(b.guarded(), 1);
    b.hypervisor.off(VM);
    b.vms.tidy(VM).await;
    assert_eq!(b.guarded(), 0);
}
