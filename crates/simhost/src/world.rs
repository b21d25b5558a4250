//! Everything that is simulated, and the one place where commands change it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cairn_api::agent::host::ReadHostFacts;
use cairn_api::agent::image_store::{
    CloseDownload, ConnectImageStore, DeleteImage, FetchImage, ImageFile, ListImages, OpenDownload,
    OpenUpload, ReadImage,
};
use cairn_api::agent::network::{ApplyBridge, ApplyGuard, ApplyL3, RemoveBridge, RemoveL3};
use cairn_api::agent::storage::{
    CacheImage, ConnectLocalStorage, CreateVolume, DeleteVolume, ListStorage, ReadVolume, UncacheImage,
};
use cairn_api::agent::vm::{ListVms, PauseVm, ReadConsole, RebootVm, RemoveVm, ResumeVm, StartVm, StopVm};
use cairn_api::agent::{AgentEvent, AgentOp};
use cairn_types::{Fault, Result, code};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Dice, Rules};
use crate::host::{Host, HostShape, SharedVolumes};
use crate::image_store::Store;
use crate::target::Common;
use crate::vm::VmCall;
use crate::witness::Witness;
use crate::{network, storage};

/// Who holds a volume's file open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) host: String,
    pub(crate) vm: String,
}

/// Volumes that are held open, over all hosts.
pub(crate) type OpenDisks = HashMap<String, Holder>;

/// What an image store of the simulation gives under an address.
pub(crate) enum Source {
    File(ImageFile),
    Refused,
}

/// All hosts and image stores of a simulation.
pub(crate) struct World {
    pub(crate) hosts: HashMap<Arc<str>, Host>,
    pub(crate) stores: BTreeMap<Arc<str>, Store>,
    pub(crate) disks: OpenDisks,
    pub(crate) shared: SharedVolumes,
    pub(crate) rules: Rules,
    pub(crate) dice: Dice,
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) next_host: u32,
    pub(crate) next_upload: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hosts: HashMap::new(),
            stores: BTreeMap::new(),
            disks: HashMap::new(),
            shared: SharedVolumes::new(),
            rules: Rules::default(),
            dice: Dice::new(seed),
            witness: None,
            next_host: 0,
            next_upload: 0,
        }
    }

    /// Adds a host unless it is there.
    pub(crate) fn add_host(&mut self, uuid: &Arc<str>, shape: &Arc<HostShape>) {
        let next = &mut self.next_host;
        self.hosts.entry(uuid.clone()).or_insert_with(|| {
            *next += 1;
            Host::new(shape.clone(), *next - 1)
        });
    }

    /// Adds an image store unless it is there.
    pub(crate) fn add_store(&mut self, uuid: &Arc<str>) {
        self.stores.entry(uuid.clone()).or_insert_with(Store::new);
    }

    pub(crate) fn common_mut(&mut self, target: &str) -> Option<&mut Common> {
        match self.hosts.get_mut(target) {
            Some(host) => Some(&mut host.common),
            None => self.stores.get_mut(target).map(|s| &mut s.common),
        }
    }

    /// Whether the guest will not listen to the shutdown that this command asks for, and how long that takes.
    pub(crate) fn deaf_guest_ms(&self, target: &str, op: &str, args: &Value) -> u64 {
        let vm = match op {
            StopVm::NAME => args.get("vm"),
            RebootVm::NAME => args.pointer("/spec/vm"),
            _ => None,
        };
        let Some(vm) = vm.and_then(Value::as_str) else { return 0 };
        let content = self.hosts.get(target).and_then(Host::content);
        let is_deaf =
            content.is_some_and(|c| c.stubborn.contains(vm) && c.vms.get(vm).is_some_and(|v| v.is_on()));
        if is_deaf { args.get("graceMs").and_then(Value::as_u64).unwrap_or(0) } else { 0 }
    }

    /// Whether the target knows the operation at all.
    pub(crate) fn knows(&self, target: &str, op: &str) -> bool {
        let known = if self.hosts.contains_key(target) { HOST_OPS } else { IMAGE_STORE_OPS };
        known.contains(&op)
    }

    /// Carries out one command. `events` gets what a real agent would see happen.
    pub(crate) fn execute(
        &mut self,
        target: &str,
        op: &str,
        args: Value,
        events: &mut Vec<AgentEvent>,
    ) -> Result<Value> {
        if let Some(common) = self.common_mut(target) {
            common.commands += 1;
        }
        if op == CacheImage::NAME {
            return self.cache(target, args);
        }
        if let Some(host) = self.hosts.get_mut(target) {
            let common = (&mut self.disks, &mut self.shared);
            return on_host(host, target, common, op, args, events);
        }
        self.next_upload += 1;
        let number = self.next_upload;
        match self.stores.get_mut(target) {
            Some(store) => on_store(store, op, args, number),
            None => Err(wrong_target(target)),
        }
    }

    fn cache(&mut self, target: &str, args: Value) -> Result<Value> {
        let o: CacheImage = decode(args)?;
        let source = self.stores.values().filter_map(|s| s.serve(&o.image, &o.url));
        // The image may lie in several stores; the one that the address belongs to lets it be read.
        let source = source.max_by_key(|s| matches!(s, Source::File(_)));
        let host = self.hosts.get_mut(target).ok_or_else(|| wrong_target(target))?;
        encode(storage::cache(host, &o, source)?)
    }

    /// The host lost power, and has come back.
    pub(crate) fn crash(&mut self, target: &str) {
        if let Some(host) = self.hosts.get_mut(target) {
            host.lose_power();
            self.disks.retain(|_, holder| holder.host != target);
        }
    }
}

pub(crate) fn wrong_target(target: &str) -> Fault {
    Fault::new(code::AGENT_WRONG_TARGET, format!("this agent does not serve {target}")).with("target", target)
}

pub(crate) fn unknown_op(op: &str) -> Fault {
    Fault::new(code::AGENT_UNKNOWN_COMMAND, format!("the target knows no command {op:?}")).with("op", op)
}

fn decode<O: AgentOp>(args: Value) -> Result<O> {
    serde_json::from_value(args)
        .map_err(|e| Fault::argument(format!("the arguments of {} can't be read: {e}", O::NAME)))
}

fn encode<T: serde::Serialize>(reply: T) -> Result<Value> {
    serde_json::to_value(reply).map_err(|e| Fault::internal(format!("a reply has no JSON form: {e}")))
}

/// Reads the arguments, runs the operation and writes its reply.
fn run<O: AgentOp>(args: Value, f: impl FnOnce(O) -> Result<O::Reply>) -> Result<Value> {
    encode(f(decode(args)?)?)
}

/// What a host can be asked to do.
pub(crate) const HOST_OPS: &[&str] = &[
    ReadHostFacts::NAME,
    ApplyBridge::NAME,
    RemoveBridge::NAME,
    ApplyL3::NAME,
    ApplyGuard::NAME,
    RemoveL3::NAME,
    ConnectLocalStorage::NAME,
    CacheImage::NAME,
    UncacheImage::NAME,
    CreateVolume::NAME,
    DeleteVolume::NAME,
    ReadVolume::NAME,
    ListStorage::NAME,
    StartVm::NAME,
    StopVm::NAME,
    RebootVm::NAME,
    PauseVm::NAME,
    ResumeVm::NAME,
    RemoveVm::NAME,
    ListVms::NAME,
    ReadConsole::NAME,
];

/// What an image store can be asked to do.
pub(crate) const IMAGE_STORE_OPS: &[&str] = &[
    ConnectImageStore::NAME,
    FetchImage::NAME,
    OpenUpload::NAME,
    OpenDownload::NAME,
    CloseDownload::NAME,
    DeleteImage::NAME,
    ReadImage::NAME,
    ListImages::NAME,
];

fn on_host(
    host: &mut Host,
    uuid: &str,
    (disks, shared): (&mut OpenDisks, &mut SharedVolumes),
    op: &str,
    args: Value,
    events: &mut Vec<AgentEvent>,
) -> Result<Value> {
    match op {
        ReadHostFacts::NAME => run(args, |_: ReadHostFacts| Ok(host.facts(uuid))),
        ListVms::NAME => run(args, |_: ListVms| Ok(host.list_vms())),
        ApplyBridge::NAME => run(args, |o| network::apply_bridge(host, &o)),
        RemoveBridge::NAME => run(args, |o| network::remove_bridge(host, &o)),
        ApplyL3::NAME => run(args, |o| network::apply_l3(host, &o)),
        ApplyGuard::NAME => run(args, |o| network::apply_guard(host, &o)),
        RemoveL3::NAME => run(args, |o| network::remove_l3(host, &o)),
        ConnectLocalStorage::NAME => run(args, |o| storage::connect(host, &o)),
        UncacheImage::NAME => run(args, |o| storage::uncache(host, shared, &o)),
        CreateVolume::NAME => run(args, |o| storage::create_volume(host, shared, &o)),
        DeleteVolume::NAME => run(args, |o| storage::delete_volume(host, uuid, (disks, shared), &o)),
        ReadVolume::NAME => run(args, |o| storage::read_volume(host, shared, &o)),
        ListStorage::NAME => run(args, |o| storage::list(host, shared, &o)),
        _ => {
            let mut call = VmCall { host: uuid, content: host.content_mut(), disks, shared, events };
            match op {
                StartVm::NAME => run(args, |o| call.start(&o)),
                StopVm::NAME => run(args, |o| call.stop(&o)),
                RebootVm::NAME => run(args, |o| call.reboot(&o)),
                PauseVm::NAME => run(args, |o| call.pause(&o)),
                ResumeVm::NAME => run(args, |o| call.resume(&o)),
                RemoveVm::NAME => run(args, |o| call.remove(&o)),
                ReadConsole::NAME => run(args, |o| call.console(&o)),
                _ => Err(unknown_op(op)),
            }
        }
    }
}

fn on_store(store: &mut Store, op: &str, args: Value, number: u64) -> Result<Value> {
    match op {
        ConnectImageStore::NAME => run(args, |o| store.connect(&o)),
        FetchImage::NAME => run(args, |o| store.fetch(&o)),
        OpenUpload::NAME => run(args, |o| store.open_upload(&o, number)),
        OpenDownload::NAME => run(args, |o| store.open_download(&o)),
        CloseDownload::NAME => run(args, |o| store.close_download(&o)),
        DeleteImage::NAME => run(args, |o| store.delete(&o)),
        ReadImage::NAME => run(args, |o| store.read(&o)),
        ListImages::NAME => run(args, |o| store.list(&o)),
        _ => Err(unknown_op(op)),
    }
}
