//! Calls about the platform itself.

use cairn_api::ops::platform::{GetCurrentTime, GetVersion, IsOpensourceVersion, IsReadyToGo};
use cairn_types::{Result, time};
use serde_json::{Value, json};

use crate::call::Call;
use crate::handlers::Handlers;
use crate::platform::{ask, config, runs, subscriptions, tag_api};

/// The operations of this group.
pub fn handlers(h: &mut Handlers) {
    h.read::<GetVersion, _>(version);
    h.read::<GetCurrentTime, _>(current_time);
    h.read::<IsReadyToGo, _>(ready);
    h.read::<IsOpensourceVersion, _>(open_source);
    ask::handlers(h);
    config::handlers(h);
    runs::handlers(h);
    subscriptions::handlers(h);
    tag_api::handlers(h);
}

/// The version of the API that clients ask for; ours stands beside it.
async fn version(_call: Call, _op: GetVersion) -> Result<Value> {
    Ok(json!({ "version": "2.2.4", "cairnVersion": env!("CARGO_PKG_VERSION") }))
}

async fn current_time(_call: Call, _op: GetCurrentTime) -> Result<Value> {
    let now = time::now_ms();
    Ok(json!({ "currentTime": { "MillionSeconds": now, "Seconds": now / 1000 } }))
}

/// This server answers only once it is ready.
async fn ready(_call: Call, _op: IsReadyToGo) -> Result<Value> {
    Ok(json!({}))
}

async fn open_source(_call: Call, _op: IsOpensourceVersion) -> Result<Value> {
    Ok(json!({ "opensource": true }))
}
