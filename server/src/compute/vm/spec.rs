//! What an agent needs to run a VM, read from rows.

use cairn_api::agent::vm::{Disk, VmSpec};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};

use super::model::VmRow;
use super::store;
use crate::app::App;
use crate::network;
use crate::platform::tags;

/// The whole specification of a VM for a host.
pub fn of_vm(app: &App, tx: &mut dyn Tx, vm: Id<kind::Vm>, host: Id<kind::Host>) -> Result<VmSpec> {
    let row = VmRow::load(tx, vm)?;
    let listen = tx.query_opt("SELECT management_ip FROM host WHERE uuid = ?", params![host])?;
    let listen = listen.ok_or_else(|| Fault::not_found("HostVO", host))?.text("management_ip")?;
    let offering =
        tx.query_opt("SELECT instance_offering_uuid FROM vm_instance WHERE uuid = ?", params![vm])?;
    let offering =
        offering.map_or(Ok(None), |r| r.opt_id::<kind::InstanceOffering>("instance_offering_uuid"))?;
    let limit = |tx: &mut dyn Tx, prefix: &str| -> Result<Option<u64>> {
        let own = tags::get(tx, vm, prefix)?;
        let given = match (own, offering) {
            (Some(v), _) => Some(v),
            (None, Some(offering)) => tags::get(tx, offering, prefix)?,
            (None, None) => None,
        };
        Ok(given.and_then(|v| v.parse().ok()).filter(|v| *v > 0))
    };
    let bytes_per_second = limit(tx, "volumeTotalBandwidth::")?;
    let iops = limit(tx, "volumeTotalIops::")?;
    let disks = store::volumes(tx, vm)?
        .into_iter()
        .map(|v| disk(v, bytes_per_second, iops))
        .collect::<Result<_>>()?;
    let guest_agent = tags::get(tx, vm, "qemuga")?.is_some();
    Ok(VmSpec {
        vm: vm.to_string(),
        title: row.name,
        cpu_num: u32::try_from(row.cpu_num).unwrap_or(1),
        memory_bytes: u64::try_from(row.memory_size).unwrap_or(0),
        platform: row.platform,
        cpu_mode: app.settings.text("kvm", "vm.cpuMode"),
        video: app.settings.text("vm", "videoType"),
        cache: app.settings.text("kvm", "vm.cacheMode"),
        kvm_hidden: app.settings.bool("vm", "kvmHiddenState"),
        boot_menu: app.settings.bool("vm", "bootMenu"),
        boot: boot_order(tx, vm)?,
        disks,
        iso: iso(tx, vm, host)?,
        nics: network::nics::specs(app, tx, vm)?,
        vnc_listen: listen,
        guest_agent,
        config_drive: Some(network::metadata::of_vm(tx, vm)?),
    })
}

fn disk(v: store::VolumeRow, bytes_per_second: Option<u64>, iops: Option<u64>) -> Result<Disk> {
    let path = v.install_path.ok_or_else(|| Fault::internal(format!("volume {} has no file yet", v.uuid)))?;
    Ok(Disk {
        volume: v.uuid.to_string(),
        path,
        format: "qcow2".into(),
        device_id: u32::try_from(v.device_id).unwrap_or(0),
        bytes_per_second,
        iops,
    })
}

fn boot_order(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Vec<String>> {
    let order = tags::get(tx, vm, "bootOrder::")?.unwrap_or_else(|| "HardDisk,CdRom".into());
    let name = |device: &str| match device.trim() {
        "CdRom" => Some("cdrom".to_owned()),
        "HardDisk" => Some("hd".to_owned()),
        "Network" => Some("network".to_owned()),
        _ => None,
    };
    Ok(order.split(',').filter_map(name).collect())
}

/// The ISO that a VM is installed from, as it lies in the host's image cache.
fn iso(tx: &mut dyn Tx, vm: Id<kind::Vm>, host: Id<kind::Host>) -> Result<Option<String>> {
    let Some(image) = tags::get(tx, vm, "iso::")? else { return Ok(None) };
    let sql =
        "SELECT install_path FROM image_cache WHERE image_uuid = ? AND (host_uuid = ? OR host_uuid IS NULL)";
    tx.query_opt(sql, params![image, host])?.map(|r| r.text("install_path")).transpose()
}
