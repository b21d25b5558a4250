//! What this group keeps in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cairn_simhost::{SimAgent, SimCloud};
use tokio::task::JoinHandle;

/// Simulated machines of this process and their agents.
pub struct Hardware {
    /// What is on the simulated machines.
    pub machines: SimCloud,
    agents: Mutex<HashMap<String, Running>>,
}

struct Running {
    agent: SimAgent,
    task: JoinHandle<()>,
}

impl Hardware {
    /// Over machines that are there already (of an earlier server in the same test), or over none.
    pub fn new(machines: Option<SimCloud>) -> Self {
        Self { machines: machines.unwrap_or_default(), agents: Mutex::default() }
    }

    fn agents(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
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
        self.agents().get(agent).is_some_and(|r| r.agent.uuid() == agent && !r.task.is_finished())
    }

    /// Ends an agent. Its machine stays as it is.
    pub(super) fn end(&self, agent: &str) {
        if let Some(running) = self.agents().remove(agent) {
            running.task.abort();
        }
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        self.agents().drain().for_each(|(_, r)| r.task.abort());
    }
}
