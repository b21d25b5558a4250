//! Primary storage on its hosts: made ready and measured there, and what is known of it row by row.
//!
//! A host row of local storage is Connected while the host's agent has answered for that folder. The storage is Connected
//! while any of its hosts is (PS-06); one that no host uses has nothing to be disconnected from.

use std::sync::Arc;

use cairn_api::agent::storage::{Capacity, ConnectLocalStorage, ListStorage, StorageContent};
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, time};
use futures_util::StreamExt;
use serde_json::json;

use super::primary_storage::{ENTITY, LOCAL, Storage};
use crate::agents::CallOptions;
use crate::app::App;
use crate::rows;

/// What a host said about a folder.
pub(super) type Measured = (Id<kind::Host>, Result<Capacity>);

/// Makes all attached primary storage ready on a host that has arrived, and notes how that went. A storage that fails
/// there is Disconnected on that host with the reason; the host itself is none the worse.
pub async fn host_storages(app: &Arc<App>, host: Id<kind::Host>) -> Result<()> {
    let sql = "SELECT p.uuid, p.url, p.type FROM primary_storage p
               JOIN primary_storage_cluster_ref r ON r.primary_storage_uuid = p.uuid
               JOIN host h ON h.cluster_uuid = r.cluster_uuid WHERE h.uuid = ? ORDER BY p.uuid";
    let read = move |tx: &mut dyn Tx| {
        tx.query(sql, params![host])?.iter().map(Storage::from_row).collect::<Result<Vec<_>>>()
    };
    for storage in app.store.read(read).await? {
        let began = time::now_ms();
        let measured = measure(app, &storage, vec![host]).await;
        let is_ready = measured.iter().all(|(_, r)| r.is_ok());
        note(app, &storage, measured).await?;
        if is_ready {
            let list = ListStorage { storage_path: storage.url.clone() };
            match app.agents.call(host, &list, CallOptions::default()).await {
                Ok(content) => {
                    note_sizes(app, &storage, host, &content).await?;
                    compare_cache(app, &storage, host, content, began).await?;
                }
                Err(f) => {
                    tracing::warn!(%host, storage = %storage.uuid, error = %f, "the content of a storage can't be listed")
                }
            }
        }
    }
    Ok(())
}

/// No connection serves the host any more: its storage can't be reached there.
pub async fn host_gone(app: &Arc<App>, host: Id<kind::Host>) -> Result<()> {
    app.store
        .write(move |tx| {
            let sql = "SELECT primary_storage_uuid AS uuid FROM local_storage_host_ref WHERE host_uuid = ? AND status <> 'Disconnected'";
            for row in tx.query(sql, params![host])? {
                let storage: Id<kind::PrimaryStorage> = row.id("uuid")?;
                lost(tx, storage, host, "its host is not connected")?;
                judge(tx, storage)?;
            }
            Ok(())
        })
        .await
}

/// Forgets what storage knows of a host that is being deleted, so that its row can go.
pub fn forget_host(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<()> {
    let storages = tx.query(
        "SELECT primary_storage_uuid AS uuid FROM local_storage_host_ref WHERE host_uuid = ?",
        params![host],
    )?;
    for table in ["image_cache", "local_storage_resource_ref", "local_storage_host_ref"] {
        tx.execute(&format!("DELETE FROM {table} WHERE host_uuid = ?"), params![host])?;
    }
    storages.iter().try_for_each(|row| judge(tx, row.id("uuid")?))
}

/// Asks hosts to make the folder ready and to say how much room there is, many at a time.
pub(super) async fn measure(app: &Arc<App>, storage: &Storage, hosts: Vec<Id<kind::Host>>) -> Vec<Measured> {
    let at_once =
        usize::try_from(app.settings.int("primaryStorage", "ping.parallelismDegree")).unwrap_or(1).max(1);
    let ask = |host: Id<kind::Host>| {
        let op = ConnectLocalStorage { path: storage.url.clone() };
        async move { (host, app.agents.call(host, &op, CallOptions::default()).await) }
    };
    futures_util::stream::iter(hosts.into_iter().map(ask)).buffer_unordered(at_once).collect().await
}

/// Writes what hosts said, and what follows for the storage.
pub(super) async fn note(app: &Arc<App>, storage: &Storage, measured: Vec<Measured>) -> Result<()> {
    let (storage, agents) = (storage.clone(), app.agents.clone());
    let work = move |tx: &mut dyn Tx| {
        // What an agent said before its connection went is no evidence for now.
        let still: Vec<&Measured> =
            measured.iter().filter(|(h, r)| r.is_err() || agents.is_connected(h)).collect();
        note_all(tx, &storage, still)
    };
    app.store.write(work).await
}

/// The part of [`note`] that happens in the caller's transaction.
pub(super) fn note_all<'a>(
    tx: &mut dyn Tx,
    storage: &Storage,
    measured: impl IntoIterator<Item = &'a Measured>,
) -> Result<()> {
    if storage.r#type != LOCAL {
        return Ok(());
    }
    for (host, result) in measured {
        match result {
            Ok(capacity) => found(tx, storage.uuid, *host, *capacity)?,
            Err(fault) => lost(tx, storage.uuid, *host, &fault.details)?,
        }
    }
    judge(tx, storage.uuid)
}

fn found(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
    room: Capacity,
) -> Result<()> {
    let now = time::now_ms();
    let (total, free) = (room.total_bytes, room.available_bytes);
    let sql = "SELECT 1 FROM local_storage_host_ref WHERE primary_storage_uuid = ? AND host_uuid = ?";
    if tx.exists(sql, params![storage, host])? {
        let sql = "UPDATE local_storage_host_ref SET total_physical = ?, available_physical = ?, status = 'Connected',
                   status_reason = NULL, last_op_ms = ? WHERE primary_storage_uuid = ? AND host_uuid = ?
                   AND (total_physical <> ? OR available_physical <> ? OR status <> 'Connected')";
        if tx.execute(sql, params![total, free, now, storage, host, total, free])? == 1 {
            tell(tx, host, storage)?;
        }
        return Ok(());
    }
    // Only while the storage is attached to the host's cluster; it may have been detached meanwhile.
    let sql = "INSERT INTO local_storage_host_ref (primary_storage_uuid, host_uuid, total_physical, available_physical,
                 status, create_ms, last_op_ms)
               SELECT r.primary_storage_uuid, h.uuid, ?, ?, 'Connected', ?, ? FROM host h
               JOIN primary_storage_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               WHERE h.uuid = ? AND r.primary_storage_uuid = ?";
    if tx.execute(sql, params![total, free, now, now, host, storage])? == 1 {
        tell(tx, host, storage)?;
    }
    Ok(())
}

/// The room or the status of a storage on one host is another one now.
fn tell(tx: &mut dyn Tx, host: Id<kind::Host>, storage: Id<kind::PrimaryStorage>) -> Result<()> {
    rows::event(tx, "HostVO", host, "updated", &json!({ "localStorage": storage }))
}

pub(super) fn lost(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
    why: &str,
) -> Result<()> {
    let sql = "UPDATE local_storage_host_ref SET status = 'Disconnected', status_reason = ?, last_op_ms = ?
               WHERE primary_storage_uuid = ? AND host_uuid = ? AND (status <> 'Disconnected' OR status_reason IS NULL OR status_reason <> ?)";
    if tx.execute(sql, params![why, time::now_ms(), storage, host, why])? == 1 {
        tell(tx, host, storage)?;
    }
    Ok(())
}

/// Sets the status of local storage from its hosts.
pub(crate) fn judge(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>) -> Result<()> {
    let sql = "SELECT p.type, p.status, p.status_reason,
                 (SELECT count(*) FROM local_storage_host_ref x WHERE x.primary_storage_uuid = p.uuid) AS hosts,
                 (SELECT count(*) FROM local_storage_host_ref x WHERE x.primary_storage_uuid = p.uuid AND x.status = 'Connected') AS ready
               FROM primary_storage p WHERE p.uuid = ?";
    let Some(row) = tx.query_opt(sql, params![storage])? else { return Ok(()) };
    if row.text("type")? != LOCAL {
        return Ok(());
    }
    let (hosts, ready) = (row.int("hosts")?, row.int("ready")?);
    let (status, reason) = match (hosts, ready) {
        (0, _) => ("Connected", Some("no host uses it".to_owned())),
        (_, 0) => ("Disconnected", Some(format!("none of its {hosts} hosts reaches it"))),
        (all, some) if some < all => ("Connected", Some(format!("{some} of its {all} hosts reach it"))),
        _ => ("Connected", None),
    };
    let (was, was_reason) = (row.text("status")?, row.opt_text("status_reason")?);
    if was == status && was_reason == reason {
        return Ok(());
    }
    let sql = "UPDATE primary_storage SET status = ?, status_reason = ? WHERE uuid = ?";
    tx.execute(sql, params![status, reason, storage])?;
    if was != status {
        rows::changed(tx, ENTITY, storage, &json!({ "status": status }))?;
    }
    Ok(())
}

/// Asks hosts how much the volumes of a storage take there, many at a time, and writes it down (VOL-01). A host that does
/// not answer is asked again the next time.
pub(super) async fn measure_volumes(
    app: &Arc<App>,
    storage: &Storage,
    hosts: Vec<Id<kind::Host>>,
) -> Result<()> {
    let at_once =
        usize::try_from(app.settings.int("primaryStorage", "ping.parallelismDegree")).unwrap_or(1).max(1);
    let ask = |host: Id<kind::Host>| {
        let op = ListStorage { storage_path: storage.url.clone() };
        async move { (host, app.agents.call(host, &op, CallOptions::default()).await) }
    };
    let mut answers = futures_util::stream::iter(hosts.into_iter().map(ask)).buffer_unordered(at_once);
    while let Some((host, answer)) = answers.next().await {
        match answer {
            Ok(content) => note_sizes(app, storage, host, &content).await?,
            Err(f) => tracing::debug!(%host, error = %f, "the volumes of host {host} could not be measured"),
        }
    }
    Ok(())
}

async fn note_sizes(
    app: &Arc<App>,
    storage: &Storage,
    host: Id<kind::Host>,
    content: &StorageContent,
) -> Result<()> {
    let (storage, seen) = (storage.uuid, content.volume_bytes.clone());
    if seen.is_empty() {
        return Ok(());
    }
    let known = "SELECT v.uuid, v.actual_size FROM local_storage_resource_ref r JOIN volume v ON v.uuid = r.resource_uuid
                 WHERE r.host_uuid = ? AND r.primary_storage_uuid = ? AND v.install_path IS NOT NULL";
    let rows = app.store.read(move |tx| tx.query(known, params![host, storage])).await?;
    let mut changed = Vec::new();
    for row in rows {
        let (volume, was) = (row.text("uuid")?, row.opt_int("actual_size")?);
        if let Some(bytes) = seen.get(&volume).copied().filter(|b| i64::try_from(*b).ok() != was) {
            changed.push((volume, bytes));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let work = move |tx: &mut dyn Tx| {
        changed.iter().try_for_each(|(volume, bytes)| {
            tx.execute("UPDATE volume SET actual_size = ? WHERE uuid = ?", params![*bytes, volume])
                .map(|_| ())
        })
    };
    app.store.write(work).await
}

/// Forgets cached images that the host no longer has. `began`: rows younger than the listing are left alone.
async fn compare_cache(
    app: &Arc<App>,
    storage: &Storage,
    host: Id<kind::Host>,
    content: StorageContent,
    began: i64,
) -> Result<()> {
    let storage = storage.uuid;
    let work = move |tx: &mut dyn Tx| {
        let sql = "SELECT uuid, image_uuid FROM image_cache WHERE primary_storage_uuid = ? AND host_uuid = ?
                   AND state = 'ready' AND last_op_ms < ?";
        for row in tx.query(sql, params![storage, host, began])? {
            let image = row.text("image_uuid")?;
            if !content.images.contains(&image) {
                tracing::warn!(%host, image, "the cached copy of image {image} on host {host} is gone");
                tx.execute("DELETE FROM image_cache WHERE uuid = ?", params![row.text("uuid")?])?;
                super::cache::tell(tx, host, &image)?;
            }
        }
        Ok(())
    };
    app.store.write(work).await
}
