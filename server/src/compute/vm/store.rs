//! The SQL of VM instances: states by compare-and-set, each change with its event.

use cairn_store::{Tx, params};
use cairn_types::state::{VmState, VolumeStatus};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use super::model::VmRow;
use crate::platform::{departed, stuck};
use crate::storage::primary_storage::SIMULATOR;
use crate::{network, rows};

/// Puts a VM into a transitional state that `run` holds from now on. A VM that another run holds is refused.
pub fn hold(tx: &mut dyn Tx, vm: &VmRow, to: VmState, run: Id<kind::Run>) -> Result<()> {
    let sql = "UPDATE vm_instance SET state = ?, run_uuid = ?, state_ms = ?, state_reason = NULL
               WHERE uuid = ? AND state = ? AND (run_uuid IS NULL OR run_uuid = ?)";
    if tx.execute(sql, params![to, run, time::now_ms(), vm.uuid, vm.state, run])? == 0 {
        return Err(busy(tx, vm.uuid)?);
    }
    note(tx, vm.uuid, to)
}

/// Where a VM is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// The host.
    pub host: Id<kind::Host>,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Its zone.
    pub zone: Id<kind::Zone>,
}

/// Puts a VM into `Starting` on a host, held by `run`. A VM that another run holds is refused.
pub fn hold_on(tx: &mut dyn Tx, vm: &VmRow, seat: Seat, run: Id<kind::Run>) -> Result<()> {
    // One statement: each write of the state or the host writes indexes anew.
    let sql = "UPDATE vm_instance SET state = ?, run_uuid = ?, state_ms = ?, state_reason = NULL,
                 host_uuid = ?, cluster_uuid = ?, zone_uuid = ?,
                 hypervisor_type = (SELECT hypervisor_type FROM host WHERE uuid = ?)
               WHERE uuid = ? AND state = ? AND (run_uuid IS NULL OR run_uuid = ?)";
    let Seat { host, cluster, zone } = seat;
    let to = VmState::Starting;
    let values = params![to, run, time::now_ms(), host, cluster, zone, host, vm.uuid, vm.state, run];
    if tx.execute(sql, values)? == 0 {
        return Err(busy(tx, vm.uuid)?);
    }
    note(tx, vm.uuid, to)
}

/// Why a VM can't be held: another run holds it, which ends by itself or is stuck.
fn busy(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Fault> {
    let holder = tx.query_opt("SELECT run_uuid FROM vm_instance WHERE uuid = ?", params![vm])?;
    let holder: Option<Id<kind::Run>> = holder.map_or(Ok(None), |r| r.opt_id("run_uuid"))?;
    let stuck = match holder {
        Some(run) => stuck::holder_in_words(tx, run)?,
        None => None,
    };
    let fault = |text: String| Fault::new(code::VM_BUSY, text).with("vm", vm.to_string());
    Ok(match (stuck, holder) {
        (Some(why), Some(run)) => {
            fault(format!("VM {vm} is held by another operation: {why}")).with("run", run.to_string())
        }
        _ => fault(format!("VM {vm} is being changed by another operation; wait for it to end")).retry(),
    })
}

/// Ends a transitional state that `run` holds. True if it did hold it.
pub fn release(
    tx: &mut dyn Tx,
    vm: Id<kind::Vm>,
    run: Id<kind::Run>,
    to: VmState,
    reason: Option<&str>,
) -> Result<bool> {
    let sql = "UPDATE vm_instance SET state = ?, run_uuid = NULL, state_ms = ?, state_reason = ? WHERE uuid = ? AND run_uuid = ?";
    let changed = tx.execute(sql, params![to, time::now_ms(), reason, vm, run])? == 1;
    if changed {
        if to == VmState::Stopped || to == VmState::Destroyed {
            leave_host(tx, vm)?;
        }
        note(tx, vm, to)?;
    }
    Ok(changed)
}

/// Moves a VM that no run holds from one of some states to another. True if it was in one of them.
pub fn follow(
    tx: &mut dyn Tx,
    vm: Id<kind::Vm>,
    from: &[VmState],
    to: VmState,
    reason: &str,
) -> Result<bool> {
    let Some(row) = VmRow::find(tx, vm)? else { return Ok(false) };
    if row.state == to || !from.contains(&row.state) {
        return Ok(false);
    }
    let sql = "UPDATE vm_instance SET state = ?, state_ms = ?, state_reason = ? WHERE uuid = ? AND state = ? AND run_uuid IS NULL";
    let changed = tx.execute(sql, params![to, time::now_ms(), reason, vm, row.state])? == 1;
    if changed {
        if to == VmState::Stopped {
            leave_host(tx, vm)?;
        }
        note(tx, vm, to)?;
    }
    Ok(changed)
}

/// Entering Stopped moves the host to the last host.
fn leave_host(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<()> {
    let sql = "UPDATE vm_instance SET last_host_uuid = coalesce(host_uuid, last_host_uuid), host_uuid = NULL, vnc_port = NULL
               WHERE uuid = ?";
    tx.execute(sql, params![vm]).map(|_| ())
}

/// The event of a state, with what lists show of it.
pub fn note(tx: &mut dyn Tx, vm: Id<kind::Vm>, state: VmState) -> Result<()> {
    let sql = "SELECT host_uuid, last_host_uuid, state_reason FROM vm_instance WHERE uuid = ?";
    let (host, last, reason) = tx.query_opt(sql, params![vm])?.map_or(Ok((None, None, None)), |r| {
        Ok::<_, Fault>((r.opt_text("host_uuid")?, r.opt_text("last_host_uuid")?, r.opt_text("state_reason")?))
    })?;
    let actions: Vec<&str> = state.allowed_actions().iter().map(|a| a.as_str()).collect();
    let mut data = json!({ "state": state.as_str(), "hostUuid": host, "allowedActions": actions });
    if let Some(last) = last {
        data["lastHostUuid"] = last.into();
    }
    if let Some(reason) = reason {
        data["stateReason"] = reason.into();
    }
    rows::changed(tx, "VmInstanceVO", vm, &data)
}

/// Marks the root volume of a VM: deleted with it, or ready again.
pub fn mark_volumes(
    tx: &mut dyn Tx,
    vm: Id<kind::Vm>,
    from: VolumeStatus,
    to: VolumeStatus,
    deleted_ms: Option<i64>,
) -> Result<()> {
    let sql = "SELECT uuid FROM volume WHERE vm_instance_uuid = ? AND type = 'Root' AND status = ?";
    for row in tx.query(sql, params![vm, from])? {
        let volume: Id<kind::Volume> = row.id("uuid")?;
        let sql = "UPDATE volume SET status = ?, deleted_ms = ? WHERE uuid = ?";
        tx.execute(sql, params![to, deleted_ms, volume])?;
        rows::changed(tx, "VolumeVO", volume, &json!({ "status": to }))?;
    }
    Ok(())
}

/// Root volume of a VM with its storage.
#[derive(Debug, Clone)]
pub struct VolumeRow {
    /// The volume.
    pub uuid: Id<kind::Volume>,
    /// `Root` or `Data`.
    pub r#type: String,
    /// Primary storage that holds it.
    pub storage: Option<Id<kind::PrimaryStorage>>,
    /// Folder of the primary storage.
    pub storage_path: String,
    /// Several hosts reach its storage.
    pub is_shared: bool,
    /// Host that holds it, on local storage.
    pub host: Option<Id<kind::Host>>,
    /// Life of the volume.
    pub status: String,
    /// Virtual size in bytes.
    pub size: i64,
    /// File on the host.
    pub install_path: Option<String>,
    /// Position.
    pub device_id: i64,
}

/// Volumes of a VM, the root volume first.
pub fn volumes(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Vec<VolumeRow>> {
    let sql = "SELECT v.uuid, v.type, v.primary_storage_uuid, p.url, p.type AS storage_type, r.host_uuid, v.status, v.size, v.install_path, v.device_id
               FROM volume v LEFT JOIN primary_storage p ON p.uuid = v.primary_storage_uuid
               LEFT JOIN local_storage_resource_ref r ON r.resource_uuid = v.uuid
               WHERE v.vm_instance_uuid = ? ORDER BY v.device_id";
    let rows = tx.query(sql, params![vm])?;
    rows.iter()
        .map(|r| {
            Ok(VolumeRow {
                uuid: r.id("uuid")?,
                r#type: r.text("type")?,
                storage: r.opt_id("primary_storage_uuid")?,
                storage_path: r.opt_text("url")?.unwrap_or_default(),
                is_shared: r.opt_text("storage_type")?.as_deref() == Some(SIMULATOR),
                host: r.opt_id("host_uuid")?,
                status: r.text("status")?,
                size: r.int("size")?,
                install_path: r.opt_text("install_path")?,
                device_id: r.opt_int("device_id")?.unwrap_or(0),
            })
        })
        .collect()
}

/// L3 networks of a VM's NICs.
pub fn l3_networks(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Vec<Id<kind::L3Network>>> {
    let rows = tx.query(
        "SELECT l3_network_uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id",
        params![vm],
    )?;
    rows.iter().map(|r| r.id("l3_network_uuid")).collect()
}

/// Removes every row of a VM: volumes, NICs, addresses, tags, the VM itself. Nothing is left if it never was.
pub fn remove_rows(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<()> {
    if VmRow::find(tx, vm)?.is_none() {
        return Ok(());
    }
    departed::keep(tx, vm)?;
    let row = VmRow::load(tx, vm)?;
    for volume in volumes(tx, vm)? {
        tx.execute("DELETE FROM local_storage_resource_ref WHERE resource_uuid = ?", params![volume.uuid])?;
        rows::remove_telling(tx, "VolumeVO", volume.uuid, json!({ "hostUuid": volume.host }))?;
    }
    network::nics::remove_all(tx, vm)?;
    rows::remove_telling(
        tx,
        "VmInstanceVO",
        vm,
        json!({ "hostUuid": row.host, "lastHostUuid": row.last_host }),
    )
}
