//! Work in order per key, in parallel across keys: commands for one VM never overtake each other, and a VM that takes
//! long delays no other.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The lanes that have work. A lane is there while something runs in it.
#[derive(Clone, Default)]
pub struct Lanes(Arc<Mutex<HashMap<String, VecDeque<Work>>>>);

impl Lanes {
    /// Runs `work` after everything pushed to the same lane before. Needs a running tokio runtime.
    pub fn push(&self, lane: &str, work: impl Future<Output = ()> + Send + 'static) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = lanes.get_mut(lane) {
            waiting.push_back(Box::pin(work));
            return;
        }
        lanes.insert(lane.to_owned(), VecDeque::new());
        drop(lanes);
        tokio::spawn(drain(self.clone(), lane.to_owned(), Box::pin(work)));
    }

    /// Runs `work` in the lane and waits for its result; `None` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.push(lane, async move {
            let _ = tell.send(work.await);
        });
        told.await.ok()
    }

    fn next(&self, lane: &str) -> Option<Work> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = lanes.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            lanes.remove(lane);
        }
        next
    }
}

async fn drain(lanes: Lanes, lane: String, first: Work) {
    let mut work = first;
    loop {
        // In a task of its own, so that a panic ends this work and not the lane.
        if let Err(e) = tokio::spawn(work).await {
            tracing::error!(lane, "work ended by a panic: {e}");
        }
        match lanes.next(&lane) {
            Some(next) => work = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn one_lane_keeps_order_and_lanes_do_not_wait_for_each_other() {
        let lanes = Lanes::default();
        let (open, gate) = oneshot::channel::<()>();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = |n: u32| {
            let seen = seen.clone();
            async move { seen.lock().unwrap().push(n) }
        };
        lanes.push("a", async move {
            let _ = gate.await;
        });
        for n in 0..50 {
            lanes.push("a", note(n));
        }
        assert_eq!(lanes.run("b", async { 7 }).await, Some(7));
        assert!(seen.lock().unwrap().is_empty());
        open.send(()).unwrap();
        lanes.run("a", async {}).await;
        assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_panic_ends_one_work_only() {
        let lanes = Lanes::default();
        assert_eq!(
            lanes
                .run("a", async {
                    if true {
                        panic!("on purpose")
                    }
                })
                .await,
            None
        );
        assert_eq!(lanes.run("a", async { 1 }).await, Some(1));
        while !lanes.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
