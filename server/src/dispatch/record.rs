//! The audit row of a call.

use std::sync::atomic::Ordering;

use cairn_api::Params;
use cairn_store::Tx;
use cairn_types::{Result, code, is_uuid, time};
use serde_json::{Value, json};

use super::Answer;
use crate::call::Call;
use crate::platform::audit::{self, Entry};

/// The parameters as the audit keeps them: masked, with a mark on what was only planned, and short if nobody is logged in.
fn shown(call: &Call, params: &Params) -> String {
    let mut all = params.0.clone();
    if call.is_plan {
        all.insert("X-Cairn-Plan".into(), json!(true));
    }
    let text = audit::masked(call.op, &all, &call.system_tags);
    if call.op.session { text } else { audit::cut(text, 1 << 10) }
}

pub(super) fn entry(call: &Call, params: &Params, error_code: Option<String>, took_ms: Option<i64>) -> Entry {
    let target = call.op.target().map(|p| params.str(p.name).to_owned()).filter(|u| is_uuid(u));
    Entry {
        action: call.op.name,
        account: call.caller.account.to_string(),
        user: call.caller.user.clone(),
        resource_type: call.op.target().and_then(|p| p.refers).or(call.op.tag_resource).map(str::to_owned),
        resource_uuid: target
            .or_else(|| call.made.get().cloned())
            .or_else(|| params.opt_str("resourceUuid").map(str::to_owned)),
        params: shown(call, params),
        source: call.source.clone(),
        error_code,
        took_ms,
        job: call.op.job.then(|| call.job.clone()),
        create_ms: time::now_ms(),
    }
}

/// Whether the audit has a row for calls of this operation.
fn is_audited(call: &Call) -> bool {
    call.op.changes() || call.app.settings.bool("cairn", "audit.reads")
}

/// The audit row of a call that ends with the transaction that it is written in; none if it gets none.
pub(super) fn done_entry(call: &Call, params: &Params) -> Option<Entry> {
    is_audited(call).then(|| entry(call, params, None, Some(took_ms(call))))
}

/// Writes it, with what came of the call.
pub(super) fn audit_done(tx: &mut dyn Tx, entry: &Option<Entry>, result: &Result<Value>) -> Result<()> {
    let Some(entry) = entry else { return Ok(()) };
    let made = result.as_ref().ok().and_then(|v| v.pointer("/inventory/uuid")).and_then(Value::as_str);
    let mut entry = entry.clone();
    entry.resource_uuid = entry.resource_uuid.or_else(|| made.map(str::to_owned));
    entry.error_code = result.as_ref().err().map(|f| f.code.to_string());
    audit::insert(tx, &entry)
}

fn took_ms(call: &Call) -> i64 {
    i64::try_from(call.began.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Writes the audit row, unless the transaction of the change or of the run did.
pub(super) async fn note(call: &Call, params: &Params, answer: &Answer) {
    if !is_audited(call) || call.audited.load(Ordering::Relaxed) {
        return;
    }
    let error = match answer {
        Answer::Json(200, _) | Answer::Accepted(_) => None,
        Answer::Json(_, body) => body.pointer("/error/code").and_then(Value::as_str).map(str::to_owned),
        Answer::Text(status, _) => Some(format!("HTTP.{status}")),
    };
    // The wrong passwords before it are in the audit; whoever goes on asking must not fill it.
    if error.as_deref() == Some(code::TOO_MANY_TRIES) {
        return;
    }
    call.app.audit.note(entry(call, params, error, Some(took_ms(call)))).await;
}
