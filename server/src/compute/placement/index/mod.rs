//! All hosts in memory: by cluster in blocks of columns, with what is the same for a whole cluster or storage kept once. About
//! 100 bytes a host. The index proposes and counts; rows decide.

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
    at: HashMap<u128, usize>,
    clusters: Vec<Cluster>,
    storages: HashMap<u128, StorageRow>,
    places: HashMap<u128, Place>,
}

#[derive(Debug, Clone, Default)]
struct Cluster {
    uuid: u128,
    row: ClusterRow,
    blocks: Vec<Block>,
}

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    cluster: u32,
    block: u32,
    n: u32,
}

impl Place {
    fn parts(self) -> (usize, usize, usize) {
        (self.cluster as usize, self.block as usize, self.n as usize)
    }
}

impl Cluster {
    fn len(&self) -> usize {
        self.blocks.iter().map(Block::len).sum()
    }
}

/// A place; what can't be one is none.
fn place(cluster: usize, block: usize, n: usize) -> Option<Place> {
    let small = |x: usize| u32::try_from(x).ok();
    Some(Place { cluster: small(cluster)?, block: small(block)?, n: small(n)? })
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
            let n = self.cluster(*cluster);
            self.clusters[n].row = row.clone().unwrap_or_default();
        }
    }

    fn cluster(&mut self, uuid: u128) -> usize {
        let next = self.clusters.len();
        let n = *self.at.entry(uuid).or_insert(next);
        if n == next {
            self.clusters.push(Cluster { uuid, ..Cluster::default() });
        }
        n
    }

    /// Takes over a host as it is.
    pub fn put(&mut self, entry: &Entry) {
        if let Some(place) = self.places.get(&entry.host).copied() {
            let (c, b, n) = place.parts();
            if self.clusters[c].uuid == entry.cluster {
                return self.clusters[c].blocks[b].set(n, entry);
            }
            self.remove(entry.host);
        }
        let c = self.cluster(entry.cluster);
        let blocks = &mut self.clusters[c].blocks;
        // Hosts that went leave room in earlier blocks; it is looked for in the last ones only.
        let from = blocks.len().saturating_sub(8);
        let free = blocks.iter().skip(from).position(|b| b.len() < BLOCK).map(|n| n + from);
        let b = free.unwrap_or_else(|| {
            blocks.push(Block::default());
            blocks.len() - 1
        });
        let n = blocks[b].push(entry);
        if let Some(place) = place(c, b, n) {
            self.places.insert(entry.host, place);
        }
    }

    /// Forgets a host.
    pub fn remove(&mut self, host: u128) {
        let Some(place) = self.places.remove(&host) else { return };
        let (c, b, n) = place.parts();
        if let Some(moved) = self.clusters[c].blocks[b].remove(n) {
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
        if let Some((c, b, n)) = self.places.get(&host).map(|p| p.parts()) {
            let has_image = self.has_image(c, b, n, need);
            let disk = if need.disk > 0 { need.disk_with_image(has_image) } else { 0 };
            self.clusters[c].blocks[b].deduct(n, need.cpu, need.memory, disk);
        }
    }

    /// What is known of a host.
    pub fn entry(&self, host: u128) -> Option<Entry> {
        let (c, b, n) = self.places.get(&host)?.parts();
        let cluster = self.clusters.get(c)?;
        Some(cluster.blocks.get(b)?.entry(n, cluster.uuid))
    }

    /// All hosts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = u128> + '_ {
        self.places.keys().copied()
    }

    /// Zones, clusters and storages that are there.
    pub fn topology(&self) -> Topology {
        let clusters = self.clusters.iter().filter(|c| c.row != ClusterRow::default());
        Topology {
            zones: self.zones.iter().map(|(z, e)| (*z, Some(*e))).collect(),
            clusters: clusters.map(|c| (c.uuid, Some(c.row.clone()))).collect(),
            storages: self.storages.iter().map(|(s, row)| (*s, Some(row.clone()))).collect(),
        }
    }

    /// Storages whose room hosts share.
    pub fn shared_storages(&self) -> BTreeSet<u128> {
        self.storages.iter().filter(|(_, s)| s.shared.is_some()).map(|(uuid, _)| *uuid).collect()
    }

    fn has_image(&self, c: usize, b: usize, n: usize, need: &Need) -> bool {
        let bits = need.image.as_ref().and_then(|i| self.clusters[c].blocks[b].with_image(i.uuid));
        bits.is_some_and(|bits| bit(bits, n))
    }

    /// What judging takes of a host, with each storage of its cluster.
    pub fn facts(&self, host: u128, need: &Need) -> Vec<Facts> {
        let Some((c, b, n)) = self.places.get(&host).map(|p| p.parts()) else { return Vec::new() };
        let cluster = &self.clusters[c];
        let entry = cluster.blocks[b].entry(n, cluster.uuid);
        let plain = Facts {
            host,
            cluster: cluster.uuid,
            zone: cluster.row.zone,
            zone_enabled: self.zones.get(&cluster.row.zone).copied().unwrap_or(false),
            cluster_enabled: cluster.row.is_enabled,
            is_enabled: entry.is_enabled,
            is_connected: entry.is_connected,
            is_deleting: entry.is_deleting,
            free_cpu: entry.free_cpu,
            free_memory: entry.free_memory,
            vm_count: entry.vm_count,
            has_image: self.has_image(c, b, n, need),
            unreached: unreached(need, |l2| cluster.row.l2_networks.contains(&l2)),
            storage: None,
        };
        if cluster.row.storages.is_empty() {
            return vec![plain];
        }
        let with = |s: &u128| Facts { storage: Some(self.storage_facts(*s, &entry)), ..plain.clone() };
        cluster.row.storages.iter().map(with).collect()
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
