//! Primary storage on its hosts: made ready and measured there, and what is known of it row by row.
//!
//! A host row of local storage is Connected while the host's agent has answered for that folder. The storage is Connected
//! while any of its hosts is (PS-06); one that no host uses has nothing to be disconnected from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::storage::{Capacity, ListStorage, StorageContent};
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, code, kind, time};
use futures_util::StreamExt;
use serde_json::json;

use super::primary_storage::{ENTITY, LOCAL, Storage};
use crate::agents::CallOptions;
use crate::app::App;
use crate::rows;

/// What a host said about a folder.
pub(crate) type Measured = (Id<kind::Host>, Result<Capacity>);

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

/// The storage that a cluster uses.
pub(crate) fn of_cluster(tx: &mut dyn Tx, cluster: Id<kind::Cluster>) -> Result<Vec<Storage>> {
    let sql = "SELECT p.uuid, p.url, p.type FROM primary_storage p
               JOIN primary_storage_cluster_ref r ON r.primary_storage_uuid = p.uuid WHERE r.cluster_uuid = ? ORDER BY p.uuid";
    tx.query(sql, params![cluster])?.iter().map(Storage::from_row).collect()
}

/// Makes a storage ready on a host that has arrived, as [`host_storages`] does, but leaves what the host said to the caller
/// to write. Fails if the host does not answer in time.
pub(crate) async fn ready_on(
    app: &Arc<App>,
    storage: &Storage,
    host: Id<kind::Host>,
    has_content: bool,
    patience: Duration,
) -> Result<Result<Capacity>> {
    let began = time::now_ms();
    let options = || CallOptions { timeout: Some(patience), ..CallOptions::default() };
    let op = storage.connect_command();
    let room = match app.agents.call(host, &op, options()).await {
        Err(f) if f.has_code(code::TIMEOUT) || f.has_code(code::HOST_DISCONNECTED) => return Err(f),
        Err(f) => return Ok(Err(f)),
        Ok(room) => room,
    };
    // What no row knows is nothing to compare with.
    if has_content {
        let content =
            app.agents.call(host, &ListStorage { storage_path: storage.url.clone() }, options()).await?;
        note_sizes(app, storage, host, &content).await?;
        compare_cache(app, storage, host, content, began).await?;
    }
    Ok(Ok(room))
}

/// No connection serves the hosts any more: their storage can't be reached there.
pub async fn hosts_gone(app: &Arc<App>, hosts: &[Id<kind::Host>]) -> Result<()> {
    let (server, hosts) = (app.clone(), hosts.to_vec());
    app.store
        .write(move |tx| {
            let mut storages = BTreeSet::new();
            for host in &hosts {
                let sql = "SELECT primary_storage_uuid AS uuid FROM local_storage_host_ref WHERE host_uuid = ? AND status <> 'Disconnected'";
                for row in tx.query(sql, params![*host])? {
                    let storage: Id<kind::PrimaryStorage> = row.id("uuid")?;
                    lost(tx, storage, *host, "its host is not connected")?;
                    storages.insert(storage);
                }
            }
            storages.into_iter().try_for_each(|storage| judge_soon(tx, &server, storage))
        })
        .await
}

/// Storage of more hosts than this is judged a moment later, once for all that happened until then.
const LARGE: i64 = 2000;

/// [`judge`] for storage of few hosts; where counting takes its time, it is done a moment later for all changes at once.
pub(crate) fn judge_soon(tx: &mut dyn Tx, app: &App, storage: Id<kind::PrimaryStorage>) -> Result<()> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM local_storage_host_ref WHERE primary_storage_uuid = ? LIMIT ?) x";
    if tx.query_int(sql, params![storage, LARGE + 1])? <= LARGE {
        return judge(tx, storage);
    }
    app.storage.judge_later(storage);
    Ok(())
}

/// Judges the storage that [`judge_soon`] put off. The writer does not wait while its hosts are counted.
pub async fn judge_due(app: &Arc<App>) -> Result<()> {
    for storage in app.storage.to_judge() {
        let verdict = app.store.read(move |tx| verdict(tx, storage)).await?;
        if let Some(verdict) = verdict {
            app.store.write(move |tx| set_verdict(tx, storage, &verdict)).await?;
        }
    }
    Ok(())
}

/// Asks hosts to make the folder ready and to say how much room there is, many at a time.
pub(super) async fn measure(app: &Arc<App>, storage: &Storage, hosts: Vec<Id<kind::Host>>) -> Vec<Measured> {
    let at_once =
        usize::try_from(app.settings.int("primaryStorage", "ping.parallelismDegree")).unwrap_or(1).max(1);
    let ask = |host: Id<kind::Host>| {
        let op = storage.connect_command();
        async move { (host, app.agents.call(host, &op, CallOptions::default()).await) }
    };
    futures_util::stream::iter(hosts.into_iter().map(ask)).buffer_unordered(at_once).collect().await
}

/// Writes what hosts said, and what follows for the storage.
pub(super) async fn note(app: &Arc<App>, storage: &Storage, measured: Vec<Measured>) -> Result<()> {
    let (storage, server) = (storage.clone(), app.clone());
    let work = move |tx: &mut dyn Tx| {
        // What an agent said before its connection went is no evidence for now.
        let still = measured.iter().filter(|(h, r)| r.is_err() || server.agents.is_connected(h));
        note_many(tx, &server, &storage, still)
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
    write_all(tx, storage, measured)?;
    judge(tx, storage.uuid)
}

/// The same; storage of many hosts is judged a moment later.
pub(crate) fn note_many<'a>(
    tx: &mut dyn Tx,
    app: &App,
    storage: &Storage,
    measured: impl IntoIterator<Item = &'a Measured>,
) -> Result<()> {
    if storage.r#type == LOCAL && write_all(tx, storage, measured)? {
        judge_soon(tx, app, storage.uuid)?;
    }
    Ok(())
}

/// Writes what is news of it; tells whether anything was.
fn write_all<'a>(
    tx: &mut dyn Tx,
    storage: &Storage,
    measured: impl IntoIterator<Item = &'a Measured>,
) -> Result<bool> {
    let mut is_news = false;
    for (host, result) in measured {
        is_news |= match result {
            Ok(capacity) => found(tx, storage.uuid, *host, *capacity)?,
            Err(fault) => lost(tx, storage.uuid, *host, &fault.details)?,
        };
    }
    Ok(is_news)
}

fn found(
    tx: &mut dyn Tx,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
    room: Capacity,
) -> Result<bool> {
    let now = time::now_ms();
    let (total, free) = (room.total_bytes, room.available_bytes);
    let sql = "SELECT 1 FROM local_storage_host_ref WHERE primary_storage_uuid = ? AND host_uuid = ?";
    if tx.exists(sql, params![storage, host])? {
        let sql = "UPDATE local_storage_host_ref SET total_physical = ?, available_physical = ?, status = 'Connected',
                   status_reason = NULL, last_op_ms = ? WHERE primary_storage_uuid = ? AND host_uuid = ?
                   AND (total_physical <> ? OR available_physical <> ? OR status <> 'Connected')";
        if tx.execute(sql, params![total, free, now, storage, host, total, free])? == 1 {
            tell(tx, host, storage)?;
            return Ok(true);
        }
        return Ok(false);
    }
    // Only while the storage is attached to the host's cluster; it may have been detached meanwhile.
    let sql = "INSERT INTO local_storage_host_ref (primary_storage_uuid, host_uuid, total_physical, available_physical,
                 status, create_ms, last_op_ms)
               SELECT r.primary_storage_uuid, h.uuid, ?, ?, 'Connected', ?, ? FROM host h
               JOIN primary_storage_cluster_ref r ON r.cluster_uuid = h.cluster_uuid
               WHERE h.uuid = ? AND r.primary_storage_uuid = ?";
    let is_new = tx.execute(sql, params![total, free, now, now, host, storage])? == 1;
    if is_new {
        tell(tx, host, storage)?;
    }
    Ok(is_new)
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
) -> Result<bool> {
    let sql = "UPDATE local_storage_host_ref SET status = 'Disconnected', status_reason = ?, last_op_ms = ?
               WHERE primary_storage_uuid = ? AND host_uuid = ? AND (status <> 'Disconnected' OR status_reason IS NULL OR status_reason <> ?)";
    let is_news = tx.execute(sql, params![why, time::now_ms(), storage, host, why])? == 1;
    if is_news {
        tell(tx, host, storage)?;
    }
    Ok(is_news)
}

/// Sets the status of local storage from its hosts.
pub(crate) fn judge(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>) -> Result<()> {
    verdict(tx, storage)?.map_or(Ok(()), |verdict| set_verdict(tx, storage, &verdict))
}

/// A status and its reason.
type Verdict = (&'static str, Option<String>);

/// What its hosts say of local storage, if that is news.
fn verdict(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>) -> Result<Option<Verdict>> {
    let sql = "SELECT p.type, p.status, p.status_reason,
                 (SELECT count(*) FROM local_storage_host_ref x WHERE x.primary_storage_uuid = p.uuid) AS hosts,
                 (SELECT count(*) FROM local_storage_host_ref x WHERE x.primary_storage_uuid = p.uuid AND x.status = 'Connected') AS ready
               FROM primary_storage p WHERE p.uuid = ?";
    let Some(row) = tx.query_opt(sql, params![storage])? else { return Ok(None) };
    if row.text("type")? != LOCAL {
        return Ok(None);
    }
    let (hosts, ready) = (row.int("hosts")?, row.int("ready")?);
    let (status, reason) = match (hosts, ready) {
        (0, _) => ("Connected", Some("no host uses it".to_owned())),
        (_, 0) => ("Disconnected", Some(format!("none of its {hosts} hosts reaches it"))),
        (all, some) if some < all => ("Connected", Some(format!("{some} of its {all} hosts reach it"))),
        _ => ("Connected", None),
    };
    let is_news = row.text("status")? != status || row.opt_text("status_reason")? != reason;
    Ok(is_news.then_some((status, reason)))
}

fn set_verdict(tx: &mut dyn Tx, storage: Id<kind::PrimaryStorage>, verdict: &Verdict) -> Result<()> {
    let (status, reason) = verdict;
    let sql = "UPDATE primary_storage SET status = ? WHERE uuid = ? AND status <> ?";
    let has_turned = tx.execute(sql, params![*status, storage, *status])? == 1;
    let sql = "UPDATE primary_storage SET status_reason = ? WHERE uuid = ?";
    tx.execute(sql, params![reason.clone(), storage])?;
    if has_turned {
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
