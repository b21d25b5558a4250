//! Placing VMs: which host, which storage, and why no other (BEY-03).
//!
//! - One function, [`judge`](judge::judge), says what speaks against a host with a storage. Rows and index give it the same
//!   facts, so that a choice, a list and an explanation can't disagree.
//! - The [`Index`] holds all hosts in memory. It **proposes** a host; the transaction that takes it judges it by its rows. A
//!   stale index costs another try, never a wrong choice.
//! - It is built from rows at the start and **followed** by the event log, which every change of a row writes: also what
//!   another server wrote arrives that way. Where the log does not reach back far enough it is built anew.
//! - "Nobody fits" is said of what the transaction sees: the hosts that changed since the index was read last are read
//!   again by it first. The counts of a refusal are summed from the index.
//! - A proposal is deducted in memory at once, so that many creations at the same moment get different hosts. What the rows
//!   say of the host replaces that a moment later.
//! - [`differences`](Placement::differences) compares every entry with rows; tests do it after everything they do.

pub mod ask;
mod check;
mod choose;
mod entry;
mod explain;
mod follow;
mod index;
mod judge;
pub mod rows;
mod topology;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_store::{Store, Tx};
use cairn_types::{Fault, Result, code};
use tokio::sync::{Notify, watch};

pub use ask::{Ask, check_named};
pub use choose::{choose, choose_by};
pub use explain::{Choices, choices, explain};
pub use index::Index;
pub use rows::Candidate;

use self::entry::Entry;
use self::follow::Update;
use self::topology::Topology;
use crate::platform::events;
use crate::platform::sums::Sums;

/// Hosts that are read from rows in one go.
const PAGE: usize = 4096;
/// Up to so many hosts a question is answered from rows alone.
pub const SMALL: usize = 1000;
/// What a proposal took stays deducted this long if nothing is heard of its host.
const DEDUCTED: Duration = Duration::from_millis(500);
/// The index is brought up to date at most this often.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a creation waits for an index that is being built.
const PATIENCE: Duration = Duration::from_secs(60);

/// The index of this server, and how far it has read.
#[derive(Clone)]
pub struct Placement {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    is_ready: watch::Sender<bool>,
    nudge: Notify,
    /// What volumes take on storages that hosts share.
    sums: Sums,
}

/// The index with what it takes to keep it right.
#[derive(Default)]
pub(in crate::compute) struct State {
    index: Index,
    /// Cursor in the event log up to which it has followed.
    cursor: i64,
    /// It is what the rows at the cursor say. False while it is built.
    is_exact: bool,
    /// Hosts whose entries are not those of committed rows.
    pending: HashMap<u128, Pending>,
    /// Zones, clusters and storages that are in the index as a transaction saw them that may have been taken back.
    unsure: follow::Touched,
}

/// A host whose entry may be something else than what rows at the cursor say.
#[derive(Debug)]
struct Pending {
    /// When it was changed last.
    at: Instant,
    /// What they say; none if there is no such host.
    by_rows: Option<Entry>,
    /// The index has not been put back to that since.
    differs: bool,
}

impl Placement {
    /// Builds the index and follows the log from then on. Does not wait where there are many hosts.
    pub async fn start(store: &Store, sums: &Sums) -> Result<Self> {
        let shared = Shared {
            state: Mutex::default(),
            is_ready: watch::Sender::new(false),
            nudge: Notify::new(),
            sums: sums.clone(),
        };
        let placement = Self { shared: Arc::new(shared) };
        let hosts = store
            .read(|tx| tx.query_int("SELECT count(*) FROM (SELECT 1 FROM host LIMIT 20000) h", &[]))
            .await?;
        if hosts < 20_000 {
            placement.build(store).await?;
        } else {
            // Nothing may be written for a long time.
            placement.shared.nudge.notify_one();
        }
        let (task, store) = (placement.clone(), store.clone());
        tokio::spawn(async move { task.follow(&store).await });
        Ok(placement)
    }

    pub(in crate::compute) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::compute) fn sums(&self) -> &Sums {
        &self.shared.sums
    }

    /// How many hosts the index has.
    pub fn hosts(&self) -> usize {
        self.lock().index.len()
    }

    /// Waits until the index is what rows say.
    pub async fn ready(&self) -> Result<()> {
        let mut ready = self.shared.is_ready.subscribe();
        let wait = tokio::time::timeout(PATIENCE, ready.wait_for(|r| *r)).await;
        if matches!(wait, Ok(Ok(_))) { Ok(()) } else { Err(not_ready()) }
    }

    /// Has the index built anew; what it says of nobody counts for nothing until then.
    fn distrust(&self) {
        self.lock().is_exact = false;
        self.shared.is_ready.send_replace(false);
        self.shared.nudge.notify_one();
    }

    /// Builds the index from rows.
    pub(crate) async fn build(&self, store: &Store) -> Result<()> {
        let began = Instant::now();
        let sums = self.shared.sums.clone();
        let (index, cursor) = store.read(move |tx| build(tx, &sums)).await?;
        let hosts = index.len();
        *self.lock() = State { index, cursor, is_exact: true, ..State::default() };
        self.shared.is_ready.send_replace(true);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(hosts, took_ms, "the index of {hosts} hosts was built from rows");
        Ok(())
    }

    /// Brings the index up to what this read sees. True if it could; else it has to be built anew.
    pub fn catch_up(&self, tx: &mut dyn Tx, with_pending: bool) -> Result<bool> {
        match self.read_update(tx, with_pending)? {
            Update::Rebuild => {
                self.distrust();
                Ok(false)
            }
            Update::Changes(changes) => Ok(self.apply(*changes)),
        }
    }

    async fn follow(&self, store: &Store) {
        let mut commits = store.commits();
        loop {
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                () = self.shared.nudge.notified() => {}
                () = tokio::time::sleep(DEDUCTED), if self.is_unsettled() => {}
            }
            let is_exact = self.lock().is_exact;
            let this = self.clone();
            let done = match is_exact {
                true => store.read(move |tx| this.catch_up(tx, false)).await.map(|_| ()),
                false => self.build(store).await,
            };
            if let Err(f) = done {
                tracing::error!(error = %f, "the index of hosts can't follow; it is tried again");
                self.shared.nudge.notify_one();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Something has to be read again even if nothing is written.
    fn is_unsettled(&self) -> bool {
        let state = self.lock();
        !state.pending.is_empty() || !state.unsure.is_sure()
    }
}

/// Every host from rows, and the cursor that they are as of.
fn build(tx: &mut dyn Tx, sums: &Sums) -> Result<(Index, i64)> {
    let cursor = events::last(tx)?;
    let mut index = Index::default();
    index.set_topology(&Topology::all(tx, sums)?);
    let mut after = 0;
    loop {
        let page = entry::page(tx, after, PAGE)?;
        let Some(last) = page.last() else { return Ok((index, cursor)) };
        after = last.host;
        page.iter().for_each(|e| index.put(e));
    }
}

fn not_ready() -> Fault {
    let text = "the index of hosts is being built from the database; try again in a few seconds";
    Fault::new(code::NOT_READY, text).retry()
}
