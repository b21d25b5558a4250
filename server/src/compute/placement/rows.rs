//! Hosts as rows tell of them: one host or a page of hosts with names and words, to be judged and shown.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::resource;
use cairn_store::{Row, Tx, Value, params};
use cairn_types::size::show_size;
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value as Json, json};

use super::ask::Need;
use super::judge::{Facts, Kind, StorageFacts, Verdict, judge};
use super::topology::shared_free;
use crate::platform::sums::Sums;

/// The uuids of a column.
pub(super) fn u128s(rows: &[Row], column: &str) -> Result<Vec<u128>> {
    rows.iter().map(|r| uuid(r, column)).collect()
}

/// A uuid that must be there, as a number.
pub(super) fn uuid(row: &Row, column: &str) -> Result<u128> {
    row.id::<kind::AnyResource>(column).map(Id::as_u128)
}

/// A uuid as a parameter.
pub(super) fn param(uuid: u128) -> Value {
    Id::<kind::AnyResource>::from_u128(uuid).into()
}

/// A host with a primary storage, judged, with what is needed to use it and to speak of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The host.
    pub host: Id<kind::Host>,
    /// Its name.
    pub host_name: String,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Its zone.
    pub zone: Id<kind::Zone>,
    /// The primary storage; none is attached to the cluster if this is empty.
    pub storage: Option<Id<kind::PrimaryStorage>>,
    /// Folder of the primary storage.
    pub storage_path: String,
    /// Free memory, for strategies.
    pub free_memory: i64,
    /// VMs on the host, for strategies.
    pub vm_count: i64,
    /// What speaks against it.
    pub verdict: Verdict,
    /// The same in words.
    pub reasons: Vec<String>,
}

impl Candidate {
    /// Nothing speaks against it.
    pub fn is_accepted(&self) -> bool {
        self.verdict.is_accepted()
    }

    /// As answers show it.
    pub fn to_json(&self) -> Json {
        json!({
            "hostUuid": self.host, "hostName": self.host_name, "clusterUuid": self.cluster, "zoneUuid": self.zone,
            "primaryStorageUuid": self.storage, "accepted": self.is_accepted(), "reasons": self.reasons,
        })
    }
}

/// The hosts of a question.
#[derive(Debug, Clone, Copy)]
pub enum Hosts {
    /// This one, if the need allows it.
    One(u128),
    /// So many that the need allows, after this one in the order of uuids.
    Page(u128, usize),
}

/// Hosts with each storage of their clusters, in the order of their uuids, judged.
pub fn candidates(tx: &mut dyn Tx, sums: &Sums, need: &Need, hosts: Hosts) -> Result<Vec<Candidate>> {
    let (sql, values) = statement(need, hosts);
    let rows = tx.query(&sql, &values)?;
    let (mut found, mut cached, mut reach) = (Vec::with_capacity(rows.len()), None, Reach::default());
    let mut shared = Shared::default();
    for row in &rows {
        let host = uuid(row, "host")?;
        let has_image = match (&need.image, cached) {
            (None, _) => false,
            (Some(_), Some((known, has))) if known == host => has,
            (Some(image), _) => {
                let sql =
                    "SELECT 1 FROM image_cache WHERE host_uuid = ? AND image_uuid = ? AND state = 'ready'";
                tx.exists(sql, params![param(host), param(image.uuid)])?
            }
        };
        cached = Some((host, has_image));
        let unreached = reach.of(tx, need, uuid(row, "cluster")?)?;
        let shared_free = shared.of(tx, sums, row)?;
        found.push(seen(row, need, has_image, unreached, shared_free)?);
    }
    Ok(found)
}

/// All hosts that the need allows, judged. For small clouds, and to compare with.
pub fn all(tx: &mut dyn Tx, sums: &Sums, need: &Need) -> Result<Vec<Candidate>> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let next = candidates(tx, sums, need, Hosts::Page(after, 1000))?;
        let Some(last) = next.last() else { return Ok(found) };
        after = last.host.as_u128();
        found.extend(next);
    }
}

fn statement(need: &Need, hosts: Hosts) -> (String, Vec<Value>) {
    let (mut conditions, mut values, mut limit) = (Vec::new(), Vec::new(), String::new());
    match hosts {
        Hosts::One(host) => {
            conditions.push("uuid = ?");
            values.push(param(host));
        }
        Hosts::Page(after, count) => {
            conditions.push("uuid > ?");
            values.push(param(after));
            limit = format!("ORDER BY uuid LIMIT {count}");
        }
    }
    for (condition, wanted) in
        [("uuid = ?", need.host), ("cluster_uuid = ?", need.cluster), ("zone_uuid = ?", need.zone)]
    {
        if let Some(wanted) = wanted {
            conditions.push(condition);
            values.push(param(wanted));
        }
    }
    let on = resource::on;
    let sql = format!(
        "SELECT h.uuid AS host, h.name AS host_name, h.state AS host_state, h.status AS host_status, h.status_reason,
           h.deleting_run, c.uuid AS cluster, c.state AS cluster_state, z.uuid AS zone, z.state AS zone_state,
           {} AS free_cpu, {} AS free_memory, (SELECT count(*) FROM vm_instance v WHERE v.host_uuid = h.uuid) AS vm_count,
           p.uuid AS storage, p.url, p.state AS storage_state, p.status AS storage_status,
           coalesce(lr.status, p.status) AS local_status, p.total_capacity AS own_capacity, lr.host_uuid AS local_host,
           CASE WHEN lr.host_uuid IS NULL THEN NULL ELSE {} END AS local_free,
           CASE WHEN lr.host_uuid IS NULL THEN p.available_capacity ELSE lr.available_physical END AS free_physical
         FROM (SELECT * FROM host WHERE {} {limit}) h
         JOIN cluster c ON c.uuid = h.cluster_uuid JOIN zone z ON z.uuid = h.zone_uuid
         LEFT JOIN primary_storage_cluster_ref pr ON pr.cluster_uuid = c.uuid
         LEFT JOIN primary_storage p ON p.uuid = pr.primary_storage_uuid
         LEFT JOIN local_storage_host_ref lr ON lr.primary_storage_uuid = p.uuid AND lr.host_uuid = h.uuid
         ORDER BY h.uuid, p.uuid",
        on(resource::HOST_AVAILABLE_CPU, "h"),
        on(resource::HOST_AVAILABLE_MEMORY, "h"),
        on(resource::LOCAL_STORAGE_AVAILABLE, "lr"),
        conditions.join(" AND "),
    );
    (sql, values)
}

/// What storages that hosts share may still promise, looked up once for each.
#[derive(Default)]
struct Shared(BTreeMap<u128, i64>);

impl Shared {
    fn of(&mut self, tx: &mut dyn Tx, sums: &Sums, row: &Row) -> Result<i64> {
        let is_local = row.opt_text("local_host")?.is_some() || row.opt_int("own_capacity")?.is_none();
        let Some(storage) = row.opt_id::<kind::PrimaryStorage>("storage")?.filter(|_| !is_local) else {
            return Ok(0);
        };
        let storage = storage.as_u128();
        if let Some(known) = self.0.get(&storage) {
            return Ok(*known);
        }
        let free = shared_free(tx, sums, storage)?;
        self.0.insert(storage, free);
        Ok(free)
    }
}

/// Which networks clusters do not reach, looked up once for each cluster in a row.
#[derive(Default)]
struct Reach(Option<(u128, u64)>);

impl Reach {
    fn of(&mut self, tx: &mut dyn Tx, need: &Need, cluster: u128) -> Result<u64> {
        if let Some((known, unreached)) = self.0
            && known == cluster
        {
            return Ok(unreached);
        }
        let l2s = l2_networks(tx, cluster, need)?;
        let unreached = unreached(need, |l2| l2s.contains(&l2));
        self.0 = Some((cluster, unreached));
        Ok(unreached)
    }
}

/// Those of the needed L2 networks that are attached to a cluster.
fn l2_networks(tx: &mut dyn Tx, cluster: u128, need: &Need) -> Result<BTreeSet<u128>> {
    let mut there = BTreeSet::new();
    for l2 in need.networks.iter().filter_map(|n| n.l2) {
        let sql = "SELECT 1 FROM l2_network_cluster_ref WHERE l2_network_uuid = ? AND cluster_uuid = ?";
        if tx.exists(sql, params![param(l2), param(cluster)])? {
            there.insert(l2);
        }
    }
    Ok(there)
}

/// The needed networks that are not there, a bit each.
pub(super) fn unreached(need: &Need, is_there: impl Fn(u128) -> bool) -> u64 {
    let bits = need.networks.iter().enumerate().filter(|(_, n)| !n.l2.is_some_and(&is_there));
    bits.fold(0, |all, (n, _)| all | 1 << n.min(63))
}

fn seen(row: &Row, need: &Need, has_image: bool, unreached: u64, shared_free: i64) -> Result<Candidate> {
    let storage = match row.opt_id::<kind::PrimaryStorage>("storage")? {
        None => None,
        Some(storage) => Some(StorageFacts {
            uuid: storage.as_u128(),
            is_enabled: row.text("storage_state")? == "Enabled",
            is_ready: row.opt_int("own_capacity")?.is_some() || row.opt_text("local_host")?.is_some(),
            is_connected: row.text("storage_status")? == "Connected"
                && row.text("local_status")? == "Connected",
            free: row.opt_int("local_free")?.unwrap_or(shared_free),
            free_physical: row.opt_int("free_physical")?.unwrap_or(0),
        }),
    };
    let facts = Facts {
        host: uuid(row, "host")?,
        cluster: uuid(row, "cluster")?,
        zone: uuid(row, "zone")?,
        zone_enabled: row.text("zone_state")? == "Enabled",
        cluster_enabled: row.text("cluster_state")? == "Enabled",
        is_enabled: row.text("host_state")? == "Enabled",
        is_connected: row.text("host_status")? == "Connected",
        is_deleting: row.opt_text("deleting_run")?.is_some(),
        free_cpu: row.int("free_cpu")?,
        free_memory: row.int("free_memory")?,
        vm_count: row.int("vm_count")?,
        has_image,
        unreached,
        storage,
    };
    let verdict = judge(&facts, need);
    Ok(Candidate {
        host: row.id("host")?,
        host_name: row.text("host_name")?,
        cluster: row.id("cluster")?,
        zone: row.id("zone")?,
        storage: row.opt_id("storage")?,
        storage_path: row.opt_text("url")?.unwrap_or_default(),
        free_memory: facts.free_memory,
        vm_count: facts.vm_count,
        verdict,
        reasons: words(row, &facts, need, verdict)?,
    })
}

/// The reasons of a verdict in words, one for each.
fn words(row: &Row, facts: &Facts, need: &Need, verdict: Verdict) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|k| verdict.has(*k)) {
        if kind == Kind::Network {
            let missing =
                need.networks.iter().enumerate().filter(|(n, _)| facts.unreached & 1 << n.min(&63) != 0);
            all.extend(missing.map(|(_, n)| format!("network {:?} is not attached to its cluster", n.name)));
        } else {
            all.push(in_words(row, kind, facts, need)?);
        }
    }
    Ok(all)
}

fn in_words(row: &Row, kind: Kind, facts: &Facts, need: &Need) -> Result<String> {
    let Some(storage) = &facts.storage else { return of_host(row, kind, facts, need) };
    let named = Id::<kind::PrimaryStorage>::from_u128(storage.uuid);
    Ok(match kind {
        Kind::OtherStorage => format!("primary storage {named} is not the one asked for"),
        Kind::StorageState => format!("primary storage {named} is {}", row.text("storage_state")?),
        Kind::StorageStatus if !storage.is_ready => format!("primary storage {named} is not ready on it yet"),
        Kind::StorageStatus => format!("primary storage {named} is {} on it", row.text("local_status")?),
        Kind::Disk => format!(
            "{} of disk are needed on storage {named}, {} may be promised",
            size(need.disk_with_image(facts.has_image)),
            size(storage.free)
        ),
        Kind::PhysicalDisk => {
            format!("only {} are free on the disks of storage {named}", size(storage.free_physical))
        }
        _ => return of_host(row, kind, facts, need),
    })
}

fn of_host(row: &Row, kind: Kind, facts: &Facts, need: &Need) -> Result<String> {
    Ok(match kind {
        Kind::ZoneState => "its zone is Disabled".into(),
        Kind::ClusterState => "its cluster is Disabled".into(),
        Kind::HostState => format!("it is {}", row.text("host_state")?),
        Kind::HostStatus => {
            let why = row.opt_text("status_reason")?.map_or(String::new(), |r| format!(" ({r})"));
            format!("it is {}{why}", row.text("host_status")?)
        }
        Kind::Deleting => "it is being deleted".into(),
        Kind::LocalVolumes => "the VM's volumes are on the local storage of another host".into(),
        Kind::Cpu => format!("{} virtual CPUs are needed, {} are free", need.cpu, facts.free_cpu),
        Kind::Memory => {
            format!("{} of memory are needed, {} are free", size(need.memory), size(facts.free_memory))
        }
        Kind::Image => "no connected backup storage of its zone has the image".into(),
        Kind::Storage => "no primary storage is attached to its cluster".into(),
        Kind::Network
        | Kind::OtherStorage
        | Kind::StorageState
        | Kind::StorageStatus
        | Kind::Disk
        | Kind::PhysicalDisk => return Err(Fault::internal("a host has no such reason")),
    })
}

fn size(bytes: i64) -> String {
    show_size(u64::try_from(bytes).unwrap_or(0))
}
