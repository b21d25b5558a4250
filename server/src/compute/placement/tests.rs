//! The index against judging every candidate, in random worlds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::ask::{ImageNeed, Need, NetworkNeed, Strategy as Order};
use super::entry::{Entry, LocalRoom};
use super::index::Index;
use super::judge::{Counts, Facts, Kind, judge};
use super::topology::{ClusterRow, SharedRoom, StorageRow, Topology};

/// A small repeatable source of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }

    fn small(&mut self, below: u64) -> i64 {
        i64::try_from(self.roll(below)).unwrap()
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

const ZONES: u128 = 2;
const CLUSTERS: u128 = 5;
const STORAGES: u128 = 4;
const NETWORKS: u128 = 3;
const IMAGES: u128 = 3;

struct World {
    index: Index,
    topology: Topology,
    hosts: BTreeMap<u128, Entry>,
}

fn topology(dice: &mut Dice) -> Topology {
    let mut all = Topology::default();
    for zone in 0..ZONES {
        all.zones.insert(zone, Some(!dice.one_in(6)));
    }
    for storage in 0..STORAGES {
        let room = SharedRoom { free: dice.small(20), free_physical: dice.small(20) };
        let row = StorageRow {
            is_enabled: !dice.one_in(6),
            is_connected: !dice.one_in(6),
            // The first ones are local.
            shared: (storage >= 2).then_some(room),
        };
        all.storages.insert(storage, Some(row));
    }
    for cluster in 0..CLUSTERS {
        let storages = (0..STORAGES).filter(|_| dice.one_in(2)).collect();
        let l2_networks = (0..NETWORKS).filter(|_| !dice.one_in(4)).collect();
        let zone = cluster % ZONES;
        let row = ClusterRow { zone, is_enabled: !dice.one_in(6), storages, l2_networks };
        // Many are like one that is there already.
        let like = all.clusters.get(&u128::from(dice.roll(4))).cloned().filter(|_| dice.one_in(2));
        all.clusters.insert(cluster, like.unwrap_or(Some(row)));
    }
    all
}

fn host(dice: &mut Dice, host: u128) -> Entry {
    let local = (0..2).filter(|_| !dice.one_in(4)).collect::<Vec<u128>>();
    Entry {
        host,
        cluster: host % CLUSTERS,
        is_enabled: !dice.one_in(10),
        is_connected: !dice.one_in(10),
        is_deleting: dice.one_in(20),
        free_cpu: dice.small(8),
        free_memory: dice.small(30),
        vm_count: dice.small(5),
        local: local
            .into_iter()
            .map(|storage| LocalRoom {
                storage,
                is_connected: !dice.one_in(8),
                free: dice.small(20),
                free_physical: dice.small(20),
            })
            .collect(),
        images: (0..IMAGES).filter(|_| dice.one_in(3)).collect(),
    }
}

impl World {
    fn new(dice: &mut Dice, hosts: u64) -> Self {
        let mut world =
            Self { index: Index::default(), topology: Topology::default(), hosts: BTreeMap::new() };
        world.index.set_topology(&topology(dice));
        for n in 0..hosts {
            world.put(host(dice, 1000 + u128::from(n)));
        }
        // Hosts come, change and go.
        for _ in 0..hosts / 2 {
            let n = 1000 + u128::from(dice.roll(hosts));
            if dice.one_in(2) {
                world.put(host(dice, n));
            } else {
                world.index.remove(n);
                world.hosts.remove(&n);
            }
        }
        // Clusters change, so that others are like them.
        world.topology = topology(dice);
        world.index.set_topology(&world.topology);
        world
    }

    fn put(&mut self, entry: Entry) {
        self.index.put(&entry);
        self.hosts.insert(entry.host, entry);
    }

    /// Every candidate, looked at one by one.
    fn candidates(&self, need: &Need) -> Vec<Facts> {
        let asked = |f: &Facts| {
            need.zone.is_none_or(|z| z == f.zone)
                && need.cluster.is_none_or(|c| c == f.cluster)
                && need.host.is_none_or(|h| h == f.host)
        };
        self.hosts.keys().flat_map(|h| self.index.facts(*h, need)).filter(asked).collect()
    }
}

fn need(dice: &mut Dice, hosts: u64) -> Need {
    let some_host = |dice: &mut Dice| 1000 + u128::from(dice.roll(hosts));
    let image = ImageNeed {
        uuid: u128::from(dice.roll(3)),
        bytes: dice.small(6),
        zones: (0..ZONES).filter(|_| !dice.one_in(3)).collect::<BTreeSet<_>>(),
    };
    let networks = (0..dice.roll(3)).map(|n| NetworkNeed {
        name: format!("n{n}"),
        l2: (!dice.one_in(12)).then(|| u128::from(dice.roll(3))),
    });
    let networks = networks.collect();
    Need {
        cpu: dice.small(9),
        memory: dice.small(32),
        disk: if dice.one_in(3) { 0 } else { dice.small(20) },
        reserve: dice.small(4),
        seed: 0,
        image: dice.one_in(2).then_some(image),
        networks,
        zone: dice.one_in(4).then(|| u128::from(dice.roll(2))),
        cluster: dice.one_in(6).then(|| u128::from(dice.roll(5))),
        host: dice.one_in(8).then(|| some_host(dice)),
        storage: dice.one_in(5).then(|| u128::from(dice.roll(4))),
        volumes_on: dice.one_in(8).then(|| some_host(dice)),
    }
}

fn check(world: &mut World, need: &Need, seed: u64) {
    let all = world.candidates(need);
    let mut counts = Counts::default();
    all.iter().for_each(|f| counts.note(judge(f, need)));
    assert_eq!(world.index.counts(need, true), counts, "{need:?}");
    let good: Vec<&Facts> = all.iter().filter(|f| judge(f, need).is_accepted()).collect();
    let hosts: BTreeSet<u128> = good.iter().map(|f| f.host).collect();
    let (count, clusters, listed) = world.index.fitting_hosts(need, usize::MAX);
    assert_eq!(
        (count, &listed.into_iter().collect::<BTreeSet<_>>()),
        (hosts.len() as u64, &hosts),
        "{need:?}"
    );
    let of_good: BTreeSet<u128> = good.iter().map(|f| f.cluster).collect();
    assert_eq!(clusters.into_iter().collect::<BTreeSet<_>>(), of_good);
    let any = world.index.propose(need, Order::Any, seed);
    assert_eq!(any.is_some(), !hosts.is_empty(), "{need:?}");
    assert!(any.is_none_or(|h| hosts.contains(&h)), "{any:?} does not fit {need:?}");
    let facts_of = |h: u128| good.iter().find(|f| f.host == h).copied();
    let least = world.index.propose(need, Order::LeastVms, seed).and_then(facts_of);
    let key = |f: &Facts| (f.vm_count, -f.free_memory);
    assert_eq!(least.map(key), good.iter().map(|f| key(f)).min(), "{need:?}");
    let most = world.index.propose(need, Order::MostFreeMemory, seed).and_then(facts_of);
    assert_eq!(most.map(|f| f.free_memory), good.iter().map(|f| f.free_memory).max(), "{need:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bey_03_index_chooses_and_counts_as_judging_every_host_does(seed: u64, hosts in 1_u64..4000) {
        let mut dice = Dice(seed);
        let mut world = World::new(&mut dice, hosts);
        for _ in 0..12 {
            let need = need(&mut dice, hosts);
            check(&mut world, &need, seed ^ 1);
        }
    }

    #[test]
    fn bey_03_index_keeps_what_it_was_told_of_every_host(seed: u64, hosts in 1_u64..3000) {
        let mut dice = Dice(seed);
        let world = World::new(&mut dice, hosts);
        prop_assert_eq!(world.index.len(), world.hosts.len());
        let there = world.topology.clusters.iter().filter(|(_, c)| **c != Some(ClusterRow::default()));
        prop_assert_eq!(world.index.topology().clusters, there.map(|(c, row)| (*c, row.clone())).collect::<BTreeMap<_, _>>());
        for (host, entry) in &world.hosts {
            let known = world.index.entry(*host);
            prop_assert_eq!(known.as_ref(), Some(entry));
        }
    }
}

/// One cluster with one local storage, and hosts that have this much memory each.
fn plain_world(memory: impl Iterator<Item = i64>) -> Index {
    let mut index = Index::default();
    let mut all = Topology::default();
    all.zones.insert(1, Some(true));
    all.storages.insert(1, Some(StorageRow { is_enabled: true, is_connected: true, shared: None }));
    let row =
        ClusterRow { zone: 1, is_enabled: true, storages: BTreeSet::from([1]), l2_networks: BTreeSet::new() };
    all.clusters.insert(1, Some(row));
    index.set_topology(&all);
    for (n, free_memory) in (1..).zip(memory) {
        index.put(&Entry {
            host: n,
            cluster: 1,
            is_enabled: true,
            is_connected: true,
            is_deleting: false,
            free_cpu: 8,
            free_memory,
            vm_count: 0,
            local: vec![LocalRoom { storage: 1, is_connected: true, free: 100, free_physical: 100 }],
            images: Vec::new(),
        });
    }
    index
}

#[test]
fn bey_03_last_free_host_of_100000_is_found_and_then_nobody() {
    let mut index = plain_world((0..100_000).map(|n| if n == 77_777 { 10 } else { 1 }));
    let need = Need { cpu: 1, memory: 10, disk: 5, ..Need::default() };
    for seed in [0, 1, 77_778, 99_999, 1 << 40] {
        assert_eq!(index.propose(&need, Order::Any, seed), Some(77_778));
    }
    index.deduct(77_778, &need);
    assert_eq!(index.propose(&need, Order::Any, 5), None);
    let counts = index.counts(&need, true);
    assert_eq!((counts.total, counts.accepted, counts.of(Kind::Memory)), (100_000, 0, 100_000));
    assert_eq!(counts.reasons().collect::<Vec<_>>(), [("memory", 100_000)]);
}

#[test]
fn bey_03_any_host_of_many_comes_in_turn() {
    let mut index = plain_world((0..100_000).map(|_| 1000));
    let need = Need { cpu: 1, memory: 10, ..Need::default() };
    let chosen: BTreeSet<u128> =
        (0..1000).filter_map(|n| index.propose(&need, Order::Any, n * 7_919)).collect();
    assert!(chosen.len() > 900, "{} different hosts of 1000 choices", chosen.len());
}

#[test]
fn bey_03_proposals_that_are_deducted_fill_every_host_once() {
    let mut index = plain_world((0..3000).map(|_| 10));
    let need = Need { cpu: 1, memory: 10, ..Need::default() };
    let mut chosen = BTreeSet::new();
    while let Some(host) = index.propose(&need, Order::Any, 0) {
        index.deduct(host, &need);
        assert!(chosen.insert(host), "host {host} was full");
    }
    assert_eq!(chosen.len(), 3000);
}

#[test]
fn bey_03_examples_show_every_mix_of_reasons() {
    let mut index = plain_world((0..5000).map(|n| i64::from(n % 2 == 0) * 20));
    for n in 0..500 {
        let mut entry = index.entry(1 + n * 10).unwrap();
        entry.is_connected = false;
        index.put(&entry);
    }
    let need = Need { cpu: 9, memory: 10, ..Need::default() };
    let examples = index.examples(&need, 8);
    assert!((3..=8).contains(&examples.len()), "{examples:?}");
    let mixes: BTreeSet<String> = examples
        .iter()
        .flat_map(|h| index.facts(*h, &need))
        .map(|f| {
            let verdict = judge(&f, &need);
            Kind::ALL.iter().filter(|k| verdict.has(**k)).map(|k| k.as_str()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(mixes.into_iter().collect::<Vec<_>>(), ["cpu", "cpu memory", "hostStatus cpu"]);
}
