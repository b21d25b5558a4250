//! Adding an image by upload (rest-conventions section 13): the store opens an address, somebody sends the file there, and
//! the store tells how that ended. The job ends as soon as the address is open; the image is Downloading until then.
//!
//! The end of an upload is an event. One that the server missed is found out when the store's agent arrives again.

use std::borrow::Borrow;
use std::sync::Arc;

use cairn_api::agent::AgentEvent;
use cairn_api::agent::image_store::{ImageFile, OpenUpload, ReadImage};
use cairn_api::ops::image::{AddImage as AddOp, GetUploadImageJobDetails};
use cairn_store::{Tx, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, is_uuid, kind, random_uuid};
use cairn_workflow::{About, Cx, Dir, Start, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::add::remove_files;
use super::delete::ExpungeImage;
use super::evidence::{self, Expected};
use super::new::NewImage;
use super::{ENTITY, INVENTORY, copies, status};
use crate::agents::{AgentCalls, CallOptions};
use crate::app::App;
use crate::call::Call;
use crate::handlers::{Handlers, Launch};
use crate::storage::backup_storage::Store;
use crate::{inventory, rows};

/// The first byte must come within this time.
const BEGIN_WITHIN_MS: u64 = 30_000;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<GetUploadImageJobDetails, _>(details);
}

/// Begins an upload. `named`: the uuid in its address.
pub(super) fn open(call: &Call, op: &AddOp, named: Option<String>) -> Result<Launch> {
    let given = op.resource_uuid.clone().filter(|u| !u.is_empty());
    if let (Some(given), Some(named)) = (&given, &named)
        && given != named
    {
        let text = format!("resourceUuid is {given}, but the upload address names image {named}");
        return Err(Fault::argument(text).with("parameter", "url"));
    }
    if op.backup_storage_uuids.len() != 1 {
        return Err(Fault::argument("an upload goes to exactly one backup storage")
            .with("parameter", "backupStorageUuids"));
    }
    let new = NewImage::read(call, op, given.or(named).as_deref(), op.url.trim().to_owned())?;
    Ok(Launch::run(OpenImageUpload { new, token: random_uuid() }))
}

/// Opens the address for the file of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OpenImageUpload {
    new: NewImage,
    token: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Register,
    Open,
}
use Step::{Open, Register};

impl Workflow for OpenImageUpload {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "image.open-upload/1";
    const STEPS: &'static [Step] = &[Register, Open];

    fn about(&self) -> About {
        About::resource(self.new.uuid, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Register, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.new.register(tx, false)).await,
            (Register, Dir::Undo) => cx.tx(self, |w, tx| w.new.unregister(tx)).await,

            (Open, Dir::Do) => self.open(cx).await,
            (Open, Dir::Undo) => remove_files(cx, self.new.uuid, &self.new.stores).await,
            (Open, Dir::Plan) => {
                cx.tell("Open", "the backup storage would open an address for the file", "");
                Ok(())
            }
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.new.uuid, self.new.dates.into())
    }
}

impl OpenImageUpload {
    async fn open(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(uuid) = self.new.stores.first().copied() else {
            return Err(Fault::internal("an upload without a store"));
        };
        let (app, new) = (cx.env().clone(), self.new.clone());
        let read = move |tx: &mut dyn Tx| {
            let store = Store::find(tx, uuid)?;
            let room = new.room(&app, tx, &store)?;
            Ok((store, room))
        };
        let (store, max_bytes) = cx.read(read).await?;
        let op = open_op(&store, self.new.uuid, &self.token, &self.new.media_type, max_bytes);
        let opened = cx.agent(uuid, "open", &op).await?;
        let address = store.http(&opened.path);
        cx.tx(self, move |w, tx| {
            let sql = "UPDATE image_backup_storage_ref SET install_path = ? WHERE image_uuid = ? AND status = 'Downloading'";
            if tx.execute(sql, params![&address, w.new.uuid])? == 0 {
                return Err(Fault::operation(format!("image {} was deleted while its upload was opened", w.new.uuid)));
            }
            rows::changed(tx, ENTITY, w.new.uuid, &json!({ "upload": "open" }))
        })
        .await
    }
}

fn open_op(
    store: &Store,
    image: Id<kind::Image>,
    token: &str,
    media_type: &str,
    max_bytes: u64,
) -> OpenUpload {
    OpenUpload {
        store_path: store.url.clone(),
        image: image.to_string(),
        token: token.to_owned(),
        media_type: media_type.to_owned(),
        begin_within_ms: BEGIN_WITHIN_MS,
        max_bytes,
    }
}

/// A store tells about an upload: how far it is, or how it ended.
pub async fn upload_event(app: impl Borrow<Arc<App>>, store: impl AsRef<str>, event: AgentEvent) {
    let app = app.borrow();
    let Ok(store) = store.as_ref().parse() else { return };
    let taken = match event {
        AgentEvent::Upload { image, file, fault } => match image.parse() {
            Ok(image) => ended(app, store, image, file, fault).await,
            Err(_) => return,
        },
        AgentEvent::UploadProgress { image, percent } => match image.parse() {
            Ok(image) => progressed(app, image, percent).await,
            Err(_) => return,
        },
        AgentEvent::Vm { .. } => return,
    };
    if let Err(f) = taken {
        tracing::error!(%store, error = %f, "the news of an upload could not be taken in");
    }
}

async fn progressed(app: &Arc<App>, image: Id<kind::Image>, percent: u8) -> Result<()> {
    app.store
        .write(move |tx| match status(tx, image)? {
            Some(ImageStatus::Downloading) => {
                rows::event(tx, ENTITY, image, "progress", &json!({ "progress": percent }))
            }
            _ => Ok(()),
        })
        .await
}

async fn ended(
    app: &Arc<App>,
    store: Id<kind::BackupStorage>,
    image: Id<kind::Image>,
    file: Option<ImageFile>,
    fault: Option<Fault>,
) -> Result<()> {
    let verdict =
        match (file, fault) {
            (Some(file), _) => finish(app, store, image, file).await,
            (None, fault) => Err(fault
                .unwrap_or_else(|| Fault::internal("the upload ended without a file and without a reason"))),
        };
    match verdict {
        Ok(()) => Ok(()),
        Err(fault) => fail(app, image, fault).await,
    }
}

/// The file is there. News of an image that waits for none is no news.
async fn finish(
    app: &Arc<App>,
    store: Id<kind::BackupStorage>,
    image: Id<kind::Image>,
    file: ImageFile,
) -> Result<()> {
    app.store
        .write(move |tx| {
            if status(tx, image)? != Some(ImageStatus::Downloading) {
                return Ok(());
            }
            let row = tx.query_opt("SELECT media_type FROM image WHERE uuid = ?", params![image])?;
            let media_type = row.map(|r| r.text("media_type")).transpose()?.unwrap_or_default();
            // An ISO must be one; that a disk image turns out to be an ISO is found out, not refused.
            let expected = Expected { media_type: &media_type, is_given: media_type == "ISO" };
            evidence::ready(tx, image, &[(store, file.clone())], &expected)
        })
        .await
}

/// The upload failed: the image goes, and its owner hears why.
async fn fail(app: &Arc<App>, image: Id<kind::Image>, fault: Fault) -> Result<()> {
    tracing::warn!(%image, error = %fault, "the upload of image {image} failed");
    let told = fault.clone();
    let is_open = app
        .store
        .write(move |tx| {
            if status(tx, image)? != Some(ImageStatus::Downloading) {
                return Ok(false);
            }
            tx.execute("UPDATE image SET status_reason = ? WHERE uuid = ?", params![&told.details, image])?;
            rows::event(
                tx,
                ENTITY,
                image,
                "updated",
                &json!({ "upload": "failed", "error": told.to_api() }),
            )?;
            Ok(true)
        })
        .await?;
    if !is_open {
        return Ok(());
    }
    app.engine.start(ExpungeImage::new(image), Start::default()).await?;
    Ok(())
}

/// The store's agent is there again: takes up the uploads that wait for their file. One that ended meanwhile is found, one
/// whose address is open still is left alone, one that the agent has forgotten is opened again for its time.
pub(in crate::storage) async fn resume(app: &Arc<App>, store: &Store) -> Result<()> {
    let uuid = store.uuid;
    let sql = "SELECT i.uuid, i.media_type, r.install_path FROM image i JOIN image_backup_storage_ref r ON r.image_uuid = i.uuid
               WHERE r.backup_storage_uuid = ? AND r.status = 'Downloading' AND r.install_path LIKE 'http%'";
    for row in app.store.read(move |tx| tx.query(sql, params![uuid])).await? {
        let (image, media_type) = (row.id("uuid")?, row.text("media_type")?);
        let read = ReadImage { store_path: store.url.clone(), image: row.text("uuid")?, verify: false };
        if let Ok(file) = app.agents.call(uuid, &read, CallOptions::default()).await {
            ended(app, uuid, image, Some(file), None).await?;
            continue;
        }
        let address = row.text("install_path")?;
        let Some((_, token)) = address.rsplit_once("token=") else { continue };
        let op = open_op(store, image, token, &media_type, store.free_bytes);
        if let Err(f) = app.agents.call(uuid, &op, CallOptions::default()).await {
            tracing::warn!(store = %uuid, %image, error = %f, "the upload of image {image} could not be taken up");
        }
    }
    Ok(())
}

/// Where the file of an image is awaited. An upload can't be resumed in its middle yet: it begins at byte 0.
async fn details(call: Call, op: GetUploadImageJobDetails) -> Result<Value> {
    if !is_uuid(&op.image_id) {
        return Err(Fault::argument("parameter imageId must be a uuid").with("parameter", "imageId"));
    }
    let Ok(image) = op.image_id.parse::<Id<kind::Image>>() else { return Ok(json!({ "success": false })) };
    let caller = call.caller.clone();
    call.app
        .store
        .read(move |tx| {
            let is_his = caller.is_admin() || rows::owner(tx, image)? == Some(caller.account);
            let open = copies(tx, image)?.into_iter().find(|c| c.status == ImageStatus::Downloading);
            let address = open.and_then(|c| c.install_path).filter(|p| p.starts_with("http") && is_his);
            let Some(address) = address else { return Ok(json!({ "success": false })) };
            let run = "SELECT uuid FROM run WHERE resource_uuid = ? AND name = 'image.open-upload' ORDER BY uuid DESC LIMIT 1";
            let run = tx.query_opt(run, params![image])?.map(|r| r.text("uuid")).transpose()?;
            Ok(json!({ "success": true, "existingJobDetails": {
                "longJobUuid": run, "longJobState": "Running", "imageUuid": image, "imageUploadUrl": address, "offset": 0,
            } }))
        })
        .await
}
