//! Deleting images (IMG-07): with policy Delay a copy can be recovered until its time has come, with Direct it goes at once,
//! with Never its record goes and the file stays.

use cairn_api::agent::AgentOp;
use cairn_api::agent::image_store::DeleteImage as DeleteFile;
use cairn_api::ops::image::{DeleteImage as DeleteOp, ExpungeImage as ExpungeOp};
use cairn_store::{Tx, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Copy, ENTITY, chosen, copies, forget_copy, judge, status, stop_adding};
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::{Handlers, Launch};
use crate::platform::cleanup;
use crate::rows;
use crate::storage::backup_storage::Store;

type Stores = Vec<Id<kind::BackupStorage>>;

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<DeleteOp, _>(delete);
    h.run::<ExpungeOp, _>(expunge);
}

fn stores(uuids: &[String]) -> Result<Stores> {
    uuids.iter().map(|u| id("backupStorageUuids", u)).collect()
}

async fn delete(call: Call, op: DeleteOp) -> Result<Launch> {
    let image: Id<kind::Image> = id("uuid", &op.uuid)?;
    let named = stores(&op.backup_storage_uuids)?;
    let (status, chosen) = call
        .app
        .store
        .read(move |tx| {
            let copies = copies(tx, image)?;
            Ok((status(tx, image)?, chosen(&copies, &named, image)?))
        })
        .await?;
    let Some(status) = status else { return Ok(Launch::Done(json!({}))) };
    if matches!(status, ImageStatus::Downloading | ImageStatus::Creating) {
        // It is removed at once; what is being added now is stopped, and its file goes.
        if !call.is_plan {
            stop_adding(&call.app, image).await?;
        }
        return Ok(Launch::run(ExpungeImage::new(image)));
    }
    let stores: Stores = chosen.iter().map(|c| c.store).collect();
    match call.app.settings.text("image", "deletionPolicy").as_str() {
        "Direct" => Ok(Launch::run(ExpungeImage { stores, ..ExpungeImage::new(image) })),
        "Never" => Ok(Launch::run(TrashImage { image, stores, is_for_good: true })),
        _ => Ok(Launch::run(TrashImage { image, stores, is_for_good: false })),
    }
}

async fn expunge(call: Call, op: ExpungeOp) -> Result<Launch> {
    let image: Id<kind::Image> = id("imageUuid", &op.image_uuid)?;
    let named = stores(&op.backup_storage_uuids)?;
    let chosen = call.app.store.read(move |tx| chosen(&copies(tx, image)?, &named, image)).await?;
    let chosen = if op.backup_storage_uuids.is_empty() { deleted(chosen) } else { chosen };
    must_be_deleted(image, &chosen)?;
    Ok(Launch::run(ExpungeImage::deleted_copies(image, chosen.iter().map(|c| c.store).collect())))
}

/// Those copies that are Deleted.
pub(super) fn deleted(copies: Vec<Copy>) -> Vec<Copy> {
    copies.into_iter().filter(|c| c.status == ImageStatus::Deleted).collect()
}

/// Refuses copies that are not Deleted, and an image without a deleted copy.
pub(super) fn must_be_deleted(image: Id<kind::Image>, copies: &[Copy]) -> Result<()> {
    if copies.is_empty() {
        return Err(Fault::operation(format!("image {image} is not Deleted; delete it first")));
    }
    match copies.iter().find(|c| c.status != ImageStatus::Deleted) {
        Some(copy) => {
            let text = format!(
                "image {image} is {} on backup storage {}, not Deleted; delete it there first",
                copy.status, copy.store
            );
            Err(Fault::operation(text).with("uuid", copy.store.to_string()))
        }
        None => Ok(()),
    }
}

/// Puts copies of an image where they can be recovered from, or forgets them and leaves their files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TrashImage {
    image: Id<kind::Image>,
    stores: Stores,
    is_for_good: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TrashStep {
    Trash,
}
use TrashStep::Trash;

impl Workflow for TrashImage {
    type Env = App;
    type Step = TrashStep;
    const NAME: &'static str = "image.delete/1";
    const STEPS: &'static [TrashStep] = &[Trash];

    fn about(&self) -> About {
        About::resource(self.image, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: TrashStep, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Trash, Dir::Do) => cx.tx(self, |w, tx| w.trash(tx)).await,
            (Trash, Dir::Plan) => {
                let text = if self.is_for_good {
                    "its record would go, its files would stay"
                } else {
                    "it could be recovered until it is expunged"
                };
                cx.tell("Trash", text, "global setting image deletionPolicy");
                cx.tx(self, |w, tx| w.trash(tx)).await
            }
            // One write, committed with the end of the run: nothing to take back.
            (Trash, Dir::Undo) => Ok(()),
        }
    }
}

impl TrashImage {
    fn trash(&self, tx: &mut dyn Tx) -> Result<()> {
        if status(tx, self.image)?.is_none() {
            return Ok(());
        }
        rows::claim(tx, ENTITY, self.image)?;
        for store in &self.stores {
            if self.is_for_good {
                forget_copy(tx, self.image, *store)?;
                continue;
            }
            let now = time::now_ms();
            let sql = "UPDATE image_backup_storage_ref SET status = 'Deleted', deleted_ms = ?, last_op_ms = ?
                       WHERE image_uuid = ? AND backup_storage_uuid = ? AND status <> 'Deleted'";
            tx.execute(sql, params![now, now, self.image, *store])?;
        }
        judge(tx, self.image)
    }
}

/// Removes copies of an image with their files, and the image with its last copy. One that is gone is a success.
///
/// The rows go in one transaction with a note of the files that must go (table `cleanup`): at once if the store can be
/// reached, else when it is back. So no image is ever offered for recovery without its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExpungeImage {
    image: Id<kind::Image>,
    /// Which copies; empty: all.
    stores: Stores,
    /// Only copies that are still Deleted.
    is_deleted_only: bool,
}

impl ExpungeImage {
    /// Removes the image with all its copies.
    pub fn new(image: Id<kind::Image>) -> Self {
        Self { image, stores: Vec::new(), is_deleted_only: false }
    }

    /// Removes these copies, as far as they are Deleted when the turn comes.
    pub(super) fn deleted_copies(image: Id<kind::Image>, stores: Stores) -> Self {
        Self { image, stores, is_deleted_only: true }
    }
}

/// See [`ExpungeImage`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExpungeStep {
    /// Rows and files go.
    Remove,
}
use ExpungeStep::Remove;

impl Workflow for ExpungeImage {
    type Env = App;
    type Step = ExpungeStep;
    const NAME: &'static str = "image.expunge/1";
    const STEPS: &'static [ExpungeStep] = &[Remove];

    fn about(&self) -> About {
        About::resource(self.image, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: ExpungeStep, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Remove, Dir::Do) => {
                let stores = cx.tx(self, |w, tx| w.remove(tx)).await?;
                let app = cx.env().clone();
                tokio::spawn(async move {
                    for store in stores {
                        cleanup::drain(&app, &store).await;
                    }
                });
                Ok(())
            }
            (Remove, Dir::Plan) => {
                let stores = cx.tx(self, |w, tx| w.remove(tx)).await?;
                cx.tell("Remove", format!("{} backup storages would remove the file", stores.len()), "");
                Ok(())
            }
            // One write, committed with the end of the run: nothing to take back.
            (Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl ExpungeImage {
    /// Tells which stores have a file to remove.
    fn remove(&self, tx: &mut dyn Tx) -> Result<Vec<String>> {
        if status(tx, self.image)?.is_none() {
            return Ok(Vec::new());
        }
        rows::claim(tx, ENTITY, self.image)?;
        let mut stores = Vec::new();
        for copy in copies(tx, self.image)? {
            let is_meant = self.stores.is_empty() || self.stores.contains(&copy.store);
            if !is_meant || (self.is_deleted_only && copy.status != ImageStatus::Deleted) {
                continue;
            }
            let store = Store::find(tx, copy.store)?;
            cleanup::later(
                tx,
                copy.store,
                &DeleteFile { store_path: store.url, image: self.image.to_string() },
            )?;
            forget_copy(tx, self.image, copy.store)?;
            stores.push(copy.store.to_string());
        }
        Ok(stores)
    }
}

/// Whether the file of an earlier image with this uuid has yet to be removed from a store.
pub(super) fn is_being_removed(
    tx: &mut dyn Tx,
    image: Id<kind::Image>,
    store: Id<kind::BackupStorage>,
) -> Result<bool> {
    let sql = "SELECT data FROM cleanup WHERE kind = 'agent' AND target_uuid = ?";
    let (op, image) = (DeleteFile::NAME, image.to_string());
    for row in tx.query(sql, params![store])? {
        let data = row.text("data")?;
        if data.contains(op) && data.contains(&image) {
            return Ok(true);
        }
    }
    Ok(false)
}
