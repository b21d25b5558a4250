//! Counting, for every reason, the candidates that it rejects: summed from blocks, exactly as judging each one would.

use std::collections::HashMap;

use super::block::{Block, bit, less, ones, places};
use super::{Group, Index, StorageRow};
use crate::compute::placement::ask::Need;
use crate::compute::placement::judge::{Counts, Kind, Verdict, judge};
use crate::compute::placement::rows::unreached;

/// Hosts that are looked at for examples.
const LOOKED_AT: usize = 512;
/// Examples of each mix of reasons.
const ALIKE: usize = 3;

impl Index {
    /// All candidates, counted by what speaks against them. Those that can be chosen are counted only on request, which
    /// takes a look at each host that may fit.
    pub fn counts(&mut self, need: &Need, with_accepted: bool) -> Counts {
        let mut counts = Counts::default();
        if need.host.is_some() || self.is_one_of_many(need) {
            for host in self.asked(need, 1) {
                self.facts(host, need).iter().for_each(|f| counts.note(judge(f, need)));
            }
            return counts;
        }
        for n in 0..self.groups.len() {
            if self.is_asked(&self.groups[n], need) {
                let storages = self.storages_of(n);
                let zone = self.zones.get(&self.groups[n].row.zone).copied().unwrap_or(false);
                let with_volumes =
                    need.volumes_on.filter(|h| self.places.get(h).is_some_and(|p| p.parts().0 == n));
                Sum { counts: &mut counts, need, with_volumes }.group(&mut self.groups[n], zone, &storages);
            }
        }
        if with_accepted {
            counts.accepted = self.accepted(need);
        }
        counts
    }

    /// Whether a cluster is asked for whose hosts stand among those of others.
    fn is_one_of_many(&self, need: &Need) -> bool {
        let Some(cluster) = need.cluster.and_then(|c| self.clusters.get(*self.at.get(&c)? as usize)) else {
            return false;
        };
        let blocks = &self.groups[cluster.group as usize].blocks;
        cluster.hosts != blocks.iter().map(Block::len).sum::<usize>()
    }

    /// The hosts that a need allows, or a sample of them: one of so many.
    fn asked(&self, need: &Need, step: usize) -> Vec<u128> {
        let cluster = need.cluster.and_then(|c| self.at.get(&c).copied());
        if let Some(host) = need.host {
            let is_asked = self.places.get(&host).is_some_and(|p| {
                let (g, b, n) = p.parts();
                let group = &self.groups[g];
                self.is_asked(group, need) && cluster.is_none_or(|c| c == group.blocks[b].clusters[n])
            });
            return if is_asked { vec![host] } else { Vec::new() };
        }
        let groups = self.groups.iter().filter(|g| self.is_asked(g, need));
        let blocks = groups.flat_map(|g| &g.blocks);
        if !self.is_one_of_many(need) {
            return sample(blocks.flat_map(|b| b.hosts.iter().copied()), step);
        }
        let mut all = Vec::new();
        blocks.for_each(|b| {
            all.extend(b.hosts.iter().zip(&b.clusters).filter(|(_, c)| Some(**c) == cluster).map(|(h, _)| *h))
        });
        sample(all.into_iter(), step)
    }

    fn asked_count(&self, need: &Need) -> usize {
        if need.host.is_some() || self.is_one_of_many(need) {
            return self.asked(need, 1).len();
        }
        let groups = self.groups.iter().filter(|g| self.is_asked(g, need));
        groups.flat_map(|g| &g.blocks).map(Block::len).sum()
    }

    fn storages_of(&self, n: usize) -> Vec<(u128, StorageRow)> {
        let list = self.groups[n].row.storages.iter();
        list.map(|s| (*s, self.storages.get(s).cloned().unwrap_or_default())).collect()
    }

    /// Candidates that can be chosen: for each host that fits, the storages that do.
    fn accepted(&mut self, need: &Need) -> u64 {
        let (_, _, hosts) = self.fitting_hosts(need, usize::MAX);
        let good =
            |h: &u128| self.facts(*h, need).iter().filter(|f| judge(f, need).is_accepted()).count() as u64;
        hosts.iter().map(good).sum()
    }

    /// Hosts that show why candidates are rejected: some of each mix of reasons. All of them if they are few.
    pub fn examples(&self, need: &Need, limit: usize) -> Vec<u128> {
        let total = self.asked_count(need);
        if need.host.is_some() || total <= limit {
            let mut all = self.asked(need, 1);
            all.sort_unstable();
            return all;
        }
        let mut seen: HashMap<Verdict, usize> = HashMap::new();
        let (mut found, step) = (Vec::new(), total.div_ceil(LOOKED_AT));
        for host in self.asked(need, step) {
            let verdicts: Vec<Verdict> = self.facts(host, need).iter().map(|f| judge(f, need)).collect();
            let is_new = verdicts.iter().any(|v| seen.get(v).is_none_or(|n| *n < ALIKE));
            if is_new && found.len() < limit {
                verdicts.into_iter().for_each(|v| *seen.entry(v).or_default() += 1);
                found.push(host);
            }
        }
        found.sort_unstable();
        found
    }
}

/// One of so many at a time. Which one is different each time, so that nothing that comes round among hosts is missed.
fn sample(hosts: impl Iterator<Item = u128>, step: usize) -> Vec<u128> {
    let (mut hosts, mut found, mut rest) = (hosts, Vec::new(), 0);
    loop {
        let at = found.len() * 7919 % step;
        match hosts.nth(rest + at) {
            Some(host) => found.push(host),
            None => return found,
        }
        rest = step - 1 - at;
    }
}

/// The sum over clusters that are alike.
struct Sum<'a> {
    counts: &'a mut Counts,
    need: &'a Need,
    /// The host with the VM's volumes, if it is among them.
    with_volumes: Option<u128>,
}

impl Sum<'_> {
    fn group(mut self, group: &mut Group, zone_enabled: bool, storages: &[(u128, StorageRow)]) {
        let row = group.row.clone();
        let hosts: u64 = group.blocks.iter().map(|b| b.len() as u64).sum();
        // Each host is a candidate with every storage, and one without if there is none.
        let times = (storages.len() as u64).max(1);
        self.counts.total += hosts * times;
        let missing = unreached(self.need, |l2| row.l2_networks.contains(&l2)).count_ones();
        for (kind, is_so, weight) in [
            (Kind::ZoneState, !zone_enabled, 1),
            (Kind::ClusterState, !row.is_enabled, 1),
            (Kind::Network, missing > 0, u64::from(missing)),
            (Kind::Storage, storages.is_empty(), 1),
        ] {
            self.counts.add(kind, if is_so { hosts * times * weight } else { 0 });
        }
        if self.need.volumes_on.is_some() {
            let others = hosts - u64::from(self.with_volumes.is_some());
            self.counts.add(Kind::LocalVolumes, others * times);
        }
        let image_is_near = self.need.image_is_in(row.zone);
        for block in &mut group.blocks {
            self.hosts(block, times, image_is_near);
            for (uuid, storage) in storages {
                self.storage(block, *uuid, storage);
            }
        }
    }

    fn hosts(&mut self, block: &mut Block, times: u64, image_is_near: bool) {
        let bounds = block.bounds().clone();
        let image = self.need.image.as_ref().and_then(|i| block.with_image(i.uuid)).map_or(0, ones);
        let without = if image_is_near { 0 } else { block.len() as u64 - image };
        for (kind, count) in [
            (Kind::HostState, bounds.disabled),
            (Kind::HostStatus, bounds.disconnected),
            (Kind::Deleting, bounds.deleting),
            (Kind::Cpu, less(&block.cpu, bounds.cpu, self.need.cpu)),
            (Kind::Memory, less(&block.memory, bounds.memory, self.need.memory)),
            (Kind::Image, without),
        ] {
            self.counts.add(kind, count * times);
        }
    }

    fn storage(&mut self, block: &Block, uuid: u128, storage: &StorageRow) {
        let n = block.len() as u64;
        let other = self.need.storage.is_some_and(|s| s != uuid);
        self.counts.add(Kind::OtherStorage, if other { n } else { 0 });
        self.counts.add(Kind::StorageState, if storage.is_enabled { 0 } else { n });
        let image = self.need.image.as_ref().and_then(|i| block.with_image(i.uuid));
        let column = block.column(uuid);
        let ready = column.map_or(0, |c| c.ready);
        let connected = column.map_or(0, |c| c.connected);
        // Hosts without a row of their own: not ready, or on the room that all share.
        let rest = n - ready;
        let bad = match (storage.shared, storage.is_connected) {
            (Some(_), true) => ready - connected,
            (None, true) => n - connected,
            (_, false) => n,
        };
        self.counts.add(Kind::StorageStatus, bad);
        if self.need.disk <= 0 {
            return;
        }
        for (kind, wanted) in [
            (Kind::Disk, [self.need.disk_with_image(false), self.need.disk_with_image(true)]),
            (
                Kind::PhysicalDisk,
                [false, true].map(|i| self.need.image_bytes(i).saturating_add(self.need.reserve)),
            ),
        ] {
            let [plain, with_image] = wanted;
            if let Some(c) = column {
                let (values, bounds) = match kind {
                    Kind::Disk => (&c.free, c.free_bounds),
                    _ => (&c.physical, c.physical_bounds),
                };
                let low = less(values, bounds, plain);
                // Those that have the image need less.
                let spared = |n: &usize| values[*n] < plain && values[*n] >= with_image;
                let spared = match image.filter(|_| low > 0 && bounds.1 >= with_image) {
                    Some(bits) => places(bits).filter(spared).count() as u64,
                    None => 0,
                };
                self.counts.add(kind, low - spared);
            }
            if let Some(room) = storage.shared.filter(|_| rest > 0) {
                let value = if kind == Kind::Disk { room.free } else { room.free_physical };
                let own = |n: &usize| column.is_some_and(|c| c.room(*n).is_some());
                let have =
                    image.map_or(0, |bits| places(bits).filter(|n| bit(bits, *n) && !own(n)).count() as u64);
                let low = |wanted, count| if value < wanted { count } else { 0 };
                self.counts.add(kind, low(plain, rest - have) + low(with_image, have));
            }
        }
    }
}
