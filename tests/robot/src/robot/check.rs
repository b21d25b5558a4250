//! What must hold when nothing is at work, beyond what the test kit checks: no reference to what is gone, nothing twice,
//! every sum equal to a recount, the log of events in order, and an audit row for every call.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cairn_store::{Row, Tx, params};
use cairn_testkit::Api;
use serde_json::{Value, json};

use crate::rig::Rig;

/// Tables that keep what was, and so may name what is gone.
const HISTORY: &[&str] = &["audit", "event", "job", "run"];

/// Columns that may name what is gone, and why.
const MAY_OUTLIVE: &[(&str, &str)] = &[
    // A VM runs on without what it was made from.
    ("vm_instance", "image_uuid"),
    ("vm_instance", "instance_offering_uuid"),
    ("vm_instance", "last_host_uuid"),
    ("vm_instance", "default_l3_network_uuid"),
    ("volume", "disk_offering_uuid"),
    ("volume", "root_image_uuid"),
    // The cache has a clean-up of its own.
    ("image_cache", "image_uuid"),
    // Simulated agents have no row.
    ("host", "agent_uuid"),
    ("backup_storage", "agent_uuid"),
    // The guest that a kept command ends is gone by then.
    ("cleanup", "vm_uuid"),
    ("used_ip", "departed_vm_uuid"),
];

/// What must not be there twice, one line each.
const TWICE: &[(&str, &str)] = &[
    (
        "an address twice",
        "SELECT l3_network_uuid || ' ' || ip AS line FROM used_ip GROUP BY l3_network_uuid, ip HAVING count(*) > 1",
    ),
    (
        "an address at two NICs",
        "SELECT l3_network_uuid || ' ' || ip AS line FROM vm_nic WHERE ip IS NOT NULL GROUP BY l3_network_uuid, ip HAVING count(*) > 1",
    ),
    (
        "a hardware address twice",
        "SELECT mac AS line FROM (SELECT mac FROM vm_nic UNION ALL SELECT mac FROM departed_nic) GROUP BY mac HAVING count(*) > 1",
    ),
    (
        "a VNC port twice",
        "SELECT host_uuid || ' ' || vnc_port AS line FROM vm_instance WHERE state IN ('Running', 'Paused')
        AND vnc_port IS NOT NULL GROUP BY host_uuid, vnc_port HAVING count(*) > 1",
    ),
    (
        "a guest of a host that is back is still unknown",
        "SELECT v.uuid AS line FROM vm_instance v JOIN host h ON h.uuid = v.host_uuid
        WHERE v.state = 'Unknown' AND h.status = 'Connected'",
    ),
    (
        "a departed guest that nothing is kept for",
        "SELECT vm_uuid AS line FROM departed_guest d
        WHERE NOT EXISTS (SELECT 1 FROM cleanup c WHERE c.vm_uuid = d.vm_uuid)",
    ),
    (
        "a resource of an account that is gone",
        "SELECT r.uuid AS line FROM resource r WHERE r.account_uuid IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM account a WHERE a.uuid = r.account_uuid)",
    ),
];

/// What is remembered from one check to the next.
#[derive(Default)]
pub struct Memory {
    last_event: i64,
    events: i64,
}

/// One line for each thing that must not be.
pub async fn violations(
    rig: &Rig,
    admin: &Api,
    memory: &mut Memory,
    accepted: &[String],
) -> Result<Vec<String>> {
    let mut lines = rig.violations().await?;
    let accepted = accepted.to_vec();
    let (more, events) = rig
        .look(move |tx| {
            let mut lines = Vec::new();
            for (what, sql) in TWICE {
                for row in tx.query(sql, params![])? {
                    lines.push(format!("{what}: {}", row.text("line")?));
                }
            }
            dangling(tx, &mut lines)?;
            audited(tx, &accepted, &mut lines)?;
            let row =
                tx.query("SELECT coalesce(max(seq), 0) AS last, count(*) AS n FROM event", params![])?;
            Ok((lines, (row[0].int("last")?, row[0].int("n")?)))
        })
        .await?;
    lines.extend(more);
    lines.extend(in_order(rig, memory, events).await?);
    lines.extend(recounted(rig, admin).await?);
    Ok(lines)
}

/// Runs at work, one line each.
pub async fn runs(rig: &Rig) -> Result<Vec<String>> {
    let sql = "SELECT workflow || ' ' || state || ' at ' || coalesce(step, '?') || ' of ' || coalesce(resource_uuid, '?') AS line
               FROM run WHERE state IN ('Running', 'Undoing')";
    rig.look(move |tx| texts(&tx.query(sql, params![])?)).await
}

/// What the audit and the journal know of the resources that these lines name.
pub async fn history(rig: &Rig, lines: &[String]) -> Result<Vec<String>> {
    let is_uuid = |w: &&str| w.len() == 32 && w.chars().all(|c| c.is_ascii_hexdigit());
    let words = lines.iter().flat_map(|l| l.split(|c: char| !c.is_ascii_alphanumeric()));
    let uuids: BTreeSet<String> = words.filter(is_uuid).map(str::to_owned).take(20).collect();
    let sql = "SELECT create_ms AS at, 'call ' || action || ' ' || coalesce(job_uuid, '') || ' ' || coalesce(error_code, 'went well')
               || ', ' || took_ms || ' ms' AS line FROM audit WHERE resource_uuid = ?1 AND job_uuid IS NOT NULL
               UNION ALL SELECT create_ms, 'run ' || uuid || ' ' || name || ' ' || state || ' at ' || coalesce(step, '?') FROM run
               WHERE resource_uuid = ?1 ORDER BY at DESC LIMIT 12";
    rig.look(move |tx| {
        let mut told = Vec::new();
        for uuid in &uuids {
            for row in tx.query(sql, params![uuid])?.iter().rev() {
                told.push(format!("{uuid}: {} {}", row.int("at")?, row.text("line")?));
            }
        }
        Ok(told)
    })
    .await
}

/// Every uuid that a row names is there.
fn dangling(tx: &mut dyn Tx, lines: &mut Vec<String>) -> cairn_types::Result<()> {
    let sql = "SELECT m.name AS t, p.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) p
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let columns: Vec<(String, String)> = tx
        .query(sql, params![])?
        .iter()
        .map(|r| Ok((r.text("t")?, r.text("c")?)))
        .collect::<cairn_types::Result<_>>()?;
    let columns: Vec<_> = columns.into_iter().filter(|(t, _)| !HISTORY.contains(&t.as_str())).collect();
    let mut there = BTreeSet::new();
    for (table, column) in columns.iter().filter(|(_, c)| c == "uuid") {
        there.extend(texts(&tx.query(&format!("SELECT {column} AS line FROM {table}"), params![])?)?);
    }
    for (table, column) in columns.iter().filter(|(_, c)| c.ends_with("_uuid")) {
        let may = MAY_OUTLIVE.contains(&(table.as_str(), column.as_str()));
        // A key of its own.
        if may || column == "run_uuid" || (table.starts_with("departed") && column == "vm_uuid") {
            continue;
        }
        let sql = format!(
            "SELECT DISTINCT {column} AS line FROM {table} WHERE {column} IS NOT NULL AND {column} <> ''"
        );
        for uuid in texts(&tx.query(&sql, params![])?)? {
            if !there.contains(&uuid) {
                lines.push(format!("{table}.{column} names {uuid}, which is gone"));
            }
        }
    }
    Ok(())
}

fn texts(rows: &[Row]) -> cairn_types::Result<Vec<String>> {
    rows.iter().map(|r| r.text("line")).collect()
}

/// Every job that was accepted has ended and stands in the audit.
fn audited(tx: &mut dyn Tx, accepted: &[String], lines: &mut Vec<String>) -> cairn_types::Result<()> {
    for job in accepted {
        if !tx.exists("SELECT 1 FROM audit WHERE job_uuid = ?", params![job])? {
            lines.push(format!("job {job} was accepted and is not in the audit"));
        }
        if tx.exists("SELECT 1 FROM audit WHERE job_uuid = ? AND took_ms < 0", params![job])? {
            lines.push(format!("job {job} still runs by the audit"));
        }
    }
    Ok(())
}

/// No event came behind one that was there before.
async fn in_order(rig: &Rig, memory: &mut Memory, (last, events): (i64, i64)) -> Result<Vec<String>> {
    let (before, count) = (memory.last_event, memory.events);
    let old = rig
        .look(move |tx| tx.query_int("SELECT count(*) FROM event WHERE seq <= ?", params![before]))
        .await?;
    let mut lines = Vec::new();
    if old != count {
        lines.push(format!("{count} events were there up to number {before}, now there are {old}"));
    }
    if last < before {
        lines.push(format!("the last event was {before} and is {last}"));
    }
    *memory = Memory { last_event: last, events };
    Ok(lines)
}

/// What VMs hold, by host or account, as this program counts it.
fn held(tx: &mut dyn Tx) -> cairn_types::Result<Vec<Value>> {
    let sql =
        "SELECT v.uuid, v.state, v.cpu_num, v.memory_size, v.host_uuid, r.account_uuid FROM vm_instance v
               LEFT JOIN resource r ON r.uuid = v.uuid";
    let mut all = Vec::new();
    for row in tx.query(sql, params![])? {
        all.push(json!({
            "state": row.text("state")?, "cpu": row.int("cpu_num")?, "memory": row.int("memory_size")?,
            "host": row.opt_text("host_uuid")?, "account": row.opt_text("account_uuid")?,
        }));
    }
    for row in tx.query("SELECT host_uuid, cpu_num, memory_size FROM departed_guest", params![])? {
        all.push(json!({
            "state": "Departed", "cpu": row.int("cpu_num")?, "memory": row.int("memory_size")?, "host": row.text("host_uuid")?,
        }));
    }
    Ok(all)
}

/// Rows that are counted here and by the server.
struct Rows {
    vms: Vec<Value>,
    accounts: Vec<String>,
    hosts: Vec<(String, i64, i64)>,
    networks: Vec<(String, i64)>,
    images: BTreeMap<String, i64>,
}

fn read(tx: &mut dyn Tx) -> cairn_types::Result<Rows> {
    let accounts =
        texts(&tx.query("SELECT uuid AS line FROM account WHERE type <> 'SystemAdmin'", params![])?)?;
    let sql = "SELECT uuid, reserved_cpu, reserved_memory FROM host WHERE state = 'Enabled' AND status = 'Connected'";
    let hosts = tx.query(sql, params![])?;
    let hosts =
        hosts.iter().map(|r| Ok((r.text("uuid")?, r.int("reserved_cpu")?, r.int("reserved_memory")?)));
    let sql = "SELECT l.uuid, (SELECT count(*) FROM used_ip u WHERE u.l3_network_uuid = l.uuid AND u.ip_range_uuid IS NOT NULL) AS n
               FROM l3_network l WHERE EXISTS (SELECT 1 FROM ip_range r WHERE r.l3_network_uuid = l.uuid)";
    let networks = tx.query(sql, params![])?;
    let networks = networks.iter().map(|r| Ok((r.text("uuid")?, r.int("n")?)));
    let sql = "SELECT account_uuid, count(*) AS n FROM resource WHERE resource_type = 'ImageVO' GROUP BY account_uuid";
    let images = tx.query(sql, params![])?;
    let images = images.iter().map(|r| Ok((r.text("account_uuid")?, r.int("n")?)));
    let images = images.collect::<cairn_types::Result<_>>()?;
    let hosts = hosts.collect::<cairn_types::Result<_>>()?;
    let networks = networks.collect::<cairn_types::Result<_>>()?;
    Ok(Rows { vms: held(tx)?, accounts, hosts, networks, images })
}

/// Sums of the server against a recount.
async fn recounted(rig: &Rig, admin: &Api) -> Result<Vec<String>> {
    let rows = rig.look(read).await?;
    let mut lines = Vec::new();
    let holds = |v: &&Value| !matches!(v["state"].as_str(), Some("Stopped" | "Created" | "Destroyed"));
    let sum = |of: &str, uuid: &str, what: &str| -> i64 {
        rows.vms.iter().filter(holds).filter(|v| v[of] == uuid).filter_map(|v| v[what].as_i64()).sum()
    };
    for (host, cpu, memory) in &rows.hosts {
        let Ok(told) = admin.call("GetCpuMemoryCapacity", json!({ "hostUuids": [host] })).await else {
            continue;
        };
        let taken =
            |total: &str, free: &str| told[total].as_i64().unwrap_or(0) - told[free].as_i64().unwrap_or(0);
        for (what, told, counted) in [
            ("processors", taken("totalCpu", "availableCpu"), sum("host", host, "cpu") + cpu),
            (
                "bytes of memory",
                taken("totalMemory", "availableMemory"),
                sum("host", host, "memory") + memory,
            ),
        ] {
            if told != counted {
                lines.push(format!(
                    "host {host}: {told} {what} are taken by the server's word, {counted} by a recount"
                ));
            }
        }
    }
    for account in &rows.accounts {
        let Ok(told) = admin.call("GetAccountQuotaUsage", json!({ "uuid": account })).await else { continue };
        let used = |name: &str| {
            let all = told["usages"].as_array().map_or(&[][..], Vec::as_slice);
            all.iter().find(|u| u["name"] == name).and_then(|u| u["used"].as_i64()).unwrap_or(-1)
        };
        let own = rows.vms.iter().filter(|v| v["account"] == account.as_str());
        let live = own.clone().filter(holds).count();
        let all = own.filter(|v| v["state"] != "Destroyed").count();
        for (name, counted) in [
            ("vm.num", i64::try_from(live).unwrap_or(0)),
            ("vm.totalNum", i64::try_from(all).unwrap_or(0)),
            ("vm.cpuNum", sum("account", account, "cpu")),
            ("vm.memorySize", sum("account", account, "memory")),
            ("image.num", rows.images.get(account).copied().unwrap_or(0)),
        ] {
            if used(name) != counted {
                lines.push(format!(
                    "account {account}: quota {name} is {} by the server's word, {counted} by a recount",
                    used(name)
                ));
            }
        }
    }
    for (l3, taken) in &rows.networks {
        let Ok(told) = admin.call("GetIpAddressCapacity", json!({ "l3NetworkUuids": [l3] })).await else {
            continue;
        };
        let told =
            told["totalCapacity"].as_i64().unwrap_or(0) - told["availableCapacity"].as_i64().unwrap_or(0);
        if told != *taken {
            lines.push(format!(
                "L3 network {l3}: {told} addresses are taken by the server's word, {taken} by a recount"
            ));
        }
    }
    Ok(lines)
}
