//! One queue per resource: fair, in order, nothing kept for resources that are idle.
//!
//! A run that holds a queue may have a child that waits in another one. Two such families could wait for each other for ever, so
//! every such wait is noted, and one that would close a circle is refused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::engine::lock;

type Waiting = VecDeque<oneshot::Sender<Turn>>;

/// All queues.
#[derive(Clone, Default)]
pub(crate) struct Queues {
    busy: Arc<Mutex<HashMap<String, Waiting>>>,
    /// Who waits while its family holds queues. Locked inside `busy`, never around it.
    waits: Arc<Mutex<HashMap<u64, Wait>>>,
    next: Arc<AtomicU64>,
}

/// Whoever holds the queues `held` gets on only when the queue `wanted` is left.
struct Wait {
    held: Vec<String>,
    wanted: String,
}

/// Forgets a wait when it ends.
pub(crate) struct Waits {
    queues: Queues,
    id: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        lock(&self.queues.waits).remove(&self.id);
    }
}

/// The right to work on a resource; the next in line gets it when this is dropped.
pub(crate) struct Turn {
    queues: Queues,
    key: Option<String>,
}

/// A place in a line.
pub(crate) enum Place {
    First(Turn),
    Behind(oneshot::Receiver<Turn>, Option<Waits>),
}

impl Queues {
    /// Takes a place; places are served in the order of these calls. `held` are the queues of the ancestors: none if whoever
    /// holds this one waits for one of those, whether by itself or through others.
    pub(crate) fn enter(&self, key: &str, held: &[String]) -> Option<Place> {
        let mut busy = lock(&self.busy);
        let Some(waiting) = busy.get_mut(key) else {
            busy.insert(key.to_owned(), VecDeque::new());
            return Some(Place::First(Turn { queues: self.clone(), key: Some(key.to_owned()) }));
        };
        let noted = if held.is_empty() { None } else { Some(self.note(key, held)?) };
        let (sender, receiver) = oneshot::channel();
        waiting.push_back(sender);
        Some(Place::Behind(receiver, noted))
    }

    /// The turn, if nobody has it; whoever gets it so never waits.
    pub(crate) fn try_enter(&self, key: &str) -> Option<Turn> {
        let mut busy = lock(&self.busy);
        if busy.contains_key(key) {
            return None;
        }
        busy.insert(key.to_owned(), VecDeque::new());
        Some(Turn { queues: self.clone(), key: Some(key.to_owned()) })
    }

    /// Notes a wait; none if it would close a circle.
    fn note(&self, wanted: &str, held: &[String]) -> Option<Waits> {
        let mut waits = lock(&self.waits);
        let (mut reached, mut next) = (HashSet::new(), vec![wanted]);
        while let Some(queue) = next.pop() {
            if held.iter().any(|h| h == queue) {
                return None;
            }
            if reached.insert(queue) {
                let on = waits.values().filter(|w| w.held.iter().any(|h| h == queue));
                next.extend(on.map(|w| w.wanted.as_str()));
            }
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        waits.insert(id, Wait { held: held.to_vec(), wanted: wanted.to_owned() });
        drop(waits);
        Some(Waits { queues: self.clone(), id })
    }

    /// A turn that holds nothing: for a child whose ancestor holds the queue already.
    pub(crate) fn none(&self) -> Place {
        Place::First(Turn { queues: self.clone(), key: None })
    }
}

impl Place {
    /// Waits until it is this one's turn. `None` only when the engine is gone.
    pub(crate) async fn turn(self) -> Option<Turn> {
        match self {
            Self::First(turn) => Some(turn),
            Self::Behind(receiver, _noted) => receiver.await.ok(),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        loop {
            let mut busy = lock(&self.queues.busy);
            let Some(next) = busy.get_mut(&key).and_then(VecDeque::pop_front) else {
                busy.remove(&key);
                return;
            };
            drop(busy);
            let turn = Turn { queues: self.queues.clone(), key: Some(key.clone()) };
            match next.send(turn) {
                Ok(()) => return,
                // The one in line gave up. Take the turn back without passing it on twice.
                Err(mut refused) => refused.key = None,
            }
        }
    }
}
