//! The calls about IP ranges.

use cairn_api::ops::network as ops;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use super::ENTITY;
use super::delete::DeleteIpRange;
use crate::call::{Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::network::address::{Address, RESERVED, Subnet};
use crate::{inventory, rows};

pub(in crate::network) fn handlers(h: &mut Handlers) {
    h.change(add);
    h.change(add_by_cidr);
    h.change(update);
    h.run(delete);
}

/// A range that is to be.
struct New {
    uuid: Id<kind::IpRange>,
    l3: Id<kind::L3Network>,
    name: String,
    description: Option<String>,
    start: Address,
    end: Address,
    gateway: Address,
    subnet: Subnet,
}

fn add(call: &Call, tx: &mut dyn Tx, op: &ops::AddIpRange) -> Result<Value> {
    normal_only(op.ip_range_type.as_deref())?;
    let start = Address::v4("startIp", &op.start_ip)?;
    let gateway = op.gateway.as_deref().ok_or_else(|| Fault::argument("parameter gateway is missing"))?;
    let range = New {
        uuid: opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default(),
        l3: id("l3NetworkUuid", &op.l3_network_uuid)?,
        name: op.name.clone(),
        description: op.description.clone(),
        start,
        end: Address::v4("endIp", &op.end_ip)?,
        gateway: Address::v4("gateway", gateway)?,
        subnet: Subnet::of(start, Subnet::prefix_of_netmask("netmask", &op.netmask)?),
    };
    insert(call, tx, &range)
}

/// The first address is the gateway and the others are handed out, unless the last one is named as the gateway.
fn add_by_cidr(call: &Call, tx: &mut dyn Tx, op: &ops::AddIpRangeByNetworkCidr) -> Result<Value> {
    normal_only(op.ip_range_type.as_deref())?;
    let subnet = Subnet::parse_cidr("networkCidr", &op.network_cidr)?;
    let wanted = op.gateway.as_deref().filter(|g| !g.is_empty());
    let gateway = wanted.map_or(Ok(subnet.first()), |g| Address::v4("gateway", g))?;
    let (start, end) = match gateway {
        g if g == subnet.first() => (g.plus(1), subnet.last()),
        g if g == subnet.last() => (subnet.first(), g.minus(1)),
        g => {
            let text = format!(
                "parameter gateway is {g}; it must be the first or the last address of {subnet}, {} or {}. For another \
                 gateway name the addresses with AddIpRange",
                subnet.first(),
                subnet.last()
            );
            return Err(Fault::argument(text).with("parameter", "gateway"));
        }
    };
    let range = New {
        uuid: opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default(),
        l3: id("l3NetworkUuid", &op.l3_network_uuid)?,
        name: op.name.clone(),
        description: op.description.clone(),
        start,
        end,
        gateway,
        subnet,
    };
    insert(call, tx, &range)
}

fn normal_only(kind: Option<&str>) -> Result<()> {
    match kind {
        Some("AddressPool") => {
            Err(Fault::argument("parameter ipRangeType is AddressPool, which is not supported yet"))
        }
        _ => Ok(()),
    }
}

fn insert(call: &Call, tx: &mut dyn Tx, range: &New) -> Result<Value> {
    range.check_itself()?;
    rows::claim(tx, "L3NetworkVO", range.l3)?;
    range.check_others(tx)?;
    let owner = rows::owner(tx, range.l3)?;
    rows::register(tx, ENTITY, range.uuid, owner)?;
    let now = time::now_ms();
    let sql = "INSERT INTO ip_range (uuid, l3_network_uuid, name, description, start_ip, end_ip, start_ip_sort, end_ip_sort,
               netmask, prefix_len, gateway, network_cidr, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        range.uuid,
        range.l3,
        &range.name,
        range.description.clone(),
        range.start.to_string(),
        range.end.to_string(),
        range.start.sort(),
        range.end.sort(),
        range.subnet.netmask(),
        i64::from(range.subnet.prefix()),
        range.gateway.to_string(),
        range.subnet.to_string(),
        now,
        now
    ];
    tx.execute(sql, values)?;
    rows::changed(tx, "L3NetworkVO", range.l3, &json!({ "changed": ["ipRanges"] }))?;
    inventory::answer(tx, "IpRangeInventory", range.uuid, call.dates)
}

fn overlap(a: (Address, Address), b: (Address, Address)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

impl New {
    fn refuse(&self, parameter: &str, why: &str) -> Result<()> {
        let text = format!("the range {} to {} can't be added: {why}", self.start, self.end);
        Err(Fault::argument(text).with("parameter", parameter))
    }

    fn check_itself(&self) -> Result<()> {
        let (start, end, gateway, subnet) = (self.start, self.end, self.gateway, self.subnet);
        if start > end {
            return self.refuse("startIp", "its start lies behind its end");
        }
        for (first, last, what) in RESERVED {
            let (Some(first), Some(last)) = (Address::parse(first), Address::parse(last)) else { continue };
            if overlap((start, end), (first, last)) {
                return self.refuse("startIp", &format!("{first} to {last} are {what}"));
            }
        }
        for (parameter, address) in [("startIp", start), ("endIp", end), ("gateway", gateway)] {
            if !subnet.is_usable(address) {
                let (first, last) = (subnet.first(), subnet.last());
                let why =
                    format!("{parameter} {address} is no address of {subnet}, which has {first} to {last}");
                return self.refuse(parameter, &why);
            }
        }
        if (start..=end).contains(&gateway) {
            return self.refuse("gateway", &format!("the gateway {gateway} lies in it"));
        }
        Ok(())
    }

    /// Two guests of one segment can't have one address, so ranges of different L3 networks on one L2 network keep apart. The
    /// other network may be somebody else's: it is not named.
    fn check_segment(&self, tx: &mut dyn Tx) -> Result<()> {
        let sql = "SELECT r.* FROM ip_range r JOIN l3_network other ON other.uuid = r.l3_network_uuid
                   JOIN l3_network mine ON mine.l2_network_uuid = other.l2_network_uuid
                   WHERE mine.uuid = ? AND other.uuid <> mine.uuid";
        for row in tx.query(sql, params![self.l3])? {
            let other = crate::network::ip::Range::read(&row)?;
            let gateway = other.gateway.as_deref().and_then(Address::parse);
            let meets = |a: Address| (self.start..=self.end).contains(&a);
            if overlap((self.start, self.end), (other.start, other.end)) || gateway.is_some_and(meets) {
                let why = "it overlaps with addresses of another L3 network on the same L2 network";
                return self.refuse("startIp", why);
            }
        }
        Ok(())
    }

    fn check_others(&self, tx: &mut dyn Tx) -> Result<()> {
        self.check_segment(tx)?;
        let sql = "SELECT * FROM ip_range WHERE l3_network_uuid = ? ORDER BY start_ip_sort";
        for row in tx.query(sql, params![self.l3])? {
            let other = crate::network::ip::Range::read(&row)?;
            let (uuid, cidr) = (other.uuid, row.text("network_cidr")?);
            if overlap((self.start, self.end), (other.start, other.end)) {
                let why = format!("it overlaps with range {uuid} ({} to {})", other.start, other.end);
                return self.refuse("startIp", &why);
            }
            if cidr != self.subnet.to_string() {
                let why = format!(
                    "it lies in {}, but the ranges of an L3 network share one subnet, here {cidr} of range {uuid}",
                    self.subnet
                );
                return self.refuse("netmask", &why);
            }
            if other.contains(self.gateway) {
                return self.refuse("gateway", &format!("the gateway {} lies in range {uuid}", self.gateway));
            }
            let gateway = other.gateway.as_deref().and_then(Address::parse);
            if let Some(gateway) = gateway.filter(|g| (self.start..=self.end).contains(g)) {
                return self.refuse("startIp", &format!("{gateway} is the gateway of range {uuid}"));
            }
        }
        Ok(())
    }
}

fn update(call: &Call, tx: &mut dyn Tx, op: &ops::UpdateIpRange) -> Result<Value> {
    let range: Id<kind::IpRange> = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, range)?;
    let columns =
        [("name", op.name.clone().map(Into::into)), ("description", op.description.clone().map(Into::into))];
    rows::update(tx, ENTITY, range, &columns)?;
    inventory::answer(tx, "IpRangeInventory", range, call.dates)
}

async fn delete(_call: Call, op: ops::DeleteIpRange) -> Result<Launch> {
    Ok(Launch::run(DeleteIpRange::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}
