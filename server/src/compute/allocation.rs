//! Choosing host and primary storage of a VM. Every candidate is judged by the same function, whether it is chosen, listed
//! or explained, so a refusal always states the reason of every rejection (BEY-03).

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::ops::compute::{
    ExplainAllocation, GetCandidatePrimaryStoragesForCreatingVm, GetCandidateZonesClustersHostsForCreatingVm,
    GetVmStartingCandidateClustersHosts,
};
use cairn_api::resource;
use cairn_store::{Row, Tx, params};
use cairn_types::size::show_size;
use cairn_types::{Fault, Id, Result, code, kind};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Call, id, opt_id};
use crate::compute::vm::{VmRow, store};
use crate::handlers::Handlers;
use crate::inventory;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<ExplainAllocation, _>(explain);
    h.read::<GetCandidateZonesClustersHostsForCreatingVm, _>(destinations);
    h.read::<GetCandidatePrimaryStoragesForCreatingVm, _>(storages);
    h.read::<GetVmStartingCandidateClustersHosts, _>(starting_hosts);
}

/// Candidates that are looked at in one go.
const PAGE: i64 = 64;
/// Rejected candidates that a fault names one by one; the rest are counted by reason.
const EXAMPLES: usize = 50;

/// What a VM needs.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Virtual processors.
    pub cpu_num: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Size of the volumes to make, in bytes; 0 if they exist.
    pub disk_bytes: i64,
    /// Image of the root volume.
    pub image: Option<Id<kind::Image>>,
    /// Networks that the host must reach.
    pub l3_networks: Vec<Id<kind::L3Network>>,
    /// Only this zone.
    pub zone: Option<Id<kind::Zone>>,
    /// Only this cluster.
    pub cluster: Option<Id<kind::Cluster>>,
    /// Only this host.
    pub host: Option<Id<kind::Host>>,
    /// Only this primary storage.
    pub storage: Option<Id<kind::PrimaryStorage>>,
    /// The volumes exist and lie on this host.
    pub volumes_on: Option<Id<kind::Host>>,
    /// Name of the strategy.
    pub strategy: String,
    /// Host on which it ran last.
    pub last_host: Option<Id<kind::Host>>,
}

/// A host with a primary storage, and what speaks against it.
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
    /// Why not. Empty: it can be chosen.
    pub reasons: Vec<Reason>,
}

/// Why a candidate is rejected: a short kind that can be counted, and the whole story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `memory`, `cpu`, `hostState`, …
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

impl Candidate {
    fn to_json(&self) -> Value {
        json!({
            "hostUuid": self.host, "hostName": self.host_name, "clusterUuid": self.cluster, "zoneUuid": self.zone,
            "primaryStorageUuid": self.storage, "accepted": self.reasons.is_empty(),
            "reasons": self.reasons.iter().map(|r| &r.text).collect::<Vec<_>>(),
        })
    }
}

/// Facts that are the same for all candidates.
struct Shared {
    /// Zones in which a backup storage can give the image.
    image_zones: BTreeSet<String>,
    /// Hosts that have the image in their cache.
    cached_on: BTreeSet<String>,
    image_bytes: i64,
    /// Clusters that reach each L3 network, with its name.
    reach: Vec<(String, BTreeSet<String>)>,
    storage_reserve: i64,
}

impl Shared {
    fn load(app: &App, tx: &mut dyn Tx, ask: &Ask) -> Result<Self> {
        let mut shared = Self {
            image_zones: BTreeSet::new(),
            cached_on: BTreeSet::new(),
            image_bytes: 0,
            reach: Vec::new(),
            storage_reserve: i64::try_from(app.settings.bytes("primaryStorage", "reservedCapacity"))
                .unwrap_or(0),
        };
        if let Some(image) = ask.image {
            let sql = "SELECT z.zone_uuid AS zone FROM image_backup_storage_ref r
                       JOIN backup_storage b ON b.uuid = r.backup_storage_uuid
                       JOIN backup_storage_zone_ref z ON z.backup_storage_uuid = b.uuid
                       WHERE r.image_uuid = ? AND r.status = 'Ready' AND b.state = 'Enabled' AND b.status = 'Connected'";
            shared.image_zones = texts(&tx.query(sql, params![image])?, "zone")?;
            let sql = "SELECT host_uuid AS host FROM image_cache WHERE image_uuid = ? AND state = 'ready' AND host_uuid IS NOT NULL";
            shared.cached_on = texts(&tx.query(sql, params![image])?, "host")?;
            shared.image_bytes =
                tx.query_int("SELECT actual_size FROM image WHERE uuid = ?", params![image])?;
        }
        for l3 in &ask.l3_networks {
            let sql = "SELECT c.cluster_uuid AS cluster FROM l3_network n
                       JOIN l2_network_cluster_ref c ON c.l2_network_uuid = n.l2_network_uuid WHERE n.uuid = ?";
            let clusters = texts(&tx.query(sql, params![*l3])?, "cluster")?;
            shared.reach.push((crate::rows::name(tx, "L3NetworkVO", *l3)?, clusters));
        }
        Ok(shared)
    }
}

fn texts(rows: &[Row], column: &str) -> Result<BTreeSet<String>> {
    rows.iter().map(|r| r.text(column)).collect()
}

/// One page of candidates in the order of their uuids, judged.
fn page(tx: &mut dyn Tx, ask: &Ask, shared: &Shared, after: &str, limit: i64) -> Result<Vec<Candidate>> {
    let local_free = resource::on(resource::LOCAL_STORAGE_AVAILABLE, "lr");
    let shared_free = resource::on(resource::STORAGE_AVAILABLE, "p");
    let sql = format!(
        "SELECT h.uuid AS host, h.name AS host_name, h.state AS host_state, h.status AS host_status, h.status_reason,
           h.deleting_run, c.uuid AS cluster, c.state AS cluster_state, z.uuid AS zone, z.state AS zone_state,
           {} AS free_cpu, {} AS free_memory, h.hypervisor_type,
           (SELECT count(*) FROM vm_instance v WHERE v.host_uuid = h.uuid) AS vm_count,
           p.uuid AS storage, p.url, p.state AS storage_state, p.status AS storage_status,
           coalesce(lr.status, p.status) AS local_status, p.total_capacity AS own_capacity, lr.host_uuid AS local_host,
           CASE WHEN lr.host_uuid IS NULL THEN {shared_free} ELSE {local_free} END AS free_disk,
           CASE WHEN lr.host_uuid IS NULL THEN p.available_capacity ELSE lr.available_physical END AS free_physical
         FROM (SELECT * FROM host WHERE uuid > ? AND (? IS NULL OR uuid = ?) AND (? IS NULL OR cluster_uuid = ?)
                 AND (? IS NULL OR zone_uuid = ?) ORDER BY uuid LIMIT ?) h
         JOIN cluster c ON c.uuid = h.cluster_uuid JOIN zone z ON z.uuid = h.zone_uuid
         LEFT JOIN primary_storage_cluster_ref pr ON pr.cluster_uuid = c.uuid
         LEFT JOIN primary_storage p ON p.uuid = pr.primary_storage_uuid
         LEFT JOIN local_storage_host_ref lr ON lr.primary_storage_uuid = p.uuid AND lr.host_uuid = h.uuid
         ORDER BY h.uuid, p.uuid",
        resource::on(resource::HOST_AVAILABLE_CPU, "h"),
        resource::on(resource::HOST_AVAILABLE_MEMORY, "h"),
    );
    let values = params![after, ask.host, ask.host, ask.cluster, ask.cluster, ask.zone, ask.zone, limit];
    tx.query(&sql, values)?.iter().map(|row| judge(row, ask, shared)).collect()
}

/// Looks at one candidate from all sides.
fn judge(row: &Row, ask: &Ask, shared: &Shared) -> Result<Candidate> {
    let mut reasons = Vec::new();
    let mut no = |kind: &'static str, text: String| reasons.push(Reason { kind, text });
    let (host, cluster, zone) = (row.text("host")?, row.text("cluster")?, row.text("zone")?);
    if row.text("zone_state")? != "Enabled" {
        no("zoneState", "its zone is Disabled".into());
    }
    if row.text("cluster_state")? != "Enabled" {
        no("clusterState", "its cluster is Disabled".into());
    }
    let (state, status) = (row.text("host_state")?, row.text("host_status")?);
    if state != "Enabled" {
        no("hostState", format!("it is {state}"));
    }
    if status != "Connected" {
        let why = row.opt_text("status_reason")?.map_or(String::new(), |r| format!(" ({r})"));
        no("hostStatus", format!("it is {status}{why}"));
    }
    if row.opt_text("deleting_run")?.is_some() {
        no("deleting", "it is being deleted".into());
    }
    if ask.volumes_on.is_some_and(|h| h.to_string() != host) {
        no("localVolumes", "the VM's volumes are on the local storage of another host".into());
    }
    let (free_cpu, free_memory) = (row.int("free_cpu")?, row.int("free_memory")?);
    if free_cpu < ask.cpu_num {
        no("cpu", format!("{} virtual CPUs are needed, {free_cpu} are free", ask.cpu_num));
    }
    if free_memory < ask.memory_bytes {
        no(
            "memory",
            format!("{} of memory are needed, {} are free", size(ask.memory_bytes), size(free_memory)),
        );
    }
    for (name, clusters) in &shared.reach {
        if !clusters.contains(&cluster) {
            no("network", format!("network {name:?} is not attached to its cluster"));
        }
    }
    if ask.image.is_some() && !shared.image_zones.contains(&zone) && !shared.cached_on.contains(&host) {
        no("image", "no connected backup storage of its zone has the image".into());
    }
    storage_reasons(row, ask, shared, &host, &mut no)?;
    Ok(Candidate {
        host: row.id("host")?,
        host_name: row.text("host_name")?,
        cluster: row.id("cluster")?,
        zone: row.id("zone")?,
        storage: row.opt_id("storage")?,
        storage_path: row.opt_text("url")?.unwrap_or_default(),
        free_memory,
        vm_count: row.int("vm_count")?,
        reasons,
    })
}

fn storage_reasons(
    row: &Row,
    ask: &Ask,
    shared: &Shared,
    host: &str,
    no: &mut impl FnMut(&'static str, String),
) -> Result<()> {
    let Some(storage) = row.opt_text("storage")? else {
        no("storage", "no primary storage is attached to its cluster".into());
        return Ok(());
    };
    if ask.storage.is_some_and(|s| s.to_string() != storage) {
        no("otherStorage", format!("primary storage {storage} is not the one asked for"));
    }
    let (state, status) = (row.text("storage_state")?, row.text("storage_status")?);
    if state != "Enabled" {
        no("storageState", format!("primary storage {storage} is {state}"));
    }
    let own = row.opt_int("own_capacity")?.is_some();
    if !own && row.opt_text("local_host")?.is_none() {
        no("storageStatus", format!("primary storage {storage} is not ready on it yet"));
        return Ok(());
    }
    let local = row.text("local_status")?;
    if status != "Connected" || local != "Connected" {
        no("storageStatus", format!("primary storage {storage} is {local} on it"));
    }
    let image = if shared.cached_on.contains(host) { 0 } else { shared.image_bytes };
    let wanted = ask.disk_bytes.saturating_add(image);
    let free = row.opt_int("free_disk")?.unwrap_or(0);
    if ask.disk_bytes > 0 && free < wanted {
        no(
            "disk",
            format!(
                "{} of disk are needed on storage {storage}, {} may be promised",
                size(wanted),
                size(free)
            ),
        );
    }
    let physical = row.opt_int("free_physical")?.unwrap_or(0);
    if ask.disk_bytes > 0 && physical < image.saturating_add(shared.storage_reserve) {
        no("physicalDisk", format!("only {} are free on the disks of storage {storage}", size(physical)));
    }
    Ok(())
}

fn size(bytes: i64) -> String {
    show_size(u64::try_from(bytes).unwrap_or(0))
}

/// Chooses, or says why nobody can be chosen.
pub fn choose(app: &App, tx: &mut dyn Tx, ask: &Ask) -> Result<Candidate> {
    let shared = Shared::load(app, tx, ask)?;
    let look_at_all =
        ask.strategy == "LeastVmPreferredHostAllocatorStrategy" || ask.strategy == "MostFreeMemory";
    if ask.strategy.starts_with("LastHost")
        && let Some(last) = ask.last_host
    {
        let narrowed = Ask { host: ask.host.or(Some(last)), ..ask.clone() };
        if let Some(found) =
            page(tx, &narrowed, &shared, "", PAGE)?.into_iter().find(|c| c.reasons.is_empty())
        {
            return Ok(found);
        }
    }
    if look_at_all {
        let good = all(tx, ask, &shared)?.into_iter().filter(|c| c.reasons.is_empty());
        let best = if ask.strategy == "MostFreeMemory" {
            good.max_by_key(|c| c.free_memory)
        } else {
            good.min_by_key(|c| (c.vm_count, -c.free_memory))
        };
        return best.map_or_else(|| Err(nobody(tx, ask, &shared)), Ok);
    }
    // Any host will do: begin at a random place, so that hosts fill evenly.
    let start = cairn_types::random_uuid();
    let from_time = tx.query_opt("SELECT min(uuid) AS a, max(uuid) AS b FROM host", params![])?;
    let start = from_time.map_or(Ok(start.clone()), |r| between(&r, &start))?;
    for (from, to) in [(start.as_str(), "g"), ("", start.as_str())] {
        let mut after = from.to_owned();
        loop {
            let found = page(tx, ask, &shared, &after, PAGE)?;
            let Some(last) = found.last().map(|c| c.host.to_string()) else { break };
            if let Some(good) = found.into_iter().find(|c| c.reasons.is_empty()) {
                return Ok(good);
            }
            after = last;
            if after.as_str() >= to {
                break;
            }
        }
    }
    Err(nobody(tx, ask, &shared))
}

/// A random uuid between the smallest and the largest that exist; ids are ordered by time, so a plain random one would
/// nearly always lie behind all of them.
fn between(row: &Row, random: &str) -> Result<String> {
    let (Some(a), Some(b)) = (row.opt_text("a")?, row.opt_text("b")?) else { return Ok(String::new()) };
    let number = |s: &str| u128::from_str_radix(s, 16).unwrap_or(0);
    let (low, high) = (number(&a), number(&b));
    let span = (high - low).max(1);
    Ok(format!("{:032x}", (low + number(random) % span).saturating_sub(1)))
}

fn all(tx: &mut dyn Tx, ask: &Ask, shared: &Shared) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let next = page(tx, ask, shared, &after, 1000)?;
        let Some(last) = next.last() else { return Ok(found) };
        after = last.host.to_string();
        found.extend(next);
    }
}

/// `HOST_ALLOCATION.1000` with every rejected candidate: counted by reason, with examples.
fn nobody(tx: &mut dyn Tx, ask: &Ask, shared: &Shared) -> Fault {
    let candidates = match all(tx, ask, shared) {
        Ok(candidates) => candidates,
        Err(f) => return f,
    };
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in candidates.iter().flat_map(|c| &c.reasons) {
        *by_reason.entry(reason.kind).or_default() += 1;
    }
    let text = if candidates.is_empty() {
        "no host fits: there is none in the zone, cluster or host that was asked for; add a host first"
            .to_owned()
    } else {
        let lines: Vec<String> =
            candidates.iter().take(3).map(|c| format!("{}: {}", c.host_name, told(c))).collect();
        let more = candidates.len().saturating_sub(3);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("no host fits. {}{rest}", lines.join("; "))
    };
    let mut fault = Fault::new(code::NO_AVAILABLE_HOST, text);
    fault.opaque = Some(json!({
        "candidates": candidates.iter().take(EXAMPLES).map(Candidate::to_json).collect::<Vec<_>>(),
        "rejectedBy": by_reason, "total": candidates.len(),
    }));
    fault
}

fn told(c: &Candidate) -> String {
    c.reasons.iter().map(|r| r.text.as_str()).collect::<Vec<_>>().join(", ")
}

/// A named zone, cluster or host must be in use (states.json, Zone).
pub fn check_named(tx: &mut dyn Tx, ask: &Ask) -> Result<()> {
    let named = [
        ("zone", ask.zone.map(|i| i.to_string())),
        ("cluster", ask.cluster.map(|i| i.to_string())),
        ("host", ask.host.map(|i| i.to_string())),
    ];
    for (table, uuid) in named {
        let Some(uuid) = uuid else { continue };
        let row = tx.query_opt(&format!("SELECT name, state FROM {table} WHERE uuid = ?"), params![&uuid])?;
        let row = row.ok_or_else(|| Fault::not_found(table, &uuid))?;
        let (name, state) = (row.text("name")?, row.text("state")?);
        if state != "Enabled" {
            return Err(Fault::operation(format!(
                "{table} {name:?} is {state}; enable it or choose another"
            )));
        }
    }
    if let Some(host) = ask.host {
        let row = tx.query_opt("SELECT name, status FROM host WHERE uuid = ?", params![host])?;
        if let Some(row) = row
            && row.text("status")? != "Connected"
        {
            let text = format!(
                "host {:?} is {}; choose one that is Connected",
                row.text("name")?,
                row.text("status")?
            );
            return Err(Fault::operation(text));
        }
    }
    Ok(())
}

/// Size and processors of an offering.
pub fn offering(tx: &mut dyn Tx, uuid: Id<kind::InstanceOffering>) -> Result<(i64, i64, String, String)> {
    let sql =
        "SELECT name, cpu_num, memory_size, allocator_strategy, state FROM instance_offering WHERE uuid = ?";
    let row =
        tx.query_opt(sql, params![uuid])?.ok_or_else(|| Fault::not_found("InstanceOfferingVO", uuid))?;
    Ok((row.int("cpu_num")?, row.int("memory_size")?, row.text("allocator_strategy")?, row.text("state")?))
}

fn list_of<T>(name: &str, texts: &[String]) -> Result<Vec<Id<T>>> {
    texts.iter().map(|t| id(name, t)).collect()
}

async fn judged(call: &Call, ask: Ask) -> Result<Vec<Candidate>> {
    let app = call.app.clone();
    call.app
        .store
        .read(move |tx| {
            let shared = Shared::load(&app, tx, &ask)?;
            all(tx, &ask, &shared)
        })
        .await
}

async fn explain(call: Call, op: ExplainAllocation) -> Result<Value> {
    let ask = explained(&call, &op).await?;
    let mut candidates = judged(&call, ask).await?;
    let chosen = candidates.iter().filter(|c| c.reasons.is_empty()).max_by_key(|c| c.free_memory).cloned();
    if !call.caller.is_admin() {
        // A tenant learns why, not what the data centre is called.
        candidates.iter_mut().for_each(|c| c.host_name = String::new());
    }
    let mut answer = json!({ "candidates": candidates.iter().map(Candidate::to_json).collect::<Vec<_>>() });
    if let Some(chosen) = chosen {
        answer["chosen"] = chosen.to_json();
    }
    Ok(answer)
}

async fn explained(call: &Call, op: &ExplainAllocation) -> Result<Ask> {
    let op = op.clone();
    if let Some(vm) = opt_id::<kind::Vm>("vmInstanceUuid", op.vm_instance_uuid.as_deref())? {
        return call.app.store.read(move |tx| of_existing(tx, vm)).await;
    }
    let mut ask = Ask {
        cpu_num: op.cpu_num.unwrap_or(0),
        memory_bytes: op.memory_size.unwrap_or(0),
        image: opt_id("imageUuid", op.image_uuid.as_deref())?,
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        host: opt_id("hostUuid", op.host_uuid.as_deref())?,
        storage: opt_id(
            "primaryStorageUuidForRootVolume",
            op.primary_storage_uuid_for_root_volume.as_deref(),
        )?,
        ..Ask::default()
    };
    let offering_uuid =
        opt_id::<kind::InstanceOffering>("instanceOfferingUuid", op.instance_offering_uuid.as_deref())?;
    let disk = opt_id::<kind::DiskOffering>("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    call.app.store.read(move |tx| complete(tx, &mut ask, offering_uuid, disk).map(|()| ask)).await
}

/// What an existing VM needs to start.
pub fn of_existing(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Ask> {
    let row = VmRow::load(tx, vm)?;
    let volumes = store::volumes(tx, vm)?;
    let made = volumes.iter().find(|v| v.install_path.is_some());
    Ok(Ask {
        cpu_num: row.cpu_num,
        memory_bytes: row.memory_size,
        disk_bytes: volumes.iter().filter(|v| v.install_path.is_none()).map(|v| v.size).sum(),
        image: if made.is_some() { None } else { row.image },
        l3_networks: store::l3_networks(tx, vm)?,
        zone: row.zone,
        storage: made.and_then(|v| v.storage),
        volumes_on: made.and_then(|v| v.host),
        strategy: row.strategy,
        last_host: row.last_host,
        ..Ask::default()
    })
}

fn complete(
    tx: &mut dyn Tx,
    ask: &mut Ask,
    offering_uuid: Option<Id<kind::InstanceOffering>>,
    disk: Option<Id<kind::DiskOffering>>,
) -> Result<()> {
    if let Some(uuid) = offering_uuid {
        (ask.cpu_num, ask.memory_bytes, ask.strategy, _) = offering(tx, uuid)?;
    }
    if let Some(image) = ask.image {
        ask.disk_bytes = tx.query_int("SELECT size FROM image WHERE uuid = ?", params![image])?;
    }
    if let Some(disk) = disk {
        let wanted = tx.query_int("SELECT disk_size FROM disk_offering WHERE uuid = ?", params![disk])?;
        ask.disk_bytes = ask.disk_bytes.max(wanted);
    }
    Ok(())
}

async fn destinations(call: Call, op: GetCandidateZonesClustersHostsForCreatingVm) -> Result<Value> {
    let mut ask = Ask {
        image: Some(id("imageUuid", &op.image_uuid)?),
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        ..Ask::default()
    };
    let offering_uuid = Some(id("instanceOfferingUuid", &op.instance_offering_uuid)?);
    let disk = opt_id("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    let ask =
        call.app.store.read(move |tx| complete(tx, &mut ask, offering_uuid, disk).map(|()| ask)).await?;
    let good: Vec<Candidate> =
        judged(&call, ask).await?.into_iter().filter(|c| c.reasons.is_empty()).collect();
    let zones: BTreeSet<String> = good.iter().map(|c| c.zone.to_string()).collect();
    let clusters: BTreeSet<String> = good.iter().map(|c| c.cluster.to_string()).collect();
    let hosts: BTreeSet<String> = good.iter().map(|c| c.host.to_string()).collect();
    Ok(json!({
        "zones": inventories(&call, "ZoneInventory", zones).await?,
        "clusters": inventories(&call, "ClusterInventory", clusters).await?,
        "hosts": inventories(&call, "HostInventory", hosts).await?,
    }))
}

async fn starting_hosts(call: Call, op: GetVmStartingCandidateClustersHosts) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let ask = call
        .app
        .store
        .read(move |tx| {
            let row = VmRow::load(tx, vm)?;
            row.allow(cairn_types::state::VmAction::GetVmStartingCandidateClustersHosts)?;
            of_existing(tx, vm)
        })
        .await?;
    let good: Vec<Candidate> =
        judged(&call, ask).await?.into_iter().filter(|c| c.reasons.is_empty()).collect();
    let clusters = good.iter().map(|c| c.cluster.to_string()).collect();
    let hosts = good.iter().map(|c| c.host.to_string()).collect();
    Ok(json!({
        "clusters": inventories(&call, "ClusterInventory", clusters).await?,
        "hosts": inventories(&call, "HostInventory", hosts).await?,
    }))
}

async fn storages(call: Call, op: GetCandidatePrimaryStoragesForCreatingVm) -> Result<Value> {
    let mut ask = Ask {
        image: Some(id("imageUuid", &op.image_uuid)?),
        l3_networks: list_of("l3NetworkUuids", &op.l3_network_uuids)?,
        zone: opt_id("zoneUuid", op.zone_uuid.as_deref())?,
        cluster: opt_id("clusterUuid", op.cluster_uuid.as_deref())?,
        ..Ask::default()
    };
    let disk = opt_id("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    let size = op.root_disk_size;
    let ask = call
        .app
        .store
        .read(move |tx| {
            complete(tx, &mut ask, None, disk)?;
            ask.disk_bytes = ask.disk_bytes.max(size.unwrap_or(0));
            Ok(ask)
        })
        .await?;
    let good = judged(&call, ask).await?.into_iter().filter(|c| c.reasons.is_empty());
    let uuids: BTreeSet<String> = good.filter_map(|c| c.storage.map(|s| s.to_string())).collect();
    let list = inventories(&call, "PrimaryStorageInventory", uuids).await?;
    let data: serde_json::Map<String, Value> =
        op.data_disk_offering_uuids.iter().map(|o| (o.clone(), list.clone())).collect();
    Ok(json!({ "rootVolumePrimaryStorages": list, "dataVolumePrimaryStorages": data }))
}

async fn inventories(call: &Call, name: &'static str, uuids: BTreeSet<String>) -> Result<Value> {
    let dates = call.dates;
    call.app
        .store
        .read(move |tx| {
            let list: Result<Vec<Value>> = uuids.iter().map(|u| inventory::one(tx, name, u, dates)).collect();
            Ok(Value::Array(list?))
        })
        .await
}
