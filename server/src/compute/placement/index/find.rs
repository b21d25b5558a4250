//! Finding a host that fits. Clusters that can't have it are left out by what holds for all their hosts, blocks by their bounds.

use std::collections::BTreeSet;

use super::block::{Bits, Block, bit};
use super::{Group, Index};
use crate::compute::placement::ask::{Need, Strategy};

/// What a host of clusters that are alike must have, with all that is the same for its hosts decided.
pub(super) struct Wanted<'a> {
    need: &'a Need,
    /// Only hosts of this cluster, by its place.
    cluster: Option<u32>,
    /// Its zone can't give the image: only a host that has it will do.
    must_have_image: bool,
    /// A storage that all hosts share has room: for anybody, or for one that has the image.
    shared_for_all: bool,
    shared_with_image: bool,
    /// Local storages that may be used.
    local: Vec<u128>,
}

impl<'a> Wanted<'a> {
    /// None if no host of the group can have it.
    pub(super) fn of(index: &Index, group: &Group, need: &'a Need) -> Option<Self> {
        let row = &group.row;
        let is_open = row.is_enabled
            && index.zones.get(&row.zone).copied().unwrap_or(false)
            && need.networks.iter().all(|n| n.l2.is_some_and(|l2| row.l2_networks.contains(&l2)));
        if !is_open || !index.is_asked(group, need) {
            return None;
        }
        let mut wanted = Self {
            need,
            cluster: need.cluster.and_then(|c| index.at.get(&c).copied()),
            must_have_image: !need.image_is_in(row.zone),
            shared_for_all: false,
            shared_with_image: false,
            local: Vec::new(),
        };
        for uuid in row.storages.iter().filter(|s| need.storage.is_none_or(|w| w == **s)) {
            let Some(storage) = index.storages.get(uuid).filter(|s| s.is_enabled && s.is_connected) else {
                continue;
            };
            wanted.local.push(*uuid);
            if let Some(room) = storage.shared {
                let gives = |has_image| {
                    let (free, physical) = disk_needed(need, has_image);
                    room.free >= free && room.free_physical >= physical
                };
                wanted.shared_for_all |= gives(false);
                wanted.shared_with_image |= gives(true);
            }
        }
        (!wanted.local.is_empty()).then_some(wanted)
    }

    /// Whether any host of a block may fit.
    fn may_fit(&self, block: &mut Block) -> bool {
        let has_some = self.need.image.as_ref().is_some_and(|i| block.with_image(i.uuid).is_some());
        if self.must_have_image && !has_some {
            return false;
        }
        let bounds = block.bounds();
        if bounds.usable == 0 || bounds.best_cpu < self.need.cpu || bounds.best_memory < self.need.memory {
            return false;
        }
        let (free, physical) = disk_needed(self.need, has_some);
        self.shared_for_all
            || self.shared_with_image && has_some
            || block.local.iter().any(|c| {
                self.local.contains(&c.storage) && c.best_free >= free && c.best_physical >= physical
            })
    }

    /// Whether the n-th host of a block fits.
    pub(super) fn fits(&self, block: &Block, image: Option<&Bits>, n: usize) -> bool {
        if !block.is_usable(n) || block.cpu[n] < self.need.cpu || block.memory[n] < self.need.memory {
            return false;
        }
        if self.cluster.is_some_and(|c| c != block.clusters[n]) {
            return false;
        }
        let has_image = image.is_some_and(|bits| bit(bits, n));
        if self.must_have_image && !has_image {
            return false;
        }
        if self.shared_for_all || self.shared_with_image && has_image {
            return true;
        }
        let (free, physical) = disk_needed(self.need, has_image);
        block.local.iter().any(|c| self.local.contains(&c.storage) && c.gives(n, free, physical))
    }

    fn image<'b>(&self, block: &'b Block) -> Option<&'b Bits> {
        self.need.image.as_ref().and_then(|i| block.with_image(i.uuid))
    }

    /// The first host of a block that fits, of those from one place to another.
    fn first(&self, block: &mut Block, from: usize, to: usize) -> Option<u128> {
        if !self.may_fit(block) {
            return None;
        }
        let image = self.image(block);
        (from..to.min(block.len())).find(|n| self.fits(block, image, *n)).map(|n| block.hosts[n])
    }
}

/// What must be free on a storage: to be promised, and on its disks.
fn disk_needed(need: &Need, has_image: bool) -> (i64, i64) {
    if need.disk <= 0 {
        return (i64::MIN, i64::MIN);
    }
    (need.disk_with_image(has_image), need.image_bytes(has_image).saturating_add(need.reserve))
}

impl Index {
    /// Whether hosts of a group are candidates at all.
    pub(super) fn is_asked(&self, group: &Group, need: &Need) -> bool {
        let has_cluster = |c: u128| {
            let cluster = self.at.get(&c).and_then(|n| self.clusters.get(*n as usize));
            cluster.is_some_and(|c| self.groups[c.group as usize].row == group.row)
        };
        !group.blocks.is_empty()
            && need.zone.is_none_or(|z| z == group.row.zone)
            && need.cluster.is_none_or(has_cluster)
    }

    /// A host that fits. `seed` decides which, where any will do.
    pub fn propose(&mut self, need: &Need, strategy: Strategy, seed: u64) -> Option<u128> {
        if let Some(host) = need.host.or(need.volumes_on) {
            return self.fitting(host, need).then_some(host);
        }
        let open: Vec<(usize, Wanted<'_>)> = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(n, g)| Wanted::of(self, g, need).map(|w| (n, w)))
            .collect();
        match strategy {
            Strategy::Any => any(&mut self.groups, &open, seed),
            Strategy::LeastVms => best(&mut self.groups, &open, Order::LeastVms),
            Strategy::MostFreeMemory => best(&mut self.groups, &open, Order::MostMemory),
        }
    }

    fn fitting(&self, host: u128, need: &Need) -> bool {
        let Some((g, b, n)) = self.places.get(&host).map(|p| p.parts()) else { return false };
        let group = &self.groups[g];
        let Some(wanted) = Wanted::of(self, group, need) else { return false };
        let is_it = need.host.is_none_or(|h| h == host) && need.volumes_on.is_none_or(|h| h == host);
        is_it && wanted.fits(&group.blocks[b], wanted.image(&group.blocks[b]), n)
    }

    /// How many hosts fit, and in which clusters; up to `limit` of them by name.
    pub fn fitting_hosts(&mut self, need: &Need, limit: usize) -> (u64, Vec<u128>, Vec<u128>) {
        if let Some(host) = need.host.or(need.volumes_on) {
            return match self.places.get(&host).filter(|_| self.fitting(host, need)) {
                Some(place) => (1, vec![self.cluster_of(place.parts())], vec![host]),
                None => (0, Vec::new(), Vec::new()),
            };
        }
        let (mut count, mut clusters, mut hosts) = (0, BTreeSet::new(), Vec::new());
        for n in 0..self.groups.len() {
            let Some(wanted) = Wanted::of(self, &self.groups[n], need) else { continue };
            for block in &mut self.groups[n].blocks {
                if !wanted.may_fit(block) {
                    continue;
                }
                let image = wanted.image(block);
                for at in (0..block.len()).filter(|at| wanted.fits(block, image, *at)) {
                    count += 1;
                    clusters.insert(block.clusters[at]);
                    if hosts.len() < limit {
                        hosts.push(block.hosts[at]);
                    }
                }
            }
        }
        let clusters = clusters.into_iter().map(|c| self.clusters[c as usize].uuid).collect();
        (count, clusters, hosts)
    }
}

/// The first one that fits from a random host on, around all of them.
fn any(groups: &mut [Group], open: &[(usize, Wanted<'_>)], seed: u64) -> Option<u128> {
    let total: usize =
        open.iter().map(|(n, _)| groups[*n].blocks.iter().map(Block::len).sum::<usize>()).sum();
    let mut skip = usize::try_from(seed % u64::try_from(total.max(1)).ok()?).ok()?;
    let mut blocks: Vec<(&Wanted<'_>, usize, usize)> = Vec::new();
    let mut begin = (0, 0);
    for (n, wanted) in open {
        for (b, block) in groups[*n].blocks.iter().enumerate() {
            if skip < block.len() {
                begin = (blocks.len(), skip);
                skip = usize::MAX;
            } else if skip != usize::MAX {
                skip -= block.len();
            }
            blocks.push((wanted, *n, b));
        }
    }
    let (first, from) = begin;
    let around = (first..blocks.len()).chain(0..first);
    for at in around {
        let (wanted, n, b) = blocks.get(at)?;
        let start = if at == first { from } else { 0 };
        if let Some(host) = wanted.first(&mut groups[*n].blocks[*b], start, usize::MAX) {
            return Some(host);
        }
    }
    let (wanted, n, b) = blocks.get(first)?;
    wanted.first(&mut groups[*n].blocks[*b], 0, from)
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    LeastVms,
    MostMemory,
}

impl Order {
    /// Smaller is better.
    fn key(self, vms: u32, memory: i64) -> (u32, i64) {
        match self {
            Self::LeastVms => (vms, memory.saturating_neg()),
            Self::MostMemory => (0, memory.saturating_neg()),
        }
    }
}

/// The best one of all, by free memory or number of VMs.
fn best(groups: &mut [Group], open: &[(usize, Wanted<'_>)], order: Order) -> Option<u128> {
    let mut found: Option<((u32, i64), u128)> = None;
    for (n, wanted) in open {
        for block in &mut groups[*n].blocks {
            if !wanted.may_fit(block) {
                continue;
            }
            let bounds = block.bounds();
            let hope = order.key(bounds.fewest_vms, bounds.best_memory);
            if found.is_some_and(|(key, _)| key <= hope) {
                continue;
            }
            let image = wanted.image(block);
            for at in 0..block.len() {
                let key = order.key(block.vms[at], block.memory[at]);
                if found.is_none_or(|(known, _)| key < known) && wanted.fits(block, image, at) {
                    found = Some((key, block.hosts[at]));
                }
            }
        }
    }
    found.map(|(_, host)| host)
}
