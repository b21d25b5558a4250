//! VM instances on a simulated host.

use cairn_api::agent::vm::{
    ConsoleAddress, PauseVm, PowerState, ReadConsole, RebootVm, RemoveVm, ResumeVm, StartVm, StopVm, VmSpec,
    VmStarted, VmStopped,
};
use cairn_api::agent::{AgentEvent, Done};
use cairn_types::{Fault, Result, code};

use crate::host::{Content, SharedVolumes, SimVm};
use crate::world::{Holder, OpenDisks};

const FIRST_VNC_PORT: u16 = 5900;

/// What an operation on VMs works with.
pub(crate) struct VmCall<'a> {
    pub(crate) host: &'a str,
    pub(crate) content: &'a mut Content,
    pub(crate) disks: &'a mut OpenDisks,
    pub(crate) shared: &'a SharedVolumes,
    pub(crate) events: &'a mut Vec<AgentEvent>,
}

fn hypervisor(text: impl Into<String>) -> Fault {
    Fault::new(code::AGENT_HYPERVISOR, text)
}

impl VmCall<'_> {
    pub(crate) fn start(&mut self, o: &StartVm) -> Result<VmStarted> {
        match self.content.vms.get(&o.spec.vm) {
            Some(vm) if vm.is_on() => Ok(VmStarted { state: vm.state, vnc_port: vm.vnc_port }),
            _ => self.boot(&o.spec, "started"),
        }
    }

    pub(crate) fn reboot(&mut self, o: &RebootVm) -> Result<VmStarted> {
        self.close_disks(&o.spec.vm);
        if let Some(vm) = self.content.vms.get_mut(&o.spec.vm) {
            vm.state = PowerState::Off;
        }
        self.boot(&o.spec, "rebooted").inspect_err(|_| self.tell(&o.spec.vm, PowerState::Off, "failed"))
    }

    pub(crate) fn stop(&mut self, o: &StopVm) -> Result<VmStopped> {
        let deaf = o.grace_ms == 0 || self.content.stubborn.contains(&o.vm);
        let was_on = self.switch_off(&o.vm, if deaf { "destroyed" } else { "shutdown" });
        Ok(VmStopped { forced: was_on && deaf })
    }

    pub(crate) fn pause(&mut self, o: &PauseVm) -> Result<Done> {
        self.switch(&o.vm, PowerState::Paused)
    }

    pub(crate) fn resume(&mut self, o: &ResumeVm) -> Result<Done> {
        self.switch(&o.vm, PowerState::Running)
    }

    pub(crate) fn remove(&mut self, o: &RemoveVm) -> Result<Done> {
        self.switch_off(&o.vm, "destroyed");
        self.content.vms.remove(&o.vm);
        self.content.stubborn.remove(&o.vm);
        Ok(Done {})
    }

    pub(crate) fn console(&self, o: &ReadConsole) -> Result<ConsoleAddress> {
        let vm = self.content.vms.get(&o.vm).filter(|v| v.is_on());
        let vm = vm.ok_or_else(|| hypervisor(format!("VM {} is off, so it has no console", o.vm)))?;
        Ok(ConsoleAddress { address: vm.spec.vnc_listen.clone(), port: vm.vnc_port })
    }

    /// Turns a VM off; says whether it was on.
    pub(crate) fn switch_off(&mut self, vm: &str, reason: &str) -> bool {
        let Some(found) = self.content.vms.get_mut(vm).filter(|v| v.is_on()) else { return false };
        found.state = PowerState::Off;
        self.close_disks(vm);
        self.tell(vm, PowerState::Off, reason);
        true
    }

    fn switch(&mut self, vm: &str, state: PowerState) -> Result<Done> {
        let found = self.content.vms.get_mut(vm).filter(|v| v.is_on());
        let found = found.ok_or_else(|| hypervisor(format!("VM {vm} is off")))?;
        if found.state != state {
            found.state = state;
            self.tell(vm, state, if state == PowerState::Paused { "suspended" } else { "resumed" });
        }
        Ok(Done {})
    }

    fn boot(&mut self, spec: &VmSpec, reason: &str) -> Result<VmStarted> {
        self.check(spec)?;
        let vnc_port = self.free_vnc_port();
        let starts = self.content.vms.get(&spec.vm).map_or(0, |v| v.starts) + 1;
        for disk in &spec.disks {
            let holder = Holder { host: self.host.to_owned(), vm: spec.vm.clone() };
            self.disks.insert(disk.volume.clone(), holder);
        }
        let vm = SimVm { state: PowerState::Running, spec: spec.clone(), vnc_port, starts };
        self.content.vms.insert(spec.vm.clone(), vm);
        self.tell(&spec.vm, PowerState::Running, reason);
        Ok(VmStarted { state: PowerState::Running, vnc_port })
    }

    fn check(&self, spec: &VmSpec) -> Result<()> {
        for disk in &spec.disks {
            let mut volumes = self.content.reachable(self.shared);
            if !volumes.any(|(uuid, v)| *uuid == disk.volume && v.path == disk.path) {
                let text = format!("VM {} can't start: there is no file for volume {}", spec.vm, disk.volume);
                return Err(hypervisor(text).for_operator(format!("no such file: {}", disk.path)));
            }
            if let Some(holder) = self.disks.get(&disk.volume)
                && holder.vm != spec.vm
            {
                let text = format!(
                    "volume {} is held open by VM {} on host {}",
                    disk.volume, holder.vm, holder.host
                );
                return Err(hypervisor(text).with("vm", holder.vm.clone()));
            }
        }
        if let Some(holder) = self.running_elsewhere(spec) {
            return Err(hypervisor(format!("VM {} runs on host {} already", spec.vm, holder.host)));
        }
        if let Some(iso) = &spec.iso
            && !self.content.images.values().any(|i| i.path == *iso)
        {
            return Err(hypervisor(format!("VM {} can't start: its ISO is not on the host", spec.vm))
                .for_operator(iso));
        }
        self.check_nics(spec)
    }

    fn running_elsewhere(&self, spec: &VmSpec) -> Option<&Holder> {
        let held = spec.disks.iter().filter_map(|d| self.disks.get(&d.volume));
        held.into_iter().find(|h| h.host != self.host)
    }

    fn check_nics(&self, spec: &VmSpec) -> Result<()> {
        let network = |text: String| Err(Fault::new(code::AGENT_NETWORK, text));
        for nic in &spec.nics {
            if !self.content.bridges.values().any(|b| b.bridge == nic.bridge) {
                return network(format!("bridge {} of NIC {} is not on the host", nic.bridge, nic.nic));
            }
            let others = self.content.vms.values().filter(|v| v.is_on() && v.spec.vm != spec.vm);
            for other in others.flat_map(|v| &v.spec.nics) {
                if other.tap == nic.tap {
                    return network(format!("device {} is in use by NIC {}", nic.tap, other.nic));
                }
                if other.mac == nic.mac && other.bridge == nic.bridge {
                    return network(format!("address {} is in use by NIC {}", nic.mac, other.nic));
                }
            }
        }
        Ok(())
    }

    fn free_vnc_port(&self) -> u16 {
        let taken: std::collections::HashSet<u16> =
            self.content.vms.values().filter(|v| v.is_on()).map(|v| v.vnc_port).collect();
        (FIRST_VNC_PORT..).find(|p| !taken.contains(p)).unwrap_or(u16::MAX)
    }

    fn close_disks(&mut self, vm: &str) {
        let Some(vm) = self.content.vms.get(vm) else { return };
        for disk in &vm.spec.disks {
            if self.disks.get(&disk.volume).is_some_and(|h| h.vm == vm.spec.vm && h.host == self.host) {
                self.disks.remove(&disk.volume);
            }
        }
    }

    fn tell(&mut self, vm: &str, state: PowerState, reason: &str) {
        self.events.push(AgentEvent::Vm { vm: vm.to_owned(), state, reason: reason.to_owned() });
    }
}
