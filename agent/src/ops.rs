//! The table of commands: which kind of target serves each, what it must not overtake, and what it does.

use std::future::Future;
use std::pin::Pin;

use cairn_api::agent::host::ReadHostFacts;
use cairn_api::agent::image_store::{
    CloseDownload, ConnectImageStore, DeleteImage, FetchImage, ListImages, OpenDownload, OpenUpload,
    ReadImage,
};
use cairn_api::agent::network::{ApplyBridge, ApplyGuard, ApplyL3, RemoveBridge, RemoveL3};
use cairn_api::agent::storage::{
    CacheImage, ConnectLocalStorage, CreateVolume, DeleteVolume, ListStorage, ReadVolume, UncacheImage,
};
use cairn_api::agent::vm::{ListVms, PauseVm, ReadConsole, RebootVm, RemoveVm, ResumeVm, StartVm, StopVm};
use cairn_api::agent::{AgentOp, Command, Done, TargetKind};
use cairn_types::{Fault, Result, code, id::is_uuid};
use serde_json::Value;

use crate::drivers::{Call, Drivers};

/// A command that is understood and may run.
pub struct Prepared {
    /// What kind of target serves it.
    pub kind: TargetKind,
    /// Commands with the same lane run in order; none: at once.
    pub lane: Option<String>,
    /// The work.
    pub work: Pin<Box<dyn Future<Output = Result<Value>> + Send>>,
}

/// The lane of a VM, also for what the agent does by itself.
pub fn vm_lane(vm: &str) -> String {
    format!("vm/{vm}")
}

/// Lane of everything that changes bridges and L3 services: they share devices, and each change is short.
pub const NETWORK_LANE: &str = "network";

fn on<Op, F>(kind: TargetKind, lane: Option<String>, args: Op, run: impl FnOnce(Op) -> F) -> Prepared
where
    Op: AgentOp,
    F: Future<Output = Result<Op::Reply>> + Send + 'static,
{
    let work = run(args);
    let work = Box::pin(async move {
        let reply = work.await?;
        serde_json::to_value(reply)
            .map_err(|e| Fault::internal(format!("the reply of {} is no JSON", Op::NAME)).for_operator(e))
    });
    Prepared { kind, lane, work }
}

fn decode<Op: AgentOp>(command: &Command) -> Result<Op> {
    serde_json::from_value(command.args.clone())
        .map_err(|e| Fault::argument(format!("the arguments of {} are wrong: {e}", Op::NAME)))
}

/// Uuids become names of files, devices and domains, so nothing else passes.
fn uuid<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    if is_uuid(text) {
        return Ok(text);
    }
    Err(Fault::argument(format!("{text:?} is no uuid of a {what}")))
}

/// Reads a command and says what it would do; nothing is done before the work is polled.
pub fn prepare(drivers: &Drivers, command: &Command, call: Call) -> Result<Prepared> {
    let d = drivers.clone();
    let area = command.op.split('.').next().unwrap_or_default();
    match area {
        "vm" => prepare_vm(d, command, call),
        "storage" | "volume" => prepare_storage(d, command, call),
        "network" => prepare_network(d, command),
        "imageStore" => prepare_image_store(d, command, call),
        "host" if command.op == ReadHostFacts::NAME => {
            Ok(on(TargetKind::Host, None, decode::<ReadHostFacts>(command)?, |_| async move {
                let mut facts = d.facts.read(d.vms.hypervisor()).await?;
                facts.vms = d.vms.list().await?;
                Ok(facts)
            }))
        }
        _ => Err(unknown(command)),
    }
}

fn unknown(command: &Command) -> Fault {
    Fault::new(code::AGENT_UNKNOWN_COMMAND, format!("this agent does not know {:?}", command.op))
        .with("op", command.op.as_str())
}

fn prepare_vm(d: Drivers, command: &Command, call: Call) -> Result<Prepared> {
    let host = TargetKind::Host;
    let lane = |vm: &str| Ok::<_, Fault>(Some(vm_lane(uuid("VM", vm)?)));
    Ok(match command.op.as_str() {
        StartVm::NAME => {
            let args: StartVm = decode(command)?;
            on(host, lane(&args.spec.vm)?, args, |a| async move { d.vms.start(a.spec).await })
        }
        StopVm::NAME => {
            let args: StopVm = decode(command)?;
            on(host, lane(&args.vm)?, args, |a| async move { d.vms.stop(&a.vm, a.grace_ms, &call).await })
        }
        RebootVm::NAME => {
            let args: RebootVm = decode(command)?;
            on(
                host,
                lane(&args.spec.vm)?,
                args,
                |a| async move { d.vms.reboot(a.spec, a.grace_ms, &call).await },
            )
        }
        PauseVm::NAME => {
            let args: PauseVm = decode(command)?;
            on(host, lane(&args.vm)?, args, |a| async move { d.vms.pause(&a.vm).await.map(|()| Done {}) })
        }
        ResumeVm::NAME => {
            let args: ResumeVm = decode(command)?;
            on(host, lane(&args.vm)?, args, |a| async move { d.vms.resume(&a.vm).await.map(|()| Done {}) })
        }
        RemoveVm::NAME => {
            let args: RemoveVm = decode(command)?;
            on(host, lane(&args.vm)?, args, |a| async move { d.vms.remove(&a.vm).await.map(|()| Done {}) })
        }
        ListVms::NAME => on(host, None, decode::<ListVms>(command)?, |_| async move { d.vms.list().await }),
        ReadConsole::NAME => {
            let args: ReadConsole = decode(command)?;
            uuid("VM", &args.vm)?;
            on(host, None, args, |a| async move { d.vms.hypervisor().console(&a.vm).await })
        }
        _ => return Err(unknown(command)),
    })
}

fn prepare_storage(d: Drivers, command: &Command, call: Call) -> Result<Prepared> {
    let host = TargetKind::Host;
    let volume = |v: &str| Ok::<_, Fault>(Some(format!("volume/{}", uuid("volume", v)?)));
    let cached = |i: &str, at: &str| Ok::<_, Fault>(Some(format!("storage/{} {at}", uuid("image", i)?)));
    Ok(match command.op.as_str() {
        ConnectLocalStorage::NAME => {
            on(host, None, decode::<ConnectLocalStorage>(command)?, |a| async move {
                d.storage.connect(&a.path).await
            })
        }
        // A removal that comes late must not take what was fetched after it.
        CacheImage::NAME => {
            let args: CacheImage = decode(command)?;
            on(host, cached(&args.image, &args.storage_path)?, args, |a| async move {
                d.storage.cache_image(a, call).await
            })
        }
        UncacheImage::NAME => {
            let args: UncacheImage = decode(command)?;
            on(host, cached(&args.image, &args.storage_path)?, args, |a| async move {
                d.storage.uncache_image(a).await.map(|()| Done {})
            })
        }
        CreateVolume::NAME => {
            let args: CreateVolume = decode(command)?;
            if let Some(image) = &args.image {
                uuid("image", image)?;
            }
            on(host, volume(&args.volume)?, args, |a| async move { d.storage.create_volume(a).await })
        }
        DeleteVolume::NAME => {
            let args: DeleteVolume = decode(command)?;
            on(host, volume(&args.volume)?, args, |a| async move {
                d.storage.delete_volume(a).await.map(|()| Done {})
            })
        }
        ReadVolume::NAME => {
            let args: ReadVolume = decode(command)?;
            uuid("volume", &args.volume)?;
            on(host, None, args, |a| async move { d.storage.read_volume(a).await })
        }
        ListStorage::NAME => {
            on(host, None, decode::<ListStorage>(command)?, |a| async move { d.storage.list(a).await })
        }
        _ => return Err(unknown(command)),
    })
}

fn prepare_network(d: Drivers, command: &Command) -> Result<Prepared> {
    let host = TargetKind::Host;
    let lane = Some(NETWORK_LANE.to_owned());
    Ok(match command.op.as_str() {
        ApplyBridge::NAME => {
            let args: ApplyBridge = decode(command)?;
            uuid("L2 network", &args.l2_network)?;
            on(host, lane, args, |a| async move { d.network.apply_bridge(a).await })
        }
        RemoveBridge::NAME => {
            let args: RemoveBridge = decode(command)?;
            uuid("L2 network", &args.l2_network)?;
            on(host, lane, args, |a| async move { d.network.remove_bridge(a).await.map(|()| Done {}) })
        }
        ApplyL3::NAME => {
            let args: ApplyL3 = decode(command)?;
            uuid("L3 network", &args.l3_network)?;
            on(host, lane, args, |a| async move { d.network.apply_l3(a).await })
        }
        ApplyGuard::NAME => {
            on(host, lane, decode::<ApplyGuard>(command)?, |a| async move { d.network.apply_guard(a).await })
        }
        RemoveL3::NAME => {
            let args: RemoveL3 = decode(command)?;
            uuid("L3 network", &args.l3_network)?;
            on(
                host,
                lane,
                args,
                |a| async move { d.network.remove_l3(&a.l3_network).await.map(|()| Done {}) },
            )
        }
        _ => return Err(unknown(command)),
    })
}

fn prepare_image_store(d: Drivers, command: &Command, call: Call) -> Result<Prepared> {
    let store = TargetKind::ImageStore;
    let target = command.target.clone();
    let lane = |image: &str| Ok::<_, Fault>(Some(format!("image/{}", uuid("image", image)?)));
    Ok(match command.op.as_str() {
        ConnectImageStore::NAME => on(store, None, decode::<ConnectImageStore>(command)?, |a| async move {
            d.images.connect(&target, &a.path).await
        }),
        FetchImage::NAME => {
            let args: FetchImage = decode(command)?;
            on(store, lane(&args.image)?, args, |a| async move { d.images.fetch(a, call).await })
        }
        OpenUpload::NAME => {
            let args: OpenUpload = decode(command)?;
            on(store, lane(&args.image)?, args, |a| async move { d.images.open_upload(&target, a).await })
        }
        OpenDownload::NAME => {
            let args: OpenDownload = decode(command)?;
            on(store, lane(&args.image)?, args, |a| async move { d.images.open_download(a).await })
        }
        CloseDownload::NAME => {
            let args: CloseDownload = decode(command)?;
            on(store, lane(&args.image)?, args, |a| async move {
                d.images.close_download(a).await.map(|()| Done {})
            })
        }
        DeleteImage::NAME => {
            let args: DeleteImage = decode(command)?;
            on(store, lane(&args.image)?, args, |a| async move { d.images.delete(a).await.map(|()| Done {}) })
        }
        ReadImage::NAME => {
            let args: ReadImage = decode(command)?;
            uuid("image", &args.image)?;
            on(store, None, args, |a| async move { d.images.read(a, call).await })
        }
        ListImages::NAME => {
            on(store, None, decode::<ListImages>(command)?, |a| async move { d.images.list(a).await })
        }
        _ => return Err(unknown(command)),
    })
}
