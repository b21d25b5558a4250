//! How a simulated agent is put together.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::TargetKind;
use cairn_types::id;

use crate::SimCloud;
use crate::agent::{Core, lock};
use crate::host::HostShape;

/// An agent that serves hosts and image stores of a [`SimCloud`] over connections that it dials. Cheap to clone.
#[derive(Clone)]
pub struct SimAgent {
    pub(crate) core: Arc<Core>,
    /// Instead of what the server says.
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) redial: Duration,
}

impl SimAgent {
    /// An agent of a cloud of its own.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::new(SimCloud::new(0))
    }

    /// Its uuid: the common name that its certificate must have.
    pub fn uuid(&self) -> &str {
        &self.core.uuid
    }

    /// The cloud that it serves.
    pub fn cloud(&self) -> SimCloud {
        SimCloud { world: self.core.world.clone() }
    }
}

/// Puts a [`SimAgent`] together.
pub struct AgentBuilder {
    cloud: SimCloud,
    uuid: String,
    shape: Arc<HostShape>,
    targets: Vec<(Arc<str>, TargetKind, Arc<HostShape>)>,
    heartbeat: Option<Duration>,
    redial: Duration,
}

impl AgentBuilder {
    pub(crate) fn new(cloud: SimCloud) -> Self {
        Self {
            cloud,
            uuid: id::new_uuid(),
            shape: Arc::default(),
            targets: Vec::new(),
            heartbeat: None,
            redial: Duration::from_millis(200),
        }
    }

    /// The agent's uuid; else it gets a new one.
    #[must_use]
    pub fn uuid(mut self, uuid: impl Into<String>) -> Self {
        self.uuid = uuid.into();
        self
    }

    /// What the hosts that follow are made of, and those that a server assigns later.
    #[must_use]
    pub fn shape(mut self, shape: HostShape) -> Self {
        self.shape = Arc::new(shape);
        self
    }

    /// Like [`AgentBuilder::shape`], where many agents share one.
    #[must_use]
    pub fn shared_shape(mut self, shape: Arc<HostShape>) -> Self {
        self.shape = shape;
        self
    }

    /// Serves a host.
    #[must_use]
    pub fn host(mut self, uuid: impl Into<String>) -> Self {
        self.targets.push((uuid.into().into(), TargetKind::Host, self.shape.clone()));
        self
    }

    /// Serves many hosts.
    #[must_use]
    pub fn hosts(self, uuids: impl IntoIterator<Item = String>) -> Self {
        uuids.into_iter().fold(self, Self::host)
    }

    /// Serves an image store.
    #[must_use]
    pub fn image_store(mut self, uuid: impl Into<String>) -> Self {
        self.targets.push((uuid.into().into(), TargetKind::ImageStore, self.shape.clone()));
        self
    }

    /// Time between heartbeats, if it is not the server's choice.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = Some(every.max(Duration::from_millis(1)));
        self
    }

    /// Pause before the next dial after a connection has ended.
    #[must_use]
    pub fn redial(mut self, after: Duration) -> Self {
        self.redial = after;
        self
    }

    /// The agent. Hosts and image stores that the cloud does not have yet come into being.
    pub fn build(self) -> SimAgent {
        let targets = self.targets.iter().map(|(uuid, kind, _)| (uuid.clone(), *kind)).collect();
        let core = Arc::new(Core::new(self.uuid, self.cloud.world.clone(), self.shape, targets));
        let mut world = lock(&self.cloud.world);
        for (uuid, kind, shape) in &self.targets {
            match kind {
                TargetKind::Host => world.add_host(uuid, shape),
                TargetKind::ImageStore => world.add_store(uuid),
            }
            if let Some(common) = world.common_mut(uuid) {
                common.agent = Arc::downgrade(&core);
            }
        }
        drop(world);
        SimAgent { core, heartbeat: self.heartbeat, redial: self.redial }
    }
}
