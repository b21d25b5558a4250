//! VMs of this host: what a start needs around the domain (guard, config drive, kept specification) and in which order.
//!
//! A domain is transient: libvirt forgets it when it goes off, the server holds the truth. What the agent keeps per VM is
//! its specification, so that the guard at its interfaces can be made again after a restart. Everything that changes a
//! VM runs in the VM's lane, one after the other.

mod config_drive;
pub mod libvirt;
mod start;
mod stop;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod xml;

use std::path::PathBuf;
use std::sync::Arc;

use cairn_api::agent::vm::{Nic, PowerState, VmOnHost, VmSpec};
use cairn_types::{Fault, Result, code};

pub use config_drive::meta_data;

use crate::config::AgentDir;
use crate::drivers::{HostNetwork, Hypervisor};
use crate::process::io_fault;
use crate::state::{Shelf, remove_any};

/// VMs whose specification an earlier process kept.
pub fn kept(dir: &AgentDir) -> std::io::Result<Vec<String>> {
    Ok(Shelf::new(&dir.state(), "vms")?.all::<VmSpec>().into_iter().map(|(vm, _)| vm).collect())
}

/// The VMs of this host.
pub struct Vms {
    hypervisor: Arc<dyn Hypervisor>,
    network: Arc<dyn HostNetwork>,
    specs: Shelf,
    folder: PathBuf,
    kvm: bool,
}

impl Vms {
    /// VMs on this hypervisor and network; `kvm` as the probe found.
    pub fn new(
        dir: &AgentDir,
        hypervisor: Arc<dyn Hypervisor>,
        network: Arc<dyn HostNetwork>,
        kvm: bool,
    ) -> std::io::Result<Self> {
        Ok(Self { hypervisor, network, specs: Shelf::new(&dir.state(), "vms")?, folder: dir.vms(), kvm })
    }

    /// The hypervisor below.
    pub fn hypervisor(&self) -> &dyn Hypervisor {
        &*self.hypervisor
    }

    /// All VMs of ours on the host.
    pub async fn list(&self) -> Result<Vec<VmOnHost>> {
        self.hypervisor.list().await
    }

    /// Suspends execution. A paused VM is a success.
    pub async fn pause(&self, vm: &str) -> Result<()> {
        match self.hypervisor.state(vm).await? {
            PowerState::Paused => Ok(()),
            PowerState::Running => self.hypervisor.suspend(vm).await,
            PowerState::Off => Err(not_running(vm)),
        }
    }

    /// Goes on after a pause. A running VM is a success.
    pub async fn resume(&self, vm: &str) -> Result<()> {
        match self.hypervisor.state(vm).await? {
            PowerState::Running => Ok(()),
            PowerState::Paused => self.hypervisor.resume(vm).await,
            PowerState::Off => Err(not_running(vm)),
        }
    }

    /// Powers off and removes everything of the VM but its volumes.
    pub async fn remove(&self, vm: &str) -> Result<()> {
        self.hypervisor.destroy(vm).await?;
        self.forget(vm).await
    }

    /// Interfaces of all VMs whose specification is kept: what a new process must guard again.
    pub fn guarded_nics(&self) -> Vec<(String, Vec<Nic>)> {
        self.specs.all::<VmSpec>().into_iter().map(|(vm, spec)| (vm, spec.nics)).collect()
    }

    /// Cleans up after a VM that went off by itself. Does nothing when it runs (again). Call it in the VM's lane.
    pub async fn tidy(&self, vm: &str) {
        if !matches!(self.hypervisor.state(vm).await, Ok(PowerState::Off)) {
            return;
        }
        if let Err(e) = self.forget(vm).await {
            tracing::warn!(vm, operator = e.operator, "files or rules of VM {vm} are left: {e}");
        }
    }

    /// Removes guard, config drive and specification of a VM that is off.
    async fn forget(&self, vm: &str) -> Result<()> {
        self.network.release_vm(vm).await?;
        let files = remove_any(&self.folder.join(vm)).and_then(|()| self.specs.remove(vm));
        files.map_err(|e| io_fault(code::AGENT_STORAGE, format!("files of VM {vm} could not be removed"), &e))
    }
}

fn not_running(vm: &str) -> Fault {
    Fault::new(code::VM_NOT_IN_STATE, format!("VM {vm} does not run on the host")).with("vm", vm)
}
