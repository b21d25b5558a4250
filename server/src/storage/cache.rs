//! Copies of images on primary storage: brought to a host once, for all volumes over them, and cleared away when nothing
//! needs them any more (PS-07).
//!
//! The row of a copy exists before the copy, in state `creating`, so that its room is spoken for; it is `ready` once the
//! host said so, `deleting` while it is cleared away. One at a time works on a copy (a lock in memory); a server that died
//! in between leaves a row that the next one to need it, or the clean-up, takes over.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::image_store::OpenDownload;
use cairn_api::agent::storage::{CacheImage, CachedImage, UncacheImage};
use cairn_store::{Row, Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, new_uuid, random_uuid, time};
use cairn_workflow::Cx;
use serde_json::json;

use super::backup_storage::Store;
use super::primary_storage::Storage;
use crate::agents::{AgentCalls, CallOptions};
use crate::app::App;
use crate::rows;

/// An address for a host works this long.
const ADDRESS_MS: u64 = 2 * 3_600_000;
/// Copies that were needed within this time are never cleared away.
const FRESH_MS: i64 = 600_000;
/// A host that failed to fetch a copy has this long to say that it has nothing of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Copies that one read looks at.
const PAGE: usize = 2000;
/// The use of a copy is noted this often.
const TOUCH_MS: i64 = 60_000;

/// What one copy is of, where.
#[derive(Debug, Clone, Copy)]
struct Place {
    image: Id<kind::Image>,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
}

impl Place {
    fn key(self) -> String {
        format!("cache/{}/{}/{}", self.image, self.storage, self.host)
    }
}

/// A backup storage with a copy, and what the copy must be like.
struct Origin {
    store: Store,
    format: String,
    file_bytes: u64,
    sha256: String,
}

/// Sees to it that a host has an image in the cache of a primary storage. Idempotent; for agent steps of workflows.
pub async fn ensure(
    cx: &mut Cx<App>,
    image: Id<kind::Image>,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
) -> Result<()> {
    let place = Place { image, storage, host };
    if cx.is_plan() {
        if !cx.read(move |tx| is_ready(tx, place)).await? {
            cx.tell(
                "CacheImage",
                format!("image {image} would be brought to host {host}"),
                "it is not in the host's image cache",
            );
        }
        return Ok(());
    }
    let app = cx.env().clone();
    let _turn = app.storage.lock(&place.key()).await;
    let origins = app.store.write(move |tx| begin(tx, place)).await?;
    if origins.is_empty() {
        return Ok(());
    }
    let mut faults = Vec::new();
    for origin in origins {
        match bring(cx, place, &origin).await {
            Ok(cached) => return app.store.write(move |tx| end(tx, place, &origin.sha256, &cached)).await,
            Err(f) => faults.push(f),
        }
    }
    if is_off(&app, place).await {
        app.store.write(move |tx| give_up(tx, place)).await?;
    }
    let mut fault = Fault::operation(format!("image {image} could not be brought to host {host}"));
    fault.retryable = faults.iter().any(|f| f.retryable);
    if faults.len() == 1 {
        return Err(fault.caused_by(faults.remove(0)));
    }
    fault.causes = faults;
    Err(fault)
}

/// Whether a host has an image in the cache of a primary storage; notes that it was needed. Part of the transaction that places
/// a volume over it there: from then on the copy is not cleared away.
pub fn is_at_hand(
    tx: &mut dyn Tx,
    image: Id<kind::Image>,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
) -> Result<bool> {
    let place = Place { image, storage, host };
    let is_ready = is_ready(tx, place)?;
    if is_ready {
        touch(tx, place)?;
    }
    Ok(is_ready)
}

fn touch(tx: &mut dyn Tx, p: Place) -> Result<()> {
    let now = time::now_ms();
    let sql = "UPDATE image_cache SET last_op_ms = ? WHERE image_uuid = ? AND primary_storage_uuid = ? AND host_uuid = ? AND last_op_ms < ?";
    tx.execute(sql, params![now, p.image, p.storage, p.host, now - TOUCH_MS]).map(|_| ())
}

fn is_ready(tx: &mut dyn Tx, p: Place) -> Result<bool> {
    let sql = "SELECT 1 FROM image_cache WHERE image_uuid = ? AND primary_storage_uuid = ? AND host_uuid = ? AND state = 'ready'";
    tx.exists(sql, params![p.image, p.storage, p.host])
}

/// Where the image can be had from, best first, with a row for the copy that is to be. None: it is there.
fn begin(tx: &mut dyn Tx, p: Place) -> Result<Vec<Origin>> {
    let now = time::now_ms();
    if is_ready(tx, p)? {
        touch(tx, p)?;
        return Ok(Vec::new());
    }
    let origins = origins(tx, p)?;
    let Some(first) = origins.first() else {
        let text = format!("no connected backup storage of its zone has a Ready copy of image {}", p.image);
        return Err(Fault::operation(text).with("uuid", p.image.to_string()));
    };
    let sql = "UPDATE image_cache SET state = 'creating', size = ?, last_op_ms = ? WHERE image_uuid = ? AND primary_storage_uuid = ? AND host_uuid = ?";
    if tx.execute(sql, params![first.file_bytes, now, p.image, p.storage, p.host])? == 0 {
        let sql = "INSERT INTO image_cache (uuid, image_uuid, primary_storage_uuid, host_uuid, install_path, size, media_type, state,
                     create_ms, last_op_ms)
                   VALUES (?, ?, ?, ?, '', ?, (SELECT media_type FROM image WHERE uuid = ?), 'creating', ?, ?)";
        tx.execute(
            sql,
            params![new_uuid(), p.image, p.storage, p.host, first.file_bytes, p.image, now, now],
        )?;
    }
    tell(tx, p.host, &p.image.to_string())?;
    Ok(origins)
}

fn origins(tx: &mut dyn Tx, p: Place) -> Result<Vec<Origin>> {
    let sql = "SELECT b.uuid, i.format, i.actual_size, r.sha256 FROM image_backup_storage_ref r
               JOIN image i ON i.uuid = r.image_uuid
               JOIN backup_storage b ON b.uuid = r.backup_storage_uuid
               JOIN backup_storage_zone_ref z ON z.backup_storage_uuid = b.uuid
               JOIN primary_storage p ON p.zone_uuid = z.zone_uuid
               WHERE i.uuid = ? AND p.uuid = ? AND r.status = 'Ready' AND b.state = 'Enabled' AND b.status = 'Connected'
               ORDER BY CASE WHEN b.host_uuid = ? THEN 0 ELSE 1 END, b.uuid";
    let rows = tx.query(sql, params![p.image, p.storage, p.host])?;
    rows.iter()
        .map(|row| {
            Ok(Origin {
                store: Store::find(tx, row.id("uuid")?)?,
                format: row.text("format")?,
                file_bytes: row.bytes("actual_size")?,
                sha256: row.opt_text("sha256")?.unwrap_or_default(),
            })
        })
        .collect()
}

/// Opens an address at the backup storage and lets the host fetch from it.
async fn bring(cx: &mut Cx<App>, p: Place, origin: &Origin) -> Result<CachedImage> {
    let storage = p.storage;
    let storage = cx.read(move |tx| Storage::find(tx, storage)).await?;
    let store = &origin.store;
    let open = OpenDownload {
        store_path: store.url.clone(),
        image: p.image.to_string(),
        token: random_uuid(),
        valid_ms: ADDRESS_MS,
    };
    let opened = cx.agent(store.uuid, &format!("open-{}-{}", p.image, p.host), &open).await?;
    let cache = CacheImage {
        storage_path: storage.url,
        image: p.image.to_string(),
        url: store.http(&opened.path),
        format: origin.format.clone(),
        file_bytes: origin.file_bytes,
        sha256: origin.sha256.clone(),
    };
    cx.agent(p.host, &format!("cache-{}-{}", p.image, store.uuid), &cache).await
}

fn end(tx: &mut dyn Tx, p: Place, sha256: &str, cached: &CachedImage) -> Result<()> {
    let sql = "UPDATE image_cache SET state = 'ready', install_path = ?, size = ?, sha256 = ?, last_op_ms = ?
               WHERE image_uuid = ? AND primary_storage_uuid = ? AND host_uuid = ?";
    let values = params![&cached.path, cached.file_bytes, sha256, time::now_ms(), p.image, p.storage, p.host];
    if tx.execute(sql, values)? == 1 {
        return tell(tx, p.host, &p.image.to_string());
    }
    Err(Fault::operation(format!("primary storage {} or host {} was deleted meanwhile", p.storage, p.host)))
}

/// Sees to it that a host has nothing of a copy that failed: one that says it failed may have it all the same. If it can't be
/// asked, the row stays until the clean-up or whoever needs the image next.
async fn is_off(app: &Arc<App>, p: Place) -> bool {
    let storage = p.storage;
    let storage = match app.store.read(move |tx| Storage::find(tx, storage)).await {
        Ok(storage) => storage,
        // A storage that is gone has no row of it either.
        Err(f) => return f.has_code(code::RESOURCE_NOT_FOUND),
    };
    let op = UncacheImage { storage_path: storage.url, image: p.image.to_string() };
    let options = CallOptions { timeout: Some(PATIENCE), ..CallOptions::default() };
    app.agents.call(p.host, &op, options).await.is_ok()
}

fn give_up(tx: &mut dyn Tx, p: Place) -> Result<()> {
    let sql = "DELETE FROM image_cache WHERE image_uuid = ? AND primary_storage_uuid = ? AND host_uuid = ? AND state = 'creating'";
    if tx.execute(sql, params![p.image, p.storage, p.host])? == 0 {
        return Ok(());
    }
    tell(tx, p.host, &p.image.to_string())
}

/// The event of a copy that came, went, or takes another amount of room.
pub(super) fn tell(tx: &mut dyn Tx, host: Id<kind::Host>, image: &str) -> Result<()> {
    rows::event(tx, "HostVO", host, "updated", &json!({ "cachedImage": image }))
}

/// Clears away copies that nothing needs: no volume is based on them, and their image is no longer on any backup storage or
/// nobody asked for it within `idle_ms`. Tells how many went.
pub async fn sweep(app: &Arc<App>, idle_ms: i64) -> Result<usize> {
    let now = time::now_ms();
    let (fresh, idle) = (now - FRESH_MS.min(idle_ms.max(0)), now - idle_ms.max(0));
    let (mut gone, mut after) = (0, String::new());
    loop {
        let (candidates, last) = app.store.read(move |tx| unused(tx, &after, fresh, idle)).await?;
        for row in candidates {
            match clear(app, &row, fresh).await {
                Ok(true) => gone += 1,
                Ok(false) => {}
                Err(f) => {
                    tracing::warn!(image = row.text("image_uuid")?, host = row.text("host_uuid")?, error = %f,
                    "a cached image that nothing uses could not be cleared away")
                }
            }
        }
        match last {
            Some(last) => after = last,
            None => return Ok(gone),
        }
    }
}

/// Takes all copies from a host that is about to go for good, its VMs being gone. What it refuses stays on it: a volume that it
/// keeps lies over it.
pub async fn leave_host(app: &Arc<App>, host: Id<kind::Host>) {
    let sql = "SELECT c.uuid, c.image_uuid, p.url FROM image_cache c JOIN primary_storage p ON p.uuid = c.primary_storage_uuid
               WHERE c.host_uuid = ? ORDER BY c.uuid";
    let copies = app.store.read(move |tx| tx.query(sql, params![host])).await.unwrap_or_default();
    for row in copies {
        let (Ok(uuid), Ok(image), Ok(storage_path)) =
            (row.text("uuid"), row.text("image_uuid"), row.text("url"))
        else {
            continue;
        };
        let op = UncacheImage { storage_path, image: image.clone() };
        let named = image.clone();
        let done = match app.agents.call(host, &op, CallOptions::default()).await {
            // With the file: if the host stays after all, the image is brought there again when it is needed.
            Ok(_) => {
                let gone = "DELETE FROM image_cache WHERE uuid = ?";
                let forget = move |tx: &mut dyn Tx| {
                    tx.execute(gone, params![&uuid])?;
                    tell(tx, host, &named)
                };
                app.store.write(forget).await
            }
            Err(f) => Err(f),
        };
        if let Err(f) = done {
            tracing::warn!(%host, image, error = %f, "host {host} goes and keeps its copy of image {image}");
        }
    }
}

/// That no volume and no CD drive on the host is based on the copy `c`. Asked from the host: an image may be that of very many
/// volumes elsewhere. Volumes on storage that hosts share are on no host in particular.
const UNUSED: &str = "NOT EXISTS (SELECT 1 FROM local_storage_resource_ref l CROSS JOIN volume v
      WHERE l.host_uuid = c.host_uuid AND l.primary_storage_uuid = c.primary_storage_uuid AND v.uuid = l.resource_uuid
      AND v.root_image_uuid = c.image_uuid)
    AND (EXISTS (SELECT 1 FROM local_storage_host_ref h
        WHERE h.primary_storage_uuid = c.primary_storage_uuid AND h.host_uuid = c.host_uuid)
      OR NOT EXISTS (SELECT 1 FROM volume v
        WHERE v.root_image_uuid = c.image_uuid AND v.primary_storage_uuid = c.primary_storage_uuid))
    AND NOT EXISTS (SELECT 1 FROM vm_instance m CROSS JOIN system_tag t
      WHERE m.host_uuid = c.host_uuid AND t.resource_uuid = m.uuid AND t.tag = 'iso::' || c.image_uuid)
    AND NOT EXISTS (SELECT 1 FROM vm_instance m CROSS JOIN system_tag t
      WHERE m.last_host_uuid = c.host_uuid AND m.host_uuid IS NULL AND t.resource_uuid = m.uuid
      AND t.tag = 'iso::' || c.image_uuid)";

/// Those of the next copies after one that nothing uses, and the last one looked at; none: there are no more.
fn unused(tx: &mut dyn Tx, after: &str, fresh: i64, idle: i64) -> Result<(Vec<Row>, Option<String>)> {
    let sql = format!(
        "SELECT max(x.uuid) AS last FROM (SELECT uuid FROM image_cache WHERE uuid > ? ORDER BY uuid LIMIT {PAGE}) x"
    );
    let last = tx.query_opt(&sql, params![after])?.map_or(Ok(None), |row| row.opt_text("last"))?;
    let Some(last) = last else { return Ok((Vec::new(), None)) };
    let sql = format!(
        "SELECT c.uuid, c.image_uuid, c.primary_storage_uuid, c.host_uuid, p.url FROM image_cache c
         JOIN primary_storage p ON p.uuid = c.primary_storage_uuid
         WHERE c.uuid > ? AND c.uuid <= ? AND c.host_uuid IS NOT NULL AND c.last_op_ms <= ? AND {UNUSED}
         AND (c.last_op_ms <= ? OR NOT EXISTS (SELECT 1 FROM image_backup_storage_ref r
           WHERE r.image_uuid = c.image_uuid AND r.status = 'Ready')) ORDER BY c.uuid"
    );
    Ok((tx.query(&sql, params![after, &last, fresh, idle])?, Some(last)))
}

async fn clear(app: &Arc<App>, row: &Row, fresh: i64) -> Result<bool> {
    let place = Place {
        image: row.id("image_uuid")?,
        storage: row.id("primary_storage_uuid")?,
        host: row.id("host_uuid")?,
    };
    let uuid = row.text("uuid")?;
    if !app.agents.is_connected(place.host) {
        return Ok(false);
    }
    let _turn = app.storage.lock(&place.key()).await;
    let key = uuid.clone();
    let sql = format!(
        "UPDATE image_cache SET state = 'deleting' WHERE uuid = ? AND uuid IN (SELECT c.uuid FROM image_cache c
         WHERE c.uuid = ? AND c.last_op_ms <= ? AND {UNUSED})"
    );
    let mark = move |tx: &mut dyn Tx| {
        let marked = tx.execute(&sql, params![&key, &key, fresh])? == 1;
        if marked {
            tell(tx, place.host, &place.image.to_string())?;
        }
        Ok(marked)
    };
    if !app.store.write(mark).await? {
        return Ok(false);
    }
    let op = UncacheImage { storage_path: row.text("url")?, image: place.image.to_string() };
    let answer = app.agents.call(place.host, &op, CallOptions::default()).await;
    let is_used = answer.as_ref().is_err_and(|f| f.has_code(code::IN_USE));
    let is_gone = answer.is_ok();
    app.store
        .write(move |tx| {
            let sql = match (is_gone, is_used) {
                (true, _) => "DELETE FROM image_cache WHERE uuid = ? AND state = 'deleting'",
                // The host knows better; a copy without a path never came to be.
                (_, true) => "UPDATE image_cache SET state = CASE WHEN install_path = '' THEN 'creating' ELSE 'ready' END WHERE uuid = ? AND state = 'deleting'",
                // Whether the file is there is open: the row stays as it is, and is tried again.
                _ => return Ok(()),
            };
            tx.execute(sql, params![&uuid])?;
            tell(tx, place.host, &place.image.to_string())
        })
        .await?;
    answer.map(|_| true)
}
