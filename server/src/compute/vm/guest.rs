//! What the guest of a VM is told: its host name, its SSH key, its static addresses. Each is a system tag, whichever way it comes.

use cairn_api::ops::compute::{
    DeleteVmHostname, DeleteVmSshKey, DeleteVmStaticIp, GetVmHostname, GetVmSshKey, SetVmHostname,
    SetVmSshKey, SetVmStaticIp,
};
use cairn_store::{Tx, params};
use cairn_types::state::VmAction;
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::model::VmRow;
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::platform::tags;
use crate::{inventory, network};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<SetVmHostname>(set_hostname);
    h.read::<GetVmHostname, _>(hostname);
    h.change::<DeleteVmHostname>(delete_hostname);
    h.change::<SetVmSshKey>(set_ssh_key);
    h.read::<GetVmSshKey, _>(ssh_key);
    h.change::<DeleteVmSshKey>(delete_ssh_key);
    h.change::<SetVmStaticIp>(set_static_ip);
    h.change::<DeleteVmStaticIp>(delete_static_ip);
}

/// VMs with a tag. Their network is no condition: SQLite would begin with it, and go through all of its VMs.
const WITH_TAG: &str = "SELECT t.resource_uuid AS vm, v.default_l3_network_uuid AS l3 FROM system_tag t
    JOIN vm_instance v ON v.uuid = t.resource_uuid WHERE t.tag = ? AND v.state <> 'Destroyed'";

/// NICs of a VM. The same with one of its networks would go through all NICs of that.
const NICS: &str = "SELECT uuid, l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id";

/// A host name must be a valid one and unique among the VMs of the default network.
pub(super) fn check_hostname(
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

pub(super) fn nic_on(tx: &mut dyn Tx, vm: Id<kind::Vm>, l3: Id<kind::L3Network>) -> Result<Id<kind::Nic>> {
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
