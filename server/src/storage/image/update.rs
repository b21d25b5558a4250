//! Changing what is known about an image, and measuring it again.

use cairn_api::agent::image_store::ReadImage;
use cairn_api::ops::image::{ChangeImageState, SyncImageSize as SyncOp, UpdateImage};
use cairn_store::{Tx, Value as Column, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ENTITY, INVENTORY, copies, status};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::{Handlers, Launch};
use crate::storage::answer::Dates;
use crate::storage::backup_storage::Store;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<UpdateImage>(update);
    h.change::<ChangeImageState>(change_state);
    h.run::<SyncOp, _>(sync);
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateImage) -> Result<Value> {
    let image: Id<kind::Image> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, image)?;
    must_fit(tx, image, op)?;
    let text = |value: &Option<String>| value.clone().map(Column::from);
    let columns = [
        ("name", text(&op.name)),
        ("description", text(&op.description)),
        ("guest_os_type", text(&op.guest_os_type)),
        ("media_type", text(&op.media_type)),
        ("platform", text(&op.platform)),
        ("system", op.system.map(Column::from)),
    ];
    rows::update(tx, ENTITY, image, &columns)?;
    inventory::answer(tx, INVENTORY, image, call.dates)
}

/// The format is what the file is, so only that can be said again; and an ISO stays one.
fn must_fit(tx: &mut dyn Tx, image: Id<kind::Image>, op: &UpdateImage) -> Result<()> {
    let row = tx.query_opt("SELECT format FROM image WHERE uuid = ?", params![image])?;
    let is = row.ok_or_else(|| Fault::not_found(ENTITY, image))?.text("format")?;
    if let Some(format) = op.format.as_deref().filter(|f| !f.is_empty() && *f != is) {
        let text = format!("the file of image {image} is {is}, so its format can't be {format}");
        return Err(Fault::argument(text).with("parameter", "format"));
    }
    match op.media_type.as_deref() {
        Some(media) if (media == "ISO") != (is == "iso") => {
            let text = format!("the file of image {image} is {is}, so its mediaType can't be {media}");
            Err(Fault::argument(text).with("parameter", "mediaType"))
        }
        _ => Ok(()),
    }
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ChangeImageState) -> Result<Value> {
    let image: Id<kind::Image> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, image)?;
    let state = if op.state_event == "enable" { "Enabled" } else { "Disabled" };
    rows::update(tx, ENTITY, image, &[("state", Some(state.into()))])?;
    inventory::answer(tx, INVENTORY, image, call.dates)
}

async fn sync(call: Call, op: SyncOp) -> Result<Launch> {
    Ok(Launch::run(SyncImageSize { image: id("uuid", &op.uuid)?, dates: call.dates.into() }))
}

/// Reads the file of an image again, checks it against its checksum, and writes its sizes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SyncImageSize {
    image: Id<kind::Image>,
    dates: Dates,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Read,
}
use Step::Read;

impl Workflow for SyncImageSize {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "image.sync-size/1";
    const STEPS: &'static [Step] = &[Read];

    fn about(&self) -> About {
        About::resource(self.image, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Read, Dir::Do) => self.read(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Read, Dir::Undo) => Ok(()),
            (Read, Dir::Plan) => {
                cx.tell("Read", "a backup storage would read the file and check it", "");
                Ok(())
            }
        }
    }

    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, INVENTORY, self.image, self.dates.into())
    }
}

impl SyncImageSize {
    async fn read(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let image = self.image;
        let stores = cx.read(move |tx| readable(tx, image)).await?;
        let Some(store) = stores.into_iter().next() else {
            let text = format!("no connected backup storage has a Ready copy of image {image}");
            return Err(Fault::operation(text));
        };
        let op = ReadImage { store_path: store.url.clone(), image: image.to_string(), verify: true };
        let file = cx.agent(store.uuid, "read", &op).await?;
        cx.tx(self, move |w, tx| {
            let columns =
                [("size", Some(file.size_bytes.into())), ("actual_size", Some(file.actual_bytes.into()))];
            match status(tx, w.image)? {
                Some(_) => rows::update(tx, ENTITY, w.image, &columns),
                None => Err(Fault::not_found(ENTITY, w.image)),
            }
        })
        .await
    }
}

/// Connected stores with a Ready copy.
fn readable(tx: &mut dyn Tx, image: Id<kind::Image>) -> Result<Vec<Store>> {
    let mut stores = Vec::new();
    for copy in copies(tx, image)?.iter().filter(|c| c.status == ImageStatus::Ready) {
        let store = Store::find(tx, copy.store)?;
        if store.status == "Connected" {
            stores.push(store);
        }
    }
    Ok(stores)
}
