//! Which addresses of a range may be free, remembered in memory by blocks of 1024. It **proposes**; whoever takes an address asks
//! its row, and the unique key decides. So it may be stale, whoever else writes rows:
//!
//! - A block is read from rows when it is first looked at, and again before it counts as full. What was taken meanwhile by
//!   somebody else is found out by the row of the address that is proposed.
//! - An address that is given back makes its block unknown. Where rows go without a word to this module, such as those of a
//!   host that is deleted, the next count finds it out.
//! - That all blocks are full is checked by a count of rows, at most once a second while nothing is taken or given back here.
//! - A transaction may be taken back and run again after it took or gave back an address, and a reader may look at what was
//!   before it. So nothing is concluded from a count until a second after the last of those.
//!
//! A proposal costs a walk over the blocks of the range that are known to be full, and at most one reading of 1024 rows for each
//! block that is not known yet: nothing that grows with the addresses in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};

use super::super::address::Address;
use super::{Range, used_between, used_list};

/// Addresses of a block.
pub(super) const BLOCK: u128 = 1024;
/// So long it is believed that a range is full without counting again.
const BELIEVED: Duration = Duration::from_secs(1);

type Bits = Box<[u64; 16]>;

/// By range. A uuid of a range means the same in every database.
static POOLS: Mutex<BTreeMap<Id<kind::IpRange>, Pool>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Pool {
    /// First and last address of the range.
    ends: Option<(Address, Address)>,
    /// Taken addresses of blocks that are not full, a bit each; those behind the end of the range count as taken.
    known: BTreeMap<u128, Bits>,
    /// Blocks without a free address.
    full: BTreeSet<u128>,
    /// When a count said that the whole range is full.
    counted: Option<Instant>,
    /// When an address was taken or given back here, by a transaction that may not have ended yet or not have been kept.
    touched: Option<Instant>,
}

fn lock() -> MutexGuard<'static, BTreeMap<Id<kind::IpRange>, Pool>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(range: &Range, f: impl FnOnce(&mut Pool) -> T) -> T {
    let (mut pools, ends) = (lock(), Some((range.start, range.end)));
    let pool = pools.entry(range.uuid).or_default();
    if pool.ends != ends {
        *pool = Pool { ends, touched: pool.touched, ..Pool::default() };
    }
    f(pool)
}

impl Pool {
    /// The first block from one on, around all of them, that is not known to be full.
    fn open(&self, first: u128, blocks: u128) -> Option<u128> {
        let from = |first: u128, end: u128| {
            let mut next = first;
            for full in self.full.range(first..end) {
                if *full != next {
                    break;
                }
                next += 1;
            }
            (next < end).then_some(next)
        };
        from(first, blocks).or_else(|| from(0, first.min(blocks)))
    }

    /// The first address of a block from one on, around all of them, that is not known to be taken.
    fn free(&self, block: u128, from: u128) -> Option<u128> {
        let bits = self.known.get(&block)?;
        let is_free = |n: &u128| usize::try_from(n / 64).is_ok_and(|w| bits[w] >> (n % 64) & 1 == 0);
        (from..BLOCK).chain(0..from.min(BLOCK)).find(is_free)
    }

    fn set(&mut self, block: u128, n: u128) {
        if let (Some(bits), Ok(word)) = (self.known.get_mut(&block), usize::try_from(n / 64)) {
            bits[word] |= 1 << (n % 64);
        }
    }
}

/// Block and place of an address in its range.
fn place(range: &Range, address: Address) -> (u128, u128) {
    let offset = address.count_from(range.start).saturating_sub(1);
    (offset / BLOCK, offset % BLOCK)
}

/// Reads which addresses of a block are taken.
fn load(tx: &mut dyn Tx, range: &Range, block: u128) -> Result<()> {
    let first = range.start.plus(block * BLOCK);
    let last = first.plus(BLOCK - 1).min(range.end);
    let mut bits: Bits = Box::new([0; 16]);
    let behind = (last.count_from(first)..BLOCK).map(|n| first.plus(n));
    for address in used_list(tx, range.l3, first, last, BLOCK)?.into_iter().chain(behind) {
        let n = address.count_from(first).saturating_sub(1);
        if let Some(word) = usize::try_from(n / 64).ok().and_then(|w| bits.get_mut(w)) {
            *word |= 1 << (n % 64);
        }
    }
    with(range, |pool| {
        if bits.iter().all(|w| *w == u64::MAX) {
            pool.known.remove(&block);
            pool.full.insert(block);
        } else {
            pool.known.insert(block, bits);
        }
    });
    Ok(())
}

/// A free address from `begin` on, around the whole range, as this transaction sees it; none if the range is full.
pub(super) fn propose(tx: &mut dyn Tx, range: &Range, begin: Address) -> Result<Option<Address>> {
    let blocks = range.size().div_ceil(BLOCK);
    let (first, from) = place(range, begin);
    for _ in 0..2 {
        while let Some(block) = with(range, |p| p.open(first, blocks)) {
            let from = if block == first { from } else { 0 };
            if let Some(n) = with(range, |p| p.free(block, from)) {
                let address = range.start.plus(block * BLOCK + n);
                if !is_taken(tx, range, address)? {
                    with(range, |p| p.set(block, n));
                    return Ok(Some(address));
                }
            }
            load(tx, range, block)?;
        }
        if is_full(tx, range)? {
            return Ok(None);
        }
        // Somebody else gave addresses back.
        with(range, |p| p.ends = None);
    }
    Ok(None)
}

fn is_full(tx: &mut dyn Tx, range: &Range) -> Result<bool> {
    if with(range, |p| p.counted.is_some_and(|at| at.elapsed() < BELIEVED)) {
        return Ok(true);
    }
    let is_full = used_between(tx, range.l3, range.start, range.end)? >= range.size();
    with(range, |p| {
        let is_calm = p.touched.is_none_or(|at| at.elapsed() >= BELIEVED);
        p.counted = (is_full && is_calm).then(Instant::now);
    });
    Ok(is_full)
}

/// Whether an address has a row.
pub(super) fn is_taken(tx: &mut dyn Tx, range: &Range, address: Address) -> Result<bool> {
    let sql = "SELECT 1 FROM used_ip WHERE l3_network_uuid = ? AND ip_sort = ?";
    tx.exists(sql, params![range.l3, address.sort()])
}

/// The first address behind the blocks that are known to be full, from one on.
pub(super) fn skip_full(range: &Range, address: Address) -> Address {
    let (block, _) = place(range, address);
    let open = with(range, |p| if p.full.contains(&block) { p.open(block, u128::MAX) } else { None });
    open.map_or(address, |b| range.start.plus(b.saturating_mul(BLOCK)))
}

/// Whether all blocks are known to be full, by a count not long ago.
pub(super) fn is_known_full(range: &Range) -> bool {
    with(range, |p| p.counted.is_some_and(|at| at.elapsed() < BELIEVED))
}

/// An address was taken by this transaction.
pub(super) fn took(range: &Range, address: Address) {
    let (block, n) = place(range, address);
    with(range, |p| {
        p.set(block, n);
        p.touched = Some(Instant::now());
        p.counted = None;
    });
}

/// An address was given back by this transaction: its block has to be looked at again.
pub(super) fn freed(range: Id<kind::IpRange>, start: Address, address: Address) {
    let block = address.count_from(start).saturating_sub(1) / BLOCK;
    if let Some(pool) = lock().get_mut(&range) {
        pool.known.remove(&block);
        pool.full.remove(&block);
        pool.counted = None;
        pool.touched = Some(Instant::now());
    }
}

/// A range went; nothing needs to be known of it.
pub(in crate::network) fn forget(range: Id<kind::IpRange>) {
    lock().remove(&range);
}

/// One line for each range that is known here of which the wrong thing would be said now: an address that is taken, or "full"
/// while there is a free one.
pub fn differences(tx: &mut dyn Tx) -> Result<Vec<String>> {
    let known: Vec<_> = lock().keys().copied().collect();
    let mut lines = Vec::new();
    for uuid in known {
        let Some(row) = tx.query_opt("SELECT * FROM ip_range WHERE uuid = ?", params![uuid])? else {
            continue;
        };
        let range = Range::read(&row)?;
        let proposed = propose(tx, &range, range.start)?;
        let free = range.size().saturating_sub(used_between(tx, range.l3, range.start, range.end)?);
        match proposed {
            None if free > 0 => {
                lines.push(format!("{free} addresses of range {uuid} are free, none is proposed"))
            }
            Some(a) if free == 0 || is_taken(tx, &range, a)? => {
                lines.push(format!("{a} is proposed, and taken"))
            }
            _ => {}
        }
    }
    Ok(lines)
}

/// What was counted is counted again: as if a second had passed.
#[cfg(test)]
pub(super) fn believe_nothing() {
    lock().values_mut().for_each(|p| p.counted = None);
}
