//! A host in memory: what it is made of and what it holds. Idle hosts are small, so that a million of them fit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use cairn_api::agent::host::HostFacts;
use cairn_api::agent::network::{ApplyBridge, ApplyGuard, ApplyL3};
use cairn_api::agent::storage::Capacity;
use cairn_api::agent::vm::{PowerState, VmOnHost, VmSpec};
use cairn_types::size::GIB;
use cairn_types::{Fault, Result, code};
use serde::{Deserialize, Serialize};

use crate::target::Common;

/// What a simulated host is made of. Hosts of the same make share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostShape {
    /// Logical processors.
    pub cpu_num: u32,
    /// Processor sockets.
    pub cpu_sockets: u32,
    /// Speed of a processor in MHz.
    pub cpu_mhz: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Size of the file system that holds all storage folders, in bytes.
    pub disk_bytes: u64,
    /// Bytes of it that are taken by others.
    pub disk_used_bytes: u64,
    /// `kvm` or `qemu`.
    pub accelerator: String,
    /// Network interfaces that can carry an L2 network.
    pub interfaces: Vec<String>,
}

impl Default for HostShape {
    fn default() -> Self {
        Self {
            cpu_num: 64,
            cpu_sockets: 2,
            cpu_mhz: 2600,
            memory_bytes: 256 * GIB,
            disk_bytes: 4096 * GIB,
            disk_used_bytes: 0,
            accelerator: "kvm".into(),
            interfaces: vec!["eth0".into(), "eth1".into()],
        }
    }
}

/// One host.
pub(crate) struct Host {
    pub(crate) common: Common,
    pub(crate) shape: Arc<HostShape>,
    /// Position in the order of creation; makes its address.
    pub(crate) number: u32,
    content: Option<Box<Content>>,
}

/// What a host holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) vms: BTreeMap<String, SimVm>,
    /// Those in its own folders.
    pub(crate) volumes: BTreeMap<String, SimVolume>,
    /// By the folder of each image in the cache of a primary storage.
    pub(crate) images: BTreeMap<String, SimCachedImage>,
    pub(crate) bridges: BTreeMap<String, ApplyBridge>,
    pub(crate) l3: BTreeMap<String, ApplyL3>,
    /// How strictly guests are guarded.
    pub(crate) guard: Option<ApplyGuard>,
    /// Folders of primary storages that were made.
    pub(crate) folders: BTreeSet<String>,
    /// Those of them that other hosts have too.
    pub(crate) shared_folders: BTreeSet<String>,
    /// Bytes that something else on the host has written.
    pub(crate) foreign_bytes: u64,
    /// Guests that do not listen when they are asked to shut down.
    pub(crate) stubborn: BTreeSet<String>,
}

/// A VM of a simulated host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimVm {
    /// What it does.
    pub state: PowerState,
    /// As it was started last.
    pub spec: VmSpec,
    /// Port of its VNC server while it is on.
    pub vnc_port: u16,
    /// How often it was started or restarted: tells a VM that was left alone from one that was not.
    pub starts: u32,
}

impl SimVm {
    /// Whether it holds its disks and taps.
    pub fn is_on(&self) -> bool {
        self.state != PowerState::Off
    }
}

/// A volume of a simulated host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimVolume {
    /// File.
    pub path: String,
    /// Folder of the primary storage.
    pub storage_path: String,
    /// `Root` or `Data`.
    pub r#type: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
    /// Bytes it takes.
    pub actual_bytes: u64,
    /// Cached image below it.
    pub image: Option<String>,
}

/// A cached image of a simulated host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimCachedImage {
    /// The image.
    pub image: String,
    /// File.
    pub path: String,
    /// Folder of the primary storage.
    pub storage_path: String,
    /// Bytes it takes.
    pub file_bytes: u64,
    /// Hex SHA-256.
    pub sha256: String,
    /// Virtual size in bytes, as far as it is known.
    pub size_bytes: u64,
}

/// Volumes in folders that hosts share: by folder, then by uuid.
pub type SharedVolumes = BTreeMap<String, BTreeMap<String, SimVolume>>;

impl Content {
    /// The volumes that the host reaches in its own folders and in those that it shares.
    pub(crate) fn reachable<'a>(
        &'a self,
        shared: &'a SharedVolumes,
    ) -> impl Iterator<Item = (&'a String, &'a SimVolume)> {
        let theirs = self.shared_folders.iter().filter_map(|folder| shared.get(folder));
        self.volumes.iter().chain(theirs.flatten())
    }

    /// The volumes among which those of a folder are.
    pub(crate) fn volumes_of<'a>(
        &'a mut self,
        shared: &'a mut SharedVolumes,
        folder: &str,
    ) -> &'a mut BTreeMap<String, SimVolume> {
        if self.shared_folders.contains(folder) {
            return shared.entry(folder.to_owned()).or_default();
        }
        &mut self.volumes
    }
}

impl Host {
    pub(crate) fn new(shape: Arc<HostShape>, number: u32) -> Self {
        Self { common: Common::default(), shape, number, content: None }
    }

    /// What it holds; `None` while that is nothing.
    pub(crate) fn content(&self) -> Option<&Content> {
        self.content.as_deref()
    }

    pub(crate) fn content_mut(&mut self) -> &mut Content {
        self.content.get_or_insert_default()
    }

    /// Management address: one per host out of 100.64.0.0/10.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let low = self.number.wrapping_add(1) & 0x003f_ffff;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) | low)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        let held = self.content().map_or(0, |c| {
            let volumes: u64 = c.volumes.values().map(|v| v.actual_bytes).sum();
            let images: u64 = c.images.values().map(|i| i.file_bytes).sum();
            volumes + images + c.foreign_bytes
        });
        held + self.shape.disk_used_bytes
    }

    pub(crate) fn capacity(&self) -> Capacity {
        let total_bytes = self.shape.disk_bytes;
        Capacity { total_bytes, available_bytes: total_bytes.saturating_sub(self.used_bytes()) }
    }

    /// Fails when fewer bytes are left on the disk.
    pub(crate) fn need_room(&self, bytes: u64) -> Result<()> {
        let left = self.capacity().available_bytes;
        if bytes <= left {
            return Ok(());
        }
        let text = format!(
            "{bytes} bytes are needed on the host's disk and {left} are left; free some or choose another host"
        );
        Err(Fault::new(code::AGENT_NO_SPACE, text).with("neededBytes", bytes).with("availableBytes", left))
    }

    pub(crate) fn list_vms(&self) -> Vec<VmOnHost> {
        let vms = self.content().into_iter().flat_map(|c| &c.vms);
        vms.map(|(vm, v)| VmOnHost { vm: vm.clone(), state: v.state }).collect()
    }

    pub(crate) fn facts(&self, uuid: &str) -> HostFacts {
        let shape = &self.shape;
        HostFacts {
            cpu_num: shape.cpu_num,
            cpu_sockets: shape.cpu_sockets,
            cpu_mhz: shape.cpu_mhz,
            cpu_model: "Simulated CPU".into(),
            memory_bytes: shape.memory_bytes,
            hvm_flag: if shape.accelerator == "kvm" { "vmx".into() } else { String::new() },
            accelerator: shape.accelerator.clone(),
            libvirt_version: "9.0.0".into(),
            qemu_version: "7.2.22".into(),
            qemu_img_version: "7.2.22".into(),
            os_distribution: "debian".into(),
            os_version: "12".into(),
            os_release: "bookworm".into(),
            hostname: format!("sim-{}", uuid.get(..8).unwrap_or(uuid)),
            addresses: vec![self.address().to_string()],
            interfaces: shape.interfaces.clone(),
            vms: self.list_vms(),
        }
    }

    /// The host lost power: guests are off, and everything that lives in memory only is gone.
    pub(crate) fn lose_power(&mut self) {
        let Some(content) = self.content.as_deref_mut() else { return };
        for vm in content.vms.values_mut() {
            vm.state = PowerState::Off;
        }
        content.bridges.clear();
        content.l3.clear();
    }
}
