//! Starting a VM.

use std::path::PathBuf;

use cairn_api::agent::vm::{PowerState, VmSpec, VmStarted};
use cairn_types::{Fault, Result, code, id::is_uuid};

use super::{Vms, config_drive, xml};
use crate::network::{is_device_name, is_mac};
use crate::process::io_fault;
use crate::state::remove_any;

impl Vms {
    /// Starts a VM; one that runs already is left alone. The guard stands before the guest's first instruction.
    pub async fn start(&self, spec: VmSpec) -> Result<VmStarted> {
        check(&spec)?;
        if self.hypervisor.state(&spec.vm).await? != PowerState::Off {
            return self.evidence(&spec.vm).await;
        }
        match self.boot(&spec).await {
            Ok(started) => Ok(started),
            Err(fault) => {
                // An answer that got lost on its way may hide a success, so ask before cleaning up.
                if matches!(self.hypervisor.state(&spec.vm).await, Ok(PowerState::Off)) {
                    let _ = self.forget(&spec.vm).await;
                }
                Err(fault)
            }
        }
    }

    async fn boot(&self, spec: &VmSpec) -> Result<VmStarted> {
        let vm = spec.vm.as_str();
        self.specs.put(vm, spec).map_err(|e| {
            io_fault(code::AGENT_STORAGE, format!("the specification of VM {vm} could not be kept"), &e)
        })?;
        let (guarded, drive) = tokio::join!(self.network.guard_vm(vm, &spec.nics), self.config_drive(spec));
        guarded?;
        let drive = drive?;
        let host = xml::HostSide { kvm: self.kvm, config_drive: drive.as_deref() };
        self.hypervisor.create(vm, &xml::domain(spec, host)).await?;
        self.evidence(vm).await
    }

    async fn config_drive(&self, spec: &VmSpec) -> Result<Option<PathBuf>> {
        let folder = self.folder.join(&spec.vm);
        let failed = |e| io_fault(code::AGENT_STORAGE, "the folder of the VM could not be made", &e);
        let Some(drive) = &spec.config_drive else {
            remove_any(&folder).map_err(failed)?;
            return Ok(None);
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        crate::config::set_mode(&folder, 0o711).map_err(failed)?;
        config_drive::write(&folder, &spec.vm, drive).await.map(Some)
    }

    /// What the hypervisor says about a VM that should run.
    pub(super) async fn evidence(&self, vm: &str) -> Result<VmStarted> {
        let (state, console) = (self.hypervisor.state(vm).await?, self.hypervisor.console(vm).await);
        if state == PowerState::Off {
            return Err(Fault::new(
                code::AGENT_HYPERVISOR,
                format!("VM {vm} went off right after its start"),
            ));
        }
        Ok(VmStarted { state, vnc_port: console?.port })
    }
}

/// Names become domains, devices and files, so they are checked although the server made them.
fn check(spec: &VmSpec) -> Result<()> {
    let refuse =
        |what: String| Err(Fault::argument(format!("the specification of VM {} is wrong: {what}", spec.vm)));
    if spec.cpu_num == 0 || spec.memory_bytes < xml::MIN_MEMORY {
        return refuse(format!("{} processors and {} bytes of memory", spec.cpu_num, spec.memory_bytes));
    }
    for nic in &spec.nics {
        if !is_device_name(&nic.tap) || !is_device_name(&nic.bridge) || !is_mac(&nic.mac) {
            return refuse(format!("the interface {:?} {:?} on {:?}", nic.tap, nic.mac, nic.bridge));
        }
    }
    let files = spec.disks.iter().map(|d| &d.path).chain(&spec.iso);
    for path in files {
        if !path.starts_with('/') || path.contains("/../") || path.contains(char::is_control) {
            return refuse(format!("the path {path:?}"));
        }
    }
    if spec.disks.iter().any(|d| !is_uuid(&d.volume)) {
        return refuse("a disk without a volume's uuid".to_owned());
    }
    if spec.vnc_listen.parse::<std::net::IpAddr>().is_err() {
        return refuse(format!("the console address {:?}", spec.vnc_listen));
    }
    Ok(())
}
