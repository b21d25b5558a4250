//! What adding an image by download and by upload have in common: the rows with which it begins.

use cairn_api::ops::image::AddImage as AddOp;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde::{Deserialize, Serialize};

use super::ENTITY;
use crate::app::App;
use crate::call::{Call, id, opt_id};
use crate::identity::quota;
use crate::platform::tags;
use crate::rows;
use crate::storage::answer::Dates;
use crate::storage::backup_storage::{self, Store};
use crate::storage::check;

/// An image that is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NewImage {
    pub(super) uuid: Id<kind::Image>,
    pub(super) name: String,
    description: Option<String>,
    /// Address without a login in it.
    shown_url: String,
    /// As asked for, or as it follows from what was asked for.
    pub(super) media_type: String,
    /// The caller said what it is, so something else is refused.
    pub(super) is_media_type_given: bool,
    guest_os_type: Option<String>,
    platform: String,
    format: String,
    system: bool,
    pub(super) stores: Vec<Id<kind::BackupStorage>>,
    pub(super) account: Id<kind::Account>,
    pub(super) is_admin: bool,
    system_tags: Vec<String>,
    user_tags: Vec<String>,
    pub(super) dates: Dates,
    /// This run made the rows.
    is_registered: bool,
}

impl NewImage {
    /// Reads and checks what was asked for.
    pub(super) fn read(call: &Call, op: &AddOp, uuid: Option<&str>, shown_url: String) -> Result<Self> {
        check::only_type(op.r#type.as_deref(), "zstack")?;
        let format = format(op.format.as_deref())?;
        let given = op.media_type.clone().filter(|m| !m.is_empty());
        let media_type = match (&given, format.as_str()) {
            (Some(media), _) => media.clone(),
            (None, "iso") => "ISO".into(),
            (None, _) => "RootVolumeTemplate".into(),
        };
        if !format.is_empty() && (media_type == "ISO") != (format == "iso") {
            let text = format!("format {format:?} and mediaType {media_type:?} contradict each other");
            return Err(Fault::argument(text).with("parameter", "format"));
        }
        let mut stores: Vec<Id<kind::BackupStorage>> = Vec::new();
        for uuid in &op.backup_storage_uuids {
            let store = id("backupStorageUuids", uuid)?;
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
        Ok(Self {
            uuid: opt_id("resourceUuid", uuid)?.unwrap_or_default(),
            name: op.name.clone(),
            description: op.description.clone(),
            shown_url,
            is_media_type_given: given.is_some() || !format.is_empty(),
            media_type,
            guest_os_type: op.guest_os_type.clone(),
            platform: op.platform.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "Linux".into()),
            format,
            system: op.system,
            stores,
            account: call.caller.account,
            is_admin: call.caller.is_admin(),
            system_tags: call.system_tags.clone(),
            user_tags: call.user_tags.clone(),
            dates: call.dates.into(),
            is_registered: false,
        })
    }

    /// Claims the stores and writes the rows, within the quota.
    pub(super) fn register(&mut self, tx: &mut dyn Tx, is_simulated_url: bool) -> Result<()> {
        quota::check(tx, self.account, &[("image.num", 1)])?;
        for store in &self.stores {
            let store = usable(tx, *store)?;
            if is_simulated_url && !store.is_simulated() {
                let text =
                    format!("backup storage {} is a real one, so it can't take sim:// addresses", store.uuid);
                return Err(Fault::new(code::IMAGE_URL_REFUSED, text).with("parameter", "url"));
            }
            // It would be taken for the new file, and then removed.
            if super::delete::is_being_removed(tx, self.uuid, store.uuid)? {
                let text = format!(
                    "the file of an earlier image {} is still being removed from backup storage {}; try again",
                    self.uuid, store.uuid
                );
                return Err(Fault::operation(text).retry());
            }
        }
        rows::register(tx, ENTITY, self.uuid, Some(self.account))?;
        let now = time::now_ms();
        let sql = "INSERT INTO image (uuid, name, description, state, status, url, media_type, guest_os_type, type, platform, format,
                     system, create_ms, last_op_ms)
                   VALUES (?, ?, ?, 'Enabled', 'Downloading', ?, ?, ?, 'zstack', ?, ?, ?, ?, ?)";
        // Until the file was seen the format is what the caller said.
        let format = match self.format.as_str() {
            "" if self.media_type == "ISO" => "iso",
            "" => "qcow2",
            other => other,
        };
        tx.execute(
            sql,
            params![
                self.uuid,
                &self.name,
                self.description.clone(),
                &self.shown_url,
                &self.media_type,
                self.guest_os_type.clone(),
                &self.platform,
                format,
                self.system,
                now,
                now
            ],
        )?;
        for store in &self.stores {
            let sql = "INSERT INTO image_backup_storage_ref (image_uuid, backup_storage_uuid, status, create_ms, last_op_ms)
                       VALUES (?, ?, 'Downloading', ?, ?)";
            tx.execute(sql, params![self.uuid, *store, now, now])?;
        }
        self.is_registered = true;
        tags::store(tx, ENTITY, self.uuid, &self.system_tags, &self.user_tags)
    }

    /// Takes the rows back, if this run made them.
    pub(super) fn unregister(&self, tx: &mut dyn Tx) -> Result<()> {
        if self.is_registered { super::forget(tx, self.uuid) } else { Ok(()) }
    }

    /// Bytes that a file for this store may have: what is free there, less what is kept back; and no more than the quota
    /// leaves, since a file of that size makes an image at least as large.
    pub(super) fn room(&self, app: &App, tx: &mut dyn Tx, store: &Store) -> Result<u64> {
        let reserved = app.settings.bytes("backupStorage", "reservedCapacity");
        let room =
            if store.is_simulated() { store.free_bytes } else { store.free_bytes.saturating_sub(reserved) };
        if room > 0 {
            let left = quota::left(tx, self.account, "image.size")?;
            return Ok(left.map_or(room, |left| room.min(left.saturating_add(FILE_OVERHEAD))));
        }
        let text = format!("backup storage {} has no room left for an image", store.uuid);
        Err(Fault::new(code::BS_ALLOCATE, text).with("uuid", store.uuid.to_string()))
    }
}

/// A qcow2 file may be this much larger than the disk in it.
const FILE_OVERHEAD: u64 = 64 << 20;

fn format(given: Option<&str>) -> Result<String> {
    match given.unwrap_or_default() {
        known @ ("" | "qcow2" | "raw" | "iso") => Ok(known.to_owned()),
        other => {
            let text = format!(
                "format {other:?} is unknown; it is qcow2, raw or iso, or is left out to be found out"
            );
            Err(Fault::argument(text).with("parameter", "format"))
        }
    }
}

/// A store that may take an image now.
fn usable(tx: &mut dyn Tx, uuid: Id<kind::BackupStorage>) -> Result<Store> {
    rows::claim(tx, backup_storage::ENTITY, uuid)?;
    let store = Store::find(tx, uuid)?;
    if store.state == "Enabled" && store.status == "Connected" {
        return Ok(store);
    }
    let text = format!(
        "backup storage {:?} ({uuid}) is {} and {}; only one that is Enabled and Connected takes images",
        store.name, store.state, store.status
    );
    Err(Fault::new(code::BS_ALLOCATE, text).with("uuid", uuid.to_string()))
}
