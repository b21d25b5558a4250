//! Rounds over local storage: each measures some hosts, and the next one goes on where it ended. So one round costs the same
//! however many hosts there are, and all have their turn.

use std::sync::Arc;

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};

use super::connect::{judge_soon, lost, measure, measure_volumes, note};
use super::memory::Position;
use super::primary_storage::{LOCAL, Storage};
use crate::app::App;

/// Hosts of one round.
const ROUND: usize = 10_000;
/// Hosts whose answers are written in one transaction.
const PART: usize = 500;
/// Clusters that one read names.
const CLUSTERS: usize = 1000;
/// What is told of storage on a host whose agent is away.
const AWAY: &str = "its host is not connected";

/// Measures local storage on hosts that are connected; on the others it is Disconnected. Ends after all storage, or after so
/// many hosts as a round has.
pub(super) async fn measure_some(app: &Arc<App>) -> Result<()> {
    let at = app.storage.measured_up_to().unwrap_or_default();
    let first = at.storage.clone();
    let all = app
        .store
        .read(move |tx| {
            let sql =
                "SELECT uuid, url, type FROM primary_storage WHERE type = ? AND uuid >= ? ORDER BY uuid";
            tx.query(sql, params![LOCAL, first])?.iter().map(Storage::from_row).collect::<Result<Vec<_>>>()
        })
        .await?;
    let mut left = ROUND;
    for storage in all {
        let begin = Position { storage: storage.uuid.to_string(), ..Position::default() };
        let from = if begin.storage == at.storage { at.clone() } else { begin.clone() };
        if from == begin {
            // What a server that is gone had put off.
            app.storage.judge_later(storage.uuid);
        }
        let (hosts, last) = app.store.read(move |tx| page_of_hosts(tx, from, left)).await?;
        left -= hosts.len();
        for part in hosts.chunks(PART) {
            if let Err(f) = measure_hosts(app, &storage, part.to_vec()).await {
                let storage = storage.uuid;
                tracing::warn!(%storage, error = %f, "storage {storage} could not be measured on {} hosts", part.len());
            }
        }
        // What failed comes round again like the rest; it holds up nobody.
        app.storage.note_measured(Some(last));
        if left == 0 {
            return Ok(());
        }
    }
    app.storage.note_measured(None);
    Ok(())
}

async fn measure_hosts(app: &Arc<App>, storage: &Storage, hosts: Vec<Id<kind::Host>>) -> Result<()> {
    let (here, away): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|h| app.agents.is_connected(h));
    if !here.is_empty() {
        let measured = measure(app, storage, here).await;
        let answered = measured.iter().filter(|(_, r)| r.is_ok()).map(|(h, _)| *h).collect();
        note(app, storage, measured).await?;
        measure_volumes(app, storage, answered).await?;
    }
    if away.is_empty() {
        return Ok(());
    }
    let (uuid, server) = (storage.uuid, app.clone());
    let news = app.store.read(move |tx| still_there(tx, uuid, away)).await?;
    if news.is_empty() {
        return Ok(());
    }
    let work = move |tx: &mut dyn Tx| {
        let mut is_news = false;
        for host in news.iter().filter(|h| !server.agents.is_connected(h)) {
            is_news |= lost(tx, uuid, *host, AWAY)?;
        }
        if is_news { judge_soon(tx, &server, uuid) } else { Ok(()) }
    };
    app.store.write(work).await
}

/// Those hosts of which a row says something else than that they are away.
fn still_there(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    away: Vec<Id<kind::Host>>,
) -> Result<Vec<Id<kind::Host>>> {
    let sql = "SELECT 1 FROM local_storage_host_ref WHERE primary_storage_uuid = ? AND host_uuid = ?
               AND (status <> 'Disconnected' OR status_reason IS NULL OR status_reason <> ?)";
    let mut found = Vec::new();
    for host in away {
        if tx.exists(sql, params![storage, host, AWAY])? {
            found.push(host);
        }
    }
    Ok(found)
}

/// The next hosts of the clusters that a storage is attached to, cluster by cluster, and where they end.
fn page_of_hosts(tx: &mut dyn Tx, from: Position, limit: usize) -> Result<(Vec<Id<kind::Host>>, Position)> {
    let clusters = format!(
        "SELECT cluster_uuid FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ? AND cluster_uuid >= ?
         ORDER BY cluster_uuid LIMIT {CLUSTERS}"
    );
    let sql = "SELECT uuid FROM host WHERE cluster_uuid = ? AND uuid > ? ORDER BY uuid LIMIT ?";
    let (mut hosts, mut at) = (Vec::new(), from);
    loop {
        let next = tx.query(&clusters, params![&at.storage, &at.cluster])?;
        for row in &next {
            let cluster = row.text("cluster_uuid")?;
            if cluster != at.cluster {
                (at.cluster, at.host) = (cluster, String::new());
            }
            let left = i64::try_from(limit - hosts.len()).unwrap_or(i64::MAX);
            let page = tx.query(sql, params![&at.cluster, &at.host, left])?;
            for host in &page {
                hosts.push(host.id("uuid")?);
            }
            if let Some(last) = page.last() {
                at.host = last.text("uuid")?;
            }
            if hosts.len() >= limit {
                return Ok((hosts, at));
            }
        }
        if next.len() < CLUSTERS {
            return Ok((hosts, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_store::Store;

    use super::*;

    /// A storage that is attached to two of three clusters.
    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), 2).unwrap();
        let make = |tx: &mut dyn Tx| {
            tx.execute(
                "INSERT INTO zone (uuid, name, create_ms, last_op_ms) VALUES ('z', 'z', 0, 0)",
                params![],
            )?;
            let sql = "INSERT INTO primary_storage (uuid, zone_uuid, name, url, type, create_ms, last_op_ms)
                       VALUES ('s', 'z', 's', '/s', 'LocalStorage', 0, 0)";
            tx.execute(sql, params![])?;
            for (cluster, hosts) in [("c1", 5), ("c2", 3), ("c3", 4)] {
                let sql =
                    "INSERT INTO cluster (uuid, zone_uuid, name, hypervisor_type, create_ms, last_op_ms)
                           VALUES (?, 'z', 'c', 'KVM', 0, 0)";
                tx.execute(sql, params![cluster])?;
                if cluster != "c2" {
                    let sql = "INSERT INTO primary_storage_cluster_ref VALUES ('s', ?, 0, 0)";
                    tx.execute(sql, params![cluster])?;
                }
                for n in 0..hosts {
                    let host = Id::<kind::Host>::new();
                    let sql = "INSERT INTO host (uuid, zone_uuid, cluster_uuid, name, management_ip, hypervisor_type, create_ms, last_op_ms)
                               VALUES (?, 'z', ?, ?, ?, 'KVM', 0, 0)";
                    tx.execute(sql, params![host, cluster, format!("{cluster}-{n}"), host])?;
                }
            }
            Ok(())
        };
        store.write(make).await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn bey_07_every_host_of_a_storage_has_its_turn_once_whatever_a_round_holds() {
        let (_dir, store) = store().await;
        for limit in 1..=10 {
            let mut at = Position { storage: "s".into(), ..Position::default() };
            let mut seen = Vec::new();
            loop {
                let from = at.clone();
                let (hosts, last) = store.read(move |tx| page_of_hosts(tx, from, limit)).await.unwrap();
                assert!(hosts.len() <= limit);
                let is_end = hosts.len() < limit;
                seen.extend(hosts);
                at = last;
                if is_end {
                    break;
                }
            }
            let sql = "SELECT uuid FROM host WHERE cluster_uuid IN ('c1', 'c3') ORDER BY cluster_uuid, uuid";
            let rows = store.read(move |tx| tx.query(sql, params![])).await.unwrap();
            let wanted: Vec<Id<kind::Host>> = rows.iter().map(|r| r.id("uuid").unwrap()).collect();
            assert_eq!(seen, wanted, "rounds of {limit}");
        }
    }
}
