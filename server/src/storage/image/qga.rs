//! Whether an image contains the guest agent: the tag `qemuga`, which VMs made from it inherit.

use cairn_api::ops::image::{GetImageQga, SetImageQga};
use cairn_store::Tx;
use cairn_types::{Id, Result, kind};
use serde_json::{Value, json};

use super::ENTITY;
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::platform::tags;
use crate::rows;

const TAG: &str = "qemuga";

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<SetImageQga>(set);
    h.read::<GetImageQga, _>(get);
}

fn set(_call: &Call, tx: &mut dyn Tx, op: &SetImageQga) -> Result<Value> {
    let image: Id<kind::Image> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, image)?;
    if op.enable {
        tags::set(tx, ENTITY, image, TAG, "", false)?;
    } else {
        tags::clear(tx, ENTITY, image, TAG)?;
    }
    Ok(json!({}))
}

async fn get(call: Call, op: GetImageQga) -> Result<Value> {
    let image: Id<kind::Image> = id("uuid", &op.uuid)?;
    let tag = call.app.store.read(move |tx| tags::get(tx, image, TAG)).await?;
    Ok(json!({ "enable": tag.is_some() }))
}
