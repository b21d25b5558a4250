//! The calls that change global settings (SET-01). A change works at once.

use cairn_api::ops::platform::{ResetGlobalConfig, UpdateGlobalConfig};
use cairn_api::settings::{self as table, Setting};
use cairn_store::Tx;
use cairn_types::{Fault, Result, time};
use serde_json::{Value, json};

use super::{events, settings};
use crate::call::Call;
use crate::handlers::Handlers;

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<UpdateGlobalConfig>(update);
    h.change::<ResetGlobalConfig>(reset);
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateGlobalConfig) -> Result<Value> {
    let setting = find(&op.category, &op.name)?;
    // Clients leave out a text that is empty.
    let value = setting.accept(op.value.as_deref().unwrap_or_default())?;
    let stored = if setting.is_secret() { call.app.secrets.seal(&value)? } else { value.clone() };
    settings::store_value(tx, setting.category, setting.name, &stored, time::now_ms())?;
    changed(call, tx, setting, Some(value))
}

fn reset(call: &Call, tx: &mut dyn Tx, op: &ResetGlobalConfig) -> Result<Value> {
    let setting = find(&op.category, &op.name)?;
    settings::forget_value(tx, setting.category, setting.name)?;
    changed(call, tx, setting, None)
}

fn find(category: &str, name: &str) -> Result<&'static Setting> {
    table::find(category, name).ok_or_else(|| {
        Fault::argument(format!("there is no global setting {category}/{name}"))
            .with("category", category)
            .with("name", name)
    })
}

/// Event, effect and answer of a change.
fn changed(call: &Call, tx: &mut dyn Tx, setting: &'static Setting, value: Option<String>) -> Result<Value> {
    let plain = value.clone().unwrap_or_else(|| setting.default_value().to_owned());
    let shown = if setting.is_secret() { settings::MASK } else { plain.as_str() };
    let id = format!("{}/{}", setting.category, setting.name);
    events::write(tx, None, "GlobalConfigVO", &id, "updated", &json!({ "value": shown }))?;
    crate::hardware::host::capacity::setting_changed(tx, setting.category, setting.name)?;
    let order = call.app.settings.next_order();
    call.after_commit(move |app| {
        app.settings.apply(setting.category, setting.name, value, order);
        crate::network::apply::setting_changed(app, setting.category, setting.name);
    });
    Ok(json!({ "inventory": {
        "category": setting.category, "name": setting.name, "description": setting.shown_description(),
        "defaultValue": setting.default_value(), "value": shown,
    } }))
}
