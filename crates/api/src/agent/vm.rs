//! Operations on VM instances of a host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, agent_op};

/// What a domain is doing, as the hypervisor sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    /// Executing, or about to.
    Running,
    /// In memory but not executing.
    Paused,
    /// Not there, or defined and off.
    Off,
}

/// A VM that a host knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmOnHost {
    /// The VM's uuid.
    pub vm: String,
    /// What it does.
    pub state: PowerState,
}

/// Everything needed to run a VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmSpec {
    /// The VM's uuid; also the domain's name and uuid.
    pub vm: String,
    /// The user's name for it, for the domain's title. Never trusted.
    pub title: String,
    /// Virtual processors.
    pub cpu_num: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// `Linux`, `Windows`, `WindowsVirtio`, `Other`, `Paravirtualization` (VM-25).
    pub platform: String,
    /// `none`, `host-model`, `host-passthrough` (setting `vm.cpuMode`).
    pub cpu_mode: String,
    /// `cirrus`, `vga`, `qxl` (setting `vm.videoType`).
    pub video: String,
    /// `none`, `writethrough`, `writeback` (setting `vm.cacheMode`).
    pub cache: String,
    /// Hide the KVM signature from the guest.
    pub kvm_hidden: bool,
    /// Show the BIOS boot menu.
    pub boot_menu: bool,
    /// `hd`, `cdrom`, `network` in order.
    pub boot: Vec<String>,
    /// Disks, the root volume first.
    pub disks: Vec<Disk>,
    /// Path of an ISO in the CD drive.
    #[serde(default)]
    pub iso: Option<String>,
    /// Network interfaces.
    pub nics: Vec<Nic>,
    /// Address on which the VNC server listens: the host's management address.
    pub vnc_listen: String,
    /// Give the guest agent its channel.
    pub guest_agent: bool,
    /// Contents of the config drive; none: no drive.
    #[serde(default)]
    pub config_drive: Option<ConfigDrive>,
}

/// A disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The volume's uuid; its first 20 characters become the serial number.
    pub volume: String,
    /// File on the host.
    pub path: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// Position: 0 is the root volume.
    pub device_id: u32,
    /// Total bytes per second; none: no limit (OFF-01).
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Total operations per second; none: no limit.
    #[serde(default)]
    pub iops: Option<u64>,
}

/// A network interface of a VM. Any number of addresses, of both families.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// The NIC's uuid.
    pub nic: String,
    /// Name of the tap device on the host, at most 15 bytes.
    pub tap: String,
    /// `fa:…` hardware address.
    pub mac: String,
    /// Bridge of the L2 network.
    pub bridge: String,
    /// The L3 network's uuid.
    pub l3_network: String,
    /// Addresses the guest may use; anti-spoofing lets only these pass.
    pub addresses: Vec<String>,
    /// Refuse packets with another MAC, IP or ARP sender (setting `vm.cleanTraffic`, SG-03).
    pub anti_spoofing: bool,
    /// MTU of the interface.
    pub mtu: u32,
}

/// Files of the config drive (label `config-2`) and of the metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigDrive {
    /// Host name in the guest.
    pub hostname: String,
    /// Public SSH keys.
    pub ssh_keys: Vec<String>,
    /// User data, as the user gave it.
    pub user_data: String,
    /// Further metadata by key.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// Start a VM. Done when the hypervisor says that it runs. A VM that runs already is left alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartVm {
    /// What to run.
    pub spec: VmSpec,
}
agent_op!(StartVm => "vm.start", VmStarted, 120_000);

/// Evidence of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmStarted {
    /// `Running` or `Paused`.
    pub state: PowerState,
    /// TCP port of the VNC server.
    pub vnc_port: u16,
}

/// Stop a VM. Done when it is off. One that is off already, or unknown, is a success.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopVm {
    /// The VM.
    pub vm: String,
    /// Ask the guest first and wait this long, in milliseconds; 0: power off at once.
    pub grace_ms: u64,
}
agent_op!(StopVm => "vm.stop", VmStopped, 300_000);

/// How a VM went off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStopped {
    /// True when the guest did not go by itself in time and was powered off.
    pub forced: bool,
}

/// Restart the guest: ask it, and reset it if it does not go in time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebootVm {
    /// What to run afterwards.
    pub spec: VmSpec,
    /// Wait this long for the guest, in milliseconds.
    pub grace_ms: u64,
}
agent_op!(RebootVm => "vm.reboot", VmStarted, 300_000);

/// Suspend execution; memory stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseVm {
    /// The VM.
    pub vm: String,
}
agent_op!(PauseVm => "vm.pause", Done);

/// Go on after a pause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResumeVm {
    /// The VM.
    pub vm: String,
}
agent_op!(ResumeVm => "vm.resume", Done);

/// Power off and remove everything of the VM on the host but its volumes: domain, taps, rules, config drive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveVm {
    /// The VM.
    pub vm: String,
}
agent_op!(RemoveVm => "vm.remove", Done, 60_000);

/// List all VMs of ours on the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListVms {}
agent_op!(ListVms => "vm.list", Vec<VmOnHost>);

/// Where a VM's console listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadConsole {
    /// The VM.
    pub vm: String,
}
agent_op!(ReadConsole => "vm.console", ConsoleAddress);

/// A VNC server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleAddress {
    /// Address on the host.
    pub address: String,
    /// TCP port.
    pub port: u16,
}
