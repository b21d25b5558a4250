//! The simulated machines as a whole.

use std::sync::{Arc, Mutex};

use crate::agent::lock;
use crate::builder::AgentBuilder;
use crate::handle::{SimHost, SimImageStore, SimTarget};
use crate::snapshot::CloudSnapshot;
use crate::witness::Witness;
use crate::world::World;

/// Hosts and image stores in memory. Cheap to clone; all clones are the same cloud.
#[derive(Clone)]
pub struct SimCloud {
    pub(crate) world: Arc<Mutex<World>>,
}

impl Default for SimCloud {
    fn default() -> Self {
        Self::new(0)
    }
}

impl SimCloud {
    /// An empty cloud; the seed decides every latency and jitter.
    pub fn new(seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))) }
    }

    /// An agent that serves a part of this cloud.
    pub fn agent(&self) -> AgentBuilder {
        AgentBuilder::new(self.clone())
    }

    /// Uuids of all hosts, sorted.
    pub fn host_uuids(&self) -> Vec<String> {
        let mut uuids: Vec<String> = lock(&self.world).hosts.keys().map(ToString::to_string).collect();
        uuids.sort_unstable();
        uuids
    }

    /// A host, which need not be there yet.
    pub fn host(&self, uuid: impl AsRef<str>) -> SimHost {
        SimHost { target: self.target(uuid.as_ref()), uuid: uuid.as_ref().into() }
    }

    /// An image store, which need not be there yet.
    pub fn image_store(&self, uuid: impl AsRef<str>) -> SimImageStore {
        SimImageStore { target: self.target(uuid.as_ref()), uuid: uuid.as_ref().into() }
    }

    /// Takes a host or image store away with everything on it: the machine is scrapped.
    pub fn remove(&self, uuid: &str) {
        let mut world = lock(&self.world);
        world.hosts.remove(uuid);
        world.stores.remove(uuid);
        world.disks.retain(|_, holder| holder.host != uuid);
    }

    /// All hosts and image stores at once: faults count over all of them, a connection method applies to every agent.
    pub fn all(&self) -> SimTarget {
        SimTarget { cloud: self.clone(), uuid: None }
    }

    fn target(&self, uuid: &str) -> SimTarget {
        SimTarget { cloud: self.clone(), uuid: Some(uuid.into()) }
    }

    /// From now on this sees every command of the cloud's agents.
    pub fn watch(&self, witness: Arc<dyn Witness>) {
        lock(&self.world).witness = Some(witness);
    }

    /// Everything that is on all machines.
    pub fn snapshot(&self) -> CloudSnapshot {
        CloudSnapshot::of(&lock(&self.world))
    }
}
