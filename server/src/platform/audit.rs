//! The audit (AUD-01): a row for every call, with secrets masked. A change has its row in its own transaction; rows of reads, plans
//! and refusals are written in batches, off the path of the caller.

use std::time::Duration;

use cairn_api::Operation;
use cairn_store::{Store, Tx, params};
use cairn_types::{Result, mask, new_uuid, time};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

/// Stands for how long a call took whose run goes on.
const RUNNING: i64 = -1;

/// One call as the audit keeps it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name of the operation.
    pub action: &'static str,
    /// Account that called.
    pub account: String,
    /// User that called.
    pub user: String,
    /// Resource worked on.
    pub resource_uuid: Option<String>,
    /// Its type.
    pub resource_type: Option<String>,
    /// Parameters, masked.
    pub params: String,
    /// Address of the client.
    pub source: String,
    /// Error code; none if it went well (or became a job).
    pub error_code: Option<String>,
    /// How long the call took, in ms; none while its run goes on.
    pub took_ms: Option<i64>,
    /// The job it became.
    pub job: Option<String>,
    /// When, UTC ms.
    pub create_ms: i64,
}

/// Takes entries and writes them soon.
#[derive(Clone)]
pub struct Audit {
    sender: mpsc::Sender<Entry>,
}

impl Audit {
    /// Starts the writer.
    pub fn start(store: Store) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Entry>(65_536);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, 1024).await > 0 {
                let entries = std::mem::take(&mut batch);
                let work = move |tx: &mut dyn Tx| entries.iter().try_for_each(|e| insert(tx, e));
                if let Err(f) = store.write(work).await {
                    tracing::error!(error = %f, "audit entries could not be written");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { sender }
    }

    /// Hands an entry over. Waits when the writer is far behind, so that none is lost.
    pub async fn note(&self, entry: Entry) {
        if self.sender.send(entry).await.is_err() {
            tracing::error!("the audit writer is gone");
        }
    }
}

/// Writes an entry in the caller's own transaction.
pub fn insert(tx: &mut dyn Tx, e: &Entry) -> Result<()> {
    let sql = "INSERT INTO audit (uuid, account_uuid, user_uuid, action, resource_uuid, resource_type, params, source_ip,
               success, error_code, took_ms, job_uuid, create_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    tx.execute(
        sql,
        params![
            new_uuid(),
            &e.account,
            &e.user,
            e.action,
            e.resource_uuid.clone(),
            e.resource_type.clone(),
            &e.params,
            &e.source,
            e.error_code.is_none(),
            e.error_code.clone(),
            e.took_ms.unwrap_or(RUNNING),
            e.job.clone(),
            e.create_ms
        ],
    )?;
    Ok(())
}

/// The end of a run becomes part of the audit row of the call that began it, with what it made.
pub fn run_ended(tx: &mut dyn Tx, job: &str, outcome: &Result<Value>) -> Result<()> {
    let made = outcome.as_ref().ok().and_then(|v| v.pointer("/inventory/uuid")).and_then(Value::as_str);
    let error = outcome.as_ref().err().map(|f| f.code.to_string());
    let sql = "UPDATE audit SET success = ?, error_code = ?, took_ms = CASE WHEN create_ms < ? THEN ? - create_ms ELSE 0 END,
               resource_uuid = coalesce(resource_uuid, ?) WHERE job_uuid = ? AND took_ms < 0";
    let now = time::now_ms();
    let values = params![outcome.is_ok(), error, now, now, made.map(str::to_owned), job];
    tx.execute(sql, values).map(drop)
}

/// Removes rows older than this many days.
pub fn prune(tx: &mut dyn Tx, days: i64) -> Result<usize> {
    tx.execute("DELETE FROM audit WHERE create_ms < ?", params![time::now_ms() - days.max(0) * 86_400_000])
}

/// Parameters as text with every secret masked, also secrets inside system tags, cut at 16 KiB.
pub fn masked(op: &Operation, params: &Map<String, Value>, system_tags: &[String]) -> String {
    let mut shown = Map::new();
    let secret_setting = is_secret_setting(params);
    for (name, value) in params {
        let secret = op.param(name).is_some_and(|p| p.secret)
            || looks_secret(name)
            || (name == "value" && secret_setting);
        let value = match value {
            _ if secret => json!("*****"),
            Value::String(tag) if name == "tag" => json!(cairn_api::tags::mask(tag)),
            other => without_secrets(other.clone()),
        };
        shown.insert(name.clone(), value);
    }
    if !system_tags.is_empty() {
        let tags: Vec<String> = system_tags.iter().map(|t| cairn_api::tags::mask(t)).collect();
        shown.insert("systemTags".into(), without_secrets(json!(tags)));
    }
    cut(Value::Object(shown).to_string(), 16 << 10)
}

/// A text of at most so many bytes, with a mark where the rest was.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether what has this name is a secret.
pub(super) fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "privatekey", "token", "sessionuuid"].iter().any(|s| name.contains(s))
}

/// Whether category and name are those of a setting whose value is a secret.
fn is_secret_setting(params: &Map<String, Value>) -> bool {
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    cairn_api::settings::find(text("category"), text("name")).is_some_and(|s| s.is_secret())
}

/// A value without what is secret by its name, however deep, and without secrets in addresses.
fn without_secrets(mut value: Value) -> Value {
    fn by_name(value: &mut Value) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match looks_secret(name) {
                true => *value = json!("*****"),
                false => by_name(value),
            }),
            Value::Array(list) => list.iter_mut().for_each(by_name),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    by_name(&mut value);
    mask::json(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aud_01_secrets_are_masked() {
        let op = Operation::find("CreateVmInstance").unwrap();
        let Value::Object(params) = json!({"name": "a", "password": "x1", "AccessKeySecret": "x2"}) else {
            unreachable!()
        };
        let text = masked(op, &params, &["consolePassword::x3".into(), "hostname::web".into()]);
        for secret in ["x1", "x2", "x3"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("hostname::web"));
        for (op, params) in [
            (
                "UpdateGlobalConfig",
                json!({"category": "virtualRouter", "name": "vrouter.password", "value": "x1"}),
            ),
            ("CreateSystemTag", json!({"tag": "rootPassword::x1"})),
            ("AddImage", json!({"url": "ftp://me:x1@there/image"})),
            ("AddImage", json!({"url": "https://there/image?X-Amz-Signature=x1&v=1"})),
            (
                "AddImage",
                json!({"url": "https://there/?a=http://u:x1@h/", "description": "see http://u:x1@h"}),
            ),
            ("CreateVmInstance", json!({"nested": {"list": [{"password": "x1"}, "http://u:x1@h"]}})),
        ] {
            let Value::Object(params) = params else { unreachable!() };
            let text = masked(Operation::find(op).unwrap(), &params, &[]);
            assert!(!text.contains("x1"), "{text}");
        }
    }
}
