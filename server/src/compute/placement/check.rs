//! Comparing the index with rows, entry by entry.

use std::collections::BTreeSet;

use cairn_store::{Tx, params};
use cairn_types::Result;

use super::rows::u128s;
use super::topology::Topology;
use super::{PAGE, Placement, entry};
use crate::platform::events;

/// Up to so many hosts each is read by itself, as those that change are; more are read in pages.
const ONE_BY_ONE: usize = 5000;

impl Placement {
    /// One line for each entry that is not what rows say, after everything that this read sees was taken over. None if that
    /// can't be told by this read: the index is being built, is ahead of what this read sees, or changed again meanwhile.
    pub fn differences(&self, tx: &mut dyn Tx) -> Result<Option<Vec<String>>> {
        if !self.catch_up(tx, true)? {
            return Ok(None);
        }
        let last = events::last(tx)?;
        let index = {
            let state = self.lock();
            let is_settled = state.is_exact && state.pending.is_empty() && state.unsure.is_sure();
            if !is_settled || state.cursor != last {
                return Ok(None);
            }
            state.index.clone()
        };
        let mut lines = topology(&index.topology(), &Topology::all(tx, self.sums())?);
        let mut known: BTreeSet<u128> = index.hosts().collect();
        let rows = match index.len() <= ONE_BY_ONE {
            true => one_by_one(tx)?,
            false => in_pages(tx)?,
        };
        for row in rows {
            known.remove(&row.host);
            let entry = index.entry(row.host);
            if entry.as_ref() != Some(&row) {
                lines.push(format!(
                    "host {:032x} is {entry:?} in the index and {row:?} by its rows",
                    row.host
                ));
            }
        }
        lines.extend(known.iter().map(|h| format!("host {h:032x} is in the index and has no row")));
        Ok(Some(lines))
    }
}

fn one_by_one(tx: &mut dyn Tx) -> Result<Vec<entry::Entry>> {
    let hosts = u128s(&tx.query("SELECT uuid FROM host ORDER BY uuid", params![])?, "uuid")?;
    hosts.into_iter().filter_map(|h| entry::one(tx, h).transpose()).collect()
}

fn in_pages(tx: &mut dyn Tx) -> Result<Vec<entry::Entry>> {
    let mut all: Vec<entry::Entry> = Vec::new();
    loop {
        let page = entry::page(tx, all.last().map_or(0, |e| e.host), PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn topology(index: &Topology, rows: &Topology) -> Vec<String> {
    let mut lines = Vec::new();
    if index.zones != rows.zones {
        lines.push(format!("zones are {:?} in the index and {:?} by their rows", index.zones, rows.zones));
    }
    for (uuid, row) in &rows.clusters {
        let known = index.clusters.get(uuid);
        if known != Some(row) {
            lines.push(format!("cluster {uuid:032x} is {known:?} in the index and {row:?} by its rows"));
        }
    }
    let gone = index.clusters.keys().filter(|c| !rows.clusters.contains_key(c));
    lines.extend(gone.map(|c| format!("cluster {c:032x} is in the index and has no row")));
    if index.storages != rows.storages {
        let (a, b) = (&index.storages, &rows.storages);
        lines.push(format!("storages are {a:?} in the index and {b:?} by their rows"));
    }
    lines
}
