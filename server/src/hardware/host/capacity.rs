//! What a host has, what of it is kept back, and the calls about it (HOST-06).

use std::collections::BTreeSet;

use cairn_api::agent::host::HostFacts;
use cairn_api::ops::hardware as ops;
use cairn_api::resource::{HOST_AVAILABLE_CPU, HOST_AVAILABLE_MEMORY, HOST_TOTAL_CPU, HOST_TOTAL_MEMORY, on};
use cairn_store::{Row, Tx, Value as Sql, params};
use cairn_types::{Fault, Id, Result, kind, size};
use serde_json::{Map, Value, json};

use super::ENTITY;
use crate::call::Call;
use crate::handlers::Handlers;
use crate::platform::tags;
use crate::rows;

/// Hypervisors that a cluster can have.
pub const HYPERVISORS: &[&str] = &["KVM", "Simulator"];
/// How a host can be chosen for a VM.
pub const STRATEGIES: &[&str] = &[
    "DefaultHostAllocatorStrategy",
    "LeastVmPreferredHostAllocatorStrategy",
    "LastHostPreferredAllocatorStrategy",
    "DesignatedHostAllocatorStrategy",
];

pub(in crate::hardware) fn handlers(h: &mut Handlers) {
    h.read(capacity);
    h.read(hypervisors);
    h.read(strategies);
}

async fn hypervisors(_call: Call, _op: ops::GetHypervisorTypes) -> Result<Value> {
    Ok(json!({ "hypervisorTypes": HYPERVISORS }))
}

async fn strategies(_call: Call, _op: ops::GetHostAllocatorStrategies) -> Result<Value> {
    Ok(json!({ "strategies": STRATEGIES }))
}

async fn capacity(call: Call, op: ops::GetCpuMemoryCapacity) -> Result<Value> {
    let choices =
        [("zone_uuid", &op.zone_uuids), ("cluster_uuid", &op.cluster_uuids), ("uuid", &op.host_uuids)];
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for (column, uuids) in choices.into_iter().filter(|(_, u)| !u.is_empty() && !op.all) {
        conditions.push(format!("h.{column} IN ({})", vec!["?"; uuids.len()].join(", ")));
        values.extend(uuids.iter().map(Sql::from));
    }
    if conditions.is_empty() && !op.all {
        let text = "give zoneUuids, clusterUuids or hostUuids, or set all to true";
        return Err(Fault::argument(text).with("parameter", "all"));
    }
    let chosen =
        if conditions.is_empty() { String::new() } else { format!("AND ({})", conditions.join(" OR ")) };
    let sum = |e: &str| format!("coalesce(sum({}), 0)", on(e, "h"));
    // Only what can be used now counts, as in an allocation.
    let sql = format!(
        "SELECT {} AS tc, {} AS ac, {} AS tm, {} AS am FROM host h WHERE h.state = 'Enabled' AND h.status = 'Connected' {chosen}",
        sum(HOST_TOTAL_CPU),
        sum(HOST_AVAILABLE_CPU),
        sum(HOST_TOTAL_MEMORY),
        sum(HOST_AVAILABLE_MEMORY)
    );
    let rows = call.app.store.read(move |tx| tx.query(&sql, &values)).await?;
    let row = rows.first().ok_or_else(|| Fault::internal("a sum has no row"))?;
    Ok(json!({
        "totalCpu": row.int("tc")?, "availableCpu": row.int("ac")?,
        "totalMemory": row.int("tm")?, "availableMemory": row.int("am")?,
    }))
}

/// Facts as a host's row keeps them: without the VMs.
pub(super) fn text_of(facts: &HostFacts) -> Result<String> {
    let text = serde_json::to_string(&HostFacts { vms: Vec::new(), ..facts.clone() });
    text.map_err(|e| Fault::internal("facts have no JSON form").for_operator(e))
}

/// Writes what the agent told of its host, and notes the change.
pub(super) fn store_facts(tx: &mut dyn Tx, host: Id<kind::Host>, facts: &HostFacts) -> Result<()> {
    let news = write_facts(tx, host, facts)?;
    if news.is_empty() { Ok(()) } else { rows::changed(tx, ENTITY, host, &Value::Object(news)) }
}

/// Writes what the agent told of its host: the row, and the tags that clients look for. What the caller has to tell of it.
pub(super) fn write_facts(
    tx: &mut dyn Tx,
    host: Id<kind::Host>,
    facts: &HostFacts,
) -> Result<Map<String, Value>> {
    let mut news = Map::new();
    let sql = "SELECT management_ip, total_cpu, total_memory FROM host WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![host])? else { return Ok(news) };
    let was = (row.int("total_cpu")?, row.bytes("total_memory")?);
    let sql = "UPDATE host SET facts = ?, cpu_num = ?, cpu_sockets = ?, total_cpu = ?, total_memory = ? WHERE uuid = ?";
    let (cpus, memory) = (facts.cpu_num, facts.memory_bytes);
    tx.execute(sql, params![text_of(facts)?, cpus, facts.cpu_sockets, cpus, memory, host])?;
    if was != (i64::from(cpus), memory) {
        news.insert("totalCpu".into(), cpus.into());
        news.insert("totalMemory".into(), memory.into());
    }
    let address = row.text("management_ip")?;
    let others: BTreeSet<&str> =
        facts.addresses.iter().map(String::as_str).filter(|a| *a != address).collect();
    let others = others.into_iter().collect::<Vec<_>>().join(",");
    let wanted = [
        ("os::distribution::", facts.os_distribution.as_str(), true),
        ("os::version::", facts.os_version.as_str(), true),
        ("os::release::", facts.os_release.as_str(), true),
        ("libvirt::version::", facts.libvirt_version.as_str(), false),
        ("qemu-img::version::", facts.qemu_img_version.as_str(), false),
        ("hvm::", facts.hvm_flag.as_str(), false),
        ("extraips::", others.as_str(), false),
    ];
    let tags = keep_tags(tx, host, &wanted)?;
    if !tags.is_empty() {
        news.insert("tags".into(), tags.into());
    }
    write_reserved(tx, host, &mut news)?;
    Ok(news)
}

/// Sets tags by prefix, value and whether they belong to the resource for good, those that are not there already; none for an
/// empty value. The new tags, and prefixes of those that went.
fn keep_tags(tx: &mut dyn Tx, host: Id<kind::Host>, wanted: &[(&str, &str, bool)]) -> Result<Vec<String>> {
    let rows = tx.query("SELECT tag FROM system_tag WHERE resource_uuid = ?", params![host])?;
    let have = rows.iter().map(|r| r.text("tag")).collect::<Result<Vec<_>>>()?;
    let mut changed = Vec::new();
    for (prefix, value, inherent) in wanted {
        let tag = format!("{prefix}{value}");
        let mut old = have.iter().filter(|t| t.starts_with(prefix)).peekable();
        if !value.is_empty() && old.peek().is_some_and(|t| **t == tag) {
            continue;
        }
        let has_old = old.peek().is_some();
        for other in old {
            tx.execute("DELETE FROM system_tag WHERE resource_uuid = ? AND tag = ?", params![host, other])?;
        }
        if !value.is_empty() {
            tags::put(tx, ENTITY, host, &tag, *inherent)?;
            changed.push(tag);
        } else if has_old {
            changed.push((*prefix).to_owned());
        }
    }
    Ok(changed)
}

/// The nearest word on what is kept back: the host's own tag, its cluster's, its zone's, or the setting (which is for KVM
/// hosts).
fn reserved(tx: &mut dyn Tx, near: &Near, what: &str) -> Result<u64> {
    let (tag, below) = (format!("{what}::"), format!("host::{what}::"));
    let find = |of: u128, prefix: &str| {
        near.tags.iter().filter(|(uuid, _)| *uuid == of).find_map(|(_, t)| t.strip_prefix(prefix))
    };
    let told =
        find(near.host, &tag).or_else(|| find(near.cluster, &below)).or_else(|| find(near.zone, &below));
    let text = match told {
        Some(text) => text.to_owned(),
        None if near.is_kvm => setting(tx, what)?,
        None => return Ok(0),
    };
    Ok(size::parse_size(&text).unwrap_or(0))
}

/// A host with what has a word on what it keeps back.
struct Near {
    host: u128,
    cluster: u128,
    zone: u128,
    is_kvm: bool,
    /// Tags that speak of it, the oldest first.
    tags: Vec<(u128, String)>,
}

/// The setting as this transaction sees it, which may be the one that changes it.
fn setting(tx: &mut dyn Tx, name: &str) -> Result<String> {
    let sql = "SELECT value FROM global_config WHERE category = 'kvm' AND name = ?";
    if let Some(row) = tx.query_opt(sql, params![name])? {
        return row.text("value");
    }
    Ok(cairn_api::settings::find("kvm", name).map_or_else(String::new, |s| s.default_value().to_owned()))
}

/// Computes anew what is kept back on a host.
pub fn reserve(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<()> {
    let mut news = Map::new();
    write_reserved(tx, host, &mut news)?;
    if news.is_empty() { Ok(()) } else { rows::changed(tx, ENTITY, host, &Value::Object(news)) }
}

/// The same; what the caller has to tell of it goes to `news`.
fn write_reserved(tx: &mut dyn Tx, host: Id<kind::Host>, news: &mut Map<String, Value>) -> Result<()> {
    let sql = "SELECT cluster_uuid, zone_uuid, hypervisor_type, facts, reserved_cpu, reserved_memory FROM host WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![host])? else { return Ok(()) };
    let (cluster, zone): (Id<kind::Cluster>, Id<kind::Zone>) =
        (row.id("cluster_uuid")?, row.id("zone_uuid")?);
    let sql = "SELECT resource_uuid, tag FROM system_tag WHERE resource_uuid IN (?, ?, ?) AND tag LIKE '%reserved%' ORDER BY uuid";
    let found = tx.query(sql, params![host, cluster, zone])?;
    let of = |r: &Row| Ok((r.id::<kind::AnyResource>("resource_uuid")?.as_u128(), r.text("tag")?));
    let near = Near {
        host: host.as_u128(),
        cluster: cluster.as_u128(),
        zone: zone.as_u128(),
        is_kvm: row.text("hypervisor_type")? == "KVM",
        tags: found.iter().map(of).collect::<Result<_>>()?,
    };
    let memory = reserved(tx, &near, "reservedMemory")?;
    let mhz = reserved(tx, &near, "reservedCpu")?;
    // The API gives MHz; processors are counted here. Less than one of them is not worth keeping back.
    let cpus = if mhz == 0 {
        0
    } else {
        let facts: Value =
            row.opt_text("facts")?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or(Value::Null);
        mhz.checked_div(facts["cpuMhz"].as_u64().unwrap_or(0)).unwrap_or(0)
    };
    if (row.bytes("reserved_cpu")?, row.bytes("reserved_memory")?) == (cpus, memory) {
        return Ok(());
    }
    let sql = "UPDATE host SET reserved_cpu = ?, reserved_memory = ? WHERE uuid = ?";
    tx.execute(sql, params![cpus, memory, host])?;
    news.insert("reservedCpu".into(), cpus.into());
    news.insert("reservedMemory".into(), memory.into());
    Ok(())
}

/// Computes anew what is kept back on the hosts that a changed tag of this resource may be about.
pub fn tag_changed<T>(tx: &mut dyn Tx, entity: &str, resource: Id<T>) -> Result<()> {
    let sql = match entity {
        "HostVO" => "SELECT uuid FROM host WHERE uuid = ?",
        "ClusterVO" => "SELECT uuid FROM host WHERE cluster_uuid = ?",
        "ZoneVO" => "SELECT uuid FROM host WHERE zone_uuid = ?",
        _ => return Ok(()),
    };
    for row in tx.query(sql, params![resource])? {
        reserve(tx, row.id("uuid")?)?;
    }
    Ok(())
}

/// Computes anew what is kept back on every host, if that setting says it.
pub fn setting_changed(tx: &mut dyn Tx, category: &str, name: &str) -> Result<()> {
    if category != "kvm" || !name.starts_with("reserved") {
        return Ok(());
    }
    for row in tx.query("SELECT uuid FROM host WHERE hypervisor_type = 'KVM' ORDER BY uuid", params![])? {
        reserve(tx, row.id("uuid")?)?;
    }
    Ok(())
}
