//! Recovering a destroyed VM: it is Stopped then, with newly taken addresses (VM-21).

use cairn_api::ops::compute::RecoverVmInstance;
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState, VolumeStatus};
use cairn_types::{Fault, Id, Result, code, kind};
use serde_json::Value;

use super::model::VmRow;
use super::store;
use crate::call::{Call, id};
use crate::identity::quota;
use crate::platform::departed;
use crate::{inventory, network, rows};

pub(super) fn recover(call: &Call, tx: &mut dyn Tx, op: &RecoverVmInstance) -> Result<Value> {
    let vm: Id<kind::Vm> = id("uuid", &op.uuid)?;
    let row = VmRow::load(tx, vm)?;
    row.allow(VmAction::RecoverVmInstance)?;
    if row.run.is_some() {
        return Err(Fault::new(code::VM_BUSY, format!("VM {vm} is being expunged")).retry());
    }
    if let Some(host) = departed::host_of(tx, vm)? {
        // The kept command would switch off what is started meanwhile.
        let text = format!(
            "VM {vm} may still run on host {host}, which can't be reached; recover it when the host is back"
        );
        let fault = Fault::new(code::VM_BUSY, text).with("vm", vm.to_string());
        return Err(fault.with("hostUuid", host.to_string()).retry());
    }
    let wiped = "SELECT 1 FROM volume WHERE vm_instance_uuid = ? AND type = 'Root' AND status = 'Deleted' AND install_path IS NULL";
    if tx.exists(wiped, params![vm])? {
        let text = format!(
            "the root volume of VM {vm} was deleted when it was expunged, which then failed; expunge it again"
        );
        return Err(Fault::operation(text).with("vm", vm.to_string()));
    }
    if let Some(owner) = rows::owner(tx, vm)? {
        quota::check_quickly(&call.app.sums, tx, owner, &[("vm.totalNum", 1)])?;
    }
    let sql = "SELECT uuid, l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id";
    for nic in tx.query(sql, params![vm])? {
        let (nic, l3): (Id<kind::Nic>, Id<kind::L3Network>) = (nic.id("uuid")?, nic.id("l3_network_uuid")?);
        network::nics::readdress(tx, nic, l3)?;
    }
    store::mark_volumes(tx, vm, VolumeStatus::Deleted, VolumeStatus::Ready, None)?;
    tx.execute("UPDATE vm_instance SET destroyed_ms = NULL WHERE uuid = ?", params![vm])?;
    if !store::follow(tx, vm, &[VmState::Destroyed], VmState::Stopped, "recovered")? {
        return Err(Fault::new(code::VM_BUSY, format!("VM {vm} changed its state meanwhile")).retry());
    }
    inventory::answer(tx, "VmInstanceInventory", vm, call.dates)
}
