//! Addresses of L3 networks. One is taken by inserting its row; the unique key of the table lets nobody take it twice.
//!
//! Which one: a free one at random. In a range with much room a few guesses find one; else the [`pool`] of the range proposes
//! one, which knows in memory where room may be. The row decides: a proposal that somebody else took is followed by another
//! one, and "full" is said only of a range whose rows were counted.

mod pool;

use cairn_store::{Tx, Value, is_duplicate, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use super::address::Address;

/// What an address is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A NIC of a VM.
    Nic(Id<kind::Nic>),
    /// DHCP server and metadata service of a flat network.
    Dhcp,
}

/// An address that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Row in `used_ip`.
    pub uuid: Id<kind::AnyResource>,
    /// The address.
    pub ip: String,
    /// Its sortable form.
    pub ip_sort: String,
    /// Netmask of its range.
    pub netmask: String,
    /// Prefix length of its range.
    pub prefix: i64,
    /// Gateway of its range.
    pub gateway: Option<String>,
    /// Its range.
    pub range: Id<kind::IpRange>,
}

/// A range, as far as taking addresses needs it.
#[derive(Debug, Clone)]
pub struct Range {
    /// The range.
    pub uuid: Id<kind::IpRange>,
    /// Its L3 network.
    pub l3: Id<kind::L3Network>,
    /// First address.
    pub start: Address,
    /// Last address.
    pub end: Address,
    /// Netmask.
    pub netmask: String,
    /// Prefix length.
    pub prefix: i64,
    /// Gateway that guests use.
    pub gateway: Option<String>,
}

/// Addresses that are read in one go to list free ones.
const PAGE: u128 = pool::BLOCK;
/// Guesses before the pool is asked.
const GUESSES: usize = 3;

impl Range {
    pub(super) fn read(row: &cairn_store::Row) -> Result<Self> {
        let address = |column: &str| -> Result<Address> {
            let text = row.text(column)?;
            Address::from_sort(&text)
                .ok_or_else(|| Fault::internal(format!("column {column} holds no address: {text}")))
        };
        Ok(Self {
            uuid: row.id("uuid")?,
            l3: row.id("l3_network_uuid")?,
            start: address("start_ip_sort")?,
            end: address("end_ip_sort")?,
            netmask: row.text("netmask")?,
            prefix: row.int("prefix_len")?,
            gateway: row.opt_text("gateway")?.filter(|g| !g.is_empty()),
        })
    }

    /// How many addresses it has.
    pub fn size(&self) -> u128 {
        self.end.count_from(self.start)
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: Address) -> bool {
        (self.start..=self.end).contains(&address)
    }
}

/// The ranges of an L3 network that addresses may be taken from, in the order of their addresses.
pub fn ranges(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Vec<Range>> {
    let sql =
        "SELECT * FROM ip_range WHERE l3_network_uuid = ? AND deleting_run IS NULL ORDER BY start_ip_sort";
    tx.query(sql, params![l3])?.iter().map(Range::read).collect()
}

/// Takes an address for a NIC: the wanted one, or any. `L3.1000` if that can't be.
pub fn take(
    tx: &mut dyn Tx,
    l3: Id<kind::L3Network>,
    nic: Id<kind::Nic>,
    wanted: Option<&str>,
) -> Result<Taken> {
    match wanted {
        Some(text) => take_wanted(tx, l3, nic, text),
        None => take_any(tx, l3, Purpose::Nic(nic)),
    }
}

/// Gives all addresses of a NIC back.
pub fn give_back(tx: &mut dyn Tx, nic: Id<kind::Nic>) -> Result<()> {
    give_back_where(tx, "vm_nic_uuid = ?", params![nic])
}

/// Gives the addresses back whose rows satisfy a condition.
pub fn give_back_where(tx: &mut dyn Tx, condition: &str, values: &[Value]) -> Result<()> {
    let sql = format!(
        "SELECT u.ip_sort, r.uuid, r.start_ip_sort FROM (SELECT ip_sort, ip_range_uuid FROM used_ip WHERE {condition}) u
         JOIN ip_range r ON r.uuid = u.ip_range_uuid"
    );
    for row in tx.query(&sql, values)? {
        let address = |column: &str| row.text(column).map(|t| Address::from_sort(&t));
        if let (Some(address), Some(start)) = (address("ip_sort")?, address("start_ip_sort")?) {
            pool::freed(row.id("uuid")?, start, address);
        }
    }
    tx.execute(&format!("DELETE FROM used_ip WHERE {condition}"), values).map(|_| ())
}

fn take_wanted(tx: &mut dyn Tx, l3: Id<kind::L3Network>, nic: Id<kind::Nic>, text: &str) -> Result<Taken> {
    let address = Address::v4("ip", text)?;
    let ranges = ranges(tx, l3)?;
    let Some(range) = ranges.iter().find(|r| r.contains(address)) else {
        let known: Vec<String> = ranges.iter().map(|r| format!("{} to {}", r.start, r.end)).collect();
        let known = if known.is_empty() { "it has no IP range".to_owned() } else { known.join(", ") };
        let details = format!("address {address} lies in no IP range of L3 network {l3}: {known}");
        return Err(Fault::new(code::L3_ALLOCATE_IP, details)
            .with("ip", address.to_string())
            .with("l3NetworkUuid", l3.to_string()));
    };
    match insert(tx, range, address, Purpose::Nic(nic)) {
        Err(f) if is_duplicate(&f) => Err(in_use(l3, address)),
        other => other,
    }
}

fn in_use(l3: Id<kind::L3Network>, address: Address) -> Fault {
    let details = format!("address {address} of L3 network {l3} is in use; choose another one");
    Fault::new(code::L3_ALLOCATE_IP, details)
        .with("ip", address.to_string())
        .with("l3NetworkUuid", l3.to_string())
}

/// Takes any free address.
pub(super) fn take_any(tx: &mut dyn Tx, l3: Id<kind::L3Network>, purpose: Purpose) -> Result<Taken> {
    let ranges = ranges(tx, l3)?;
    for range in &ranges {
        if let Some(address) = find_free(tx, range, random())? {
            return insert(tx, range, address, purpose);
        }
    }
    Err(full(tx, l3, &ranges))
}

fn insert(tx: &mut dyn Tx, range: &Range, address: Address, purpose: Purpose) -> Result<Taken> {
    let (nic, purpose) = match purpose {
        Purpose::Nic(nic) => (Some(nic), "nic"),
        Purpose::Dhcp => (None, "dhcp"),
    };
    let taken = Taken {
        uuid: Id::new(),
        ip: address.to_string(),
        ip_sort: address.sort(),
        netmask: range.netmask.clone(),
        prefix: range.prefix,
        gateway: range.gateway.clone(),
        range: range.uuid,
    };
    let now = time::now_ms();
    let sql = "INSERT INTO used_ip (uuid, l3_network_uuid, ip_range_uuid, ip, ip_sort, netmask, gateway, vm_nic_uuid, purpose,
               create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        taken.uuid,
        range.l3,
        range.uuid,
        &taken.ip,
        &taken.ip_sort,
        &taken.netmask,
        taken.gateway.clone(),
        nic,
        purpose,
        now,
        now
    ];
    tx.execute(sql, values)?;
    pool::took(range, address);
    Ok(taken)
}

/// The error of a network without a free address: which ranges it has and how full they are.
fn full(tx: &mut dyn Tx, l3: Id<kind::L3Network>, ranges: &[Range]) -> Fault {
    let mut texts = Vec::new();
    let mut facts = Vec::new();
    for range in ranges {
        let used = match pool::is_known_full(range) {
            true => range.size(),
            false => used_between(tx, range.l3, range.start, range.end).unwrap_or(0),
        };
        texts.push(format!("{} to {}: {used} of {} in use", range.start, range.end, range.size()));
        facts.push(json!({
            "uuid": range.uuid.to_string(), "startIp": range.start.to_string(), "endIp": range.end.to_string(),
            "used": number(used), "total": number(range.size()),
        }));
    }
    let details = if ranges.is_empty() {
        format!("L3 network {l3} has no IP range; add one")
    } else {
        format!("no address is free in L3 network {l3} ({}); add an IP range or delete VMs", texts.join("; "))
    };
    Fault::new(code::L3_ALLOCATE_IP, details).with("l3NetworkUuid", l3.to_string()).with("ranges", facts)
}

fn number(n: u128) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn random() -> u128 {
    // The low bits of a random uuid; its version and variant lie above them.
    Id::<kind::AnyResource>::random().as_u128() & u128::from(u32::MAX)
}

pub use pool::differences;
pub(super) use pool::forget;

/// How many addresses from `first` to `last` are taken.
pub fn used_between(tx: &mut dyn Tx, l3: Id<kind::L3Network>, first: Address, last: Address) -> Result<u128> {
    let sql = "SELECT count(*) FROM used_ip WHERE l3_network_uuid = ? AND ip_sort BETWEEN ? AND ?";
    Ok(u128::try_from(tx.query_int(sql, params![l3, first.sort(), last.sort()])?).unwrap_or(0))
}

/// Up to `limit` taken addresses from `first` to `last`, in order.
pub(super) fn used_list(
    tx: &mut dyn Tx,
    l3: Id<kind::L3Network>,
    first: Address,
    last: Address,
    limit: u128,
) -> Result<Vec<Address>> {
    let sql = "SELECT ip_sort FROM used_ip WHERE l3_network_uuid = ? AND ip_sort BETWEEN ? AND ? ORDER BY ip_sort LIMIT ?";
    let rows = tx.query(sql, params![l3, first.sort(), last.sort(), number(limit)])?;
    rows.iter()
        .map(|r| r.text("ip_sort").map(|t| Address::from_sort(&t)))
        .filter_map(Result::transpose)
        .collect()
}

/// A free address of a range, none if all are taken. `seed` decides which.
pub(super) fn find_free(tx: &mut dyn Tx, range: &Range, seed: u128) -> Result<Option<Address>> {
    let size = range.size();
    if size == 0 {
        return Ok(None);
    }
    let begin = range.start.plus(seed % size);
    for guess in 0..GUESSES {
        let address = if guess == 0 { begin } else { range.start.plus(random() % size) };
        if !pool::is_taken(tx, range, address)? {
            return Ok(Some(address));
        }
    }
    pool::propose(tx, range, begin)
}

/// Up to `limit` free addresses of a range, in order, from `start` on. Blocks that count as full are left out, unless that
/// leaves too few.
pub fn list_free(tx: &mut dyn Tx, range: &Range, start: Address, limit: usize) -> Result<Vec<Address>> {
    if pool::is_known_full(range) {
        return Ok(Vec::new());
    }
    let free = walk(tx, range, start, limit, true)?;
    if free.len() < limit { walk(tx, range, start, limit, false) } else { Ok(free) }
}

fn walk(
    tx: &mut dyn Tx,
    range: &Range,
    start: Address,
    limit: usize,
    is_quick: bool,
) -> Result<Vec<Address>> {
    let mut free = Vec::new();
    let mut next = range.start.max(start);
    while next <= range.end && free.len() < limit {
        if is_quick {
            next = pool::skip_full(range, next);
        }
        let used = used_list(tx, range.l3, next, range.end, PAGE)?;
        // What is known ends with the last address of a list that was cut off.
        let is_cut = u128::try_from(used.len()).unwrap_or(PAGE) >= PAGE;
        let known_to = used.last().copied().filter(|_| is_cut).unwrap_or(range.end);
        let mut taken = used.into_iter().peekable();
        while next <= known_to && free.len() < limit {
            if taken.next_if_eq(&next).is_none() {
                free.push(next);
            }
            next = next.plus(1);
        }
    }
    Ok(free)
}

#[cfg(test)]
mod tests;
