//! How many resources of each type there are: a list of a million rows says so without counting them.
//!
//! The numbers are counted from rows after the start and brought up to what a read sees by the event log, which tells of
//! every resource that comes or goes. They lag behind the log a little, so that also a read that began earlier finds them not
//! past what it sees. Where they can't be used the rows are counted. [`Counts::differences`] compares them with rows; tests do it after
//! everything they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_api::resource::{ADMIN_ACCOUNT, Resource, Visibility};
use cairn_query::Viewer;
use cairn_store::{Store, Tx, params};
use cairn_types::Result;
use tokio::sync::Notify;

use crate::compute::placement::Placement;
use crate::platform::events;
use crate::rows;

/// Types whose rows are all in the registry, and of which there may be many.
const COUNTED: &[&str] = &["VmInstanceVO", "VolumeVO", "VmNicVO", "HostVO"];
/// So many events of the log are read with each question; then the numbers move on.
const LAG: i64 = 1000;

/// Numbers of resources. Cheap to clone.
#[derive(Clone, Default)]
pub struct Counts {
    state: Arc<Mutex<Option<State>>>,
    count_again: Arc<Notify>,
}

#[derive(Clone)]
struct State {
    /// What the rows were when the log had been written up to here.
    cursor: i64,
    by_type: BTreeMap<String, i64>,
}

impl Counts {
    /// Counts in the background, after the index of hosts is built: one of the connections that read stays free for callers.
    pub fn start(store: &Store, placement: Placement) -> Self {
        let counts = Self::default();
        let (this, store) = (counts.clone(), store.clone());
        tokio::spawn(async move {
            // Whether it is built or takes longer: somebody counts some time.
            let _ = placement.ready().await;
            loop {
                if let Err(f) = this.count(&store).await {
                    tracing::warn!(error = %f, "resources could not be counted; lists count them each time");
                }
                this.count_again.notified().await;
            }
        });
        counts
    }

    /// Counts all rows.
    pub async fn count(&self, store: &Store) -> Result<()> {
        let state = store.read(State::of_rows).await?;
        *self.lock() = Some(state);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of a resource the viewer may see, as of this read. `None`: that has to be counted.
    pub fn total(
        &self,
        tx: &mut dyn Tx,
        resource: &'static Resource,
        viewer: &Viewer,
    ) -> Result<Option<i64>> {
        if !COUNTED.contains(&resource.entity) || resource.only.is_some() || resource.given {
            return Ok(None);
        }
        match viewer {
            Viewer::Admin { show_all: true } => Ok(self.as_of(tx)?.map(|s| s.number(resource.entity))),
            _ if !matches!(resource.visibility, Visibility::Owned) => Ok(None),
            Viewer::Admin { .. } => own(tx, resource, ADMIN_ACCOUNT).map(Some),
            Viewer::Account(me) => own(tx, resource, me).map(Some),
        }
    }

    /// The numbers of what this read sees.
    fn as_of(&self, tx: &mut dyn Tx) -> Result<Option<State>> {
        let Some(known) = self.lock().clone() else { return Ok(None) };
        let newest = events::last(tx)?;
        if newest < known.cursor {
            return Ok(None);
        }
        if !is_whole(tx, known.cursor, newest)? {
            self.count_again.notify_one();
            return Ok(None);
        }
        if newest - known.cursor > 2 * LAG {
            let moved = known.moved(tx, newest - LAG)?;
            let mut state = self.lock();
            if state.as_ref().is_some_and(|s| s.cursor < moved.cursor) {
                *state = Some(moved.clone());
            }
            drop(state);
            return moved.moved(tx, newest).map(Some);
        }
        known.moved(tx, newest).map(Some)
    }

    /// One line for each type of which there are not as many rows as is said. None if that can't be told by this read: the
    /// rows are not counted yet, or were after what this read sees.
    pub fn differences(&self, tx: &mut dyn Tx) -> Result<Option<Vec<String>>> {
        let Some(known) = self.as_of(tx)? else { return Ok(None) };
        let mut lines = Vec::new();
        for entity in COUNTED {
            let table = rows::table_of(entity).unwrap_or_default();
            let rows = tx.query_int(&format!("SELECT count(*) FROM {table}"), params![])?;
            if known.number(entity) != rows {
                lines.push(format!(
                    "there are {rows} {entity}, and {} by their numbers",
                    known.number(entity)
                ));
            }
        }
        Ok(Some(lines))
    }
}

impl State {
    fn of_rows(tx: &mut dyn Tx) -> Result<Self> {
        let cursor = events::last(tx)?;
        let mut by_type = BTreeMap::new();
        for entity in COUNTED {
            let sql = "SELECT count(*) FROM resource WHERE resource_type = ?";
            by_type.insert((*entity).to_owned(), tx.query_int(sql, params![*entity])?);
        }
        Ok(Self { cursor, by_type })
    }

    fn number(&self, entity: &str) -> i64 {
        self.by_type.get(entity).copied().unwrap_or(0)
    }

    /// What came and went up to an entry of the log is taken in.
    fn moved(&self, tx: &mut dyn Tx, to: i64) -> Result<Self> {
        let mut moved = Self { cursor: to, by_type: self.by_type.clone() };
        if to == self.cursor {
            return Ok(moved);
        }
        let sql = "SELECT resource_type, CAST(sum(CASE WHEN kind = 'created' THEN 1 ELSE -1 END) AS BIGINT) AS n FROM event
                   WHERE seq > ? AND seq <= ? AND kind IN ('created', 'deleted') GROUP BY resource_type";
        for row in tx.query(sql, params![self.cursor, to])? {
            if let Some(number) = moved.by_type.get_mut(&row.text("resource_type")?) {
                *number += row.int("n")?;
            }
        }
        Ok(moved)
    }
}

/// The log still has everything between two entries.
fn is_whole(tx: &mut dyn Tx, from: i64, to: i64) -> Result<bool> {
    Ok(from == to || events::first(tx)? <= from + 1)
}

/// What an account has and what is shared with it, from the registry, whose index is in the order of owners.
fn own(tx: &mut dyn Tx, resource: &Resource, me: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM resource WHERE account_uuid = ? AND resource_type = ?";
    let own = tx.query_int(sql, params![me, resource.entity])?;
    let sql = "SELECT count(DISTINCT s.resource_uuid) FROM shared_resource s JOIN resource r ON r.uuid = s.resource_uuid
               WHERE (s.receiver_account_uuid = ? OR s.to_public = 1) AND r.resource_type = ?
                 AND (r.account_uuid IS NULL OR r.account_uuid <> ?)";
    Ok(own + tx.query_int(sql, params![me, resource.entity, me])?)
}

#[cfg(test)]
mod tests {
    use cairn_types::{Id, kind};

    use super::*;

    async fn numbers(store: &Store, counts: &Counts) -> (Option<i64>, Vec<String>) {
        let counts = counts.clone();
        let read = move |tx: &mut dyn Tx| {
            let known = counts.as_of(tx)?.map(|s| s.number("HostVO"));
            Ok((known, counts.differences(tx)?.unwrap_or_default()))
        };
        store.read(read).await.unwrap()
    }

    /// Registers hosts; their rows are not needed.
    async fn register(store: &Store, hosts: usize) -> Vec<Id<kind::Host>> {
        let hosts: Vec<Id<kind::Host>> = (0..hosts).map(|_| Id::new()).collect();
        let all = hosts.clone();
        store.write(move |tx| rows::register_all(tx, "HostVO", &all)).await.unwrap();
        hosts
    }

    #[tokio::test]
    async fn bey_07_numbers_follow_the_log_and_a_gap_in_it_has_rows_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cairn.db"), 2).unwrap();
        let counts = Counts::default();
        assert_eq!(numbers(&store, &counts).await.0, None, "nothing is known before rows were counted");
        let hosts = register(&store, 3).await;
        counts.count(&store).await.unwrap();
        assert_eq!(numbers(&store, &counts).await.0, Some(3));
        register(&store, 2500).await;
        let gone = hosts[0];
        store.write(move |tx| rows::remove(tx, "HostVO", gone)).await.unwrap();
        assert_eq!(numbers(&store, &counts).await.0, Some(2502));
        // They moved on, but not up to the end of the log.
        let cursor = counts.lock().as_ref().unwrap().cursor;
        assert!(cursor > 1000 && cursor < 2504, "{cursor}");
        // There are no rows of hosts: the comparison says so.
        assert_eq!(numbers(&store, &counts).await.1.len(), 1);
        store.write(|tx| tx.execute("DELETE FROM event WHERE seq < 2504", params![])).await.unwrap();
        assert_eq!(numbers(&store, &counts).await.0, None, "what happened is not known any more");
        counts.count(&store).await.unwrap();
        assert_eq!(numbers(&store, &counts).await.0, Some(2502));
    }
}
