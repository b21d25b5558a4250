//! From the rows of the template to those of its n-th clone.

use std::net::IpAddr;

use cairn_store::Value;
use cairn_types::{Fault, Result, random_uuid};

use crate::Size;
use crate::numbers::{further, id, mac, own_address, sort, text};
use crate::template::{Level, LevelRows, Template, TemplateRow};

/// Hosts of one agent.
const MOST_HOSTS: usize = 1000;

/// A value of a cloned row.
#[derive(Debug, Clone)]
enum Cell {
    /// The same in every clone.
    Same(Value),
    /// Text with ids in it.
    Text(Vec<Piece>),
    /// Such as `vm-0000007`, with text before it.
    Name(String),
    /// When the clone was made.
    Made,
    /// The number of a VM.
    InternalId,
    /// The address of the VM.
    VmIp,
    /// The same as digits that sort.
    VmIpSort,
    /// An address moved to the network of the cluster.
    Moved(IpAddr),
    MovedSort(IpAddr),
    /// A network in CIDR form, moved.
    MovedCidr(IpAddr, String),
    /// The address of a host, out of its uuid.
    OwnAddress,
    /// The address of a host, counted up.
    Counted(IpAddr),
    Mac,
    /// The fingerprint of a certificate that nobody has.
    Fingerprint,
}

#[derive(Debug, Clone)]
enum Piece {
    Same(String),
    /// The so manieth id of this level.
    Id(Level, usize),
    /// Its last twelve digits.
    Tail(Level, usize),
}

/// One row to be inserted again and again.
#[derive(Debug, Clone)]
pub(crate) struct Clonable {
    table: &'static str,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

/// Everything that is to be made.
pub(crate) struct Plan {
    pub size: Size,
    rows: [Vec<Clonable>; 4],
    first_ip: IpAddr,
    network_bits: u32,
    /// Places in the range that VMs get.
    places: Vec<u64>,
    internal_id: i64,
    salt: u64,
    begun_ms: i64,
}

impl Plan {
    pub fn new(template: &Template, size: Size, now_ms: i64) -> Result<Self> {
        if size.hosts_per_cluster == 0 || size.hosts_per_cluster > MOST_HOSTS || size.clusters_per_zone == 0 {
            return Err(Fault::argument("a cluster has 1 to 1000 hosts, and a zone at least one cluster"));
        }
        if size.hosts == 0 && size.vms > 0 {
            return Err(Fault::argument("VMs need hosts; add some"));
        }
        let per_cluster = (size.vms * size.hosts_per_cluster.min(size.hosts)).div_ceil(size.hosts.max(1)) + 1;
        let places: Vec<u64> =
            (0..template.addresses).filter(|n| !template.not_for_vms.contains(n)).take(per_cluster).collect();
        if places.len() < per_cluster {
            return Err(Fault::argument(format!(
                "the range of the template has {} addresses for VMs, and {per_cluster} are needed; make it larger",
                places.len()
            )));
        }
        let rows = Level::ALL.map(|level| {
            let rows = &template.levels[level as usize].rows;
            rows.iter().map(|row| clonable(template, level, row)).collect()
        });
        let salt = u64::from_str_radix(&random_uuid()[..15], 16).unwrap_or(1);
        // A clone each millisecond, the last one now.
        let all = size.zones() + size.clusters() + size.hosts + size.vms;
        let begun_ms = now_ms - i64::try_from(all).unwrap_or(0);
        let (first_ip, network_bits) = (template.first_ip, template.network_bits);
        Ok(Self {
            size,
            rows,
            first_ip,
            network_bits,
            places,
            internal_id: template.internal_id,
            salt,
            begun_ms,
        })
    }

    /// How many clones of a level there are to be.
    pub fn count(&self, level: Level) -> usize {
        match level {
            Level::Zone => self.size.zones(),
            Level::Cluster => self.size.clusters(),
            Level::Host => self.size.hosts,
            Level::Vm => self.size.vms,
        }
    }

    pub fn rows(&self, level: Level) -> &[Clonable] {
        &self.rows[level as usize]
    }

    /// Which clone of another level holds the n-th of this one.
    fn holder(&self, level: Level, n: usize, above: Level) -> usize {
        let host = match level {
            Level::Vm if above != Level::Vm => n * self.size.hosts / self.size.vms.max(1),
            _ => n,
        };
        match (level, above) {
            (Level::Vm, Level::Host) => host,
            (Level::Vm | Level::Host, Level::Cluster) => host / self.size.hosts_per_cluster,
            (Level::Vm | Level::Host, Level::Zone) => {
                host / self.size.hosts_per_cluster / self.size.clusters_per_zone
            }
            (Level::Cluster, Level::Zone) => n / self.size.clusters_per_zone,
            _ => n,
        }
    }

    fn made_ms(&self, level: Level, n: usize) -> i64 {
        let before: usize = Level::ALL.into_iter().filter(|l| *l < level).map(|l| self.count(l)).sum();
        self.begun_ms + i64::try_from(before + n).unwrap_or(0)
    }

    /// An id of the clone of a level that holds the n-th clone of another.
    fn id(&self, of: Level, k: usize, level: Level, n: usize) -> u128 {
        let n = self.holder(level, n, of);
        let number = ((n * 4 + of as usize) * 32 + k) as u64;
        id(self.made_ms(of, n), k, number, self.salt)
    }

    /// How far the network of a cluster lies behind that of the template.
    fn shift(&self, level: Level, n: usize) -> u64 {
        (self.holder(level, n, Level::Cluster) as u64 + 1) << self.network_bits
    }

    fn vm_ip(&self, n: usize) -> Result<IpAddr> {
        let cluster = self.holder(Level::Vm, n, Level::Cluster);
        let first_host = cluster * self.size.hosts_per_cluster;
        // The first VM whose host is not below the first one of the cluster.
        let first = (first_host * self.size.vms).div_ceil(self.size.hosts.max(1));
        let place =
            self.places.get(n - first).ok_or_else(|| Fault::internal("a cluster has too many VMs"))?;
        further(self.first_ip, self.shift(Level::Vm, n) + place)
    }

    fn value(&self, cell: &Cell, level: Level, n: usize) -> Result<Value> {
        let moved = |ip: &IpAddr| further(*ip, self.shift(level, n));
        Ok(match cell {
            Cell::Same(value) => value.clone(),
            Cell::Text(pieces) => self.text(pieces, level, n).into(),
            Cell::Name(before) if level == Level::Vm => format!("{before}vm-{:07}", n + 1).into(),
            Cell::Name(before) => format!("{before}-{}", n + 1).into(),
            Cell::Made => self.made_ms(level, n).into(),
            Cell::InternalId => (self.internal_id + 1 + i64::try_from(n).unwrap_or(0)).into(),
            Cell::VmIp => self.vm_ip(n)?.to_string().into(),
            Cell::VmIpSort => sort(self.vm_ip(n)?).into(),
            Cell::Moved(ip) => moved(ip)?.to_string().into(),
            Cell::MovedSort(ip) => sort(moved(ip)?).into(),
            Cell::MovedCidr(ip, length) => format!("{}/{length}", moved(ip)?).into(),
            Cell::OwnAddress => own_address(self.id(level, 0, level, n)).to_string().into(),
            Cell::Counted(ip) => further(*ip, n as u64 + 1)?.to_string().into(),
            Cell::Mac => mac(n as u64, self.salt).into(),
            Cell::Fingerprint => (random_uuid() + &random_uuid()).into(),
        })
    }

    fn text(&self, pieces: &[Piece], level: Level, n: usize) -> String {
        let mut out = String::with_capacity(32 * pieces.len());
        for piece in pieces {
            match piece {
                Piece::Same(same) => out.push_str(same),
                Piece::Id(of, k) => out.push_str(&text(self.id(*of, *k, level, n))),
                Piece::Tail(of, k) => out.push_str(&text(self.id(*of, *k, level, n))[20..]),
            }
        }
        out
    }
}

impl Clonable {
    /// `INSERT` of so many clones; what is the same in all of them stands in its text.
    pub fn sql(&self, clones: usize) -> String {
        let mut row = String::from("(");
        for (n, cell) in self.cells.iter().enumerate() {
            row.push_str(if n == 0 { "" } else { ", " });
            match cell {
                Cell::Same(Value::Null) => row.push_str("NULL"),
                Cell::Same(Value::Int(number)) => row.push_str(&number.to_string()),
                Cell::Same(Value::Text(text)) if !text.contains('?') => {
                    row.push_str(&format!("'{}'", text.replace('\'', "''")));
                }
                _ => row.push('?'),
            }
        }
        row.push(')');
        let rows = vec![row.as_str(); clones].join(", ");
        format!("INSERT INTO {} ({}) VALUES {rows}", self.table, self.columns.join(", "))
    }

    /// Its parameters.
    pub fn params(&self, plan: &Plan, level: Level, clones: std::ops::Range<usize>) -> Result<Vec<Value>> {
        let is_bound = |cell: &&Cell| match cell {
            Cell::Same(Value::Null | Value::Int(_)) => false,
            Cell::Same(Value::Text(text)) => text.contains('?'),
            _ => true,
        };
        let bound: Vec<&Cell> = self.cells.iter().filter(is_bound).collect();
        let mut values = Vec::with_capacity(bound.len() * clones.len());
        for n in clones {
            for cell in &bound {
                values.push(plan.value(cell, level, n)?);
            }
        }
        Ok(values)
    }
}

fn clonable(template: &Template, level: Level, row: &TemplateRow) -> Clonable {
    let cells =
        row.columns.iter().zip(&row.values).map(|(column, value)| cell(template, level, row, column, value));
    Clonable { table: row.table, columns: row.columns.clone(), cells: cells.collect() }
}

fn cell(template: &Template, level: Level, row: &TemplateRow, column: &str, value: &Value) -> Cell {
    let text = match value {
        Value::Text(text) => text,
        Value::Int(_) if column == "internal_id" => return Cell::InternalId,
        Value::Int(_) if column.ends_with("_ms") => return Cell::Made,
        other => return Cell::Same(other.clone()),
    };
    let ip: Option<IpAddr> = text.parse().ok();
    match (row.table, column, ip) {
        ("host", "management_ip", Some(ip)) => {
            let uuid = row.text("uuid").and_then(|u| u128::from_str_radix(u, 16).ok()).unwrap_or(0);
            return if IpAddr::V6(own_address(uuid)) == ip { Cell::OwnAddress } else { Cell::Counted(ip) };
        }
        ("vm_nic", "mac", _) => return Cell::Mac,
        ("agent", "fingerprint", _) => return Cell::Fingerprint,
        ("used_ip" | "vm_nic", "ip", Some(_)) if level == Level::Vm => return Cell::VmIp,
        ("used_ip" | "vm_nic", "ip_sort", _) if level == Level::Vm => return Cell::VmIpSort,
        ("used_ip" | "vm_nic" | "ip_range", "ip" | "gateway" | "start_ip" | "end_ip", Some(ip)) => {
            return Cell::Moved(ip);
        }
        ("used_ip" | "ip_range", "ip_sort" | "start_ip_sort" | "end_ip_sort", _) => {
            let of = row.text(column.trim_end_matches("_sort")).and_then(|t| t.parse().ok());
            return of.map_or_else(|| Cell::Same(value.clone()), Cell::MovedSort);
        }
        ("ip_range", "network_cidr", _) => {
            let (network, length) = text.split_once('/').unwrap_or((text, ""));
            return match network.parse() {
                Ok(network) => Cell::MovedCidr(network, length.to_owned()),
                Err(_) => Cell::Same(value.clone()),
            };
        }
        (_, "name", _) => return name(template, level, text),
        _ => {}
    }
    with_ids(&template.levels, text)
}

/// Rows of a VM carry its name; what else has one is counted.
fn name(template: &Template, level: Level, text: &str) -> Cell {
    if level != Level::Vm {
        return Cell::Name(text.to_owned());
    }
    match text.strip_suffix(&template.vm_name) {
        Some(before) => Cell::Name(before.to_owned()),
        None => Cell::Same(text.into()),
    }
}

/// Text in which the template's own ids are those of the clone.
fn with_ids(levels: &[LevelRows; 4], text: &str) -> Cell {
    let known: Vec<(&str, Piece)> = Level::ALL
        .into_iter()
        .flat_map(|level| {
            let ids = levels[level as usize].ids.iter().enumerate();
            ids.map(move |(k, id)| (id.as_str(), Piece::Id(level, k)))
        })
        .collect();
    let (mut pieces, mut rest) = (Vec::new(), text);
    loop {
        let next = known.iter().filter_map(|(id, piece)| Some((rest.find(id)?, id.len(), piece.clone())));
        let tails = known.iter().filter_map(|(id, piece)| {
            let Piece::Id(level, k) = piece else { return None };
            let rest = rest.strip_prefix("vn").filter(|r| r.len() == 12)?;
            rest.starts_with(id.get(20..)?).then_some((2, 12, Piece::Tail(*level, *k)))
        });
        let Some((at, length, piece)) = next.chain(tails).min_by_key(|(at, ..)| *at) else { break };
        if at > 0 {
            pieces.push(Piece::Same(rest[..at].to_owned()));
        }
        pieces.push(piece);
        rest = &rest[at + length..];
    }
    if pieces.is_empty() {
        return Cell::Same(text.into());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Same(rest.to_owned()));
    }
    Cell::Text(pieces)
}
