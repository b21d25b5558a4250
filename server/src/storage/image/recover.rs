//! Taking back the deletion of an image, as long as its files are there.

use cairn_api::ops::image::RecoverImage;
use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, time};
use serde_json::Value;

use super::delete::{deleted, must_be_deleted};
use super::{ENTITY, INVENTORY, chosen, copies, judge};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<RecoverImage>(recover);
}

fn recover(call: &Call, tx: &mut dyn Tx, op: &RecoverImage) -> Result<Value> {
    let image: Id<kind::Image> = id("imageUuid", &op.image_uuid)?;
    rows::claim(tx, ENTITY, image)?;
    let named: Vec<Id<kind::BackupStorage>> =
        op.backup_storage_uuids.iter().map(|u| id("backupStorageUuids", u)).collect::<Result<_>>()?;
    let chosen = chosen(&copies(tx, image)?, &named, image)?;
    let chosen = if named.is_empty() { deleted(chosen) } else { chosen };
    must_be_deleted(image, &chosen)?;
    for copy in &chosen {
        let sql = "UPDATE image_backup_storage_ref SET status = 'Ready', deleted_ms = NULL, last_op_ms = ?
                   WHERE image_uuid = ? AND backup_storage_uuid = ? AND status = 'Deleted'";
        tx.execute(sql, params![time::now_ms(), image, copy.store])?;
    }
    judge(tx, image)?;
    inventory::answer(tx, INVENTORY, image, call.dates)
}
