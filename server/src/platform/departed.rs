//! Guests that may still run although their VMs were destroyed: their hosts could not be told to switch them off. What such a
//! guest uses stays taken by rows of its own until the kept commands for it (table `cleanup`) were carried out, or until its
//! host is deleted: nobody else gets an address that is still in use.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, time};
use serde_json::json;

use crate::rows;

/// Where the guest may still run, if it does.
pub fn host_of(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Option<Id<kind::Host>>> {
    let row = tx.query_opt("SELECT host_uuid FROM departed_guest WHERE vm_uuid = ?", params![vm])?;
    row.map(|r| r.id("host_uuid")).transpose()
}

/// Says in words that the guest may still run, if it does.
pub fn in_words(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Option<String>> {
    let Some(host) = host_of(tx, vm)? else { return Ok(None) };
    let name = rows::name(tx, "HostVO", host)?;
    Ok(Some(format!(
        "host {name:?} ({host}) can't be reached and may still run it; it is switched off there when the host is back, and its \
         addresses, processors and memory stay taken until then"
    )))
}

/// Keeps what the guest of a VM that goes uses, if a command that ends it is kept for its host. Called while the rows of
/// the VM say where it runs; its addresses are no longer those of its NICs afterwards.
pub fn keep(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<()> {
    let sql = "SELECT v.name, v.host_uuid, v.cpu_num, v.memory_size FROM vm_instance v WHERE v.uuid = ? AND v.host_uuid IS NOT NULL
               AND EXISTS (SELECT 1 FROM cleanup c WHERE c.vm_uuid = v.uuid AND c.target_uuid = v.host_uuid)
               AND NOT EXISTS (SELECT 1 FROM departed_guest d WHERE d.vm_uuid = v.uuid)";
    let Some(row) = tx.query_opt(sql, params![vm])? else { return Ok(()) };
    let host: Id<kind::Host> = row.id("host_uuid")?;
    let sql = "INSERT INTO departed_guest (vm_uuid, host_uuid, name, cpu_num, memory_size, create_ms) VALUES (?, ?, ?, ?, ?, ?)";
    let (cpus, memory) = (row.int("cpu_num")?, row.int("memory_size")?);
    tx.execute(sql, params![vm, host, row.text("name")?, cpus, memory, time::now_ms()])?;
    let sql = "INSERT INTO departed_nic (mac, vm_uuid) SELECT mac, vm_instance_uuid FROM vm_nic WHERE vm_instance_uuid = ?";
    tx.execute(sql, params![vm])?;
    let sql = "UPDATE used_ip SET departed_vm_uuid = ?, vm_nic_uuid = NULL, purpose = 'departed'
               WHERE vm_nic_uuid IN (SELECT uuid FROM vm_nic WHERE vm_instance_uuid = ?)";
    tx.execute(sql, params![vm, vm])?;
    tracing::warn!(%vm, %host, "VM {vm} may still run on host {host}; what it uses stays taken until the host is back");
    rows::event(tx, "VmInstanceVO", vm, "updated", &json!({ "mayStillRunOn": host }))
}

/// A kept command was carried out. If it was the last one for this guest, what the guest used is free.
pub(super) fn told(tx: &mut dyn Tx, vm: &str) -> Result<()> {
    // What other hosts, where it ran before, still have to hear of it frees nothing.
    let waits = "SELECT 1 FROM cleanup c JOIN departed_guest d ON d.vm_uuid = c.vm_uuid AND d.host_uuid = c.target_uuid
                 WHERE c.vm_uuid = ?";
    let known = "SELECT host_uuid FROM departed_guest WHERE vm_uuid = ?";
    if tx.exists(waits, params![vm])? {
        return Ok(());
    }
    let Some(row) = tx.query_opt(known, params![vm])? else { return Ok(()) };
    let host: Id<kind::Host> = row.id("host_uuid")?;
    for sql in [
        "DELETE FROM used_ip WHERE departed_vm_uuid = ?",
        "DELETE FROM departed_nic WHERE vm_uuid = ?",
        "DELETE FROM departed_guest WHERE vm_uuid = ?",
        "UPDATE vm_instance SET state_reason = NULL WHERE uuid = ? AND state = 'Destroyed'",
    ] {
        tx.execute(sql, params![vm])?;
    }
    rows::changed(tx, "HostVO", host, &json!({ "switchedOff": vm }))
}
