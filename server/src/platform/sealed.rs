//! Secrets inside results of jobs. A result is kept for hours and read more than once, so a secret in it lies sealed in the
//! database and is opened only in the answer that leaves.

use cairn_types::Result;
use serde_json::{Value, json};

use crate::app::App;

const MARK: &str = "$sealed";

/// A secret as it may stand in a result.
pub fn conceal(app: &App, secret: &str) -> Result<Value> {
    Ok(json!({ MARK: app.secrets.seal(secret)? }))
}

/// Opens every sealed secret of a result.
pub fn reveal(app: &App, value: &mut Value) {
    let sealed = value.as_object().filter(|o| o.len() == 1).and_then(|o| o.get(MARK)).and_then(Value::as_str);
    if let Some(sealed) = sealed {
        *value = app.secrets.open_sealed(sealed).map_or(Value::Null, Value::String);
        return;
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| reveal(app, v)),
        Value::Array(list) => list.iter_mut().for_each(|v| reveal(app, v)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The same for a result that is text already; nearly all hold no secret and are not parsed.
pub(super) fn reveal_text(app: &App, text: String) -> String {
    if !text.contains(MARK) {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(mut value) => {
            reveal(app, &mut value);
            value.to_string()
        }
        Err(_) => text,
    }
}
