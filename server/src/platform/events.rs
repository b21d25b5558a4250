//! The event log (BEY-05): written with each change, read in commit order, followed by streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_store::{Store, Tx, params};
use cairn_types::{Id, Result, time};
use cairn_workflow::{Plan, PlannedResource};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::platform::subscriptions;
use crate::rows;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Cursor: larger than that of every entry committed before.
    pub seq: i64,
    /// UTC ms.
    pub time_ms: i64,
    /// Owner; none for infrastructure.
    pub account: Option<String>,
    /// Such as `VmInstanceVO`.
    pub resource_type: String,
    /// The resource.
    pub uuid: String,
    /// `created`, `updated`, `deleted` or `progress`.
    pub kind: String,
    /// What changed.
    pub data: Value,
}

impl Event {
    /// As the stream sends it.
    pub fn to_json(&self) -> Value {
        json!({
            "cursor": self.seq, "time": self.time_ms, "type": self.resource_type, "uuid": self.uuid, "kind": self.kind,
            "data": self.data,
        })
    }
}

/// Writes an entry, and what web hooks that subscribed to it have to be sent.
pub fn write(
    tx: &mut dyn Tx,
    account: Option<String>,
    resource_type: &str,
    uuid: &str,
    kind: &str,
    data: &Value,
) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO event (create_ms, account_uuid, resource_type, resource_uuid, kind, data) VALUES (?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![now, account.clone(), resource_type, uuid, kind, data.to_string()])?;
    subscriptions::queue(tx, resource_type, uuid, kind, data, now)
}

/// Writes an entry about a resource, for its owner as the registry has him.
pub fn write_for_owner<T>(
    tx: &mut dyn Tx,
    resource_type: &str,
    uuid: Id<T>,
    kind: &str,
    data: &Value,
) -> Result<()> {
    let now = time::now_ms();
    let sql = "INSERT INTO event (create_ms, account_uuid, resource_type, resource_uuid, kind, data)
               VALUES (?, (SELECT account_uuid FROM resource WHERE uuid = ?), ?, ?, ?, ?)";
    tx.execute(sql, params![now, uuid, resource_type, uuid, kind, data.to_string()])?;
    subscriptions::queue(tx, resource_type, &uuid.to_string(), kind, data, now)
}

/// Writes an entry for each of many resources of one type that belong to nobody. Web hooks are looked for once.
pub fn write_all<'d, T>(
    tx: &mut dyn Tx,
    resource_type: &str,
    kind: &str,
    all: impl IntoIterator<Item = (Id<T>, &'d Value)>,
) -> Result<()> {
    let now = time::now_ms();
    let is_followed = subscriptions::has_any(tx, resource_type, kind)?;
    for (uuid, data) in all {
        let sql = "INSERT INTO event (create_ms, account_uuid, resource_type, resource_uuid, kind, data) VALUES (?, NULL, ?, ?, ?, ?)";
        tx.execute(sql, params![now, resource_type, uuid, kind, data.to_string()])?;
        if is_followed {
            subscriptions::queue(tx, resource_type, &uuid.to_string(), kind, data, now)?;
        }
    }
    Ok(())
}

/// Cursor of the newest entry.
pub fn last(tx: &mut dyn Tx) -> Result<i64> {
    tx.query_int("SELECT coalesce(max(seq), 0) FROM event", params![])
}

/// Cursor of the oldest entry that is kept.
pub fn first(tx: &mut dyn Tx) -> Result<i64> {
    tx.query_int("SELECT coalesce(min(seq), 0) FROM event", params![])
}

/// Up to `limit` entries after a cursor.
pub fn after(tx: &mut dyn Tx, cursor: i64, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT seq, create_ms, account_uuid, resource_type, resource_uuid, kind, data FROM event
               WHERE seq > ? ORDER BY seq LIMIT ?";
    let rows = tx.query(sql, params![cursor, limit])?;
    rows.iter()
        .map(|r| {
            Ok(Event {
                seq: r.int("seq")?,
                time_ms: r.int("create_ms")?,
                account: r.opt_text("account_uuid")?,
                resource_type: r.text("resource_type")?,
                uuid: r.text("resource_uuid")?,
                kind: r.text("kind")?,
                data: serde_json::from_str(&r.text("data")?).unwrap_or(Value::Null),
            })
        })
        .collect()
}

/// Removes entries older than this many days.
pub fn prune(tx: &mut dyn Tx, days: i64) -> Result<usize> {
    // The newest entry stays, so that cursors never start over.
    let sql = "DELETE FROM event WHERE create_ms < ? AND seq < (SELECT max(seq) FROM event)";
    tx.execute(sql, params![time::now_ms() - days.max(0) * 86_400_000])
}

/// Turns the events of a rehearsal into what a plan would create and delete, so that a plan can't disagree with the deed.
pub fn into_plan(tx: &mut dyn Tx, begun: i64, plan: &mut Plan) -> Result<()> {
    let (mut creates, mut deletes) = (BTreeSet::new(), BTreeSet::new());
    for event in after(tx, begun, i64::MAX)? {
        let resource = |name: String| PlannedResource {
            resource_type: event.resource_type.clone(),
            uuid: event.uuid.clone(),
            name,
        };
        match event.kind.as_str() {
            "created" => {
                let name = event.uuid.parse::<cairn_types::Id<cairn_types::kind::AnyResource>>();
                let name = name
                    .map_or(Ok(String::new()), |id| rows::name(tx, &event.resource_type, id))
                    .unwrap_or_default();
                creates.insert(resource(name));
            }
            "deleted" => {
                let name = event.data.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                deletes.insert(resource(name));
            }
            _ => {}
        }
    }
    // What comes and goes within the operation is no news.
    plan.creates.extend(creates.iter().filter(|c| !deletes.iter().any(|d| d.uuid == c.uuid)).cloned());
    plan.deletes.extend(deletes.into_iter().filter(|d| !creates.iter().any(|c| c.uuid == d.uuid)));
    Ok(())
}

/// Passes new entries on to everybody who follows. One reader for all of them.
pub struct Feed {
    sender: broadcast::Sender<Arc<Event>>,
}

impl Feed {
    /// Starts to follow the log.
    pub async fn start(store: Store) -> Result<Self> {
        let (sender, _) = broadcast::channel(4096);
        let mut cursor = store.read(last).await?;
        let (mut commits, feed) = (store.commits(), sender.clone());
        tokio::spawn(async move {
            while commits.changed().await.is_ok() {
                if feed.receiver_count() == 0 {
                    if let Ok(newest) = store.read(last).await {
                        cursor = newest;
                    }
                    continue;
                }
                match store.read(move |tx| after(tx, cursor, 1024)).await {
                    Ok(events) => {
                        if events.len() == 1024 {
                            commits.mark_changed();
                        }
                        for event in events {
                            cursor = event.seq;
                            let _ = feed.send(Arc::new(event));
                        }
                    }
                    Err(f) => tracing::error!(error = %f, "the event log can't be read"),
                }
            }
        });
        Ok(Self { sender })
    }

    /// Follows from now on. Whoever reads the log first must subscribe before, and skip what he has.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }
}
