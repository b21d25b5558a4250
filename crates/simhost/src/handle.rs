//! What tests do to hosts and image stores, and what they see of them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, MutexGuard, Weak};

use cairn_api::agent::network::{ApplyBridge, Lease};
use cairn_api::agent::storage::Capacity;
use cairn_api::agent::vm::{PauseVm, PowerState};
use cairn_types::{Fault, code};
use std::sync::atomic::Ordering;

use crate::agent::{Core, lock};
use crate::cloud::SimCloud;
use crate::fault::{Latency, Trouble};
use crate::host::{Content, Host, SimCachedImage, SimVm, SimVolume};
use crate::image_store::{SimImage, Store};
use crate::snapshot::HostSnapshot;
use crate::vm::VmCall;
use crate::world::World;

/// Faults, latencies and the connection of one target, or of all. Operations are named as on the wire (`vm.start`); `*` is
/// any operation.
#[derive(Clone)]
pub struct SimTarget {
    pub(crate) cloud: SimCloud,
    pub(crate) uuid: Option<Arc<str>>,
}

impl SimTarget {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.cloud.world)
    }

    /// The agents that serve the target.
    fn cores(&self) -> Vec<Arc<Core>> {
        let mut world = self.world();
        if let Some(uuid) = &self.uuid {
            return world.common_mut(uuid).and_then(|c| c.agent.upgrade()).into_iter().collect();
        }
        let hosts = world.hosts.values().map(|h| &h.common);
        let commons = hosts.chain(world.stores.values().map(|s| &s.common));
        let mut cores: Vec<Arc<Core>> = commons.map(|c| &c.agent).filter_map(Weak::upgrade).collect();
        cores.sort_by_key(|c| Arc::as_ptr(c).addr());
        cores.dedup_by(|a, b| Arc::ptr_eq(a, b));
        cores
    }

    fn trouble(&self, op: &str, nth: u32, trouble: Trouble) {
        self.world().rules.add(self.uuid.clone(), op, nth, trouble);
    }

    /// The `nth` such command from now on does nothing and fails; 1 is the next one, 0 means all of them.
    pub fn fail(&self, op: &str, nth: u32, fault: Fault) {
        self.trouble(op, nth, Trouble::Fail(fault));
    }

    /// The `nth` such command from now on does its work and answers that it failed.
    pub fn fail_after(&self, op: &str, nth: u32, fault: Fault) {
        self.trouble(op, nth, Trouble::FailAfter(fault));
    }

    /// The next such command does nothing and never answers, until [`SimTarget::release`].
    pub fn hang(&self, op: &str) {
        self.trouble(op, 1, Trouble::Hang);
    }

    /// Like [`SimTarget::hang`], for the `nth` such command from now on; 0 means all of them.
    pub fn hang_nth(&self, op: &str, nth: u32) {
        self.trouble(op, nth, Trouble::Hang);
    }

    /// The next such command does its work; the connection drops before the answer is sent. The answer comes with the
    /// next connection.
    pub fn drop_result(&self, op: &str) {
        self.trouble(op, 1, Trouble::DropResult);
    }

    /// The next such command does its work; then the agent's process dies and starts again without a memory of it.
    pub fn restart_agent_after(&self, op: &str) {
        self.trouble(op, 1, Trouble::RestartAgent);
    }

    /// Such commands take this long.
    pub fn delay(&self, op: &str, latency: impl Into<Latency>) {
        self.world().rules.delay(self.uuid.clone(), op, latency.into());
    }

    /// Forgets faults and latencies of this target, and lets hung commands go on.
    pub fn clear(&self) {
        self.world().rules.clear(self.uuid.as_ref());
        self.release();
    }

    /// Lets hung commands go on.
    pub fn release(&self) {
        self.cores().iter().for_each(|c| c.release());
    }

    /// Faults that were set and have not come about yet.
    pub fn waiting_faults(&self) -> usize {
        self.world().rules.waiting(self.uuid.as_ref())
    }

    /// Ends the connection and dials no other until [`SimTarget::reconnect`].
    pub fn disconnect(&self) {
        self.cores().iter().for_each(|c| c.open(false));
    }

    /// Dials again.
    pub fn reconnect(&self) {
        self.cores().iter().for_each(|c| c.open(true));
    }

    /// Stops the agent's process, as SIGSTOP does: what the server sends lies in its socket until [`SimTarget::thaw`].
    pub fn freeze(&self) {
        self.cores().iter().for_each(|c| c.freeze());
    }

    /// Lets a stopped process go on.
    pub fn thaw(&self) {
        self.cores().iter().for_each(|c| c.thaw());
    }

    /// Ends the connection; the agent dials again by itself.
    pub fn drop_connection(&self) {
        self.cores().iter().for_each(|c| c.drop_connection());
    }

    /// The agent's process dies and starts again: hosts keep what they have, the memory of commands is gone.
    pub fn restart_agent(&self) {
        self.cores().iter().for_each(|c| c.restart());
    }

    /// Leaves out heartbeats, or sends them again. Commands are answered all the same.
    pub fn silence(&self, is_silent: bool) {
        self.cores().iter().for_each(|c| c.is_silent.store(is_silent, Ordering::Relaxed));
    }

    /// Whether a connection stands for every agent of the target.
    pub fn is_connected(&self) -> bool {
        let cores = self.cores();
        !cores.is_empty() && cores.iter().all(|c| c.is_connected())
    }

    /// Results that the server has not acknowledged, and commands under way, of the agents of the target.
    pub fn kept_commands(&self) -> usize {
        self.cores().iter().map(|c| c.kept()).sum()
    }

    /// Commands carried out, repeats not counted.
    pub fn commands(&self) -> u64 {
        let mut world = self.world();
        match &self.uuid {
            Some(uuid) => world.common_mut(uuid).map_or(0, |c| c.commands),
            None => {
                let hosts: u64 = world.hosts.values().map(|h| h.common.commands).sum();
                hosts + world.stores.values().map(|s| s.common.commands).sum::<u64>()
            }
        }
    }
}

/// A simulated host.
#[derive(Clone)]
pub struct SimHost {
    pub(crate) target: SimTarget,
    pub(crate) uuid: Arc<str>,
}

impl Deref for SimHost {
    type Target = SimTarget;
    fn deref(&self) -> &SimTarget {
        &self.target
    }
}

impl SimHost {
    /// Reads what the host holds; the default if it holds nothing.
    fn see<T: Default>(&self, f: impl FnOnce(&Content) -> T) -> T {
        self.world().hosts.get(&self.uuid).and_then(Host::content).map_or_else(T::default, f)
    }

    fn change<T: Default>(&self, f: impl FnOnce(&mut Content) -> T) -> T {
        self.world().hosts.get_mut(&self.uuid).map(|h| f(h.content_mut())).unwrap_or_default()
    }

    /// All VMs of the host.
    pub fn vms(&self) -> BTreeMap<String, SimVm> {
        self.see(|c| c.vms.clone())
    }

    /// State of a VM; `Off` if the host does not know it.
    pub fn vm_state(&self, vm: &str) -> PowerState {
        self.see(|c| c.vms.get(vm).map(|v| v.state)).unwrap_or(PowerState::Off)
    }

    /// All volumes that the host reaches, in its own folders and in those that it shares with others.
    pub fn volumes(&self) -> BTreeMap<String, SimVolume> {
        let world = self.world();
        let content = world.hosts.get(&self.uuid).and_then(Host::content);
        let volumes = content.into_iter().flat_map(|c| c.reachable(&world.shared));
        volumes.map(|(uuid, volume)| (uuid.clone(), volume.clone())).collect()
    }

    /// All cached images of the host by their uuids; one that several primary storages have is told once.
    pub fn cached_images(&self) -> BTreeMap<String, SimCachedImage> {
        self.see(|c| c.images.values().map(|i| (i.image.clone(), i.clone())).collect())
    }

    /// All bridges of the host, by L2 network.
    pub fn bridges(&self) -> BTreeMap<String, ApplyBridge> {
        self.see(|c| c.bridges.clone())
    }

    /// Whether only frames with a guest's own addresses pass; `None` if nobody said.
    pub fn is_strict(&self) -> Option<bool> {
        self.see(|c| c.guard.map(|g| g.anti_spoofing))
    }

    /// Leases of an L3 network on the host; `None` if it has no services there.
    pub fn leases(&self, l3_network: &str) -> Option<Vec<Lease>> {
        self.see(|c| c.l3.get(l3_network).map(|n| n.leases.clone()))
    }

    /// Everything that the host holds.
    pub fn snapshot(&self) -> HostSnapshot {
        self.see(HostSnapshot::of)
    }

    /// Room on the host's disk.
    pub fn capacity(&self) -> Option<Capacity> {
        self.world().hosts.get(&self.uuid).map(Host::capacity)
    }

    /// Its management address.
    pub fn address(&self) -> Option<String> {
        self.world().hosts.get(&self.uuid).map(|h| h.address().to_string())
    }

    /// Something else on the host takes this many bytes of its disk.
    pub fn fill_disk(&self, bytes: u64) {
        self.change(|c| c.foreign_bytes = bytes);
    }

    /// A guest wrote: the volume's file takes this many bytes now.
    pub fn grow_volume(&self, volume: &str, actual_bytes: u64) {
        let mut guard = self.world();
        let world = &mut *guard;
        let Some(host) = world.hosts.get_mut(&self.uuid) else { return };
        let content = host.content_mut();
        let theirs = world
            .shared
            .iter_mut()
            .filter(|(folder, _)| content.shared_folders.contains(*folder))
            .find_map(|(_, v)| v.get_mut(volume));
        if let Some(found) = content.volumes.get_mut(volume).or(theirs) {
            found.actual_bytes = actual_bytes;
        }
    }

    /// The guest does not listen when it is asked to shut down.
    pub fn make_stubborn(&self, vm: &str, is_stubborn: bool) {
        self.change(|c| if is_stubborn { c.stubborn.insert(vm.to_owned()) } else { c.stubborn.remove(vm) });
    }

    fn on_vm(&self, f: impl FnOnce(&mut VmCall<'_>)) {
        let mut events = Vec::new();
        {
            let mut guard = self.world();
            let world = &mut *guard;
            let Some(host) = world.hosts.get_mut(&self.uuid) else { return };
            let content = host.content_mut();
            f(&mut VmCall {
                host: &self.uuid,
                content,
                disks: &mut world.disks,
                shared: &world.shared,
                events: &mut events,
            });
        }
        for core in self.cores() {
            core.tell(&self.uuid, events.clone());
        }
    }

    /// The guest shut down from inside.
    pub fn power_off(&self, vm: &str) {
        self.on_vm(|call| {
            call.switch_off(vm, "shutdown from inside");
        });
    }

    /// The hypervisor paused the VM, as after an I/O error.
    pub fn pause_vm(&self, vm: &str) {
        self.on_vm(|call| drop(call.pause(&PauseVm { vm: vm.to_owned() })));
    }

    /// The VM is gone from the host and nobody says so.
    pub fn lose_vm(&self, vm: &str) {
        let mut guard = self.world();
        let world = &mut *guard;
        let Some(host) = world.hosts.get_mut(&self.uuid) else { return };
        host.content_mut().vms.remove(vm);
        world.disks.retain(|_, h| h.vm != vm || h.host.as_str() != &*self.uuid);
    }

    /// libvirtd does not answer: heartbeats name the host as failing and VM commands fail, until [`SimHost::recover`].
    pub fn fail_hypervisor(&self) {
        let fault = Fault::new(code::AGENT_LIBVIRTD, "libvirtd on the host does not answer");
        self.cores().iter().for_each(|c| c.set_failing(&self.uuid, Some(fault.clone())));
    }

    /// The host is well again. After [`SimHost::vanish`] it has lost what lived in memory.
    pub fn recover(&self) {
        for core in self.cores() {
            core.set_vanished(&self.uuid, false);
            core.set_failing(&self.uuid, None);
            if core.is_alone() {
                core.open(true);
            }
        }
    }

    /// The host loses power and comes back at once: guests are off, bridges and services are gone, its agent remembers
    /// no command. A host that shares its connection is named as failing in one heartbeat.
    pub fn crash(&self) {
        self.lose_power();
        for core in self.cores() {
            if core.is_alone() {
                core.restart();
            } else {
                core.set_failing(&self.uuid, Some(rebooting()));
                core.set_failing(&self.uuid, None);
            }
        }
    }

    /// The host loses power and stays away until [`SimHost::recover`]: no command is answered.
    pub fn vanish(&self) {
        self.lose_power();
        for core in self.cores() {
            core.set_vanished(&self.uuid, true);
            if core.is_alone() {
                core.open(false);
                core.restart();
            } else {
                core.set_failing(&self.uuid, Some(rebooting()));
            }
        }
    }

    fn lose_power(&self) {
        self.world().crash(&self.uuid);
        self.cores().iter().for_each(|c| c.forget(&self.uuid));
    }
}

fn rebooting() -> Fault {
    Fault::new(code::AGENT_LIBVIRTD, "the host does not answer")
}

/// A simulated image store.
#[derive(Clone)]
pub struct SimImageStore {
    pub(crate) target: SimTarget,
    pub(crate) uuid: Arc<str>,
}

impl Deref for SimImageStore {
    type Target = SimTarget;
    fn deref(&self) -> &SimTarget {
        &self.target
    }
}

impl SimImageStore {
    fn on_store<T: Default>(&self, f: impl FnOnce(&mut Store) -> T) -> T {
        self.world().stores.get_mut(&self.uuid).map(f).unwrap_or_default()
    }

    /// All images.
    pub fn images(&self) -> BTreeMap<String, SimImage> {
        self.on_store(|s| s.images.clone())
    }

    /// Images whose upload is waited for, with the token of their address.
    pub fn open_uploads(&self) -> BTreeMap<String, String> {
        self.on_store(|s| s.uploads.iter().map(|(image, u)| (image.clone(), u.token.clone())).collect())
    }

    /// Images that can be read by HTTP now.
    pub fn open_downloads(&self) -> Vec<String> {
        let mut images: Vec<_> =
            self.on_store(|s| s.downloads.keys().map(|(image, _)| image.clone()).collect());
        images.sort_unstable();
        images
    }

    /// A part of an upload has come.
    pub fn begin_upload(&self, image: &str, percent: u8) {
        let is_open = self.on_store(|s| s.uploads.get_mut(image).map(|u| u.has_begun = true)).is_some();
        let event = cairn_api::agent::AgentEvent::UploadProgress { image: image.to_owned(), percent };
        self.tell(is_open.then_some(event));
    }

    /// The whole file of an upload has come; `query` says what it is like (`size=1G&format=raw`).
    pub fn finish_upload(&self, image: &str, query: &str) {
        let event = self.on_store(|s| s.finish_upload(image, query));
        self.tell(event);
    }

    /// An upload has failed.
    pub fn fail_upload(&self, image: &str, fault: Fault) {
        let event = self.on_store(|s| s.fail_upload(image, fault));
        self.tell(event);
    }

    fn tell(&self, event: Option<cairn_api::agent::AgentEvent>) {
        if let Some(event) = event {
            self.cores().iter().for_each(|c| c.tell(&self.uuid, [event.clone()]));
        }
    }

    /// The file of an image is damaged from now on.
    pub fn corrupt(&self, image: &str) {
        self.on_store(|s| s.images.get_mut(image).map(|i| i.is_corrupt = true));
    }

    /// The image store has this much room in all.
    pub fn resize(&self, total_bytes: u64) {
        self.on_store(|s| s.total_bytes = total_bytes);
    }
}
