//! Following the event log: which hosts, clusters and storages its entries are about, and what rows say of those now.

use std::collections::BTreeSet;
use std::time::Instant;

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};
use serde_json::Value;

use super::entry::{self, Entry};
use super::rows::{param, u128s};
use super::topology::Topology;
use super::{DEDUCTED, Placement, State};
use crate::platform::events;
use crate::platform::sums::Sums;

/// More entries than this in one go are not worth following one by one.
const MANY: usize = 20_000;
/// Settings that change the room on every host.
const RATIOS: &[&str] = &[
    "host/cpu.overProvisioning.ratio",
    "mevoco/overProvisioning.memory",
    "mevoco/overProvisioning.primaryStorage",
];

/// What entries of the log are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched {
    /// Cursor of the newest entry.
    pub(super) last: i64,
    /// The log does not reach back far enough, or everything has changed.
    pub(super) everything: bool,
    pub(super) hosts: BTreeSet<u128>,
    zones: BTreeSet<u128>,
    clusters: BTreeSet<u128>,
    /// Clusters with all their hosts.
    whole_clusters: BTreeSet<u128>,
    storages: BTreeSet<u128>,
    gone_l2: BTreeSet<u128>,
    vms: BTreeSet<u128>,
    volumes: BTreeSet<u128>,
}

/// What the index has to take over.
#[derive(Debug)]
pub(super) struct Changes {
    /// Cursor that the index must have.
    from: i64,
    to: i64,
    topology: Topology,
    hosts: Vec<(u128, Option<Entry>)>,
    /// What was to be read again because of a transaction that may have been taken back.
    unsure: Touched,
    began: Instant,
}

/// How the index is brought up to date.
#[derive(Debug)]
pub(super) enum Update {
    /// By these changes.
    Changes(Box<Changes>),
    /// Only from the start.
    Rebuild,
}

/// What the entries after a cursor are about, as this transaction sees them.
pub(super) fn since(tx: &mut dyn Tx, cursor: i64) -> Result<Touched> {
    let mut touched = Touched { last: cursor, ..Touched::default() };
    if events::first(tx)? > cursor + 1 {
        touched.everything = true;
        return Ok(touched);
    }
    let sql = format!(
        "SELECT seq, resource_type, resource_uuid, kind, data FROM event WHERE seq > ? ORDER BY seq LIMIT {MANY}"
    );
    let rows = tx.query(&sql, params![cursor])?;
    touched.everything = rows.len() >= MANY;
    for row in &rows {
        touched.last = row.int("seq")?;
        let (entity, uuid) = (row.text("resource_type")?, row.text("resource_uuid")?);
        let is_deleted = row.text("kind")? == "deleted";
        touched.note(&entity, &uuid, is_deleted, || row.text("data"))?;
    }
    Ok(touched)
}

impl Touched {
    fn note(
        &mut self,
        entity: &str,
        uuid: &str,
        is_deleted: bool,
        data: impl Fn() -> Result<String>,
    ) -> Result<()> {
        if entity == "GlobalConfigVO" {
            self.everything |= RATIOS.contains(&uuid);
            return Ok(());
        }
        let Some(id) = number(uuid) else { return Ok(()) };
        let named = |keys: &[&str]| -> Result<Vec<u128>> {
            let data: Value = serde_json::from_str(&data()?).unwrap_or(Value::Null);
            Ok(keys.iter().filter_map(|k| data.get(*k)?.as_str().and_then(number)).collect())
        };
        match entity {
            "HostVO" => {
                self.hosts.insert(id);
            }
            "VmInstanceVO" => {
                self.vms.insert(id);
                self.hosts.extend(named(&["hostUuid", "lastHostUuid", "leftHost", "mayStillRunOn"])?);
            }
            "VolumeVO" => {
                self.volumes.insert(id);
                self.hosts.extend(named(&["hostUuid"])?);
            }
            "ZoneVO" => {
                self.zones.insert(id);
            }
            "ClusterVO" => {
                self.clusters.insert(id);
            }
            "L2NetworkVO" => {
                self.clusters.extend(named(&["attachedCluster", "detachedCluster"])?);
                if is_deleted {
                    self.gone_l2.insert(id);
                }
            }
            "PrimaryStorageVO" => {
                self.storages.insert(id);
                self.whole_clusters.extend(named(&["attached", "detached", "detachedCluster"])?);
                // With it went the cached images that its hosts had.
                self.everything |= is_deleted;
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds zones, clusters and storages that somebody else touched.
    pub(super) fn look_also_at(&mut self, other: &Self) {
        self.zones.extend(&other.zones);
        self.clusters.extend(&other.clusters);
        self.storages.extend(&other.storages);
    }

    /// Whether nothing is to be read again because of a transaction that may have been taken back.
    pub(super) fn is_sure(&self) -> bool {
        self.zones.is_empty() && self.clusters.is_empty() && self.storages.is_empty()
    }

    /// Adds the hosts that VMs, volumes and whole clusters stand for.
    pub(super) fn resolve(&mut self, tx: &mut dyn Tx) -> Result<()> {
        for vm in std::mem::take(&mut self.vms) {
            let sql = "SELECT host_uuid, last_host_uuid FROM vm_instance WHERE uuid = ?";
            if let Some(row) = tx.query_opt(sql, params![param(vm)])? {
                for column in ["host_uuid", "last_host_uuid"] {
                    self.hosts.extend(row.opt_id::<kind::Host>(column)?.map(Id::as_u128));
                }
            }
        }
        for volume in std::mem::take(&mut self.volumes) {
            let sql = "SELECT host_uuid FROM local_storage_resource_ref WHERE resource_uuid = ?";
            self.hosts.extend(u128s(&tx.query(sql, params![param(volume)])?, "host_uuid")?);
        }
        for cluster in std::mem::take(&mut self.whole_clusters) {
            let sql = format!("SELECT uuid FROM host WHERE cluster_uuid = ? LIMIT {MANY}");
            let hosts = u128s(&tx.query(&sql, params![param(cluster)])?, "uuid")?;
            self.everything |= hosts.len() >= MANY;
            self.hosts.extend(hosts);
            self.clusters.insert(cluster);
        }
        Ok(())
    }

    /// What rows say of zones, clusters and storages now. Storages that hosts share are read in any case: their room
    /// changes with every volume.
    pub(super) fn topology(&self, tx: &mut dyn Tx, sums: &Sums, state: &Known) -> Result<Topology> {
        let mut topology = Topology::default();
        for zone in &self.zones {
            topology.add_zone(tx, *zone)?;
        }
        let holding = state.l2s.iter().filter(|(l2, _)| self.gone_l2.contains(l2)).map(|(_, c)| c);
        for cluster in self.clusters.iter().chain(holding) {
            topology.add_cluster(tx, *cluster)?;
        }
        for storage in self.storages.iter().chain(&state.shared) {
            topology.add_storage(tx, sums, *storage)?;
        }
        Ok(topology)
    }
}

fn number(uuid: &str) -> Option<u128> {
    uuid.parse::<Id<kind::AnyResource>>().ok().map(Id::as_u128)
}

/// What following needs to know of the index.
#[derive(Debug, Default)]
pub(super) struct Known {
    shared: BTreeSet<u128>,
    /// L2 networks with the clusters that they are attached to.
    l2s: Vec<(u128, u128)>,
}

impl State {
    /// What following needs to know of the index to read what is touched.
    pub(super) fn known(&self, touched: &Touched) -> Known {
        let l2s = match touched.gone_l2.is_empty() {
            true => Vec::new(),
            false => {
                let all = self.index.topology();
                let rows = all.clusters.into_iter().filter_map(|(c, row)| row.map(|row| (c, row)));
                rows.flat_map(|(c, row)| row.l2_networks.into_iter().map(move |l2| (l2, c))).collect()
            }
        };
        Known { shared: self.index.shared_storages(), l2s }
    }
}

impl Placement {
    /// Reads what has changed since the index was read, without keeping it from others meanwhile. What is unsure stays so if that
    /// fails.
    pub(super) fn read_update(&self, tx: &mut dyn Tx, with_pending: bool) -> Result<Update> {
        let unsure = std::mem::take(&mut self.lock().unsure);
        let update = self.read_touched(tx, with_pending, &unsure);
        if update.is_err() {
            self.lock().unsure.look_also_at(&unsure);
        }
        update
    }

    fn read_touched(&self, tx: &mut dyn Tx, with_pending: bool, unsure: &Touched) -> Result<Update> {
        let began = Instant::now();
        let (from, is_exact, pending) = {
            let state = self.lock();
            let due = state.pending.iter().filter(|(_, p)| with_pending || p.at.elapsed() >= DEDUCTED);
            let due: Vec<u128> = due.map(|(h, _)| *h).collect();
            (state.cursor, state.is_exact, due)
        };
        let mut touched = since(tx, from)?;
        touched.resolve(tx)?;
        if touched.everything || !is_exact {
            return Ok(Update::Rebuild);
        }
        touched.hosts.extend(pending);
        touched.look_also_at(unsure);
        let known = self.lock().known(&touched);
        let topology = touched.topology(tx, self.sums(), &known)?;
        let hosts = touched.hosts.iter().map(|h| Ok((*h, entry::one(tx, *h)?))).collect::<Result<_>>()?;
        let changes = Changes { from, to: touched.last, topology, hosts, unsure: unsure.clone(), began };
        Ok(Update::Changes(Box::new(changes)))
    }

    /// Takes changes over, unless somebody else was faster.
    pub(super) fn apply(&self, changes: Changes) -> bool {
        let mut state = self.lock();
        if state.cursor != changes.from || !state.is_exact {
            state.unsure.look_also_at(&changes.unsure);
            return false;
        }
        state.index.set_topology(&changes.topology);
        for (host, entry) in &changes.hosts {
            state.index.correct(*host, entry.as_ref());
            // What was deducted since these rows were read will be read again.
            if state.pending.get(host).is_some_and(|p| p.at < changes.began) {
                state.pending.remove(host);
            } else if let Some(pending) = state.pending.get_mut(host) {
                pending.by_rows.clone_from(entry);
                pending.differs = false;
            }
        }
        state.cursor = changes.to;
        true
    }
}
