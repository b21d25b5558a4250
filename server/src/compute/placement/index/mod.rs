//! All hosts in memory: in blocks of columns, those of clusters that are alike together, with what is the same for all of them or
//! for a storage kept once. About 100 bytes a host, however small its cluster. The index proposes and counts; rows decide.

mod block;
mod count;
mod find;

use std::collections::{BTreeSet, HashMap};

use self::block::{BLOCK, Block, bit};
use super::ask::Need;
use super::entry::Entry;
use super::judge::{Facts, StorageFacts};
use super::rows::unreached;
use super::topology::{ClusterRow, StorageRow, Topology};

/// The index.
#[derive(Debug, Clone, Default)]
pub struct Index {
    zones: HashMap<u128, bool>,
    at: HashMap<u128, u32>,
    clusters: Vec<Cluster>,
    groups: Vec<Group>,
    alike: HashMap<ClusterRow, u32>,
    storages: HashMap<u128, StorageRow>,
    places: HashMap<u128, Place>,
}

#[derive(Debug, Clone, Default)]
struct Cluster {
    uuid: u128,
    /// Clusters that are gone, or not known yet, are in the group of the empty row.
    group: u32,
    hosts: usize,
}

/// Hosts of all clusters with the same zone, state, storages and networks.
#[derive(Debug, Clone, Default)]
struct Group {
    row: ClusterRow,
    blocks: Vec<Block>,
}

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    group: u32,
    block: u32,
    n: u32,
}

impl Place {
    fn parts(self) -> (usize, usize, usize) {
        (self.group as usize, self.block as usize, self.n as usize)
    }
}

/// A place; what can't be one is none.
fn place(group: u32, block: usize, n: usize) -> Option<Place> {
    let small = |x: usize| u32::try_from(x).ok();
    Some(Place { group, block: small(block)?, n: small(n)? })
}

impl Index {
    /// Hosts.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// No hosts.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes over zones, clusters and storages as they are; those that are gone are named without a row.
    pub fn set_topology(&mut self, topology: &Topology) {
        for (zone, row) in &topology.zones {
            match row {
                Some(enabled) => self.zones.insert(*zone, *enabled),
                None => self.zones.remove(zone),
            };
        }
        for (storage, row) in &topology.storages {
            match row {
                Some(row) => self.storages.insert(*storage, row.clone()),
                None => self.storages.remove(storage),
            };
        }
        for (cluster, row) in &topology.clusters {
            // A cluster that is gone has no hosts; its place stays empty.
            self.set_cluster(*cluster, row.clone().unwrap_or_default());
        }
    }

    /// Takes over a cluster: its hosts go where those of clusters like it are.
    fn set_cluster(&mut self, uuid: u128, row: ClusterRow) {
        let at = self.cluster(uuid);
        let group = self.group(row);
        let old = std::mem::replace(&mut self.clusters[at as usize].group, group);
        if old == group || self.clusters[at as usize].hosts == 0 {
            return;
        }
        let blocks = &self.groups[old as usize].blocks;
        let of_it = |b: &Block| {
            let there = (0..b.len()).filter(|n| b.clusters[*n] == at);
            there.map(|n| b.entry(n, uuid)).collect::<Vec<_>>()
        };
        let moved: Vec<Entry> = blocks.iter().flat_map(of_it).collect();
        for entry in moved {
            self.remove(entry.host);
            self.put(&entry);
        }
    }

    fn group(&mut self, row: ClusterRow) -> u32 {
        if let Some(known) = self.alike.get(&row) {
            return *known;
        }
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        self.groups.push(Group { row: row.clone(), blocks: Vec::new() });
        self.alike.insert(row, next);
        next
    }

    fn cluster(&mut self, uuid: u128) -> u32 {
        if let Some(known) = self.at.get(&uuid) {
            return *known;
        }
        let next = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
        let group = self.group(ClusterRow::default());
        self.clusters.push(Cluster { uuid, group, hosts: 0 });
        self.at.insert(uuid, next);
        next
    }

    /// Takes over a host as it is.
    pub fn put(&mut self, entry: &Entry) {
        let cluster = self.cluster(entry.cluster);
        if let Some((g, b, n)) = self.places.get(&entry.host).map(|p| p.parts()) {
            let block = &mut self.groups[g].blocks[b];
            if block.clusters[n] == cluster {
                return block.set(n, entry);
            }
            self.remove(entry.host);
        }
        let group = self.clusters[cluster as usize].group;
        let blocks = &mut self.groups[group as usize].blocks;
        // Hosts that went leave room in earlier blocks; it is looked for in the last ones only.
        let from = blocks.len().saturating_sub(8);
        let free = blocks.iter().skip(from).position(|b| b.len() < BLOCK).map(|n| n + from);
        let b = free.unwrap_or_else(|| {
            blocks.push(Block::default());
            blocks.len() - 1
        });
        let n = blocks[b].push(entry, cluster);
        self.clusters[cluster as usize].hosts += 1;
        if let Some(place) = place(group, b, n) {
            self.places.insert(entry.host, place);
        }
    }

    /// Forgets a host.
    pub fn remove(&mut self, host: u128) {
        let Some(place) = self.places.remove(&host) else { return };
        let (g, b, n) = place.parts();
        let block = &mut self.groups[g].blocks[b];
        self.clusters[block.clusters[n] as usize].hosts -= 1;
        if let Some(moved) = block.remove(n) {
            self.places.insert(moved, place);
        }
    }

    /// Takes over what rows say of a host: it is so, or it is gone.
    pub fn correct(&mut self, host: u128, entry: Option<&Entry>) {
        match entry {
            Some(entry) => self.put(entry),
            None => self.remove(host),
        }
    }

    /// Takes so much from a host for one more VM, until its rows are read again.
    pub fn deduct(&mut self, host: u128, need: &Need) {
        if let Some((g, b, n)) = self.places.get(&host).map(|p| p.parts()) {
            let has_image = self.has_image(g, b, n, need);
            let disk = if need.disk > 0 { need.disk_with_image(has_image) } else { 0 };
            self.groups[g].blocks[b].deduct(n, need.cpu, need.memory, disk);
        }
    }

    /// What is known of a host.
    pub fn entry(&self, host: u128) -> Option<Entry> {
        let (g, b, n) = self.places.get(&host)?.parts();
        let block = self.groups.get(g)?.blocks.get(b)?;
        Some(block.entry(n, self.clusters.get(block.clusters[n] as usize)?.uuid))
    }

    /// All hosts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = u128> + '_ {
        self.places.keys().copied()
    }

    /// Zones, clusters and storages that are there.
    pub fn topology(&self) -> Topology {
        let row = |c: &Cluster| self.groups[c.group as usize].row.clone();
        let clusters = self.clusters.iter().map(|c| (c.uuid, row(c)));
        let clusters = clusters.filter(|(_, row)| *row != ClusterRow::default());
        Topology {
            zones: self.zones.iter().map(|(z, e)| (*z, Some(*e))).collect(),
            clusters: clusters.map(|(uuid, row)| (uuid, Some(row))).collect(),
            storages: self.storages.iter().map(|(s, row)| (*s, Some(row.clone()))).collect(),
        }
    }

    /// Storages whose room hosts share.
    pub fn shared_storages(&self) -> BTreeSet<u128> {
        self.storages.iter().filter(|(_, s)| s.shared.is_some()).map(|(uuid, _)| *uuid).collect()
    }

    /// The cluster of a host, by its place.
    fn cluster_of(&self, (g, b, n): (usize, usize, usize)) -> u128 {
        self.clusters[self.groups[g].blocks[b].clusters[n] as usize].uuid
    }

    fn has_image(&self, g: usize, b: usize, n: usize, need: &Need) -> bool {
        let bits = need.image.as_ref().and_then(|i| self.groups[g].blocks[b].with_image(i.uuid));
        bits.is_some_and(|bits| bit(bits, n))
    }

    /// What judging takes of a host, with each storage of its cluster.
    pub fn facts(&self, host: u128, need: &Need) -> Vec<Facts> {
        let Some((g, b, n)) = self.places.get(&host).map(|p| p.parts()) else { return Vec::new() };
        let group = &self.groups[g];
        let entry = group.blocks[b].entry(n, self.cluster_of((g, b, n)));
        let plain = Facts {
            host,
            cluster: entry.cluster,
            zone: group.row.zone,
            zone_enabled: self.zones.get(&group.row.zone).copied().unwrap_or(false),
            cluster_enabled: group.row.is_enabled,
            is_enabled: entry.is_enabled,
            is_connected: entry.is_connected,
            is_deleting: entry.is_deleting,
            free_cpu: entry.free_cpu,
            free_memory: entry.free_memory,
            vm_count: entry.vm_count,
            has_image: self.has_image(g, b, n, need),
            unreached: unreached(need, |l2| group.row.l2_networks.contains(&l2)),
            storage: None,
        };
        if group.row.storages.is_empty() {
            return vec![plain];
        }
        let with = |s: &u128| Facts { storage: Some(self.storage_facts(*s, &entry)), ..plain.clone() };
        group.row.storages.iter().map(with).collect()
    }

    fn storage_facts(&self, uuid: u128, entry: &Entry) -> StorageFacts {
        let row = self.storages.get(&uuid).cloned().unwrap_or_default();
        let local = entry.local.iter().find(|l| l.storage == uuid);
        let (free, free_physical) = match (local, row.shared) {
            (Some(l), _) => (l.free, l.free_physical),
            (None, Some(room)) => (room.free, room.free_physical),
            (None, None) => (0, 0),
        };
        StorageFacts {
            uuid,
            is_enabled: row.is_enabled,
            is_ready: row.shared.is_some() || local.is_some(),
            is_connected: row.is_connected && local.is_none_or(|l| l.is_connected),
            free,
            free_physical,
        }
    }
}
