//! Everything that is on the machines at one moment: for checks that nothing was left behind, and that what runs is what
//! should run.

use std::collections::{BTreeMap, HashMap};

use cairn_api::agent::network::{ApplyBridge, ApplyL3};
use serde::Serialize;

use crate::host::{Content, SharedVolumes, SimCachedImage, SimVm, SimVolume};
use crate::image_store::SimImage;
use crate::world::World;

/// All machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudSnapshot {
    /// Hosts that hold anything.
    pub hosts: BTreeMap<String, HostSnapshot>,
    /// Volumes in folders that hosts share: by folder, then by uuid.
    pub shared_volumes: SharedVolumes,
    /// Images of every image store.
    pub image_stores: BTreeMap<String, BTreeMap<String, SimImage>>,
}

/// One host.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSnapshot {
    /// VMs, running or not.
    pub vms: BTreeMap<String, SimVm>,
    /// Volumes in its own folders.
    pub volumes: BTreeMap<String, SimVolume>,
    /// Cached images by their folders.
    pub cached_images: BTreeMap<String, SimCachedImage>,
    /// Bridges by L2 network.
    pub bridges: BTreeMap<String, ApplyBridge>,
    /// Services by L3 network.
    pub l3_networks: BTreeMap<String, ApplyL3>,
}

impl HostSnapshot {
    pub(crate) fn of(content: &Content) -> Self {
        Self {
            vms: content.vms.clone(),
            volumes: content.volumes.clone(),
            cached_images: content.images.clone(),
            bridges: content.bridges.clone(),
            l3_networks: content.l3.clone(),
        }
    }
}

impl CloudSnapshot {
    pub(crate) fn of(world: &World) -> Self {
        let hosts = world
            .hosts
            .iter()
            .filter_map(|(uuid, h)| Some((uuid.to_string(), HostSnapshot::of(h.content()?))));
        let stores = world.stores.iter().map(|(uuid, s)| (uuid.to_string(), s.images.clone()));
        Self {
            hosts: hosts.filter(|(_, h)| *h != HostSnapshot::default()).collect(),
            shared_volumes: world.shared.clone(),
            image_stores: stores.collect(),
        }
    }

    /// One line for every VM, volume, cached image, bridge, L3 service and image that is there.
    pub fn leftovers(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (host, h) in &self.hosts {
            let mut add = |kind: &str, uuids: Vec<&String>| {
                lines.extend(uuids.iter().map(|uuid| format!("host {host}: {kind} {uuid}")));
            };
            add("VM", h.vms.keys().collect());
            add("volume", h.volumes.keys().collect());
            add("cached image", h.cached_images.keys().collect());
            add("bridge of L2 network", h.bridges.keys().collect());
            add("services of L3 network", h.l3_networks.keys().collect());
            for (l3, services) in &h.l3_networks {
                lines.extend(
                    services.leases.iter().map(|l| format!("host {host}: lease of VM {} in {l3}", l.vm)),
                );
            }
        }
        for (folder, volumes) in &self.shared_volumes {
            lines.extend(volumes.keys().map(|volume| format!("shared folder {folder}: volume {volume}")));
        }
        for (store, images) in &self.image_stores {
            lines.extend(images.keys().map(|image| format!("image store {store}: image {image}")));
        }
        lines
    }

    /// Whether a volume is on a host or in any shared folder.
    fn has_volume(&self, host: &HostSnapshot, volume: &str) -> bool {
        host.volumes.contains_key(volume) || self.shared_volumes.values().any(|v| v.contains_key(volume))
    }

    /// One line for every state that must never be: a VM that runs on two hosts, an address or hardware address used by two
    /// running VMs of one L3 network, a running VM without its bridge or volumes.
    pub fn violations(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut seen: HashMap<String, String> = HashMap::new();
        for (host, h) in &self.hosts {
            for (uuid, vm) in h.vms.iter().filter(|(_, v)| v.is_on()) {
                let place = format!("VM {uuid} on host {host}");
                let mut claims = vec![format!("VM {uuid}")];
                for nic in &vm.spec.nics {
                    claims.push(format!("MAC {} in {}", nic.mac, nic.l3_network));
                    claims.extend(nic.addresses.iter().map(|a| format!("address {a} in {}", nic.l3_network)));
                    if !h.bridges.values().any(|b| b.bridge == nic.bridge) {
                        lines.push(format!("{place} runs without its bridge {}", nic.bridge));
                    }
                }
                for disk in vm.spec.disks.iter().filter(|d| !self.has_volume(h, &d.volume)) {
                    lines.push(format!("{place} runs without its volume {}", disk.volume));
                }
                claims.extend(vm.spec.disks.iter().map(|d| format!("volume {}", d.volume)));
                for claim in claims {
                    if let Some(other) = seen.insert(claim.clone(), place.clone()) {
                        lines.push(format!("{claim} is held by {other} and by {place}"));
                    }
                }
            }
        }
        lines
    }
}
