//! The one rule by which a host with a primary storage is taken or rejected. Facts from rows and facts from the index are
//! judged by it alike, so that a choice, a list and an explanation can't disagree.

use super::ask::Need;

/// Why a candidate is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Its zone is not enabled.
    ZoneState,
    /// Its cluster is not enabled.
    ClusterState,
    /// It is not enabled.
    HostState,
    /// It is not connected.
    HostStatus,
    /// It is on its way out.
    Deleting,
    /// The VM's volumes are on another host.
    LocalVolumes,
    /// Too few processors are free.
    Cpu,
    /// Too little memory is free.
    Memory,
    /// A network is not attached to its cluster; counts once for each network.
    Network,
    /// The image can't be had in its zone, and it does not have it.
    Image,
    /// No primary storage is attached to its cluster.
    Storage,
    /// The storage is not the one asked for.
    OtherStorage,
    /// The storage is not enabled.
    StorageState,
    /// The storage is not ready or not connected on the host.
    StorageStatus,
    /// Too little of the storage may still be promised.
    Disk,
    /// Too little is free on the disks themselves.
    PhysicalDisk,
}

use Kind::*;

impl Kind {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 16] = [
        ZoneState,
        ClusterState,
        HostState,
        HostStatus,
        Deleting,
        LocalVolumes,
        Cpu,
        Memory,
        Network,
        Image,
        Storage,
        OtherStorage,
        StorageState,
        StorageStatus,
        Disk,
        PhysicalDisk,
    ];

    /// As answers name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ZoneState => "zoneState",
            ClusterState => "clusterState",
            HostState => "hostState",
            HostStatus => "hostStatus",
            Deleting => "deleting",
            LocalVolumes => "localVolumes",
            Cpu => "cpu",
            Memory => "memory",
            Network => "network",
            Image => "image",
            Storage => "storage",
            OtherStorage => "otherStorage",
            StorageState => "storageState",
            StorageStatus => "storageStatus",
            Disk => "disk",
            PhysicalDisk => "physicalDisk",
        }
    }
}

/// What judging takes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The host.
    pub host: u128,
    /// Its cluster.
    pub cluster: u128,
    /// Its zone.
    pub zone: u128,
    /// The zone is enabled.
    pub zone_enabled: bool,
    /// The cluster is enabled.
    pub cluster_enabled: bool,
    /// The host is enabled.
    pub is_enabled: bool,
    /// The host is connected.
    pub is_connected: bool,
    /// The host is on its way out.
    pub is_deleting: bool,
    /// Virtual processors that are not promised.
    pub free_cpu: i64,
    /// Memory that is not promised, in bytes.
    pub free_memory: i64,
    /// VMs on the host.
    pub vm_count: i64,
    /// The image that is needed is in the host's cache.
    pub has_image: bool,
    /// The networks that are not attached to its cluster: bit n for the n-th of the need.
    pub unreached: u64,
    /// The storage; none if none is attached to the cluster.
    pub storage: Option<StorageFacts>,
}

/// What judging takes of the storage of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageFacts {
    /// The storage.
    pub uuid: u128,
    /// It is enabled.
    pub is_enabled: bool,
    /// It has been made ready on the host, or has a size of its own.
    pub is_ready: bool,
    /// It is connected, as a whole and on the host.
    pub is_connected: bool,
    /// What may still be promised, in bytes.
    pub free: i64,
    /// What is free on its disks, in bytes.
    pub free_physical: i64,
}

/// What speaks against a candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    kinds: u32,
    networks: u32,
}

impl Verdict {
    fn add(&mut self, kind: Kind, holds: bool) {
        if holds {
            self.kinds |= 1 << kind as u32;
        }
    }

    /// Nothing speaks against it.
    pub fn is_accepted(self) -> bool {
        self.kinds == 0
    }

    /// Whether this is one of the reasons.
    pub fn has(self, kind: Kind) -> bool {
        self.kinds & (1 << kind as u32) != 0
    }

    /// How often a reason counts.
    pub fn count(self, kind: Kind) -> u32 {
        if kind == Network { self.networks } else { u32::from(self.has(kind)) }
    }
}

/// Looks at one candidate from all sides.
pub fn judge(facts: &Facts, need: &Need) -> Verdict {
    let mut v = Verdict { kinds: 0, networks: facts.unreached.count_ones() };
    v.add(ZoneState, !facts.zone_enabled);
    v.add(ClusterState, !facts.cluster_enabled);
    v.add(HostState, !facts.is_enabled);
    v.add(HostStatus, !facts.is_connected);
    v.add(Deleting, facts.is_deleting);
    v.add(LocalVolumes, need.volumes_on.is_some_and(|h| h != facts.host));
    v.add(Cpu, facts.free_cpu < need.cpu);
    v.add(Memory, facts.free_memory < need.memory);
    v.add(Network, facts.unreached != 0);
    v.add(Image, !facts.has_image && !need.image_is_in(facts.zone));
    match &facts.storage {
        None => v.add(Storage, true),
        Some(storage) => judge_storage(storage, facts.has_image, need, &mut v),
    }
    v
}

fn judge_storage(storage: &StorageFacts, has_image: bool, need: &Need, v: &mut Verdict) {
    v.add(OtherStorage, need.storage.is_some_and(|s| s != storage.uuid));
    v.add(StorageState, !storage.is_enabled);
    if !storage.is_ready {
        // Nothing was measured there yet.
        return v.add(StorageStatus, true);
    }
    v.add(StorageStatus, !storage.is_connected);
    v.add(Disk, need.disk > 0 && storage.free < need.disk_with_image(has_image));
    let physical = need.image_bytes(has_image).saturating_add(need.reserve);
    v.add(PhysicalDisk, need.disk > 0 && storage.free_physical < physical);
}

/// How many candidates there are, and how many of them are rejected for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Candidates: every host with every storage of its cluster.
    pub total: u64,
    /// Those that can be chosen.
    pub accepted: u64,
    by: [u64; Kind::ALL.len()],
}

impl Counts {
    /// Counts one candidate.
    pub fn note(&mut self, verdict: Verdict) {
        self.total += 1;
        self.accepted += u64::from(verdict.is_accepted());
        for kind in Kind::ALL {
            self.add(kind, u64::from(verdict.count(kind)));
        }
    }

    /// Adds to a reason.
    pub fn add(&mut self, kind: Kind, count: u64) {
        self.by[kind as usize] += count;
    }

    /// How many candidates are rejected for this.
    pub fn of(&self, kind: Kind) -> u64 {
        self.by[kind as usize]
    }

    /// The reasons that there are, with their counts.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Kind::ALL.into_iter().map(|k| (k.as_str(), self.of(k))).filter(|(_, n)| *n > 0)
    }
}
