//! The address of the DHCP server and metadata service of a flat network: one for all hosts, since each host serves its
//! own VMs only. Taken from the network's ranges when the network is first used; kept in a tag of the network.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};

use super::ip::{self, Purpose};
use super::service;
use crate::platform::tags;

const PREFIX: &str = "flatNetwork::DhcpServer::";

/// The address with the prefix length of its range, `10.0.0.2/24`; none if it was never taken.
pub fn find(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Option<String>> {
    let Some(value) = tags::get(tx, l3, PREFIX)? else { return Ok(None) };
    let uuid = value.rsplit("::").next().unwrap_or_default();
    let sql = "SELECT u.ip, r.prefix_len FROM used_ip u JOIN ip_range r ON r.uuid = u.ip_range_uuid WHERE u.uuid = ?";
    let row = tx.query_opt(sql, params![uuid])?;
    row.map(|r| Ok(format!("{}/{}", r.text("ip")?, r.int("prefix_len")?))).transpose()
}

/// The address without prefix length.
pub fn ip(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Option<String>> {
    Ok(find(tx, l3)?.and_then(|a| a.split_once('/').map(|(ip, _)| ip.to_owned())))
}

/// Takes the address if the network has services that need it and has none yet.
pub fn ensure(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Option<String>> {
    let services = service::of_l3(tx, l3)?;
    if !services.any() {
        return Ok(None);
    }
    if let Some(address) = find(tx, l3)? {
        return Ok(Some(address));
    }
    if ip::ranges(tx, l3)?.is_empty() {
        return Ok(None);
    }
    let taken = ip::take_any(tx, l3, Purpose::Dhcp)?;
    tags::set(tx, "L3NetworkVO", l3, PREFIX, &format!("{}::ipUuid::{}", taken.ip, taken.uuid), true)?;
    Ok(Some(format!("{}/{}", taken.ip, taken.prefix)))
}

/// Forgets the address if it lies in a range that goes; the next use takes another one.
pub fn forget_in(tx: &mut dyn Tx, range: Id<kind::IpRange>) -> Result<()> {
    let sql = "SELECT l3_network_uuid FROM used_ip WHERE ip_range_uuid = ? AND purpose = 'dhcp'";
    for row in tx.query(sql, params![range])? {
        tags::clear(tx, "L3NetworkVO", row.id::<kind::L3Network>("l3_network_uuid")?, PREFIX)?;
    }
    ip::give_back_where(tx, "ip_range_uuid = ? AND purpose = 'dhcp'", params![range])
}

/// Gives the address of a network back: it has no service any more that needs it.
pub fn give_back(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<()> {
    if let Some(value) = tags::get(tx, l3, PREFIX)? {
        let uuid = value.rsplit("::").next().unwrap_or_default();
        ip::give_back_where(tx, "uuid = ? AND purpose = 'dhcp'", params![uuid])?;
        tags::clear(tx, "L3NetworkVO", l3, PREFIX)?;
    }
    Ok(())
}
