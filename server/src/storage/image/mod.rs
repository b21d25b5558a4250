//! Images: what VMs are made from. An image has a copy on one or several backup storages; it is Ready once a copy was seen
//! whole, with its size and checksums.

mod add;
pub mod delete;
mod evidence;
mod new;
mod qga;
mod recover;
mod source;
mod update;
pub mod upload;

use std::sync::Arc;

use cairn_api::agent::image_store::UrlPolicy;
use cairn_store::{Row, Tx, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::{Engine, Start};
use serde_json::json;

pub use upload::upload_event;

use crate::app::App;
use crate::handlers::Handlers;
use crate::rows;

/// Name of the resource type.
pub(super) const ENTITY: &str = "ImageVO";
/// Its inventory.
pub(super) const INVENTORY: &str = "ImageInventory";

pub(super) fn handlers(h: &mut Handlers) {
    add::handlers(h);
    update::handlers(h);
    delete::handlers(h);
    recover::handlers(h);
    qga::handlers(h);
    upload::handlers(h);
}

pub(super) fn register(engine: &Engine<App>) {
    engine.register::<add::AddImage>();
    engine.register::<upload::OpenImageUpload>();
    engine.register::<delete::TrashImage>();
    engine.register::<delete::ExpungeImage>();
    engine.register::<update::SyncImageSize>();
}

/// A copy of an image on a backup storage.
#[derive(Debug, Clone)]
struct Copy {
    store: Id<kind::BackupStorage>,
    status: ImageStatus,
    install_path: Option<String>,
}

impl Copy {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            store: row.id("backup_storage_uuid")?,
            status: row.parse("status")?,
            install_path: row.opt_text("install_path")?,
        })
    }
}

/// All copies of an image.
fn copies(tx: &mut dyn Tx, image: Id<kind::Image>) -> Result<Vec<Copy>> {
    let sql = "SELECT * FROM image_backup_storage_ref WHERE image_uuid = ? ORDER BY backup_storage_uuid";
    tx.query(sql, params![image])?.iter().map(Copy::from_row).collect()
}

/// The status of an image; none if it is gone.
fn status(tx: &mut dyn Tx, image: Id<kind::Image>) -> Result<Option<ImageStatus>> {
    let row = tx.query_opt("SELECT status FROM image WHERE uuid = ?", params![image])?;
    row.map(|r| r.parse("status")).transpose()
}

/// The copies that a call names, or all; each must be there.
fn chosen(copies: &[Copy], named: &[Id<kind::BackupStorage>], image: Id<kind::Image>) -> Result<Vec<Copy>> {
    if named.is_empty() {
        return Ok(copies.to_vec());
    }
    let find = |store: &Id<kind::BackupStorage>| {
        copies.iter().find(|c| c.store == *store).cloned().ok_or_else(|| {
            let text = format!("image {image} is not on backup storage {store}");
            Fault::argument(text).with("parameter", "backupStorageUuids").with("uuid", store.to_string())
        })
    };
    named.iter().map(find).collect()
}

/// Sets the status of an image from its copies: Deleted when all are, Ready while any is. Notes the change.
fn judge(tx: &mut dyn Tx, image: Id<kind::Image>) -> Result<()> {
    let Some(was) = status(tx, image)? else { return Ok(()) };
    let copies = copies(tx, image)?;
    let is = if copies.iter().any(|c| c.status == ImageStatus::Ready) {
        ImageStatus::Ready
    } else if copies.iter().all(|c| c.status == ImageStatus::Deleted) {
        ImageStatus::Deleted
    } else {
        was
    };
    let deleted = (is == ImageStatus::Deleted).then(time::now_ms);
    tx.execute("UPDATE image SET status = ?, deleted_ms = ? WHERE uuid = ?", params![is, deleted, image])?;
    rows::changed(tx, ENTITY, image, &json!({ "status": is.as_str() }))
}

/// Removes the record of one copy, and the image with its last one.
pub(crate) fn forget_copy(
    tx: &mut dyn Tx,
    image: Id<kind::Image>,
    store: Id<kind::BackupStorage>,
) -> Result<()> {
    let sql = "DELETE FROM image_backup_storage_ref WHERE image_uuid = ? AND backup_storage_uuid = ?";
    tx.execute(sql, params![image, store])?;
    if tx.exists("SELECT 1 FROM image_backup_storage_ref WHERE image_uuid = ?", params![image])? {
        return judge(tx, image);
    }
    if rows::exists(tx, ENTITY, &image.to_string())? { rows::remove(tx, ENTITY, image) } else { Ok(()) }
}

/// Removes an image with all its copies' records. One that is gone is a success.
fn forget(tx: &mut dyn Tx, image: Id<kind::Image>) -> Result<()> {
    tx.execute("DELETE FROM image_backup_storage_ref WHERE image_uuid = ?", params![image])?;
    if rows::exists(tx, ENTITY, &image.to_string())? { rows::remove(tx, ENTITY, image) } else { Ok(()) }
}

/// Stops the runs that are adding an image right now.
async fn stop_adding(app: &Arc<App>, image: Id<kind::Image>) -> Result<()> {
    let sql = "SELECT uuid FROM run WHERE resource_uuid = ? AND name IN ('image.add', 'image.open-upload') AND state = 'Running'";
    let runs = app.store.read(move |tx| tx.query(sql, params![image])).await?;
    for row in runs {
        // It may have ended by now, which is as well.
        if let Err(f) = app.engine.cancel(row.id("uuid")?).await {
            tracing::debug!(%image, error = %f, "a run that adds image {image} could not be stopped");
        }
    }
    Ok(())
}

/// Stops every download into a backup storage that is being deleted.
pub(super) async fn stop_downloads_to(app: &Arc<App>, store: Id<kind::BackupStorage>) -> Result<()> {
    let sql = "SELECT image_uuid FROM image_backup_storage_ref WHERE backup_storage_uuid = ? AND status = 'Downloading'";
    let images = app.store.read(move |tx| tx.query(sql, params![store])).await?;
    for row in images {
        stop_adding(app, row.id("image_uuid")?).await?;
    }
    Ok(())
}

/// Expunges deleted images whose time has come.
pub async fn expunge_due(app: &Arc<App>) -> Result<()> {
    if !app.storage.is_due("image.expunge", app.settings.int("image", "expungeInterval")) {
        return Ok(());
    }
    let before =
        time::now_ms().saturating_sub(app.settings.int("image", "expungePeriod").max(0).saturating_mul(1000));
    let sql = "SELECT r.image_uuid, r.backup_storage_uuid FROM image_backup_storage_ref r JOIN image i ON i.uuid = r.image_uuid
               WHERE r.status = 'Deleted' AND r.deleted_ms <= ? AND i.deleting_run IS NULL ORDER BY r.deleted_ms";
    let due = app.store.read(move |tx| tx.query(sql, params![before])).await?;
    for row in due {
        let (image, store) = (row.id("image_uuid")?, row.id("backup_storage_uuid")?);
        let expunge = delete::ExpungeImage::deleted_copies(image, vec![store]);
        let ended = app.engine.start(expunge, Start::default()).await?.wait().await;
        if let Err(f) = ended {
            tracing::warn!(%image, %store, error = %f, "deleted image {image} could not be expunged and is tried again");
        }
    }
    Ok(())
}

/// What a simulated download may reach: nothing is fetched, so everything.
pub(super) fn simulated_policy() -> UrlPolicy {
    UrlPolicy { allow_internal: true, refused_networks: Vec::new(), file_folder: Some("/".into()) }
}
