//! What this group keeps in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_simhost::{SimAgent, SimCloud};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Elsewhere;

/// See [`Hardware::turns`].
const TURNS: usize = 4;

/// Simulated machines of this process and their agents.
pub struct Hardware {
    /// What is on the simulated machines.
    pub machines: SimCloud,
    /// Where they run instead of in this process.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
    /// Connections whose hosts are connected at the same time: more would only wait for each other.
    pub(super) turns: Semaphore,
    /// Agents that serve elsewhere.
    served: Mutex<HashSet<String>>,
    agents: Mutex<HashMap<String, Running>>,
}

struct Running {
    agent: SimAgent,
    task: JoinHandle<()>,
}

impl Hardware {
    /// Over machines that are there already (of an earlier server in the same test), or over none.
    pub fn new(machines: Option<SimCloud>, elsewhere: Option<Arc<dyn Elsewhere>>) -> Self {
        Self {
            machines: machines.unwrap_or_default(),
            elsewhere,
            turns: Semaphore::new(TURNS),
            served: Mutex::default(),
            agents: Mutex::default(),
        }
    }

    /// Agents that serve elsewhere.
    pub(super) fn served(&self) -> MutexGuard<'_, HashSet<String>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an agent while it runs; an older one of the same uuid ends.
    pub(super) fn keep(&self, agent: SimAgent, task: JoinHandle<()>) {
        let uuid = agent.uuid().to_owned();
        if let Some(old) = self.agents().insert(uuid, Running { agent, task }) {
            old.task.abort();
        }
    }

    /// Whether an agent of this uuid runs here.
    pub(super) fn has(&self, agent: &str) -> bool {
        let is_here =
            self.agents().get(agent).is_some_and(|r| r.agent.uuid() == agent && !r.task.is_finished());
        is_here || self.served().contains(agent)
    }

    /// Ends an agent. Its machine stays as it is.
    pub(super) fn end(&self, agent: &str) {
        if let Some(running) = self.agents().remove(agent) {
            running.task.abort();
        }
        if let Some(elsewhere) = &self.elsewhere {
            self.served().remove(agent);
            elsewhere.end(agent);
        }
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        self.agents().drain().for_each(|(_, r)| r.task.abort());
    }
}
