//! What is the same for many hosts: zones, clusters with their storages and networks, storages. Read whole at the start, and
//! row by row as it changes.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::resource::{self, on};
use cairn_store::{Row, Tx, params};
use cairn_types::Result;

use super::rows::{param, u128s, uuid};
use crate::platform::sums::Sums;

/// Rows by uuid; one that is gone has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Whether zones are enabled.
    pub zones: BTreeMap<u128, Option<bool>>,
    /// Clusters.
    pub clusters: BTreeMap<u128, Option<ClusterRow>>,
    /// Primary storages.
    pub storages: BTreeMap<u128, Option<StorageRow>>,
}

/// What the index keeps of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClusterRow {
    /// Its zone.
    pub zone: u128,
    /// It is enabled.
    pub is_enabled: bool,
    /// Primary storages attached to it, in order.
    pub storages: BTreeSet<u128>,
    /// L2 networks attached to it.
    pub l2_networks: BTreeSet<u128>,
}

/// What the index keeps of a primary storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageRow {
    /// It is enabled.
    pub is_enabled: bool,
    /// It is connected as a whole.
    pub is_connected: bool,
    /// Its room, if hosts share it; none for local storage.
    pub shared: Option<SharedRoom>,
}

/// Room of a storage that hosts share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedRoom {
    /// What may still be promised, in bytes.
    pub free: i64,
    /// What is free on its disks, in bytes.
    pub free_physical: i64,
}

impl Topology {
    /// Everything there is.
    pub fn all(tx: &mut dyn Tx, sums: &Sums) -> Result<Self> {
        let mut all = Self::default();
        for row in tx.query("SELECT uuid, state FROM zone", params![])? {
            all.zones.insert(uuid(&row, "uuid")?, Some(row.text("state")? == "Enabled"));
        }
        for row in tx.query("SELECT uuid, zone_uuid, state FROM cluster", params![])? {
            all.clusters.insert(uuid(&row, "uuid")?, Some(cluster(&row)?));
        }
        let links = [
            "SELECT cluster_uuid, primary_storage_uuid AS other FROM primary_storage_cluster_ref",
            "SELECT cluster_uuid, l2_network_uuid AS other FROM l2_network_cluster_ref",
        ];
        for (n, sql) in links.into_iter().enumerate() {
            for row in tx.query(sql, params![])? {
                let found = all.clusters.get_mut(&uuid(&row, "cluster_uuid")?);
                if let Some(Some(c)) = found {
                    let list = if n == 0 { &mut c.storages } else { &mut c.l2_networks };
                    list.insert(uuid(&row, "other")?);
                }
            }
        }
        for row in tx.query("SELECT uuid FROM primary_storage", params![])? {
            all.add_storage(tx, sums, uuid(&row, "uuid")?)?;
        }
        Ok(all)
    }

    /// Reads a zone.
    pub fn add_zone(&mut self, tx: &mut dyn Tx, zone: u128) -> Result<()> {
        let row = tx.query_opt("SELECT state FROM zone WHERE uuid = ?", params![param(zone)])?;
        let enabled = row.map(|r| Ok::<_, cairn_types::Fault>(r.text("state")? == "Enabled")).transpose()?;
        self.zones.insert(zone, enabled);
        Ok(())
    }

    /// Reads a cluster with its links.
    pub fn add_cluster(&mut self, tx: &mut dyn Tx, at: u128) -> Result<()> {
        let row =
            tx.query_opt("SELECT uuid, zone_uuid, state FROM cluster WHERE uuid = ?", params![param(at)])?;
        let mut found = row.as_ref().map(cluster).transpose()?;
        if let Some(c) = &mut found {
            let sql = "SELECT primary_storage_uuid AS other FROM primary_storage_cluster_ref WHERE cluster_uuid = ?";
            c.storages = u128s(&tx.query(sql, params![param(at)])?, "other")?.into_iter().collect();
            let sql = "SELECT l2_network_uuid AS other FROM l2_network_cluster_ref WHERE cluster_uuid = ?";
            c.l2_networks = u128s(&tx.query(sql, params![param(at)])?, "other")?.into_iter().collect();
        }
        self.clusters.insert(at, found);
        Ok(())
    }

    /// Reads a storage with its room.
    pub fn add_storage(&mut self, tx: &mut dyn Tx, sums: &Sums, storage: u128) -> Result<()> {
        let sql =
            "SELECT state, status, total_capacity, available_capacity FROM primary_storage WHERE uuid = ?";
        let Some(row) = tx.query_opt(sql, params![param(storage)])? else {
            self.storages.insert(storage, None);
            return Ok(());
        };
        let shared = match row.opt_int("total_capacity")? {
            None => None,
            Some(_) => Some(SharedRoom {
                free: shared_free(tx, sums, storage)?,
                free_physical: row.opt_int("available_capacity")?.unwrap_or(0),
            }),
        };
        let (state, status) = (row.text("state")?, row.text("status")?);
        let row = StorageRow { is_enabled: state == "Enabled", is_connected: status == "Connected", shared };
        self.storages.insert(storage, Some(row));
        Ok(())
    }
}

/// What a shared storage may still promise.
pub(super) fn shared_free(tx: &mut dyn Tx, sums: &Sums, storage: u128) -> Result<i64> {
    let room = on(resource::STORAGE_WITHOUT_VOLUMES, "p");
    let sql = format!("SELECT {room} FROM primary_storage p WHERE p.uuid = ?");
    let room = tx.query_int(&sql, params![param(storage)])?;
    Ok(room.saturating_sub(sums.of_storage(tx, storage)?).max(0))
}

fn cluster(row: &Row) -> Result<ClusterRow> {
    Ok(ClusterRow {
        zone: uuid(row, "zone_uuid")?,
        is_enabled: row.text("state")? == "Enabled",
        storages: BTreeSet::new(),
        l2_networks: BTreeSet::new(),
    })
}
