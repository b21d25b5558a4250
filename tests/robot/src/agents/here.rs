//! Simulated agents in this process. They run on while the server is gone, as real ones do.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_api::agent::{Target, TargetKind};
use cairn_simhost::{CloudSnapshot, HostShape, SimCloud};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Agents that dial the server's socket.
pub struct Here {
    cloud: SimCloud,
    socket: PathBuf,
    /// By the agent's uuid.
    served: Mutex<HashMap<String, Serving>>,
}

/// An agent at work.
struct Serving {
    target: Target,
    task: JoinHandle<()>,
}

impl Here {
    /// Agents of these machines.
    pub fn new(cloud: SimCloud, socket: PathBuf) -> Self {
        Self { cloud, socket, served: Mutex::default() }
    }

    fn served(&self) -> MutexGuard<'_, HashMap<String, Serving>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent shall serve this; one that does goes on.
    pub fn serve(&self, agent: &str, target: &Target, shape: HostShape, room_bytes: u64) {
        let mut served = self.served();
        if served.contains_key(agent) {
            return;
        }
        let builder = self.cloud.agent().uuid(agent).redial(Duration::from_millis(10)).shape(shape);
        let builder = match target.kind {
            TargetKind::Host => builder.host(&target.uuid),
            TargetKind::ImageStore => builder.image_store(&target.uuid),
        };
        let machine = builder.build();
        if room_bytes > 0 {
            self.cloud.image_store(&target.uuid).resize(room_bytes);
        }
        let (path, name) = (self.socket.clone(), agent.to_owned());
        let task = machine.spawn(move || {
            let (path, name) = (path.clone(), name.clone());
            async move {
                let mut stream = UnixStream::connect(path).await?;
                stream.write_all(name.as_bytes()).await?;
                Ok(stream)
            }
        });
        served.insert(agent.to_owned(), Serving { target: target.clone(), task });
    }

    /// An agent shall end. What is on its machine stays.
    pub fn end(&self, agent: &str) {
        if let Some(serving) = self.served().remove(agent) {
            serving.task.abort();
        }
    }

    /// Machines that have no connection.
    pub fn away(&self) -> Vec<String> {
        let is_there = |t: &Target| match t.kind {
            TargetKind::Host => self.cloud.host(&t.uuid).is_connected(),
            TargetKind::ImageStore => self.cloud.image_store(&t.uuid).is_connected(),
        };
        let targets: Vec<Target> = self.served().values().map(|s| s.target.clone()).collect();
        targets.into_iter().filter(|t| !is_there(t)).map(|t| t.uuid).collect()
    }

    /// What is on the machines.
    pub fn snapshot(&self) -> CloudSnapshot {
        self.cloud.snapshot()
    }

    /// Ends the connection of a host's agent.
    pub fn drop_connection(&self, host: &str) {
        self.cloud.host(host).drop_connection();
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.served().drain().for_each(|(_, serving)| serving.task.abort());
    }
}
