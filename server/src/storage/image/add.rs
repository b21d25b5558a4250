//! Adding an image by download. It is Ready only with evidence from every store: size, format and checksums of the file.
//!
//! The download is one command per store with an id that is the same after a crash of the server, so a server that comes
//! back joins the download that runs. A user who deletes the image meanwhile stops it.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::image_store::{DeleteImage, FetchImage, ImageFile};
use cairn_api::ops::image::AddImage as AddOp;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::{self, Expected};
use super::new::NewImage;
use super::source::{self, Source};
use super::{ENTITY, INVENTORY, simulated_policy, upload};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::call::Call;
use crate::handlers::{Handlers, Launch};
use crate::inventory;
use crate::storage::backup_storage::Store;

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<AddOp, _>(start);
}

async fn start(call: Call, op: AddOp) -> Result<Launch> {
    match source::read(&call, &op.url)? {
        Source::Upload(named) => upload::open(&call, &op, named),
        Source::Fetch(url) => {
            let new = NewImage::read(&call, &op, op.resource_uuid.as_deref(), source::shown(&url))?;
            let is_simulated_url = url.starts_with("sim://");
            let url_sealed = call.app.secrets.seal(&url)?;
            Ok(Launch::run(AddImage { new, url_sealed, is_simulated_url }))
        }
    }
}

/// Adds an image by download.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AddImage {
    new: NewImage,
    /// The address may hold a login.
    url_sealed: String,
    is_simulated_url: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Register,
    Fetch,
}
use Step::{Fetch, Register};

impl Workflow for AddImage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "image.add/1";
    const STEPS: &'static [Step] = &[Register, Fetch];

    fn about(&self) -> About {
        About::resource(self.new.uuid, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Register, Dir::Do | Dir::Plan) => {
                cx.progress_of_next(0, "downloading the image");
                cx.tx(self, |w, tx| w.new.register(tx, w.is_simulated_url)).await
            }
            (Register, Dir::Undo) => cx.tx(self, |w, tx| w.new.unregister(tx)).await,

            (Fetch, Dir::Do) => self.fetch(cx).await,
            (Fetch, Dir::Undo) => remove_files(cx, self.new.uuid, &self.new.stores).await,
            (Fetch, Dir::Plan) => {
                let shown = source::shown(&cx.env().secrets.open_sealed(&self.url_sealed)?);
                let text = format!(
                    "{} would be fetched to {} backup storages and checked",
                    shown,
                    self.new.stores.len()
                );
                cx.tell("Fetch", text, "");
                Ok(())
            }
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.new.uuid, self.new.dates.into())
    }
}

fn command(store: Id<kind::BackupStorage>) -> String {
    format!("fetch-{store}")
}

impl AddImage {
    async fn fetch(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let mut files = Vec::new();
        let count = self.new.stores.len().max(1);
        let part = |n: usize| u8::try_from(n * 100 / count).unwrap_or(100);
        for (n, store) in self.new.stores.clone().into_iter().enumerate() {
            // The download is all there is to wait for.
            cx.progress_span(part(n), part(n + 1), "downloading the image");
            files.push((store, self.fetch_to(cx, store).await?));
        }
        cx.tx(self, move |w, tx| {
            let expected = Expected { media_type: &w.new.media_type, is_given: w.new.is_media_type_given };
            evidence::ready(tx, w.new.uuid, &files, &expected)
        })
        .await
    }

    async fn fetch_to(&self, cx: &mut Cx<App>, uuid: Id<kind::BackupStorage>) -> Result<ImageFile> {
        let (app, is_admin) = (cx.env().clone(), self.new.is_admin);
        let (hub, what) = (app.clone(), command(uuid));
        let new = self.new.clone();
        let (store, policy, max_bytes) = cx
            .read(move |tx| {
                let store = Store::find(tx, uuid)?;
                let policy = if store.is_simulated() {
                    simulated_policy()
                } else {
                    source::policy(&hub, tx, is_admin)?
                };
                let room = new.room(&hub, tx, &store)?;
                Ok((store, policy, room))
            })
            .await?;
        let op = FetchImage {
            store_path: store.url.clone(),
            image: self.new.uuid.to_string(),
            url: app.secrets.open_sealed(&self.url_sealed)?,
            policy,
            media_type: self.new.media_type.clone(),
            max_bytes,
        };
        let watch = tokio::spawn(stop_when_cancelled(app.clone(), cx.run(), uuid, cx.stable_id(&what)));
        let fetched = cx.agent(uuid, &what, &op).await;
        watch.abort();
        let run = cx.run();
        if fetched.is_err() && app.store.read(move |tx| is_cancelled(tx, run)).await? {
            return Err(Fault::new(code::RUN_CANCELLED, "the operation was cancelled by its user"));
        }
        fetched
    }
}

fn is_cancelled(tx: &mut dyn Tx, run: Id<kind::Run>) -> Result<bool> {
    tx.exists("SELECT 1 FROM run WHERE uuid = ? AND cancel = 1", params![run])
}

/// Tells the store to stop a download that its user no longer wants.
async fn stop_when_cancelled(
    app: Arc<App>,
    run: Id<kind::Run>,
    store: Id<kind::BackupStorage>,
    command: String,
) {
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        match app.store.read(move |tx| is_cancelled(tx, run)).await {
            Ok(true) => app.agents.cancel(store, &command),
            Ok(false) => {}
            Err(_) => return,
        }
    }
}

/// Removes what stores have of an image, at once or when they can be reached again. A download that still runs is stopped
/// first; the store takes commands for one image in their order.
pub(super) async fn remove_files(
    cx: &mut Cx<App>,
    image: Id<kind::Image>,
    stores: &[Id<kind::BackupStorage>],
) -> Result<()> {
    for uuid in stores.iter().copied() {
        let Some(store) = cx.read(move |tx| Store::find_opt(tx, uuid)).await? else { continue };
        let running = cx.stable_id(&command(uuid)).replace("-undo-", "-do-");
        cx.env().agents.cancel(uuid, &running);
        let op = DeleteImage { store_path: store.url, image: image.to_string() };
        cx.agent_or_later(uuid, &format!("delete-{uuid}"), &op).await?;
    }
    Ok(())
}
