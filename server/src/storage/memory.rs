//! What storage keeps in memory only: who caches what right now, when something was done last, and simulated stores.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::simulator::Simulated;
use cairn_types::{Id, kind};

/// A place among all hosts of all storages: storages in the order of their uuids, the clusters of each, the hosts of those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) storage: String,
    pub(super) cluster: String,
    pub(super) host: String,
}

/// See the module.
#[derive(Default)]
pub struct Memory {
    locks: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    last: Mutex<HashMap<&'static str, Instant>>,
    /// Local storage of many hosts whose status may be another one by now.
    unjudged: Mutex<BTreeSet<Id<kind::PrimaryStorage>>>,
    /// Where measuring goes on.
    measured: Mutex<Option<Position>>,
    pub(super) simulated: Mutex<HashMap<String, Simulated>>,
}

impl Memory {
    /// The right to work on something; one at a time gets it.
    pub(super) async fn lock(&self, key: &str) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(key).and_then(Weak::upgrade) {
                Some(mutex) => mutex,
                None => {
                    locks.retain(|_, l| l.strong_count() > 0);
                    let mutex = Arc::new(AsyncMutex::new(()));
                    locks.insert(key.to_owned(), Arc::downgrade(&mutex));
                    mutex
                }
            }
        };
        mutex.lock_owned().await
    }

    /// Has the status of a storage found out a moment later.
    pub(super) fn judge_later(&self, storage: Id<kind::PrimaryStorage>) {
        self.unjudged.lock().unwrap_or_else(PoisonError::into_inner).insert(storage);
    }

    /// The storage of which that was asked since the last call.
    pub(super) fn to_judge(&self) -> BTreeSet<Id<kind::PrimaryStorage>> {
        std::mem::take(&mut *self.unjudged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where measuring goes on; none: it begins anew.
    pub(super) fn measured_up_to(&self) -> Option<Position> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes it.
    pub(super) fn note_measured(&self, up_to: Option<Position>) {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = up_to;
    }

    /// Whether work that comes round every so many seconds is due; notes that it is done now. Due at once the first time.
    pub(super) fn is_due(&self, what: &'static str, every_s: i64) -> bool {
        let pause = Duration::from_secs(u64::try_from(every_s).unwrap_or(0));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.get(what).is_none_or(|then| then.elapsed() >= pause);
        if is_due {
            last.insert(what, Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_by_one_and_forgotten_when_free() {
        let memory = Memory::default();
        let held = memory.lock("a").await;
        let other = memory.lock("b").await;
        assert!(tokio::time::timeout(Duration::from_millis(20), memory.lock("a")).await.is_err());
        drop(held);
        drop(memory.lock("a").await);
        drop(other);
        drop(memory.lock("c").await);
        assert!(memory.locks.lock().unwrap().len() <= 2);
        assert!(memory.is_due("x", 3600));
        assert!(!memory.is_due("x", 3600));
        assert!(memory.is_due("x", 0));
    }
}
