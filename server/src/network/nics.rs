//! NICs of VMs: rows, hardware addresses and addresses. The row repeats the first address for lists.

use cairn_api::agent::vm;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::json;

use super::{address::Address, dhcp, ip, l2, l3, mac};
use crate::app::App;
use crate::platform::tags;
use crate::rows;

const ENTITY: &str = "VmNicVO";

/// Gives a VM a NIC on an L3 network that users may use, with an address if the network has any to give.
pub fn create(
    tx: &mut dyn Tx,
    vm: Id<kind::Vm>,
    l3: Id<kind::L3Network>,
    device_id: i64,
    wanted_ip: Option<&str>,
    nic: Id<kind::Nic>,
) -> Result<()> {
    l3::claim_for_vm(tx, l3)?;
    rows::must_exist(tx, "VmInstanceVO", vm)?;
    let (owner, mac) = (rows::owner(tx, vm)?, mac::fresh(tx)?);
    rows::register(tx, ENTITY, nic, owner)?;
    let now = time::now_ms();
    let sql = "INSERT INTO vm_nic (uuid, vm_instance_uuid, l3_network_uuid, mac, device_id, internal_name, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![nic, vm, l3, mac, device_id, tap(nic), now, now])?;
    if wanted_ip.is_some() || !ip::ranges(tx, l3)?.is_empty() {
        address(tx, nic, l3, wanted_ip)?;
    }
    Ok(())
}

/// `vn` and the last 12 digits of the NIC's uuid, which are random: 14 of the 15 bytes that Linux allows, and different from
/// those of any other installation on the same machine.
fn tap(nic: Id<kind::Nic>) -> String {
    format!("vn{:012x}", nic.as_u128() & ((1 << 48) - 1))
}

/// Takes an address for a NIC that has none, and notes it in its row.
fn address(tx: &mut dyn Tx, nic: Id<kind::Nic>, l3: Id<kind::L3Network>, wanted: Option<&str>) -> Result<()> {
    let taken = ip::take(tx, l3, nic, wanted)?;
    let sql =
        "UPDATE vm_nic SET used_ip_uuid = ?, ip = ?, ip_sort = ?, netmask = ?, gateway = ? WHERE uuid = ?";
    tx.execute(sql, params![taken.uuid, &taken.ip, taken.ip_sort, taken.netmask, taken.gateway, nic])?;
    rows::changed(tx, ENTITY, nic, &json!({ "ip": taken.ip }))?;
    dhcp::ensure(tx, l3).map(|_| ())
}

/// Gives a NIC a new address: the static one of its VM if it is free, else any. On a network without ranges it has none.
pub fn readdress(tx: &mut dyn Tx, nic: Id<kind::Nic>, l3: Id<kind::L3Network>) -> Result<()> {
    rows::claim(tx, "L3NetworkVO", l3)?;
    clear(tx, nic)?;
    if let Some(wanted) = static_ip(tx, nic, l3)?
        && is_free(tx, l3, &wanted)?
    {
        return address(tx, nic, l3, Some(&wanted));
    }
    if ip::ranges(tx, l3)?.is_empty() { Ok(()) } else { address(tx, nic, l3, None) }
}

/// Gives a NIC exactly this address. `L3.1000` if it can't have it; nothing is changed then.
pub fn set_address(tx: &mut dyn Tx, nic: Id<kind::Nic>, l3: Id<kind::L3Network>, wanted: &str) -> Result<()> {
    rows::claim(tx, "L3NetworkVO", l3)?;
    clear(tx, nic)?;
    address(tx, nic, l3, Some(wanted))
}

/// Gives the addresses of a NIC back; the NIC stays without.
pub fn clear(tx: &mut dyn Tx, nic: Id<kind::Nic>) -> Result<()> {
    ip::give_back(tx, nic)?;
    let sql = "UPDATE vm_nic SET used_ip_uuid = NULL, ip = NULL, ip_sort = NULL, netmask = NULL, gateway = NULL WHERE uuid = ?";
    tx.execute(sql, params![nic]).map(|_| ())
}

fn static_ip(tx: &mut dyn Tx, nic: Id<kind::Nic>, l3: Id<kind::L3Network>) -> Result<Option<String>> {
    let Some(row) = tx.query_opt("SELECT vm_instance_uuid FROM vm_nic WHERE uuid = ?", params![nic])? else {
        return Err(Fault::not_found(ENTITY, nic));
    };
    let vm: Id<kind::Vm> = row.id("vm_instance_uuid")?;
    tags::get(tx, vm, &format!("staticIp::{l3}::"))
}

fn is_free(tx: &mut dyn Tx, l3: Id<kind::L3Network>, wanted: &str) -> Result<bool> {
    let Some(wanted) = Address::parse(wanted) else { return Ok(false) };
    let inside = ip::ranges(tx, l3)?.iter().any(|r| r.contains(wanted));
    Ok(inside && ip::used_between(tx, l3, wanted, wanted)? == 0)
}

/// Removes all NICs of a VM with their addresses.
pub fn remove_all(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<()> {
    let rows =
        tx.query("SELECT uuid FROM vm_nic WHERE vm_instance_uuid = ? ORDER BY device_id", params![vm])?;
    rows.iter().try_for_each(|row| remove(tx, row.id("uuid")?))
}

/// Removes a NIC with its addresses.
pub fn remove(tx: &mut dyn Tx, nic: Id<kind::Nic>) -> Result<()> {
    ip::give_back(tx, nic)?;
    rows::remove(tx, ENTITY, nic)
}

/// The NICs of a VM as its host needs them.
pub fn specs(app: &App, tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Vec<vm::Nic>> {
    let anti_spoofing = app.settings.bool("vm", "cleanTraffic");
    let sql = "SELECT n.uuid, n.mac, n.internal_name, n.l3_network_uuid, l.l2_network_uuid FROM vm_nic n
               JOIN l3_network l ON l.uuid = n.l3_network_uuid WHERE n.vm_instance_uuid = ? ORDER BY n.device_id";
    let rows = tx.query(sql, params![vm])?;
    rows.iter()
        .map(|row| {
            let (nic, l3): (Id<kind::Nic>, Id<kind::L3Network>) =
                (row.id("uuid")?, row.id("l3_network_uuid")?);
            Ok(vm::Nic {
                nic: nic.to_string(),
                tap: row.opt_text("internal_name")?.unwrap_or_default(),
                mac: row.text("mac")?,
                bridge: l2::bridge(tx, row.id("l2_network_uuid")?)?,
                l3_network: l3.to_string(),
                addresses: addresses(tx, nic)?,
                anti_spoofing,
                mtu: l3::mtu(app, tx, l3)?,
            })
        })
        .collect()
}

fn addresses(tx: &mut dyn Tx, nic: Id<kind::Nic>) -> Result<Vec<String>> {
    let rows = tx.query("SELECT ip FROM used_ip WHERE vm_nic_uuid = ? ORDER BY uuid", params![nic])?;
    rows.iter().map(|r| r.text("ip")).collect()
}
