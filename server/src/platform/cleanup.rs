//! Work that must be done sooner or later: commands for hosts that could not be reached when they were due, and results for
//! web hooks. Rows of table `cleanup`, tried until they succeed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use cairn_api::agent::AgentOp;
use cairn_api::agent::storage::DeleteVolume;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, code, new_uuid, time};
use serde_json::{Value, json};

use crate::agents::CallOptions;
use crate::app::App;
use crate::platform::departed;

/// Notes a command that an agent must get when it is back. Written with the change that makes it necessary. Nothing is kept for a
/// target that was deleted meanwhile: it never comes back.
pub fn later<O: AgentOp>(tx: &mut dyn Tx, target: impl ToString, op: &O) -> Result<()> {
    let args =
        serde_json::to_value(op).map_err(|e| Fault::internal(format!("{} can't be kept: {e}", O::NAME)))?;
    let now = time::now_ms();
    let vm = args["vm"].as_str().map(str::to_owned);
    let data = json!({ "op": O::NAME, "args": args }).to_string();
    let sql = "INSERT INTO cleanup (uuid, kind, target_uuid, vm_uuid, data, tries, next_ms, create_ms)
               VALUES (?, 'agent', ?, ?, ?, 0, ?, ?)";
    let target = target.to_string();
    if !tx.exists("SELECT 1 FROM resource WHERE uuid = ?", params![&target])? {
        return Ok(());
    }
    tx.execute(sql, params![new_uuid(), target, vm, data, now, now]).map(|_| ())
}

/// Forgets what waits for a target that will never come back.
pub fn forget(tx: &mut dyn Tx, target: impl ToString) -> Result<()> {
    tx.execute("DELETE FROM cleanup WHERE target_uuid = ? AND kind = 'agent'", params![target.to_string()])?;
    Ok(())
}

struct Waiting {
    uuid: String,
    target: String,
    data: Value,
    tries: i64,
}

impl Waiting {
    /// Who is connected and can carry it out: the target, or for a volume of shared storage any host that reaches it.
    async fn via(&self, app: &Arc<App>) -> Option<String> {
        if app.agents.is_connected(&self.target) {
            return Some(self.target.clone());
        }
        let storage = self.target.parse().ok().filter(|_| self.data["op"] == DeleteVolume::NAME)?;
        let host = crate::storage::shared::connected_host(app, storage).await.ok()??;
        Some(host.to_string())
    }
}

/// Does what waits for a target, oldest first. Called when the target has arrived.
pub async fn drain(app: &Arc<App>, target: &str) {
    let wanted = target.to_owned();
    let sql = "SELECT uuid, target_uuid, data, tries FROM cleanup WHERE kind = 'agent' AND target_uuid = ? ORDER BY uuid";
    let waiting = app.store.read(move |tx| read(tx, sql, params![&wanted])).await.unwrap_or_default();
    for item in waiting {
        if let Err(f) = send(app, &item, &item.target).await {
            tracing::warn!(host = %item.target, error = %f, "a kept command failed and is tried again");
            again(app, &item, &f).await;
            if f.has_code(code::HOST_DISCONNECTED) {
                return;
            }
        }
    }
}

/// Tries what is due. Called now and then.
pub async fn due(app: &Arc<App>) {
    let now = time::now_ms();
    let sql = "SELECT uuid, target_uuid, data, tries FROM cleanup WHERE kind = 'agent' AND next_ms <= ? ORDER BY uuid LIMIT 200";
    let waiting = app.store.read(move |tx| read(tx, sql, params![now])).await.unwrap_or_default();
    for item in waiting {
        let Some(via) = item.via(app).await else { continue };
        if let Err(f) = send(app, &item, &via).await {
            again(app, &item, &f).await;
        }
    }
}

/// How many kept commands could be sent now.
pub async fn count_ready(app: &Arc<App>) -> Result<usize> {
    let sql = "SELECT uuid, target_uuid, data, tries FROM cleanup WHERE kind = 'agent'";
    let mut ready = 0;
    for item in app.store.read(move |tx| read(tx, sql, params![])).await? {
        ready += usize::from(item.via(app).await.is_some());
    }
    Ok(ready)
}

fn read(tx: &mut dyn Tx, sql: &str, values: &[cairn_store::Value]) -> Result<Vec<Waiting>> {
    let rows = tx.query(sql, values)?;
    rows.iter()
        .map(|r| {
            let data = serde_json::from_str(&r.text("data")?).unwrap_or(Value::Null);
            Ok(Waiting {
                uuid: r.text("uuid")?,
                target: r.text("target_uuid")?,
                data,
                tries: r.int("tries")?,
            })
        })
        .collect()
}

/// One lock for each kept command that is being sent. An agent answers a command once, so whoever sends the same one at the same
/// moment would wait for an answer that the other got.
static SENDING: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());

fn lock_of(item: &str) -> Arc<tokio::sync::Mutex<()>> {
    let mut all = SENDING.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, lock| lock.strong_count() > 0);
    if let Some(lock) = all.get(item).and_then(Weak::upgrade) {
        return lock;
    }
    let lock = Arc::<tokio::sync::Mutex<()>>::default();
    all.insert(item.to_owned(), Arc::downgrade(&lock));
    lock
}

async fn send(app: &Arc<App>, item: &Waiting, via: &str) -> Result<()> {
    let lock = lock_of(&item.uuid);
    let _turn = lock.lock().await;
    let uuid = item.uuid.clone();
    let still = move |tx: &mut dyn Tx| tx.exists("SELECT 1 FROM cleanup WHERE uuid = ?", params![&uuid]);
    if !app.store.read(still).await? {
        // Somebody else had it carried out meanwhile.
        return Ok(());
    }
    if is_overtaken(app, item).await? {
        return done(app, item).await;
    }
    let op = item.data["op"].as_str().unwrap_or_default().to_owned();
    // One agent may serve several hosts, and answers an id once.
    let id = match via == item.target {
        true => format!("cleanup-{}", item.uuid),
        false => format!("cleanup-{}-{via}", item.uuid),
    };
    let options = CallOptions { id, ..CallOptions::default() };
    let args = item.data["args"].clone();
    app.agents.call_raw(via, &op, args, Duration::from_secs(120), options).await?;
    done(app, item).await?;
    tracing::info!(host = %via, op, "a kept command was carried out");
    Ok(())
}

/// Whether a guest that was to be ended or forgotten on a host was started there again since.
async fn is_overtaken(app: &Arc<App>, item: &Waiting) -> Result<bool> {
    let Some(vm) = item.data["args"]["vm"].as_str().map(str::to_owned) else { return Ok(false) };
    let host = item.target.clone();
    let sql = "SELECT 1 FROM vm_instance WHERE uuid = ? AND host_uuid = ?
               AND state IN ('Starting', 'Running', 'Rebooting', 'Pausing', 'Paused', 'Resuming')";
    app.store.read(move |tx| tx.exists(sql, params![vm, host])).await
}

async fn done(app: &Arc<App>, item: &Waiting) -> Result<()> {
    let (uuid, vm) = (item.uuid.clone(), item.data["args"]["vm"].as_str().map(str::to_owned));
    let forget = move |tx: &mut dyn Tx| {
        tx.execute("DELETE FROM cleanup WHERE uuid = ?", params![&uuid])?;
        vm.as_deref().map_or(Ok(()), |vm| departed::told(tx, vm))
    };
    app.store.write(forget).await
}

async fn again(app: &Arc<App>, item: &Waiting, fault: &Fault) {
    let (uuid, text) = (item.uuid.clone(), fault.to_string());
    let pause = 1000 * (1i64 << item.tries.clamp(0, 9));
    let sql = "UPDATE cleanup SET tries = tries + 1, next_ms = ?, last_error = ? WHERE uuid = ?";
    let next = time::now_ms() + pause;
    let noted = app.store.write(move |tx| tx.execute(sql, params![next, &text, &uuid])).await;
    if let Err(f) = noted {
        tracing::error!(error = %f, "a kept command could not be noted");
    }
}
