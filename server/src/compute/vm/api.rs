//! The calls about VM instances.

use std::collections::HashMap;

use cairn_api::ops::compute::{
    CreateVmInstance, DestroyVmInstance, ExpungeVmInstance, GetVmCapabilities, PauseVmInstance,
    RebootVmInstance, ResumeVmInstance, StartVmInstance, StopVmInstance, UpdateVmInstance,
};
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::delete::{DeleteVm, Depth};
use super::guest::{check_hostname, nic_on};
use super::model::VmRow;
use super::pause::PauseVm;
use super::reboot::RebootVm;
use super::start::{Goal, NewNic, NewVm, StartVm};
use super::stop::StopVm;
use crate::call::{Call, id, opt_id};
use crate::compute::allocation;
use crate::handlers::{Handlers, Launch};
use crate::{inventory, rows};

/// The operations about VM instances.
pub fn handlers(h: &mut Handlers) {
    h.run::<CreateVmInstance, _>(create);
    h.run::<StartVmInstance, _>(start);
    h.run::<StopVmInstance, _>(stop);
    h.run::<RebootVmInstance, _>(reboot);
    h.run::<PauseVmInstance, _>(pause);
    h.run::<ResumeVmInstance, _>(resume);
    h.run::<DestroyVmInstance, _>(destroy);
    h.run::<ExpungeVmInstance, _>(expunge);
    h.change(super::recover::recover);
    h.change::<UpdateVmInstance>(update);
    super::guest::handlers(h);
    h.read::<GetVmCapabilities, _>(capabilities);
}

async fn create(call: Call, op: CreateVmInstance) -> Result<Launch> {
    if op.l3_network_uuids.is_empty() {
        return Err(Fault::argument("l3NetworkUuids must name at least one L3 network")
            .with("parameter", "l3NetworkUuids"));
    }
    if !op.data_disk_offering_uuids.is_empty() || !op.data_disk_sizes.is_empty() {
        return Err(Fault::operation(
            "data volumes can't be made with the VM by this version; make the VM without them",
        ));
    }
    let vm: Id<kind::Vm> = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let goal = match op.strategy.as_str() {
        "JustCreate" => Goal::Created,
        "CreateStopped" => Goal::Stopped,
        _ => Goal::Running,
    };
    let (account, tags, user_tags) = (call.caller.account, call.system_tags.clone(), call.user_tags.clone());
    let wanted = op.clone();
    let new = call.app.store.read(move |tx| new_vm(tx, &wanted, account, &tags, &user_tags)).await?;
    let mut workflow = StartVm::create(vm, new, goal);
    workflow.zone = opt_id("zoneUuid", op.zone_uuid.as_deref())?;
    workflow.cluster = opt_id("clusterUuid", op.cluster_uuid.as_deref())?;
    workflow.wanted_host = opt_id("hostUuid", op.host_uuid.as_deref())?;
    workflow.wanted_storage =
        opt_id("primaryStorageUuidForRootVolume", op.primary_storage_uuid_for_root_volume.as_deref())?;
    Ok(Launch::run(workflow))
}

/// Everything about the new VM that does not depend on where it will run.
fn new_vm(
    tx: &mut dyn Tx,
    op: &CreateVmInstance,
    account: Id<kind::Account>,
    system_tags: &[String],
    user_tags: &[String],
) -> Result<NewVm> {
    let offering: Option<Id<kind::InstanceOffering>> =
        opt_id("instanceOfferingUuid", op.instance_offering_uuid.as_deref())?;
    let (cpu_num, memory_size, strategy) = match (offering, op.cpu_num, op.memory_size) {
        (Some(offering), cpu, memory) => {
            let (c, m, strategy, _) = allocation::offering(tx, offering)?;
            (cpu.unwrap_or(c), memory.unwrap_or(m), strategy)
        }
        (None, Some(cpu), Some(memory)) => (cpu, memory, "DefaultHostAllocatorStrategy".to_owned()),
        (None, ..) => {
            return Err(Fault::argument("instanceOfferingUuid is needed, or cpuNum and memorySize instead"));
        }
    };
    let image: Id<kind::Image> = match op.image_uuid.as_deref() {
        Some(image) => id("imageUuid", image)?,
        None => return Err(Fault::argument("imageUuid is needed").with("parameter", "imageUuid")),
    };
    let row = tx.query_opt("SELECT size, media_type, platform FROM image WHERE uuid = ?", params![image])?;
    let row = row.ok_or_else(|| Fault::not_found("ImageVO", image))?;
    let from_iso = row.text("media_type")? == "ISO";
    let disk_offering: Option<Id<kind::DiskOffering>> =
        opt_id("rootDiskOfferingUuid", op.root_disk_offering_uuid.as_deref())?;
    let image_size = if from_iso { 0 } else { row.int("size")? };
    let root_size = root_size(tx, op, disk_offering, image_size, from_iso)?;
    let nics = new_nics(op, system_tags)?;
    let default_l3 = default_l3(op, &nics)?;
    check_hostname(tx, system_tags, default_l3, None)?;
    let mut kept = system_tags.to_vec();
    let qga = "SELECT 1 FROM system_tag WHERE resource_uuid = ? AND tag = 'qemuga'";
    if tx.exists(qga, params![image])? && !kept.iter().any(|t| t == "qemuga") {
        kept.push("qemuga".into());
    }
    Ok(NewVm {
        account,
        name: op.name.clone(),
        description: op.description.clone(),
        offering,
        cpu_num,
        memory_size,
        strategy,
        image,
        disk_offering,
        root_size,
        from_iso,
        platform: op.platform.clone().or(row.opt_text("platform")?).unwrap_or_else(|| "Linux".into()),
        root_volume: Id::new(),
        nics,
        default_l3,
        system_tags: kept,
        user_tags: user_tags.to_vec(),
    })
}

fn root_size(
    tx: &mut dyn Tx,
    op: &CreateVmInstance,
    offering: Option<Id<kind::DiskOffering>>,
    image_size: i64,
    from_iso: bool,
) -> Result<i64> {
    let wanted = match (offering, op.root_disk_size) {
        (Some(offering), _) => {
            let sql = "SELECT disk_size, state FROM disk_offering WHERE uuid = ?";
            let row = tx
                .query_opt(sql, params![offering])?
                .ok_or_else(|| Fault::not_found("DiskOfferingVO", offering))?;
            if row.text("state")? != "Enabled" {
                return Err(Fault::operation(format!(
                    "disk offering {offering} is Disabled; enable it or choose another"
                )));
            }
            Some(row.int("disk_size")?)
        }
        (None, size) => size,
    };
    match wanted {
        None if from_iso => {
            Err(Fault::argument("a VM made from an ISO needs rootDiskOfferingUuid for its root volume"))
        }
        Some(size) if size < image_size => {
            let text =
                format!("the root volume must have at least the image's {image_size} bytes, not {size}");
            Err(Fault::argument(text))
        }
        wanted => Ok(wanted.unwrap_or(image_size)),
    }
}

fn new_nics(op: &CreateVmInstance, system_tags: &[String]) -> Result<Vec<NewNic>> {
    let mut fixed: HashMap<&str, &str> = HashMap::new();
    for tag in system_tags {
        if let Some((l3, ip)) = cairn_api::tags::static_ip(tag) {
            if !op.l3_network_uuids.iter().any(|u| u == l3) {
                let text = format!("system tag {tag:?} names an L3 network that is not among l3NetworkUuids");
                return Err(Fault::argument(text));
            }
            fixed.insert(l3, ip);
        }
    }
    let mut nics = Vec::new();
    for uuid in &op.l3_network_uuids {
        let l3: Id<kind::L3Network> = id("l3NetworkUuids", uuid)?;
        if nics.iter().any(|n: &NewNic| n.l3 == l3) {
            return Err(Fault::argument(format!("L3 network {uuid} is named twice in l3NetworkUuids")));
        }
        nics.push(NewNic { nic: Id::new(), l3, ip: fixed.get(uuid.as_str()).map(|s| (*s).to_owned()) });
    }
    Ok(nics)
}

fn default_l3(op: &CreateVmInstance, nics: &[NewNic]) -> Result<Id<kind::L3Network>> {
    match opt_id("defaultL3NetworkUuid", op.default_l3_network_uuid.as_deref())? {
        Some(l3) if nics.iter().any(|n| n.l3 == l3) => Ok(l3),
        Some(l3) => Err(Fault::argument(format!("defaultL3NetworkUuid {l3} is not among l3NetworkUuids"))),
        None if nics.len() == 1 => Ok(nics[0].l3),
        None => {
            Err(Fault::argument("with several l3NetworkUuids, defaultL3NetworkUuid must name one of them"))
        }
    }
}

async fn start(call: Call, op: StartVmInstance) -> Result<Launch> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let mut workflow = StartVm::existing(vm);
    workflow.cluster = opt_id("clusterUuid", op.cluster_uuid.as_deref())?;
    workflow.wanted_host = opt_id("hostUuid", op.host_uuid.as_deref())?;
    must_allow(&call, vm, VmAction::StartVmInstance).await?;
    Ok(Launch::run(workflow))
}

/// Refuses at once what the state forbids, unless an operation is at work: then its outcome decides, in the queue.
async fn must_allow(call: &Call, vm: Id<kind::Vm>, action: VmAction) -> Result<VmRow> {
    let row = call.app.store.read(move |tx| VmRow::load(tx, vm)).await?;
    if !row.state.is_transitional() {
        row.allow(action)?;
    }
    Ok(row)
}

async fn stop(call: Call, op: StopVmInstance) -> Result<Launch> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let row = must_allow(&call, vm, VmAction::StopVmInstance).await?;
    if row.state == VmState::Stopped {
        let dates = call.dates;
        let done =
            call.app.store.read(move |tx| inventory::answer(tx, "VmInstanceInventory", vm, dates)).await?;
        return Ok(Launch::Done(done));
    }
    Ok(Launch::run(StopVm::new(vm, op.r#type.eq_ignore_ascii_case("cold"))))
}

async fn reboot(call: Call, op: RebootVmInstance) -> Result<Launch> {
    let vm = id("uuid", &op.uuid)?;
    must_allow(&call, vm, VmAction::RebootVmInstance).await?;
    Ok(Launch::run(RebootVm::new(vm)))
}

async fn pause(call: Call, op: PauseVmInstance) -> Result<Launch> {
    let vm = id("uuid", &op.uuid)?;
    must_allow(&call, vm, VmAction::PauseVmInstance).await?;
    Ok(Launch::run(PauseVm::new(vm, false)))
}

async fn resume(call: Call, op: ResumeVmInstance) -> Result<Launch> {
    let vm = id("uuid", &op.uuid)?;
    must_allow(&call, vm, VmAction::ResumeVmInstance).await?;
    Ok(Launch::run(PauseVm::new(vm, true)))
}

async fn destroy(call: Call, op: DestroyVmInstance) -> Result<Launch> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let row = must_allow(&call, vm, VmAction::DestroyVmInstance).await?;
    let direct = call.app.settings.text("vm", "deletionPolicy") == "Direct";
    // A VM that never ran has nothing to recover.
    let depth = if direct || row.state == VmState::Created { Depth::Expunge } else { Depth::Destroy };
    Ok(Launch::run(DeleteVm::destroy(vm, depth)))
}

async fn expunge(call: Call, op: ExpungeVmInstance) -> Result<Launch> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    must_allow(&call, vm, VmAction::ExpungeVmInstance).await?;
    if call.app.settings.text("vm", "deletionPolicy") == "Never" && !call.caller.is_admin() {
        return Err(Fault::denied("the deletion policy is Never: only the admin account may expunge VMs"));
    }
    Ok(Launch::run(DeleteVm::expunge(vm)))
}

fn update(call: &Call, tx: &mut dyn Tx, op: &UpdateVmInstance) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let row = VmRow::load(tx, vm)?;
    row.allow(VmAction::UpdateVmInstance)?;
    if op.state.is_some() {
        return Err(Fault::operation(
            "the state of a VM follows from what its host reports and can't be set; start or stop it instead",
        ));
    }
    if (op.cpu_num.is_some() || op.memory_size.is_some())
        && row.state != VmState::Stopped
        && row.state != VmState::Created
    {
        let text = format!("VM {vm} is {}; CPU and memory can be changed while it is Stopped", row.state);
        return Err(Fault::operation(text));
    }
    let default_l3: Option<Id<kind::L3Network>> =
        opt_id("defaultL3NetworkUuid", op.default_l3_network_uuid.as_deref())?;
    if let Some(l3) = default_l3 {
        nic_on(tx, vm, l3)?;
    }
    let columns = [
        ("name", op.name.clone().map(Into::into)),
        ("description", op.description.clone().map(Into::into)),
        ("platform", op.platform.clone().map(Into::into)),
        ("default_l3_network_uuid", default_l3.map(Into::into)),
        ("cpu_num", op.cpu_num.map(Into::into)),
        ("memory_size", op.memory_size.map(Into::into)),
    ];
    rows::update(tx, "VmInstanceVO", vm, &columns)?;
    inventory::answer(tx, "VmInstanceInventory", vm, call.dates)
}

/// What can be done with it beyond the usual; live migration comes with shared storage.
async fn capabilities(call: Call, op: GetVmCapabilities) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let local = call
        .app
        .store
        .read(move |tx| {
            let sql = "SELECT 1 FROM volume v JOIN local_storage_resource_ref r ON r.resource_uuid = v.uuid WHERE v.vm_instance_uuid = ?";
            tx.exists(sql, params![vm])
        })
        .await?;
    Ok(json!({ "capabilities": { "LiveMigration": !local, "VolumeMigration": false, "Reimage": false } }))
}
