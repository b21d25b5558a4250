//! From [`VmSpec`] to libvirt's domain XML: a pure function. Golden files stand in `tests/golden`.

use std::fmt::Write as _;
use std::path::Path;

use cairn_api::agent::vm::{Disk, Nic, VmSpec};
use cairn_types::size::{GIB, MIB};
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

/// Smallest MTU of a guest's interface: answers of DHCP are as large. The guest is told the MTU of its network by DHCP.
const SMALLEST_MTU: u32 = 576;

/// Namespace of the mark by which the agent knows its own domains.
pub const MARK_URI: &str = "urn:cairn:vm:1";

/// What the host adds to a specification.
#[derive(Debug, Clone, Copy)]
pub struct HostSide<'a> {
    /// Guests run on KVM, else they are emulated.
    pub kvm: bool,
    /// ISO file with the config drive.
    pub config_drive: Option<&'a Path>,
}

/// Buses and models that a platform has drivers for (VM-25).
#[derive(Clone, Copy)]
struct Platform {
    virtio: bool,
    windows: bool,
}

impl Platform {
    fn of(spec: &VmSpec) -> Self {
        match spec.platform.as_str() {
            "Linux" | "Paravirtualization" => Self { virtio: true, windows: false },
            "WindowsVirtio" => Self { virtio: true, windows: true },
            "Windows" => Self { virtio: false, windows: true },
            // "Other", and whatever a newer server may know: hardware that everything has drivers for.
            _ => Self { virtio: false, windows: false },
        }
    }
}

/// An element under construction; text and structure are always escaped by the writer.
struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

fn el(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), text: None, children: Vec::new() }
}

impl Element {
    fn a(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    fn c(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    fn all(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, value.as_str()));
        }
        if self.text.is_none() && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if let Some(text) = &self.text {
            writer.write_event(Event::Text(BytesText::new(text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

/// The domain of a VM. Its name and uuid are the VM's uuid.
pub fn domain(spec: &VmSpec, host: HostSide<'_>) -> String {
    let platform = Platform::of(spec);
    let root = el("domain")
        .a("type", if host.kvm { "kvm" } else { "qemu" })
        .c(el("name").text(&spec.vm))
        .c(el("uuid").text(dashed(&spec.vm)))
        .c(el("title").text(clean(&spec.title)))
        .c(el("metadata").c(el("cairn:vm").a("xmlns:cairn", MARK_URI)))
        .c(el("memory").a("unit", "KiB").text(spec.memory_bytes / 1024))
        .c(el("vcpu").a("placement", "static").text(spec.cpu_num))
        .c(os(spec))
        .c(features(spec, host))
        .all(cpu(spec, host, platform))
        .c(clock(host, platform))
        .c(el("on_poweroff").text("destroy"))
        .c(el("on_reboot").text("restart"))
        .c(el("on_crash").text("destroy"))
        .c(el("pm").c(el("suspend-to-mem").a("enabled", "no")).c(el("suspend-to-disk").a("enabled", "no")))
        .c(devices(spec, host, platform));
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing into memory cannot fail.
    let _ = root.write(&mut writer);
    let mut xml = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    xml.push('\n');
    xml
}

fn os(spec: &VmSpec) -> Element {
    let boots = spec.boot.iter().filter(|b| matches!(b.as_str(), "hd" | "cdrom" | "network"));
    let menu = spec.boot_menu.then(|| el("bootmenu").a("enable", "yes").a("timeout", 3000));
    el("os")
        .c(el("type").a("arch", "x86_64").a("machine", "pc").text("hvm"))
        .all(boots.map(|b| el("boot").a("dev", b)))
        .all(menu)
}

fn features(spec: &VmSpec, host: HostSide<'_>) -> Element {
    let hidden = (spec.kvm_hidden && host.kvm).then(|| el("kvm").c(el("hidden").a("state", "on")));
    // The emulator's cache of translated code may grow to a gigabyte; small guests do as well with little.
    let cache_mib = match spec.memory_bytes {
        0..=0x3000_0000 => Some(32),
        m if m <= 2 * GIB => Some(128),
        _ => None,
    };
    let cache = cache_mib.filter(|_| !host.kvm).map(|n| el("tcg").c(el("tb-cache").a("unit", "MiB").text(n)));
    el("features").c(el("acpi")).c(el("apic")).all(hidden).all(cache)
}

fn cpu(spec: &VmSpec, host: HostSide<'_>, platform: Platform) -> Option<Element> {
    let mode = match (spec.cpu_mode.as_str(), host.kvm) {
        ("host-model", true) => Some("host-model"),
        ("host-passthrough", true) => Some("host-passthrough"),
        // Emulation has no host processor to pass through; this is all that it can do.
        ("host-model" | "host-passthrough", false) => Some("maximum"),
        _ => None,
    };
    let cpu = mode.map_or_else(|| el("cpu"), |m| el("cpu").a("mode", m));
    // Windows counts sockets against its licence, not cores.
    let topology = platform.windows && spec.cpu_num > 1;
    if mode.is_none() && !topology {
        return None;
    }
    let cores = el("topology").a("sockets", 1).a("dies", 1).a("cores", spec.cpu_num).a("threads", 1);
    Some(cpu.all(topology.then_some(cores)))
}

fn clock(host: HostSide<'_>, platform: Platform) -> Element {
    let clock = el("clock").a("offset", if platform.windows { "localtime" } else { "utc" });
    if !host.kvm {
        return clock;
    }
    clock
        .c(el("timer").a("name", "rtc").a("tickpolicy", "catchup"))
        .c(el("timer").a("name", "pit").a("tickpolicy", "delay"))
        .c(el("timer").a("name", "hpet").a("present", "no"))
}

fn devices(spec: &VmSpec, host: HostSide<'_>, platform: Platform) -> Element {
    let cd = |path: &str, target: &'static str| {
        el("disk")
            .a("type", "file")
            .a("device", "cdrom")
            .c(el("driver").a("name", "qemu").a("type", "raw"))
            .c(el("source").a("file", path))
            .c(el("target").a("dev", target).a("bus", "ide"))
            .c(el("readonly"))
    };
    el("devices")
        .all(spec.disks.iter().map(|d| disk(d, spec, platform)))
        .all(spec.iso.as_deref().map(|path| cd(path, "hdc")))
        .all(host.config_drive.map(|path| cd(&path.to_string_lossy(), "hdd")))
        .all(pointer(host))
        .all(spec.nics.iter().map(|n| nic(n, platform)))
        .c(el("serial").a("type", "pty").c(el("target").a("port", 0)))
        .c(el("console").a("type", "pty").c(el("target").a("type", "serial").a("port", 0)))
        .all(spec.guest_agent.then(|| {
            let target = el("target").a("type", "virtio").a("name", "org.qemu.guest_agent.0");
            el("channel").a("type", "unix").c(target)
        }))
        .c(el("graphics").a("type", "vnc").a("port", -1).a("autoport", "yes").a("listen", &spec.vnc_listen))
        .c(video(spec))
        .c(el("memballoon").a("model", "virtio").c(el("stats").a("period", 10)))
        .c(el("rng").a("model", "virtio").c(el("backend").a("model", "random").text("/dev/urandom")))
}

/// An absolute pointer for the console. Emulated guests go without USB: it costs them seconds at each start.
fn pointer(host: HostSide<'_>) -> Vec<Element> {
    if host.kvm {
        let controller = el("controller").a("type", "usb").a("index", 0).a("model", "piix3-uhci");
        return vec![controller, el("input").a("type", "tablet").a("bus", "usb")];
    }
    vec![el("controller").a("type", "usb").a("index", 0).a("model", "none")]
}

fn video(spec: &VmSpec) -> Element {
    let model = match spec.video.as_str() {
        "qxl" => el("model").a("type", "qxl").a("vram", 65536).a("heads", 1),
        "vga" => el("model").a("type", "vga").a("vram", 16384).a("heads", 1),
        _ => el("model").a("type", "cirrus").a("vram", 16384).a("heads", 1),
    };
    el("video").c(model)
}

fn disk(disk: &Disk, spec: &VmSpec, platform: Platform) -> Element {
    let letters = disk_letters(disk.device_id);
    // The two IDE places behind these belong to CD drives.
    let (target, bus) = match (platform.virtio, disk.device_id) {
        (true, _) => (format!("vd{letters}"), "virtio"),
        (false, 0..=1) => (format!("hd{letters}"), "ide"),
        (false, n) => (format!("sd{}", disk_letters(n - 2)), "sata"),
    };
    let cache = match spec.cache.as_str() {
        "writethrough" => "writethrough",
        "writeback" => "writeback",
        _ => "none",
    };
    let format = if disk.format == "raw" { "raw" } else { "qcow2" };
    let mut tune = el("iotune");
    for (name, limit) in [("total_bytes_sec", disk.bytes_per_second), ("total_iops_sec", disk.iops)] {
        tune = tune.all(limit.filter(|l| *l > 0).map(|l| el(name).text(l)));
    }
    let limited = !tune.children.is_empty();
    let serial: String = disk.volume.chars().take(20).collect();
    el("disk")
        .a("type", "file")
        .a("device", "disk")
        .c(el("driver").a("name", "qemu").a("type", format).a("cache", cache).a("discard", "unmap"))
        .c(el("source").a("file", &disk.path))
        .c(el("target").a("dev", target).a("bus", bus))
        .all(limited.then_some(tune))
        .c(el("serial").text(serial))
}

/// `a` to `z`, then `aa`, as in device names.
fn disk_letters(n: u32) -> String {
    let letter = |i: u32| char::from_u32(u32::from(b'a') + i % 26).unwrap_or('a');
    if n < 26 { letter(n).to_string() } else { format!("{}{}", letter(n / 26 - 1), letter(n)) }
}

fn nic(nic: &Nic, platform: Platform) -> Element {
    el("interface")
        .a("type", "bridge")
        .c(el("mac").a("address", &nic.mac))
        .c(el("source").a("bridge", &nic.bridge))
        .c(el("target").a("dev", &nic.tap))
        .c(el("model").a("type", if platform.virtio { "virtio" } else { "e1000" }))
        .c(el("mtu").a("size", nic.mtu.max(SMALLEST_MTU)))
}

/// A uuid with dashes, as libvirt writes it.
pub fn dashed(uuid: &str) -> String {
    let mut out = String::with_capacity(36);
    for (i, c) in uuid.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        let _ = out.write_char(c);
    }
    out
}

/// What is left of a text when everything is taken out that XML or libvirt refuse in a title.
fn clean(text: &str) -> String {
    let fits = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if fits(c) { c } else { ' ' }).take(255).collect()
}

/// The least memory that makes sense for a guest; libvirt would fail later with less to say.
pub const MIN_MEMORY: u64 = 4 * MIB;
