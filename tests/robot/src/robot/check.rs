//! What must hold when nothing is at work, beyond what the test kit checks: no reference to what is gone, nothing twice,
//! every sum equal to a recount, the log of events in order, and an audit row for every call.

use std::collections::BTreeSet;

use anyhow::Result;
use cairn_store::{Row, Tx, params};
use cairn_testkit::Api;

use super::recount::{Quotas, recounted};
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

/// What is remembered of the last check that found nothing wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    log: Log,
    quotas: Quotas,
}

/// The log of events up to its last entry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Log {
    last: i64,
    events: i64,
    /// Over numbers, resources and kinds of all its entries.
    digest: u64,
}

impl Memory {
    /// Number of the last event that was there.
    pub fn last_event(&self) -> i64 {
        self.log.last
    }

    /// What was used of quotas.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}

/// One line for each thing that must not be, and what is to be remembered if there is none.
pub async fn violations(
    rig: &Rig,
    admin: &Api,
    memory: &Memory,
    accepted: &[String],
) -> Result<(Vec<String>, Memory)> {
    let mut lines = rig.violations().await?;
    let (accepted, before) = (accepted.to_vec(), memory.log);
    let (more, log) = rig
        .look(move |tx| {
            let mut lines = Vec::new();
            for (what, sql) in TWICE {
                for row in tx.query(sql, params![])? {
                    lines.push(format!("{what}: {}", row.text("line")?));
                }
            }
            dangling(tx, &mut lines)?;
            audited(tx, &accepted, &mut lines)?;
            let (more, log) = in_order(tx, before)?;
            lines.extend(more);
            Ok((lines, log))
        })
        .await?;
    lines.extend(more);
    let (more, quotas) = recounted(rig, admin, memory).await?;
    lines.extend(more);
    Ok((lines, Memory { log, quotas }))
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

pub(super) fn texts(rows: &[Row]) -> cairn_types::Result<Vec<String>> {
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

/// What was in the log is there as it was, and the log as it is now. Changes nothing, so that what is wrong is told however
/// often it is looked at.
fn in_order(tx: &mut dyn Tx, before: Log) -> cairn_types::Result<(Vec<String>, Log)> {
    let (mut old, mut log) = (Log::default(), Log::default());
    let sql = "SELECT seq, resource_uuid || ' ' || kind AS line FROM event ORDER BY seq";
    for row in tx.query(sql, params![])? {
        log.take(row.int("seq")?, &row.text("line")?);
        if log.last <= before.last {
            old = log;
        }
    }
    let mut lines = Vec::new();
    if old.events != before.events {
        lines.push(format!(
            "{} events were there up to number {}, now there are {}",
            before.events, before.last, old.events
        ));
    }
    if log.last < before.last {
        lines.push(format!("the last event was {} and is {}", before.last, log.last));
    }
    if lines.is_empty() && old.digest != before.digest {
        lines.push(format!("the events up to number {} are not those that were there", before.last));
    }
    Ok((lines, log))
}

impl Log {
    /// FNV-1a, one entry after the other.
    fn take(&mut self, seq: i64, line: &str) {
        let mut digest = if self.events == 0 { 0xcbf2_9ce4_8422_2325 } else { self.digest };
        for byte in seq.to_be_bytes().iter().chain(line.as_bytes()) {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        *self = Self { last: seq, events: self.events + 1, digest };
    }
}

#[cfg(test)]
mod tests {
    use cairn_store::Store;

    use super::*;

    async fn look(store: &Store, before: Log) -> (Vec<String>, Log) {
        store.read(move |tx| in_order(tx, before)).await.unwrap()
    }

    async fn change(store: &Store, sql: &'static str) {
        assert!(store.write(move |tx| tx.execute(sql, params![])).await.unwrap() > 0, "{sql}");
    }

    /// A log of five events with numbers 10, 20, ... 50, and what is remembered of it.
    async fn log_of_five() -> (tempfile::TempDir, Store, Log) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cairn.db"), 1).unwrap();
        let fill = |tx: &mut dyn Tx| {
            tx.execute("DELETE FROM event", params![])?;
            for seq in 1..=5 {
                let sql = "INSERT INTO event (seq, create_ms, resource_type, resource_uuid, kind, data)
                           VALUES (?, 0, 'HostVO', ?, 'updated', '{}')";
                tx.execute(sql, params![seq * 10, format!("host-{seq}")])?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        let (lines, log) = look(&store, Log::default()).await;
        assert!(lines.is_empty() && log.last == 50 && log.events == 5, "{lines:?} {log:?}");
        (folder, store, log)
    }

    #[tokio::test]
    async fn bey_03_a_lost_or_renumbered_event_is_told_however_often_it_is_looked_at() {
        for sql in [
            "DELETE FROM event WHERE seq = 20",
            "DELETE FROM event WHERE seq = 50",
            "UPDATE event SET seq = 60 WHERE seq = 20",
            "UPDATE event SET seq = 25 WHERE seq = 20",
            "UPDATE event SET seq = 5 WHERE seq = 50",
            "UPDATE event SET resource_uuid = 'other' WHERE seq = 20",
            "INSERT INTO event SELECT 35, create_ms, account_uuid, resource_type, resource_uuid, kind, data FROM event WHERE seq = 20",
        ] {
            let (_folder, store, before) = log_of_five().await;
            change(&store, sql).await;
            for _ in 0..3 {
                let (lines, _) = look(&store, before).await;
                assert!(!lines.is_empty(), "{sql}");
            }
        }
    }

    #[tokio::test]
    async fn bey_03_events_that_come_behind_the_last_one_are_in_order() {
        let (_folder, store, before) = log_of_five().await;
        let more = "INSERT INTO event SELECT seq + 50, create_ms, account_uuid, resource_type, resource_uuid, kind, data FROM event";
        change(&store, more).await;
        let (lines, log) = look(&store, before).await;
        assert!(lines.is_empty() && log.last == 100 && log.events == 10, "{lines:?} {log:?}");
        assert_eq!(look(&store, log).await, (Vec::new(), log));
    }
}
