//! What a host has, what of it is kept back, and the calls about it (HOST-06).

use std::collections::BTreeSet;

use cairn_api::agent::host::HostFacts;
use cairn_api::ops::hardware as ops;
use cairn_api::resource::{HOST_AVAILABLE_CPU, HOST_AVAILABLE_MEMORY, HOST_TOTAL_CPU, HOST_TOTAL_MEMORY, on};
use cairn_store::{Tx, Value as Sql, params};
use cairn_types::{Fault, Id, Result, kind, size};
use serde_json::{Value, json};

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

/// Writes what the agent told of its host: the row, and the tags that clients look for.
pub(super) fn store_facts(tx: &mut dyn Tx, host: Id<kind::Host>, facts: &HostFacts) -> Result<()> {
    let text = serde_json::to_string(&HostFacts { vms: Vec::new(), ..facts.clone() });
    let text = text.map_err(|e| Fault::internal("facts have no JSON form").for_operator(e))?;
    let differs = "SELECT 1 FROM host WHERE uuid = ? AND (total_cpu <> ? OR total_memory <> ?)";
    let is_new = tx.exists(differs, params![host, facts.cpu_num, facts.memory_bytes])?;
    let sql = "UPDATE host SET facts = ?, cpu_num = ?, cpu_sockets = ?, total_cpu = ?, total_memory = ? WHERE uuid = ?";
    let values = params![text, facts.cpu_num, facts.cpu_sockets, facts.cpu_num, facts.memory_bytes, host];
    tx.execute(sql, values)?;
    if is_new {
        let data = json!({ "totalCpu": facts.cpu_num, "totalMemory": facts.memory_bytes });
        rows::changed(tx, ENTITY, host, &data)?;
    }
    reserve(tx, host)?;
    let address = tx.query_opt("SELECT management_ip FROM host WHERE uuid = ?", params![host])?;
    let address = address.map(|r| r.text("management_ip")).transpose()?.unwrap_or_default();
    let others: BTreeSet<&str> =
        facts.addresses.iter().map(String::as_str).filter(|a| *a != address).collect();
    let others = others.into_iter().collect::<Vec<_>>().join(",");
    for (prefix, value, inherent) in [
        ("os::distribution::", facts.os_distribution.as_str(), true),
        ("os::version::", facts.os_version.as_str(), true),
        ("os::release::", facts.os_release.as_str(), true),
        ("libvirt::version::", facts.libvirt_version.as_str(), false),
        ("qemu-img::version::", facts.qemu_img_version.as_str(), false),
        ("hvm::", facts.hvm_flag.as_str(), false),
        ("extraips::", others.as_str(), false),
    ] {
        keep_tag(tx, host, prefix, value, inherent)?;
    }
    Ok(())
}

/// Sets a tag unless it is there already; none for an empty value.
fn keep_tag(tx: &mut dyn Tx, host: Id<kind::Host>, prefix: &str, value: &str, inherent: bool) -> Result<()> {
    let have = tags::get(tx, host, prefix)?;
    if have.as_deref().unwrap_or_default() == value {
        return Ok(());
    }
    if value.is_empty() {
        return tags::clear(tx, ENTITY, host, prefix).map(|_| ());
    }
    tags::set(tx, ENTITY, host, prefix, value, inherent)
}

/// Reads the nearest word on what is kept back: the host's own tag, its cluster's, its zone's, or the setting (which is
/// for KVM hosts).
fn reserved(tx: &mut dyn Tx, host: Id<kind::Host>, what: &str) -> Result<u64> {
    let sql = "SELECT cluster_uuid, zone_uuid, hypervisor_type FROM host WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![host])? else { return Ok(0) };
    let (cluster, zone): (Id<kind::Cluster>, Id<kind::Zone>) =
        (row.id("cluster_uuid")?, row.id("zone_uuid")?);
    let (tag, below) = (format!("{what}::"), format!("host::{what}::"));
    let told = match tags::get(tx, host, &tag)? {
        Some(t) => Some(t),
        None => match tags::get(tx, cluster, &below)? {
            Some(t) => Some(t),
            None => tags::get(tx, zone, &below)?,
        },
    };
    let text = match told {
        Some(text) => text,
        None if row.text("hypervisor_type")? == "KVM" => setting(tx, what)?,
        None => return Ok(0),
    };
    Ok(size::parse_size(&text).unwrap_or(0))
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
    let memory = reserved(tx, host, "reservedMemory")?;
    let mhz = reserved(tx, host, "reservedCpu")?;
    let row =
        tx.query_opt("SELECT facts, reserved_cpu, reserved_memory FROM host WHERE uuid = ?", params![host])?;
    let Some(row) = row else { return Ok(()) };
    let facts: Value =
        row.opt_text("facts")?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or(Value::Null);
    // The API gives MHz; processors are counted here. Less than one of them is not worth keeping back.
    let speed = facts["cpuMhz"].as_u64().unwrap_or(0);
    let cpus = mhz.checked_div(speed).unwrap_or(0);
    if (row.bytes("reserved_cpu")?, row.bytes("reserved_memory")?) == (cpus, memory) {
        return Ok(());
    }
    let sql = "UPDATE host SET reserved_cpu = ?, reserved_memory = ? WHERE uuid = ?";
    tx.execute(sql, params![cpus, memory, host])?;
    rows::changed(tx, ENTITY, host, &json!({ "reservedCpu": cpus, "reservedMemory": memory }))
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
