//! The rows that are cloned: those of one zone, cluster, host and VM, level by level.

use std::net::IpAddr;

use cairn_store::{Tx, Value, params};
use cairn_types::{Fault, Result};

/// What has clones of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Zone,
    Cluster,
    Host,
    Vm,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Zone, Self::Cluster, Self::Host, Self::Vm];
}

/// Rows of a table that belong to a level: those with one of its ids in the column. Rows that own other rows come first.
struct Part {
    table: &'static str,
    column: &'static str,
    /// Only rows for which this holds.
    only: &'static str,
    /// Their uuids are ids of the level.
    owns: bool,
}

const fn owner(table: &'static str, column: &'static str) -> Part {
    Part { table, column, only: "", owns: true }
}

const fn link(table: &'static str, column: &'static str) -> Part {
    Part { table, column, only: "", owns: false }
}

const OF_ZONE: &[Part] = &[owner("zone", "uuid"), link("backup_storage_zone_ref", "zone_uuid")];

const OF_CLUSTER: &[Part] = &[
    owner("agent", "uuid"),
    owner("cluster", "uuid"),
    owner("primary_storage", "uuid"),
    link("primary_storage_cluster_ref", "cluster_uuid"),
    owner("l2_network", "uuid"),
    link("l2_network_cluster_ref", "cluster_uuid"),
    link("network_service_provider_l2_network_ref", "l2_network_uuid"),
    owner("l3_network", "l2_network_uuid"),
    link("l3_network_dns", "l3_network_uuid"),
    link("network_service_l3_network_ref", "l3_network_uuid"),
    owner("ip_range", "l3_network_uuid"),
    Part { table: "used_ip", column: "l3_network_uuid", only: " AND purpose <> 'nic'", owns: true },
];

const OF_HOST: &[Part] =
    &[owner("host", "uuid"), link("local_storage_host_ref", "host_uuid"), owner("image_cache", "host_uuid")];

const OF_VM: &[Part] = &[
    owner("vm_instance", "uuid"),
    owner("vm_nic", "vm_instance_uuid"),
    owner("used_ip", "vm_nic_uuid"),
    owner("volume", "vm_instance_uuid"),
    link("local_storage_resource_ref", "resource_uuid"),
];

const fn parts(level: Level) -> &'static [Part] {
    match level {
        Level::Zone => OF_ZONE,
        Level::Cluster => OF_CLUSTER,
        Level::Host => OF_HOST,
        Level::Vm => OF_VM,
    }
}

/// What every resource may have.
const COMMON: &[Part] = &[
    owner("system_tag", "resource_uuid"),
    owner("user_tag", "resource_uuid"),
    owner("shared_resource", "resource_uuid"),
];

/// A row that is cloned.
#[derive(Debug, Clone)]
pub(crate) struct TemplateRow {
    pub table: &'static str,
    pub columns: Vec<String>,
    pub values: Vec<Value>,
}

impl TemplateRow {
    /// The text in a column.
    pub fn text(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|c| c == column)?;
        self.values[at].as_text()
    }
}

/// The rows of a level, in an order in which they can be inserted, and the ids that are its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct LevelRows {
    pub rows: Vec<TemplateRow>,
    pub ids: Vec<String>,
}

impl LevelRows {
    fn read(tx: &mut dyn Tx, level: Level, roots: Vec<String>) -> Result<Self> {
        let mut found = Self { rows: Vec::new(), ids: roots };
        for part in parts(level).iter().chain(COMMON) {
            for row in found.rows_of(tx, part)? {
                if let (true, Some(uuid)) = (part.owns, row.text("uuid"))
                    && !found.ids.iter().any(|id| id == uuid)
                {
                    found.ids.push(uuid.to_owned());
                }
                found.rows.push(row);
            }
        }
        let mut rows = found.rows_of(tx, &link("resource", "uuid"))?;
        rows.append(&mut found.rows);
        found.rows = rows;
        Ok(found)
    }

    fn rows_of(&self, tx: &mut dyn Tx, part: &Part) -> Result<Vec<TemplateRow>> {
        let Part { table, column, only, .. } = part;
        let mut rows = Vec::new();
        for id in &self.ids {
            let sql = format!("SELECT * FROM {table} WHERE {column} = ?{only}");
            for row in tx.query(&sql, params![id])? {
                rows.push(TemplateRow {
                    table,
                    columns: row.names().to_vec(),
                    values: row.values().to_vec(),
                });
            }
        }
        Ok(rows)
    }
}

/// Everything that is cloned.
#[derive(Debug, Clone)]
pub struct Template {
    pub(crate) levels: [LevelRows; 4],
    pub(crate) vm_name: String,
    /// First and last address of the VM's range, and how many low bits its network leaves.
    pub(crate) first_ip: IpAddr,
    pub(crate) addresses: u64,
    pub(crate) network_bits: u32,
    /// Addresses of the range, counted from its first, that are not for VMs.
    pub(crate) not_for_vms: Vec<u64>,
    pub(crate) internal_id: i64,
}

impl Template {
    /// Reads what belongs to a VM, its host, and the cluster and zone of that.
    pub fn read(tx: &mut dyn Tx, vm: &str) -> Result<Self> {
        let sql = "SELECT v.name, coalesce(v.host_uuid, v.last_host_uuid) AS host FROM vm_instance v WHERE v.uuid = ?";
        let row = tx.query_opt(sql, params![vm])?.ok_or_else(|| Fault::not_found("VmInstanceVO", vm))?;
        let (vm_name, host) = (row.text("name")?, row.text("host")?);
        let sql = "SELECT cluster_uuid, zone_uuid, agent_uuid FROM host WHERE uuid = ?";
        let row = tx.query_opt(sql, params![&host])?.ok_or_else(|| Fault::not_found("HostVO", &host))?;
        let (cluster, zone) = (row.text("cluster_uuid")?, row.text("zone_uuid")?);
        let mut of_cluster = vec![cluster.clone()];
        of_cluster.extend(row.opt_text("agent_uuid")?);
        for (table, column) in [
            ("primary_storage_cluster_ref", "primary_storage_uuid"),
            ("l2_network_cluster_ref", "l2_network_uuid"),
        ] {
            let sql = format!("SELECT {column} AS uuid FROM {table} WHERE cluster_uuid = ? ORDER BY 1");
            for row in tx.query(&sql, params![&cluster])? {
                of_cluster.push(row.text("uuid")?);
            }
        }
        let roots = [vec![zone], of_cluster, vec![host], vec![vm.to_owned()]];
        let mut levels: [LevelRows; 4] = Default::default();
        for ((level, roots), rows) in Level::ALL.into_iter().zip(roots).zip(&mut levels) {
            *rows = LevelRows::read(tx, level, roots)?;
        }
        let range = Range::of(&levels)?;
        let sql = "SELECT coalesce(max(internal_id), 0) AS n FROM vm_instance";
        Ok(Self {
            vm_name,
            first_ip: range.first,
            addresses: range.count,
            network_bits: range.network_bits,
            not_for_vms: range.not_for_vms,
            internal_id: tx.query_int(sql, params![])?,
            levels,
        })
    }
}

struct Range {
    first: IpAddr,
    count: u64,
    network_bits: u32,
    not_for_vms: Vec<u64>,
}

impl Range {
    /// The only range, of which the VM has the only address.
    fn of(levels: &[LevelRows; 4]) -> Result<Self> {
        let only = |level: Level, table: &str| {
            let mut rows = levels[level as usize].rows.iter().filter(|r| r.table == table);
            match (rows.next(), rows.next()) {
                (Some(row), None) => Ok(row),
                _ => Err(Fault::argument(format!(
                    "a template has one L3 network with one IPv4 range and a VM with one address in it; there is not one {table}"
                ))),
            }
        };
        let (range, nic) = (only(Level::Cluster, "ip_range")?, only(Level::Vm, "used_ip")?);
        let wrong = || {
            Fault::argument("the range of a template is one of IPv4, and the address of its VM lies in it")
        };
        let v4 = |row: &TemplateRow, column: &str| match row.text(column).and_then(|t| t.parse().ok()) {
            Some(IpAddr::V4(v4)) => Ok(u64::from(u32::from(v4))),
            _ => Err(wrong()),
        };
        let (first, last) = (v4(range, "start_ip")?, v4(range, "end_ip")?);
        if !(first..=last).contains(&v4(nic, "ip")?) {
            return Err(wrong());
        }
        let mut not_for_vms = Vec::new();
        for row in levels[Level::Cluster as usize].rows.iter().filter(|r| r.table == "used_ip") {
            not_for_vms.extend(v4(row, "ip")?.checked_sub(first));
        }
        let netmask = v4(range, "netmask")?;
        let network_bits = netmask.trailing_zeros().min(32);
        let first = range.text("start_ip").and_then(|t| t.parse().ok()).ok_or_else(wrong)?;
        Ok(Self { first, count: last - v4(range, "start_ip")? + 1, network_bits, not_for_vms })
    }
}
