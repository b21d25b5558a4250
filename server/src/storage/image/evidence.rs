//! The file of an image was seen: what it is becomes what the rows say.

use cairn_api::agent::image_store::ImageFile;
use cairn_store::{Tx, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use super::{ENTITY, status};
use crate::identity::quota;
use crate::rows;
use crate::storage::backup_storage;

/// What the caller said the file is, if he did.
pub(super) struct Expected<'a> {
    pub(super) media_type: &'a str,
    pub(super) is_given: bool,
}

/// The media type of a file, or why it is not what it should be. What was found wins over what was left open.
fn media_type(image: Id<kind::Image>, file: &ImageFile, expected: &Expected<'_>) -> Result<String> {
    let is_iso = file.format == "iso";
    if is_iso == (expected.media_type == "ISO") {
        return Ok(expected.media_type.to_owned());
    }
    if !expected.is_given {
        return Ok(if is_iso { "ISO" } else { "RootVolumeTemplate" }.to_owned());
    }
    let text = if is_iso {
        format!("image {image} is an ISO file; add it with mediaType ISO")
    } else {
        format!("image {image} is no ISO file but {}; add it with mediaType RootVolumeTemplate", file.format)
    };
    Err(Fault::new(code::IMAGE_CORRUPT, text).with("format", file.format.clone()))
}

/// Makes an image Ready with the files that were seen, one per store, within the quota of its owner.
pub(super) fn ready(
    tx: &mut dyn Tx,
    image: Id<kind::Image>,
    files: &[(Id<kind::BackupStorage>, ImageFile)],
    expected: &Expected<'_>,
) -> Result<()> {
    let Some((_, first)) = files.first() else {
        return Err(Fault::internal("no file of the image was seen"));
    };
    if status(tx, image)? != Some(ImageStatus::Downloading) {
        return Err(Fault::operation(format!("image {image} was deleted while it was added")));
    }
    let media_type = media_type(image, first, expected)?;
    if let Some(account) = rows::owner(tx, image)? {
        quota::check(tx, account, &[("image.size", i64::try_from(first.size_bytes).unwrap_or(i64::MAX))])?;
    }
    let now = time::now_ms();
    for (store, file) in files {
        if file.sha256 != first.sha256 {
            let text = format!(
                "the copies of image {image} differ: its address gave another file to backup storage {store}"
            );
            return Err(Fault::new(code::IMAGE_CHECKSUM, text));
        }
        rows::claim(tx, backup_storage::ENTITY, *store)?;
        let sql = "UPDATE image_backup_storage_ref SET status = 'Ready', install_path = ?, sha256 = ?, last_op_ms = ?
                   WHERE image_uuid = ? AND backup_storage_uuid = ? AND status = 'Downloading'";
        if tx.execute(sql, params![&file.install_path, &file.sha256, now, image, *store])? != 1 {
            return Err(Fault::operation(format!(
                "image {image} was deleted from backup storage {store} while it was added"
            )));
        }
    }
    let sql = "UPDATE image SET status = 'Ready', size = ?, actual_size = ?, md5_sum = ?, format = ?, media_type = ? WHERE uuid = ?";
    tx.execute(
        sql,
        params![first.size_bytes, first.actual_bytes, &first.md5, &first.format, media_type, image],
    )?;
    rows::changed(tx, ENTITY, image, &json!({ "status": "Ready" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn img_01_what_the_file_is_wins_over_what_was_left_open() {
        let file = |format: &str| ImageFile {
            format: format.into(),
            size_bytes: 1,
            actual_bytes: 1,
            md5: String::new(),
            sha256: String::new(),
            install_path: String::new(),
        };
        for (format, media, is_given, result) in [
            ("qcow2", "RootVolumeTemplate", true, Some("RootVolumeTemplate")),
            ("raw", "DataVolumeTemplate", true, Some("DataVolumeTemplate")),
            ("iso", "RootVolumeTemplate", false, Some("ISO")),
            ("iso", "RootVolumeTemplate", true, None),
            ("iso", "ISO", true, Some("ISO")),
            ("raw", "ISO", true, None),
        ] {
            let found = media_type(Id::new(), &file(format), &Expected { media_type: media, is_given });
            assert_eq!(found.ok().as_deref(), result, "{format} {media} {is_given}");
        }
    }
}
