//! One queue per resource: fair, in order, nothing kept for resources that are idle.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

type Waiting = VecDeque<oneshot::Sender<Turn>>;

/// All queues.
#[derive(Clone, Default)]
pub(crate) struct Queues {
    busy: Arc<Mutex<HashMap<String, Waiting>>>,
}

/// The right to work on a resource; the next in line gets it when this is dropped.
pub(crate) struct Turn {
    queues: Queues,
    key: Option<String>,
}

/// A place in a line.
pub(crate) enum Place {
    First(Turn),
    Behind(oneshot::Receiver<Turn>),
}

impl Queues {
    /// Takes a place; places are served in the order of these calls.
    pub(crate) fn enter(&self, key: &str) -> Place {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.get_mut(key) {
            None => {
                busy.insert(key.to_owned(), VecDeque::new());
                Place::First(Turn { queues: self.clone(), key: Some(key.to_owned()) })
            }
            Some(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push_back(sender);
                Place::Behind(receiver)
            }
        }
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
            Self::Behind(receiver) => receiver.await.ok(),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        loop {
            let mut busy = self.queues.busy.lock().unwrap_or_else(PoisonError::into_inner);
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
