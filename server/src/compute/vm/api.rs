//! The calls about VM instances.

use std::collections::HashMap;

use cairn_api::ops::compute::{
    CreateVmInstance, DeleteVmHostname, DeleteVmSshKey, DeleteVmStaticIp, DestroyVmInstance,
    ExpungeVmInstance, GetVmCapabilities, GetVmHostname, GetVmSshKey, PauseVmInstance, RebootVmInstance,
    ResumeVmInstance, SetVmHostname, SetVmSshKey, SetVmStaticIp, StartVmInstance, StopVmInstance,
    UpdateVmInstance,
};
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::delete::{DeleteVm, Depth};
use super::model::VmRow;
use super::pause::PauseVm;
use super::reboot::RebootVm;
use super::start::{Goal, NewNic, NewVm, StartVm};
use super::stop::StopVm;
use crate::call::{Call, id, opt_id};
use crate::compute::allocation;
use crate::handlers::{Handlers, Launch};
use crate::platform::tags;
use crate::{inventory, network, rows};

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
    h.change::<SetVmHostname>(set_hostname);
    h.read::<GetVmHostname, _>(hostname);
    h.change::<DeleteVmHostname>(delete_hostname);
    h.change::<SetVmSshKey>(set_ssh_key);
    h.read::<GetVmSshKey, _>(ssh_key);
    h.change::<DeleteVmSshKey>(delete_ssh_key);
    h.change::<SetVmStaticIp>(set_static_ip);
    h.change::<DeleteVmStaticIp>(delete_static_ip);
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

/// VMs with a tag. Their network is no condition: SQLite would begin with it, and go through all of its VMs.
const WITH_TAG: &str = "SELECT t.resource_uuid AS vm, v.default_l3_network_uuid AS l3 FROM system_tag t
    JOIN vm_instance v ON v.uuid = t.resource_uuid WHERE t.tag = ? AND v.state <> 'Destroyed'";
/// NICs of a VM. The same with one of its networks would go through all NICs of that.
const NICS: &str = "SELECT uuid, l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id";

/// A host name must be a valid one and unique among the VMs of the default network.
fn check_hostname(
    tx: &mut dyn Tx,
    system_tags: &[String],
    l3: Id<kind::L3Network>,
    except: Option<Id<kind::Vm>>,
) -> Result<()> {
    let names: Vec<&str> = system_tags.iter().filter_map(|t| t.strip_prefix("hostname::")).collect();
    if names.len() > 1 {
        return Err(Fault::argument("a VM has one host name; only one hostname:: tag may be given"));
    }
    let Some(name) = names.first() else { return Ok(()) };
    if !is_hostname(name) {
        let text = format!(
            "{name:?} is no valid host name: letters, digits and dashes, parts of at most 63 characters"
        );
        return Err(Fault::argument(text));
    }
    for row in tx.query(WITH_TAG, params![format!("hostname::{name}")])? {
        let other: Id<kind::Vm> = row.id("vm")?;
        if row.opt_id("l3")? == Some(l3) && Some(other) != except {
            return Err(Fault::argument(format!(
                "the host name {name:?} is taken by VM {other} on the same network"
            )));
        }
    }
    Ok(())
}

/// RFC 1123.
fn is_hostname(name: &str) -> bool {
    let part = |p: &str| {
        let b = p.as_bytes();
        (1..=63).contains(&b.len())
            && b.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
            && b[0] != b'-'
            && b[b.len() - 1] != b'-'
    };
    name.len() <= 253 && name.split('.').all(part)
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

fn set_hostname(call: &Call, tx: &mut dyn Tx, op: &SetVmHostname) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let row = VmRow::load(tx, vm)?;
    row.allow(VmAction::SetVmHostname)?;
    let l3 = row.default_l3.ok_or_else(|| Fault::operation(format!("VM {vm} has no default L3 network")))?;
    check_hostname(tx, &[format!("hostname::{}", op.hostname)], l3, Some(vm))?;
    tags::set(tx, "VmInstanceVO", vm, "hostname::", &op.hostname, false)?;
    call.after_commit(move |app| network::apply::refresh_vm(app, vm));
    Ok(json!({}))
}

async fn hostname(call: Call, op: GetVmHostname) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let name = call.app.store.read(move |tx| tags::get(tx, vm, "hostname::")).await?;
    Ok(name.map_or_else(|| json!({}), |n| json!({ "hostname": n })))
}

fn delete_hostname(call: &Call, tx: &mut dyn Tx, op: &DeleteVmHostname) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    VmRow::load(tx, vm)?.allow(VmAction::DeleteVmHostname)?;
    tags::clear(tx, "VmInstanceVO", vm, "hostname::")?;
    call.after_commit(move |app| network::apply::refresh_vm(app, vm));
    Ok(json!({}))
}

fn set_ssh_key(call: &Call, tx: &mut dyn Tx, op: &SetVmSshKey) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    VmRow::load(tx, vm)?.allow(VmAction::SetVmSshKey)?;
    let key = op.ssh_key.trim();
    let words: Vec<&str> = key.split_whitespace().collect();
    let known = words
        .first()
        .is_some_and(|w| w.starts_with("ssh-") || w.starts_with("ecdsa-") || w.starts_with("sk-"));
    if !known || words.len() < 2 || key.contains(['\n', '\r']) {
        return Err(Fault::argument("SshKey must be one public key, such as `ssh-ed25519 AAAA… me@home`"));
    }
    tags::set(tx, "VmInstanceVO", vm, "sshkey::", key, false)?;
    call.after_commit(move |app| network::apply::refresh_vm(app, vm));
    inventory::answer(tx, "VmInstanceInventory", vm, call.dates)
}

async fn ssh_key(call: Call, op: GetVmSshKey) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let key = call.app.store.read(move |tx| tags::get(tx, vm, "sshkey::")).await?;
    Ok(key.map_or_else(|| json!({}), |k| json!({ "sshKey": k })))
}

fn delete_ssh_key(call: &Call, tx: &mut dyn Tx, op: &DeleteVmSshKey) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    VmRow::load(tx, vm)?.allow(VmAction::DeleteVmSshKey)?;
    tags::clear(tx, "VmInstanceVO", vm, "sshkey::")?;
    call.after_commit(move |app| network::apply::refresh_vm(app, vm));
    Ok(json!({}))
}

fn nic_on(tx: &mut dyn Tx, vm: Id<kind::Vm>, l3: Id<kind::L3Network>) -> Result<Id<kind::Nic>> {
    for row in tx.query(NICS, params![vm])? {
        if row.id::<kind::L3Network>("l3_network_uuid")? == l3 {
            return row.id("uuid");
        }
    }
    Err(Fault::argument(format!("VM {vm} has no NIC on L3 network {l3}")))
}

fn set_static_ip(_call: &Call, tx: &mut dyn Tx, op: &SetVmStaticIp) -> Result<Value> {
    let vm: Id<kind::Vm> = id("vmInstanceUuid", &op.vm_instance_uuid)?;
    let l3: Id<kind::L3Network> = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let ip = op.ip.as_deref().or(op.ip6.as_deref()).ok_or_else(|| Fault::argument("ip is needed"))?;
    let row = VmRow::load(tx, vm)?;
    row.allow(VmAction::SetVmStaticIp)?;
    let nic = nic_on(tx, vm, l3)?;
    let prefix = format!("staticIp::{l3}::");
    tags::set(tx, "VmInstanceVO", vm, &prefix, ip, false)?;
    network::nics::set_address(tx, nic, l3, ip)?;
    Ok(json!({}))
}

fn delete_static_ip(_call: &Call, tx: &mut dyn Tx, op: &DeleteVmStaticIp) -> Result<Value> {
    let vm: Id<kind::Vm> = id("vmInstanceUuid", &op.vm_instance_uuid)?;
    let l3: Id<kind::L3Network> = id("l3NetworkUuid", &op.l3_network_uuid)?;
    VmRow::load(tx, vm)?.allow(VmAction::DeleteVmStaticIp)?;
    nic_on(tx, vm, l3)?;
    tags::clear(tx, "VmInstanceVO", vm, &format!("staticIp::{l3}::"))?;
    Ok(json!({}))
}

/// A system tag that a caller puts on a VM means the same as the call made for it: a host name is free in its network, and a
/// static address is the one that the NIC has.
pub(crate) fn tag_written(tx: &mut dyn Tx, vm: Id<kind::Vm>, tag: &str) -> Result<()> {
    tag_allowed(tx, vm, tag, true)?;
    if tag.starts_with("hostname::")
        && let Some(l3) = VmRow::load(tx, vm)?.default_l3
    {
        check_hostname(tx, &[tag.to_owned()], l3, Some(vm))?;
    }
    if let Some((l3, ip)) = cairn_api::tags::static_ip(tag) {
        let l3: Id<kind::L3Network> = id("l3NetworkUuid", l3)?;
        let nic = nic_on(tx, vm, l3)?;
        network::nics::set_address(tx, nic, l3, ip)?;
    }
    Ok(())
}

/// Refuses a tag that the state of the VM does not allow to come, or to go, as the call made for it would.
pub(crate) fn tag_allowed(tx: &mut dyn Tx, vm: Id<kind::Vm>, tag: &str, comes: bool) -> Result<()> {
    let (set, delete) = match tag.split("::").next().unwrap_or_default() {
        "hostname" => (VmAction::SetVmHostname, VmAction::DeleteVmHostname),
        "sshkey" => (VmAction::SetVmSshKey, VmAction::DeleteVmSshKey),
        "staticIp" => (VmAction::SetVmStaticIp, VmAction::DeleteVmStaticIp),
        _ => return Ok(()),
    };
    VmRow::load(tx, vm)?.allow(if comes { set } else { delete })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_02_host_names_and_nics_are_found_without_their_network() {
        for sql in [WITH_TAG, NICS] {
            let plan = crate::rows::plan_of(sql);
            assert!(!plan.contains("_l3") && !plan.contains("SCAN"), "{plan}");
        }
    }

    #[test]
    fn vm_14_host_names_follow_rfc_1123() {
        for (name, ok) in [
            ("web-1", true),
            ("a.b.example", true),
            ("9lives", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a..b", false),
            ("$(reboot)", false),
            ("a b", false),
            ("ü", false),
        ] {
            assert_eq!(is_hostname(name), ok, "{name:?}");
        }
    }
}
