//! Sums over VMs and volumes that would otherwise be added up anew in every transaction: what an account uses of its quotas,
//! and what volumes take on a storage that hosts share. No row counts anything.
//!
//! Built from rows at the start and **followed** by the event log, like the index of hosts. A transaction takes the sums as of
//! the cursor and adds what it sees of the resources that the log names since then, so that the result is exactly what a sum
//! over its rows would be. While the sums are built, or when much has changed since, it adds up the rows.
//!
//! Kept is one entry for each VM and volume that some sum needs: not those of the first administrator, who has no quotas,
//! unless the volume lies on a shared storage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_api::resource::HOLDING_STATES;
use cairn_store::{Row, Store, Tx, Value, params};
use cairn_types::{Id, Result, kind};

use crate::call::ADMIN;
use crate::platform::events;

/// Rows that are read in one go.
const PAGE: usize = 10_000;
/// More entries of the log than these are not worth looking at in a transaction.
const MANY: i64 = 5_000;
/// The sums are brought up to date at most this often.
const PAUSE: Duration = Duration::from_millis(20);

/// What an account uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// VMs that hold capacity.
    pub running: i64,
    /// Their virtual processors.
    pub cpus: i64,
    /// Their memory in bytes.
    pub memory: i64,
    /// VMs that are not destroyed.
    pub vms: i64,
    /// Data volumes.
    pub data_volumes: i64,
    /// Size of all volumes in bytes.
    pub volume_bytes: i64,
}

impl Used {
    fn add(&mut self, other: &Self, sign: i64) {
        self.running += sign * other.running;
        self.cpus += sign * other.cpus;
        self.memory += sign * other.memory;
        self.vms += sign * other.vms;
        self.data_volumes += sign * other.data_volumes;
        self.volume_bytes += sign * other.volume_bytes;
    }
}

/// What one VM or volume counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Vm { account: u128, cpus: u32, is_running: bool, is_there: bool, memory: i64 },
    Volume { account: u128, is_data: bool, storage: u128, size: i64 },
}

impl Share {
    fn used(&self) -> (u128, Used) {
        match *self {
            Self::Vm { account, cpus, is_running, is_there, memory } => {
                let running = i64::from(is_running);
                let used = Used {
                    running,
                    cpus: running * i64::from(cpus),
                    memory: running * memory,
                    vms: i64::from(is_there),
                    ..Used::default()
                };
                (account, used)
            }
            Self::Volume { account, is_data, size, .. } => {
                let used = Used { data_volumes: i64::from(is_data), volume_bytes: size, ..Used::default() };
                (account, used)
            }
        }
    }
}

#[derive(Clone, Default)]
struct State {
    shares: HashMap<u128, Share>,
    accounts: HashMap<u128, Used>,
    storages: HashMap<u128, i64>,
    cursor: i64,
    is_exact: bool,
}

impl State {
    fn set(&mut self, uuid: u128, share: Option<Share>) {
        let old = match share {
            Some(share) => self.shares.insert(uuid, share),
            None => self.shares.remove(&uuid),
        };
        for (share, sign) in [(old, -1), (share, 1)] {
            let Some(share) = share else { continue };
            let (account, used) = share.used();
            self.accounts.entry(account).or_default().add(&used, sign);
            if let Share::Volume { storage, size, .. } = share {
                *self.storages.entry(storage).or_default() += sign * size;
            }
        }
    }
}

/// The sums of this server.
#[derive(Clone, Default)]
pub struct Sums {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sums")
    }
}

/// VMs and volumes that entries of the log are about, as far as a sum may need them.
#[derive(Debug)]
struct Touched {
    last: i64,
    /// This read began before what the sums know was written.
    is_too_old: bool,
    is_too_much: bool,
    shares: BTreeMap<u128, Option<Share>>,
}

impl Sums {
    /// Builds the sums in the background and follows the log from then on.
    pub fn start(store: &Store) -> Self {
        let sums = Self::default();
        let (task, store) = (sums.clone(), store.clone());
        tokio::spawn(async move { task.follow(&store).await });
        sums
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(&self, store: &Store) {
        let mut commits = store.commits();
        loop {
            let (this, is_exact) = (self.clone(), self.lock().is_exact);
            let done = store.read(move |tx| if is_exact { this.catch_up(tx) } else { this.build(tx) });
            if let Err(f) = done.await {
                tracing::error!(error = %f, "the sums of VMs and volumes can't follow; it is tried again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            if self.lock().is_exact && commits.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn build(&self, tx: &mut dyn Tx) -> Result<()> {
        let mut state = State { cursor: events::last(tx)?, is_exact: true, ..State::default() };
        read_all(tx, &mut state)?;
        *self.lock() = state;
        Ok(())
    }

    /// Takes over what has changed. What was read is committed.
    fn catch_up(&self, tx: &mut dyn Tx) -> Result<()> {
        let from = self.lock().cursor;
        let touched = self.touched(tx, from, i64::MAX)?;
        if touched.is_too_old {
            return Ok(());
        }
        let mut state = self.lock();
        state.is_exact &= !touched.is_too_much;
        if state.is_exact && state.cursor == from {
            touched.shares.into_iter().for_each(|(uuid, share)| state.set(uuid, share));
            state.cursor = touched.last;
        }
        Ok(())
    }

    /// What the log names after a cursor, as this transaction sees it now.
    fn touched(&self, tx: &mut dyn Tx, cursor: i64, limit: i64) -> Result<Touched> {
        let mut touched =
            Touched { last: cursor, is_too_old: false, is_too_much: false, shares: BTreeMap::new() };
        let last = events::last(tx)?;
        touched.is_too_old = last < cursor;
        if touched.is_too_old || events::first(tx)? > cursor + 1 || last - cursor > limit.min(MANY * 20) {
            touched.is_too_much = true;
            return Ok(touched);
        }
        touched.last = last;
        let sql = "SELECT DISTINCT resource_type, resource_uuid, account_uuid FROM event
                   WHERE seq > ? AND resource_type IN ('VmInstanceVO', 'VolumeVO')";
        let (mut vms, mut volumes) = (BTreeSet::new(), BTreeSet::new());
        let has_shared =
            tx.exists("SELECT 1 FROM primary_storage WHERE total_capacity IS NOT NULL LIMIT 1", params![])?;
        for row in tx.query(sql, params![cursor])? {
            let Ok(uuid) = row.text("resource_uuid")?.parse::<Id<kind::AnyResource>>() else { continue };
            let is_admins = row.opt_text("account_uuid")?.is_some_and(|a| a == ADMIN.to_string());
            let is_needed =
                |state: &State| !is_admins || has_shared || state.shares.contains_key(&uuid.as_u128());
            match row.text("resource_type")?.as_str() {
                "VmInstanceVO" if is_needed(&self.lock()) => vms.insert(uuid),
                "VolumeVO" if is_needed(&self.lock()) => volumes.insert(uuid),
                _ => false,
            };
        }
        for vm in vms {
            touched.shares.insert(vm.as_u128(), vm_share(tx, vm)?);
            // They change owner and storage with their VM.
            let sql = "SELECT uuid FROM volume WHERE vm_instance_uuid = ?";
            for row in tx.query(sql, params![vm])? {
                volumes.insert(row.id("uuid")?);
            }
        }
        for volume in volumes {
            touched.shares.insert(volume.as_u128(), volume_share(tx, volume)?);
        }
        Ok(touched)
    }

    /// A sum as this transaction sees it: `base` of the state, and what `each` says of shares that are to be added or taken
    /// away. None if rows have to be added up.
    fn sum<T>(
        &self,
        tx: &mut dyn Tx,
        base: impl Fn(&State) -> T,
        mut each: impl FnMut(&mut T, &Share, i64),
    ) -> Result<Option<T>> {
        loop {
            let (cursor, is_exact) = {
                let state = self.lock();
                (state.cursor, state.is_exact)
            };
            if !is_exact {
                return Ok(None);
            }
            let touched = self.touched(tx, cursor, MANY)?;
            if touched.is_too_much {
                return Ok(None);
            }
            let state = self.lock();
            if state.cursor != cursor || !state.is_exact {
                // The follower was faster.
                continue;
            }
            let mut sum = base(&state);
            for (uuid, share) in &touched.shares {
                if let Some(old) = state.shares.get(uuid) {
                    each(&mut sum, old, -1);
                }
                if let Some(new) = share {
                    each(&mut sum, new, 1);
                }
            }
            return Ok(Some(sum));
        }
    }

    /// What an account uses, as this transaction sees it. None if its rows have to be added up: for the first administrator,
    /// and while the sums are built.
    pub fn of_account(&self, tx: &mut dyn Tx, account: Id<kind::Account>) -> Result<Option<Used>> {
        if account == ADMIN {
            return Ok(None);
        }
        let account = account.as_u128();
        let base = |state: &State| state.accounts.get(&account).copied().unwrap_or_default();
        self.sum(tx, base, |sum, share, sign| {
            let (owner, used) = share.used();
            if owner == account {
                sum.add(&used, sign);
            }
        })
    }

    /// Size of all volumes on a storage that hosts share, as this transaction sees them.
    pub fn of_storage(&self, tx: &mut dyn Tx, storage: u128) -> Result<i64> {
        let base = |state: &State| state.storages.get(&storage).copied().unwrap_or(0);
        let sum = self.sum(tx, base, |sum, share, sign| {
            if let Share::Volume { storage: on, size, .. } = share
                && *on == storage
            {
                *sum += sign * size;
            }
        })?;
        match sum {
            Some(sum) => Ok(sum),
            None => {
                let sql = "SELECT coalesce(sum(size), 0) FROM volume WHERE primary_storage_uuid = ?";
                tx.query_int(sql, params![Id::<kind::PrimaryStorage>::from_u128(storage)])
            }
        }
    }

    /// One line for each entry that is not what rows say, after what this read sees was taken over. None if that can't be told
    /// by this read: the sums are being built, or are ahead of what this read sees.
    pub fn differences(&self, tx: &mut dyn Tx) -> Result<Option<Vec<String>>> {
        self.catch_up(tx)?;
        let mut rows = State { cursor: events::last(tx)?, ..State::default() };
        let state = {
            let state = self.lock();
            if !state.is_exact || state.cursor != rows.cursor {
                return Ok(None);
            }
            // They move on while rows are read.
            state.clone()
        };
        read_all(tx, &mut rows)?;
        let uuids: BTreeSet<u128> = state.shares.keys().chain(rows.shares.keys()).copied().collect();
        let differ = uuids.into_iter().filter(|u| state.shares.get(u) != rows.shares.get(u));
        let mut lines: Vec<String> = differ
            .map(|u| {
                format!(
                    "{u:032x} counts as {:?}, by its rows as {:?}",
                    state.shares.get(&u),
                    rows.shares.get(&u)
                )
            })
            .collect();
        for (account, used) in &state.accounts {
            let by_rows = rows.accounts.get(account).copied().unwrap_or_default();
            if *used != by_rows {
                lines.push(format!(
                    "account {account:032x} uses {used:?} by sums and {by_rows:?} by its rows"
                ));
            }
        }
        for (storage, size) in &state.storages {
            let by_rows = rows.storages.get(storage).copied().unwrap_or_default();
            if *size != by_rows {
                lines.push(format!(
                    "storage {storage:032x} has volumes of {size} by sums and {by_rows} by rows"
                ));
            }
        }
        Ok(Some(lines))
    }
}

fn vm_sql(condition: &str) -> String {
    // LEFT, so that VMs are read in the order of their uuids: from the other side each page would be made of all of them.
    format!(
        "SELECT v.uuid, r.account_uuid, v.cpu_num, v.memory_size, CASE WHEN v.state IN {HOLDING_STATES} THEN 1 ELSE 0 END AS running,
           CASE WHEN v.state = 'Destroyed' THEN 0 ELSE 1 END AS there
         FROM vm_instance v LEFT JOIN resource r ON r.uuid = v.uuid AND r.resource_type = 'VmInstanceVO' WHERE {condition}"
    )
}

fn volume_sql(condition: &str) -> String {
    format!(
        "SELECT v.uuid, r.account_uuid, v.size, v.type, v.primary_storage_uuid, p.total_capacity FROM volume v
         LEFT JOIN resource r ON r.uuid = v.uuid AND r.resource_type = 'VolumeVO'
         LEFT JOIN primary_storage p ON p.uuid = v.primary_storage_uuid WHERE {condition}"
    )
}

fn vm_share(tx: &mut dyn Tx, vm: Id<kind::AnyResource>) -> Result<Option<Share>> {
    let row = tx.query_opt(&vm_sql("v.uuid = ?"), params![vm])?;
    row.map_or(Ok(None), |row| of_vm(&row))
}

fn volume_share(tx: &mut dyn Tx, volume: Id<kind::AnyResource>) -> Result<Option<Share>> {
    let row = tx.query_opt(&volume_sql("v.uuid = ?"), params![volume])?;
    row.map_or(Ok(None), |row| of_volume(&row))
}

/// The owner as a number; 0 for nobody and for the first administrator.
fn owner(row: &Row) -> Result<u128> {
    let owner = row.opt_id::<kind::Account>("account_uuid")?.filter(|a| *a != ADMIN);
    Ok(owner.map_or(0, Id::as_u128))
}

fn of_vm(row: &Row) -> Result<Option<Share>> {
    let account = owner(row)?;
    if account == 0 {
        return Ok(None);
    }
    Ok(Some(Share::Vm {
        account,
        cpus: u32::try_from(row.int("cpu_num")?).unwrap_or(u32::MAX),
        is_running: row.int("running")? != 0,
        is_there: row.int("there")? != 0,
        memory: row.int("memory_size")?,
    }))
}

fn of_volume(row: &Row) -> Result<Option<Share>> {
    let account = owner(row)?;
    let is_shared = row.opt_int("total_capacity")?.is_some();
    let storage = row.opt_id::<kind::PrimaryStorage>("primary_storage_uuid")?.filter(|_| is_shared);
    let storage = storage.map_or(0, Id::as_u128);
    if account == 0 && storage == 0 {
        return Ok(None);
    }
    Ok(Some(Share::Volume { account, is_data: row.text("type")? == "Data", storage, size: row.int("size")? }))
}

/// Reads all VMs and volumes, in pages.
fn read_all(tx: &mut dyn Tx, state: &mut State) -> Result<()> {
    let page = format!("v.uuid > ? ORDER BY v.uuid LIMIT {PAGE}");
    for is_vm in [true, false] {
        let sql = if is_vm { vm_sql(&page) } else { volume_sql(&page) };
        let read = if is_vm { of_vm } else { of_volume };
        let mut after = Value::from("");
        loop {
            let rows = tx.query(&sql, std::slice::from_ref(&after))?;
            let Some(last) = rows.last() else { break };
            after = last.text("uuid")?.into();
            for row in &rows {
                if let Some(share) = read(row)? {
                    state.set(row.id::<kind::AnyResource>("uuid")?.as_u128(), Some(share));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
