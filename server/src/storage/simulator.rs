//! Simulated backup storage: an agent of its own inside this process, behind the same protocol as a real one.
//!
//! What it holds lives in memory only. When the server starts again the store is filled from the rows of its images: a
//! simulated download says what it finds from the address alone, so every checksum is the same as before.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cairn_api::agent::image_store::{DeleteImage, FetchImage};
use cairn_api::agent::{Target, TargetKind};
use cairn_simhost::{HostShape, SimAgent};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use tokio::task::JoinHandle;

use super::backup_storage::{SIMULATOR, Store};
use super::image::simulated_policy;
use crate::agents::CallOptions;
use crate::app::App;
use crate::platform::cleanup;

/// A simulated store at work; it ends with this, unless it runs elsewhere.
pub struct Simulated {
    task: Option<JoinHandle<()>>,
}

impl Drop for Simulated {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts the simulated stores that the database knows.
pub async fn restart(app: &Arc<App>) -> Result<()> {
    let sql = "SELECT uuid, available_capacity + coalesce((SELECT sum(i.actual_size) FROM image i
                 JOIN image_backup_storage_ref r ON r.image_uuid = i.uuid
                 WHERE r.backup_storage_uuid = b.uuid AND r.status IN ('Ready', 'Deleted')), 0) AS room
               FROM backup_storage b WHERE type = ?";
    let stores = app.store.read(move |tx| tx.query(sql, params![SIMULATOR])).await?;
    for row in stores {
        start(app, row.id("uuid")?, row.bytes("room")?);
    }
    Ok(())
}

/// Starts a simulated store with this much room; 0: as much as simulated stores have. One that runs goes on.
pub(super) fn start(app: &Arc<App>, store: Id<kind::BackupStorage>, room: u64) {
    let mut all = app.storage.simulated.lock().unwrap_or_else(PoisonError::into_inner);
    if all.contains_key(&store.to_string()) {
        return;
    }
    if let Some(elsewhere) = &app.hardware.elsewhere {
        let target = Target { uuid: store.to_string(), kind: TargetKind::ImageStore };
        elsewhere.serve(&store.to_string(), &target, &HostShape::default(), room);
        all.insert(store.to_string(), Simulated { task: None });
        return;
    }
    // One cloud of machines, or simulated hosts would not find the images of simulated stores.
    let cloud = &app.hardware.machines;
    let agent = cloud.agent().uuid(store.to_string()).image_store(store.to_string()).build();
    if room > 0 {
        cloud.image_store(store.to_string()).resize(room);
    }
    let task = Some(serve(app, &agent));
    all.insert(store.to_string(), Simulated { task });
}

/// Serves an agent of this process until it is dropped.
fn serve(app: &Arc<App>, agent: &SimAgent) -> JoinHandle<()> {
    let (server, uuid) = (Arc::downgrade(app), agent.uuid().to_owned());
    agent.spawn(move || {
        let (server, uuid) = (server.clone(), uuid.clone());
        async move {
            let app = server.upgrade().ok_or(std::io::ErrorKind::NotConnected)?;
            let (ours, its) = tokio::io::duplex(256 << 10);
            app.agents.serve_internal(ours, uuid);
            Ok(its)
        }
    })
}

/// Ends a simulated store.
pub(super) fn stop(app: &App, store: Id<kind::BackupStorage>) {
    app.storage.simulated.lock().unwrap_or_else(PoisonError::into_inner).remove(&store.to_string());
    if let Some(elsewhere) = &app.hardware.elsewhere {
        elsewhere.end(&store.to_string());
    }
}

/// Waits until the store's agent is there.
pub(super) async fn wait(app: &App, store: Id<kind::BackupStorage>) -> Result<()> {
    if app.agents.wait_for(store, Duration::from_secs(10)).await {
        return Ok(());
    }
    Err(Fault::new(code::BS_CONNECT, "the simulated store did not start"))
}

/// Gives a store back the images that its rows name.
pub(super) async fn refill(app: &Arc<App>, store: &Store) -> Result<()> {
    let uuid = store.uuid;
    let sql = "SELECT i.uuid, i.url, i.media_type FROM image i JOIN image_backup_storage_ref r ON r.image_uuid = i.uuid
               WHERE r.backup_storage_uuid = ? AND r.status IN ('Ready', 'Deleted') AND i.url IS NOT NULL";
    let images = app.store.read(move |tx: &mut dyn Tx| tx.query(sql, params![uuid])).await?;
    for row in images {
        let fetch = FetchImage {
            store_path: store.url.clone(),
            image: row.text("uuid")?,
            url: row.text("url")?,
            policy: simulated_policy(),
            media_type: row.text("media_type")?,
            max_bytes: u64::MAX,
        };
        if let Err(f) = app.agents.call(uuid, &fetch, CallOptions::default()).await {
            tracing::warn!(store = %uuid, image = fetch.image, error = %f, "an image of a simulated store is lost");
        }
        // Its file may have been removed for good before it was given back.
        let file = DeleteImage { store_path: fetch.store_path, image: fetch.image };
        let is_gone = move |tx: &mut dyn Tx| {
            let sql =
                "SELECT 1 FROM image_backup_storage_ref WHERE image_uuid = ? AND backup_storage_uuid = ?";
            if tx.exists(sql, params![&file.image, uuid])? {
                return Ok(false);
            }
            cleanup::later(tx, uuid, &file)?;
            Ok(true)
        };
        if app.store.write(is_gone).await? {
            cleanup::drain(app, &uuid.to_string()).await;
        }
    }
    Ok(())
}
