//! The agent put together.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_api::agent::vm::PowerState;
use cairn_api::agent::{AgentEvent, AgentFrame, TargetKind};
use cairn_types::random_uuid;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::config::AgentDir;
use crate::dispatch::{Dispatcher, Outbox};
use crate::drivers::{DomainEvent, Drivers, Hypervisor};
use crate::host::facts::Facts;
use crate::host::probe;
use crate::image_store::FolderImageStore;
use crate::lanes::Lanes;
use crate::link::Link;
use crate::network::LinuxNetwork;
use crate::ops::vm_lane;
use crate::storage::FolderStorage;
use crate::vm::Vms;
use crate::vm::libvirt::Libvirt;

/// What can be chosen at the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Such as `qemu:///system`.
    pub libvirt_uri: String,
    /// TCP port of the image store.
    pub image_store_port: u16,
}

/// A running agent.
pub struct Agent {
    dir: AgentDir,
    dispatcher: Arc<Dispatcher>,
    hypervisor: Arc<Libvirt>,
    vms: Arc<Vms>,
    images: Arc<FolderImageStore>,
    network: Arc<LinuxNetwork>,
    lanes: Lanes,
    outbox: Outbox,
    /// Taken once, when the agent serves.
    events: Mutex<Option<broadcast::Receiver<DomainEvent>>>,
}

impl Agent {
    /// Puts everything together and makes again what an earlier process had made.
    pub async fn start(dir: AgentDir, options: Options) -> anyhow::Result<Self> {
        let (outbox, lanes) = (Outbox::default(), Lanes::default());
        let hypervisor = Libvirt::new(crate::vm::kept(&dir)?);
        let events = Mutex::new(Some(hypervisor.watch()));
        hypervisor.connect(&options.libvirt_uri);
        let accelerator = probe::accelerator(&dir.state()).await;
        let name = if accelerator.kvm { "KVM" } else { "emulation" };
        tracing::info!("guests run by {name}: {}", accelerator.why);
        let network = Arc::new(LinuxNetwork::open(&dir.state())?);
        let vms = Arc::new(Vms::new(&dir, hypervisor.clone(), network.clone(), accelerator.kvm)?);
        network.restore(vms.guarded_nics()).await;
        let images = Arc::new(FolderImageStore::new(&dir.state(), options.image_store_port, outbox.clone()));
        images.restore().await;
        let drivers = Drivers {
            vms: vms.clone(),
            storage: Arc::new(FolderStorage::default()),
            network: network.clone(),
            images: images.clone(),
            facts: Arc::new(Facts { state: dir.state() }),
        };
        let dispatcher = Dispatcher::open(&dir.state(), drivers, lanes.clone(), outbox.clone())?;
        Ok(Self { dir, dispatcher, hypervisor, vms, images, network, lanes, outbox, events })
    }

    /// Serves until `stop` returns.
    pub async fn run_until(self: Arc<Self>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let me = self.clone();
        let images = self.images.clone();
        let link = Link {
            dir: self.dir.clone(),
            dispatcher: self.dispatcher.clone(),
            outbox: self.outbox.clone(),
            health: Arc::new(move || me.failing()),
            on_connect: Arc::new(move || images.flush()),
            boot: random_uuid(),
        };
        tokio::select! {
            () = stop => (),
            () = link.run() => (),
            () = self.forward_events() => (),
            () = self.network.keep() => (),
        }
        Ok(())
    }

    /// The host target that this agent serves, if one is assigned.
    fn host_target(&self) -> Option<String> {
        self.dispatcher.targets().into_iter().find(|t| t.kind == TargetKind::Host).map(|t| t.uuid)
    }

    fn failing(&self) -> Vec<(String, cairn_types::Fault)> {
        let fault = self.hypervisor.failing();
        self.host_target().zip(fault).into_iter().collect()
    }

    /// Tells the server what domains do, and cleans up after those that went off by themselves.
    async fn forward_events(&self) {
        let watched = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut events = watched.unwrap_or_else(|| self.hypervisor.watch());
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(n)) => {
                    tracing::warn!(
                        "{n} events of domains were lost; the server will see the states when it lists them"
                    );
                    continue;
                }
                Err(RecvError::Closed) => return,
            };
            tracing::info!(vm = event.vm, "VM {} is {:?}: {}", event.vm, event.state, event.reason);
            if event.state == PowerState::Off {
                self.tidy(&event.vm);
            }
            if let Some(target) = self.host_target() {
                let event = AgentEvent::Vm { vm: event.vm, state: event.state, reason: event.reason };
                self.outbox.send(AgentFrame::Event { target, event });
            }
        }
    }

    fn tidy(&self, vm: &str) {
        let (vms, vm) = (self.vms.clone(), vm.to_owned());
        self.lanes.push(&vm_lane(&vm.clone()), async move { vms.tidy(&vm).await });
    }
}

/// Removes the networks that an agent made in this folder.
pub async fn purge(dir: &AgentDir) -> anyhow::Result<()> {
    let network = LinuxNetwork::open(&dir.state())?;
    network.purge().await.map_err(|f| {
        let operator = f.operator.clone().unwrap_or_default();
        anyhow::anyhow!("{f} {operator}")
    })
}
