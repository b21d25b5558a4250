//! The calls that look at addresses: which are free, and how many.

use cairn_api::ops::network as ops;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::network::address::Address;
use crate::network::ip::{self, Range};

type L3 = Id<kind::L3Network>;

pub(super) fn handlers(h: &mut Handlers) {
    h.read(free_of_l3);
    h.read(free_of_range);
    h.read(availability);
    h.read(capacity);
}

struct Ask {
    l3: Option<L3>,
    range: Option<Id<kind::IpRange>>,
    start: Address,
    limit: usize,
    is_v6: bool,
}

async fn free_of_l3(call: Call, op: ops::GetFreeIpOfL3Network) -> Result<Value> {
    let ask = Ask {
        l3: Some(id("l3NetworkUuid", &op.l3_network_uuid)?),
        range: crate::call::opt_id("ipRangeUuid", op.ip_range_uuid.as_deref())?,
        start: Address::v4("start", &op.start)?,
        limit: usize::try_from(op.limit).unwrap_or(100),
        is_v6: op.ip_version == Some(6),
    };
    free(call, ask).await
}

async fn free_of_range(call: Call, op: ops::GetFreeIpOfIpRange) -> Result<Value> {
    let ask = Ask {
        l3: crate::call::opt_id("l3NetworkUuid", op.l3_network_uuid.as_deref())?,
        range: Some(id("ipRangeUuid", &op.ip_range_uuid)?),
        start: Address::v4("start", &op.start)?,
        limit: usize::try_from(op.limit).unwrap_or(100),
        is_v6: op.ip_version == Some(6),
    };
    free(call, ask).await
}

async fn free(call: Call, ask: Ask) -> Result<Value> {
    if ask.is_v6 {
        return Ok(json!({ "inventories": [] }));
    }
    let list = call.app.store.read(move |tx| find_free(tx, &ask)).await?;
    Ok(json!({ "inventories": list }))
}

fn find_free(tx: &mut dyn Tx, ask: &Ask) -> Result<Vec<Value>> {
    let sql = "SELECT * FROM ip_range WHERE deleting_run IS NULL AND (l3_network_uuid = ? OR uuid = ?) ORDER BY start_ip_sort";
    let l3 = ask.l3.map(|l| l.to_string());
    let ranges = tx.query(sql, params![l3, ask.range.map(|r| r.to_string())])?;
    let mut list = Vec::new();
    for row in &ranges {
        let range = Range::read(row)?;
        if ask.range.is_some_and(|r| r != range.uuid) || ask.l3.is_some_and(|l| l != range.l3) {
            continue;
        }
        for address in ip::list_free(tx, &range, ask.start, ask.limit - list.len())? {
            list.push(json!({
                "ipRangeUuid": range.uuid.to_string(), "ip": address.to_string(), "netmask": range.netmask,
                "gateway": range.gateway,
            }));
        }
    }
    Ok(list)
}

async fn availability(call: Call, op: ops::CheckIpAvailability) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let address = Address::v4("ip", &op.ip)?;
    if op.arp_check {
        return Err(Fault::argument(
            "parameter arpCheck is true; asking on the network itself is not supported",
        ));
    }
    let available = call.app.store.read(move |tx| {
        let ranges = ip::ranges(tx, l3)?;
        let inside = ranges.iter().any(|r| r.contains(address)) || !op.ip_range_check;
        let is_gateway =
            ranges.iter().any(|r| r.gateway.as_deref().and_then(Address::parse) == Some(address));
        Ok(inside && !is_gateway && ip::used_between(tx, l3, address, address)? == 0)
    });
    Ok(json!({ "available": available.await? }))
}

async fn capacity(call: Call, op: ops::GetIpAddressCapacity) -> Result<Value> {
    if !op.all && op.ip_range_uuids.is_empty() && op.l3_network_uuids.is_empty() && op.zone_uuids.is_empty() {
        let text = "name what to add up: ipRangeUuids, l3NetworkUuids or zoneUuids, or all=true";
        return Err(Fault::argument(text));
    }
    let me = (!call.caller.is_admin()).then(|| call.caller.account.to_string());
    let (total, used) = call.app.store.read(move |tx| add_up(tx, &op, me)).await?;
    Ok(json!({ "totalCapacity": total, "availableCapacity": (total - used).max(0) }))
}

/// Ranges of a column's value, or all; for an account those of networks that it owns or that are shared with it.
fn add_up(tx: &mut dyn Tx, op: &ops::GetIpAddressCapacity, me: Option<String>) -> Result<(i64, i64)> {
    let (column, uuids) = match () {
        () if !op.ip_range_uuids.is_empty() => ("r.uuid", &op.ip_range_uuids),
        () if !op.l3_network_uuids.is_empty() => ("r.l3_network_uuid", &op.l3_network_uuids),
        () => ("l.zone_uuid", &op.zone_uuids),
    };
    let sql = "SELECT r.*, l.zone_uuid FROM ip_range r JOIN l3_network l ON l.uuid = r.l3_network_uuid
               WHERE ? IS NULL OR l.uuid IN
                 (SELECT uuid FROM resource WHERE account_uuid = ? AND resource_type = 'L3NetworkVO'
                  UNION SELECT resource_uuid FROM shared_resource WHERE receiver_account_uuid = ? OR to_public = 1)";
    let name = column.split('.').next_back().unwrap_or_default();
    let (mut total, mut taken) = (0i64, 0);
    for row in tx.query(sql, params![me.clone(), me.clone(), me])? {
        if !uuids.is_empty() && !uuids.contains(&row.text(name)?) {
            continue;
        }
        let range = Range::read(&row)?;
        total = total.saturating_add(i64::try_from(range.size()).unwrap_or(i64::MAX));
        // Only the ranges that were asked for are counted, along an index that holds nothing else.
        taken += tx.query_int("SELECT count(*) FROM used_ip WHERE ip_range_uuid = ?", params![range.uuid])?;
    }
    Ok((total, taken))
}
