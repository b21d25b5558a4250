//! What the index keeps of a host, read from rows: one host by its uuid, or a page of hosts with sums by group.

use std::collections::HashMap;

use cairn_api::resource::{self, on};
use cairn_store::{Row, Tx, Value, params};
use cairn_types::Result;

use super::rows::{param, uuid};

/// Room of one host on one local storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalRoom {
    /// The storage.
    pub storage: u128,
    /// It is connected on this host.
    pub is_connected: bool,
    /// What may still be promised, in bytes.
    pub free: i64,
    /// What is free on the disks, in bytes.
    pub free_physical: i64,
}

/// What the index keeps of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host.
    pub host: u128,
    /// Its cluster.
    pub cluster: u128,
    /// It is enabled.
    pub is_enabled: bool,
    /// It is connected.
    pub is_connected: bool,
    /// It is on its way out.
    pub is_deleting: bool,
    /// Virtual processors that are not promised.
    pub free_cpu: i64,
    /// Memory that is not promised, in bytes.
    pub free_memory: i64,
    /// VMs on it.
    pub vm_count: i64,
    /// Its local storages, in the order of their uuids.
    pub local: Vec<LocalRoom>,
    /// Images in its cache, in order.
    pub images: Vec<u128>,
}

/// One host; none if it is gone.
pub fn one(tx: &mut dyn Tx, host: u128) -> Result<Option<Entry>> {
    let sql = format!(
        "SELECT h.uuid, h.cluster_uuid, h.state, h.status, h.deleting_run, {} AS cpu, {} AS memory,
           (SELECT count(*) FROM vm_instance v WHERE v.host_uuid = h.uuid) AS vms FROM host h WHERE h.uuid = ?",
        on(resource::HOST_AVAILABLE_CPU, "h"),
        on(resource::HOST_AVAILABLE_MEMORY, "h"),
    );
    let Some(row) = tx.query_opt(&sql, params![param(host)])? else { return Ok(None) };
    let mut entry = of_row(&row)?;
    let sql = format!(
        "SELECT l.primary_storage_uuid AS storage, l.status, {} AS free, l.available_physical FROM local_storage_host_ref l
         WHERE l.host_uuid = ? ORDER BY l.primary_storage_uuid",
        on(resource::LOCAL_STORAGE_AVAILABLE, "l"),
    );
    for row in tx.query(&sql, params![param(host)])? {
        entry.local.push(LocalRoom {
            storage: uuid(&row, "storage")?,
            is_connected: row.text("status")? == "Connected",
            free: row.int("free")?,
            free_physical: row.int("available_physical")?,
        });
    }
    let sql = "SELECT DISTINCT image_uuid AS image FROM image_cache WHERE host_uuid = ? AND state = 'ready' ORDER BY image_uuid";
    for row in tx.query(sql, params![param(host)])? {
        entry.images.push(uuid(&row, "image")?);
    }
    Ok(Some(entry))
}

fn of_row(row: &Row) -> Result<Entry> {
    Ok(Entry {
        host: uuid(row, "uuid")?,
        cluster: uuid(row, "cluster_uuid")?,
        is_enabled: row.text("state")? == "Enabled",
        is_connected: row.text("status")? == "Connected",
        is_deleting: row.opt_text("deleting_run")?.is_some(),
        free_cpu: row.int("cpu")?,
        free_memory: row.int("memory")?,
        vm_count: row.int("vms")?,
        local: Vec::new(),
        images: Vec::new(),
    })
}

/// The next so many hosts after one in the order of uuids. One statement per table, whatever the number of hosts.
pub fn page(tx: &mut dyn Tx, after: u128, limit: usize) -> Result<Vec<Entry>> {
    // What VMs use is subtracted below.
    let sql = format!(
        "SELECT h.uuid, h.cluster_uuid, h.state, h.status, h.deleting_run, {} - h.reserved_cpu AS cpu,
           {} - h.reserved_memory AS memory, CAST(0 AS BIGINT) AS vms FROM host h WHERE h.uuid > ? ORDER BY h.uuid LIMIT {limit}",
        on(resource::HOST_TOTAL_CPU, "h"),
        on(resource::HOST_TOTAL_MEMORY, "h"),
    );
    let rows = tx.query(&sql, params![param(after)])?;
    let mut entries = rows.iter().map(of_row).collect::<Result<Vec<_>>>()?;
    let Some(last) = entries.last().map(|e| e.host) else { return Ok(entries) };
    let at: HashMap<u128, usize> = entries.iter().enumerate().map(|(n, e)| (e.host, n)).collect();
    let part = Part { after, last, at };
    part.vms(tx, &mut entries)?;
    part.local(tx, &mut entries)?;
    part.caches(tx, &mut entries)?;
    for entry in &mut entries {
        let rooms = entry.local.iter_mut().map(|l| &mut l.free);
        [&mut entry.free_cpu, &mut entry.free_memory].into_iter().chain(rooms).for_each(|n| *n = (*n).max(0));
        entry.local.sort_by_key(|l| l.storage);
        entry.images.sort_unstable();
        entry.images.dedup();
    }
    Ok(entries)
}

/// The hosts of a page, from one uuid to another.
struct Part {
    after: u128,
    last: u128,
    at: HashMap<u128, usize>,
}

impl Part {
    /// Calls with each row of a query over a table with `host_uuid`, and the host's entry.
    fn each(
        &self,
        tx: &mut dyn Tx,
        sql: &str,
        entries: &mut [Entry],
        mut with: impl FnMut(&Row, &mut Entry) -> Result<()>,
    ) -> Result<()> {
        let sql = sql.replace("{page}", "host_uuid > ? AND host_uuid <= ?");
        let range: [Value; 2] = [param(self.after), param(self.last)];
        for row in tx.query(&sql, &range)? {
            let entry = self.at.get(&uuid(&row, "host_uuid")?).and_then(|n| entries.get_mut(*n));
            entry.map_or(Ok(()), |e| with(&row, e))?;
        }
        Ok(())
    }

    fn vms(&self, tx: &mut dyn Tx, entries: &mut [Entry]) -> Result<()> {
        let holding = resource::HOLDING_STATES;
        let sql = format!(
            "SELECT host_uuid, count(*) AS n, CAST(sum(CASE WHEN state IN {holding} THEN cpu_num ELSE 0 END) AS BIGINT) AS cpu,
               CAST(sum(CASE WHEN state IN {holding} THEN memory_size ELSE 0 END) AS BIGINT) AS memory
             FROM vm_instance WHERE {{page}} GROUP BY host_uuid"
        );
        self.each(tx, &sql, entries, |row, e| {
            e.vm_count = row.int("n")?;
            e.free_cpu -= row.int("cpu")?;
            e.free_memory -= row.int("memory")?;
            Ok(())
        })?;
        let sql = "SELECT host_uuid, cpu_num, memory_size FROM departed_guest WHERE {page}";
        self.each(tx, sql, entries, |row, e| {
            e.free_cpu -= row.int("cpu_num")?;
            e.free_memory -= row.int("memory_size")?;
            Ok(())
        })
    }

    fn local(&self, tx: &mut dyn Tx, entries: &mut [Entry]) -> Result<()> {
        let sql = format!(
            "SELECT l.host_uuid, l.primary_storage_uuid AS storage, l.status, l.available_physical, {} AS total
             FROM local_storage_host_ref l WHERE {{page}}",
            on(resource::LOCAL_STORAGE_TOTAL, "l"),
        );
        self.each(tx, &sql, entries, |row, e| {
            e.local.push(LocalRoom {
                storage: uuid(row, "storage")?,
                is_connected: row.text("status")? == "Connected",
                free: row.int("total")?,
                free_physical: row.int("available_physical")?,
            });
            Ok(())
        })?;
        let sql = "SELECT host_uuid, primary_storage_uuid AS storage, CAST(sum(size) AS BIGINT) AS size
                   FROM local_storage_resource_ref WHERE {page} GROUP BY host_uuid, primary_storage_uuid";
        self.each(tx, sql, entries, use_room)
    }

    fn caches(&self, tx: &mut dyn Tx, entries: &mut [Entry]) -> Result<()> {
        let sql = "SELECT host_uuid, primary_storage_uuid AS storage, image_uuid AS image, size, state
                   FROM image_cache WHERE {page}";
        self.each(tx, sql, entries, |row, e| {
            use_room(row, e)?;
            if row.text("state")? == "ready" {
                e.images.push(uuid(row, "image")?);
            }
            Ok(())
        })
    }
}

/// Takes what a row uses from the room on its storage.
fn use_room(row: &Row, entry: &mut Entry) -> Result<()> {
    let (storage, size) = (uuid(row, "storage")?, row.int("size")?);
    if let Some(room) = entry.local.iter_mut().find(|l| l.storage == storage) {
        room.free -= size;
    }
    Ok(())
}
