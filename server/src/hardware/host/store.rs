//! Rows of hosts.

use std::collections::HashSet;

use cairn_store::{Row, Tx, is_duplicate, params};
use cairn_types::state::{HostState, Status};
use cairn_types::{Fault, Id, Result, code, kind, time};
use serde_json::json;

use super::ENTITY;
use crate::platform::events;
use crate::rows;

/// Longest reason kept with a status.
const REASON: usize = 500;

/// What workflows need to know of a host.
#[derive(Debug, Clone)]
pub struct HostRow {
    /// The host.
    pub uuid: Id<kind::Host>,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Its zone.
    pub zone: Id<kind::Zone>,
    /// Name given by its administrator.
    pub name: String,
    /// Address.
    pub management_ip: String,
    /// `KVM` or `Simulator`.
    pub hypervisor_type: String,
    /// What the administrator wants.
    pub state: HostState,
    /// What is known.
    pub status: Status,
    /// Why it is not connected.
    pub status_reason: Option<String>,
    /// When the status changed.
    pub status_ms: i64,
    /// How to log in by SSH; none for simulated hosts and the machine of the server itself.
    pub username: Option<String>,
    /// SSH port.
    pub ssh_port: Option<i64>,
    /// Sealed SSH password.
    pub password_sealed: Option<String>,
    /// Sealed SSH private key.
    pub key_sealed: Option<String>,
    /// Its agent.
    pub agent: Option<String>,
    /// The agent has a certificate: it is another process, whatever the hypervisor.
    pub has_papers: bool,
    /// The agent has told once what the host is.
    pub was_seen: bool,
    /// It is on its way out.
    pub is_deleting: bool,
}

impl HostRow {
    /// Reads a host if there is one.
    pub fn find(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<Option<Self>> {
        let sql =
            "SELECT h.*, EXISTS (SELECT 1 FROM agent a WHERE a.uuid = h.agent_uuid) AS has_papers FROM host h
                   WHERE h.uuid = ?";
        tx.query_opt(sql, params![host])?.as_ref().map(Self::read).transpose()
    }

    /// Reads a host; `SYS.1003` if there is none.
    pub fn load(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<Self> {
        Self::find(tx, host)?.ok_or_else(|| Fault::not_found(ENTITY, host))
    }

    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            uuid: row.id("uuid")?,
            cluster: row.id("cluster_uuid")?,
            zone: row.id("zone_uuid")?,
            name: row.text("name")?,
            management_ip: row.text("management_ip")?,
            hypervisor_type: row.text("hypervisor_type")?,
            state: row.parse("state")?,
            status: row.parse("status")?,
            status_reason: row.opt_text("status_reason")?,
            status_ms: row.opt_int("status_ms")?.unwrap_or(0),
            username: row.opt_text("username")?,
            ssh_port: row.opt_int("ssh_port")?,
            password_sealed: row.opt_text("password_sealed")?,
            key_sealed: row.opt_text("private_key_sealed")?,
            agent: row.opt_text("agent_uuid")?,
            has_papers: row.bool("has_papers")?,
            was_seen: row.opt_text("facts")?.is_some(),
            is_deleting: row.opt_text("deleting_run")?.is_some(),
        })
    }

    /// The code that its reason begins with, such as `AGENT.8006`.
    pub fn reason_code(&self) -> &str {
        self.status_reason.as_deref().and_then(|r| r.split_once(": ")).map_or("", |(code, _)| code)
    }
}

/// How a host that is being added is logged in to.
#[derive(Debug, Default)]
pub struct NewLogin<'a> {
    /// User.
    pub username: Option<&'a str>,
    /// SSH port.
    pub ssh_port: Option<i64>,
    /// Sealed password.
    pub password_sealed: Option<&'a str>,
    /// Sealed private key.
    pub key_sealed: Option<&'a str>,
}

/// A host that is being added.
#[derive(Debug)]
pub struct NewHost<'a> {
    /// Its uuid.
    pub uuid: Id<kind::Host>,
    /// Its cluster.
    pub cluster: Id<kind::Cluster>,
    /// Name.
    pub name: &'a str,
    /// Description.
    pub description: Option<&'a str>,
    /// Address.
    pub management_ip: &'a str,
    /// `KVM` or `Simulator`.
    pub hypervisor_type: &'a str,
    /// How to log in by SSH; all absent for simulated hosts and the machine of the server itself.
    pub login: NewLogin<'a>,
    /// Its agent.
    pub agent: &'a str,
}

/// Claims a cluster, and its zone, for new hosts of a hypervisor; the zone.
pub fn claim_cluster(
    tx: &mut dyn Tx,
    cluster: Id<kind::Cluster>,
    hypervisor_type: &str,
) -> Result<Id<kind::Zone>> {
    rows::claim(tx, "ClusterVO", cluster)?;
    let sql = "SELECT zone_uuid, hypervisor_type FROM cluster WHERE uuid = ?";
    let Some(row) = tx.query_opt(sql, params![cluster])? else {
        return Err(Fault::not_found("ClusterVO", cluster));
    };
    let (zone, hypervisor): (Id<kind::Zone>, String) = (row.id("zone_uuid")?, row.text("hypervisor_type")?);
    rows::claim(tx, "ZoneVO", zone)?;
    if hypervisor != hypervisor_type {
        let text = format!(
            "cluster {cluster} is for {hypervisor} hosts and this is a {hypervisor_type} host; choose another cluster"
        );
        return Err(Fault::argument(text).with("parameter", "clusterUuid"));
    }
    Ok(zone)
}

/// Writes the row of a new host, Connecting. Its cluster must be of the same hypervisor, its address new.
pub fn insert(tx: &mut dyn Tx, new: &NewHost<'_>) -> Result<()> {
    let zone = claim_cluster(tx, new.cluster, new.hypervisor_type)?;
    rows::register(tx, ENTITY, new.uuid, None)?;
    let now = time::now_ms();
    let sql = "INSERT INTO host (uuid, zone_uuid, cluster_uuid, name, description, management_ip, hypervisor_type, state, status,
                 status_ms, username, ssh_port, password_sealed, private_key_sealed, agent_uuid, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, 'Enabled', 'Connecting', ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        new.uuid,
        zone,
        new.cluster,
        new.name,
        new.description,
        new.management_ip,
        new.hypervisor_type,
        now,
        new.login.username,
        new.login.ssh_port,
        new.login.password_sealed,
        new.login.key_sealed,
        new.agent,
        now,
        now
    ];
    tx.execute(sql, values).map(|_| ()).map_err(|f| taken(f, new.management_ip))
}

/// `HOST.8007` for a second host of one address.
pub fn taken(fault: Fault, address: &str) -> Fault {
    if !is_duplicate(&fault) {
        return fault;
    }
    let text =
        format!("a host with address {address} is there already; delete it first or check the address");
    Fault::new(code::HOST_DUPLICATE, text).with("managementIp", address)
}

/// Moves the administrative state; nothing happens if it is another one by now.
pub fn set_state(tx: &mut dyn Tx, host: Id<kind::Host>, from: HostState, to: HostState) -> Result<bool> {
    let sql = "UPDATE host SET state = ? WHERE uuid = ? AND state = ?";
    let moved = tx.execute(sql, params![to, host, from])? == 1;
    if moved {
        rows::changed(tx, ENTITY, host, &json!({ "state": to }))?;
    }
    Ok(moved)
}

/// Moves the status from one of these; tells whether it did.
pub fn set_status(
    tx: &mut dyn Tx,
    host: Id<kind::Host>,
    from: &[Status],
    to: Status,
    reason: Option<&str>,
) -> Result<bool> {
    let reason = reason.map(|r| r.chars().take(REASON).collect::<String>());
    let list = from.iter().map(|s| format!("'{s}'")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "UPDATE host SET status = ?, status_reason = ?, status_ms = ? WHERE uuid = ? AND status IN ({list})"
    );
    let moved = tx.execute(&sql, params![to, reason.clone(), time::now_ms(), host])? == 1;
    if moved {
        rows::changed(tx, ENTITY, host, &json!({ "status": to, "statusReason": reason }))?;
    }
    Ok(moved)
}

/// The same for many hosts; those that it moved.
pub fn set_status_of_all(
    tx: &mut dyn Tx,
    hosts: &[Id<kind::Host>],
    from: &[Status],
    to: Status,
    reason: Option<&str>,
) -> Result<Vec<Id<kind::Host>>> {
    let reason = reason.map(|r| r.chars().take(REASON).collect::<String>());
    let (list, now) = (from.iter().map(|s| format!("'{s}'")).collect::<Vec<_>>().join(", "), time::now_ms());
    let sql = format!(
        "UPDATE host SET status = ?, status_reason = ?, status_ms = ?, last_op_ms = ? WHERE uuid = ? AND status IN ({list})"
    );
    let mut moved = Vec::new();
    for host in hosts {
        if tx.execute(&sql, params![to, reason.clone(), now, now, *host])? == 1 {
            moved.push(*host);
        }
    }
    let data = json!({ "status": to, "statusReason": reason });
    events::write_all(tx, ENTITY, "updated", moved.iter().map(|h| (*h, &data)))?;
    Ok(moved)
}

/// Why a host is not connected, with the code in front.
pub fn reason(fault: &Fault) -> String {
    // What went wrong first says most.
    let mut deepest = fault;
    while let Some(cause) = deepest.cause.as_deref() {
        deepest = cause;
    }
    deepest.to_string()
}

/// Withdraws the certificate of an agent that serves nothing any more. True if it was withdrawn.
pub fn forget_agent(tx: &mut dyn Tx, agent: &str) -> Result<bool> {
    let sql =
        "SELECT 1 FROM host WHERE agent_uuid = ? UNION ALL SELECT 1 FROM backup_storage WHERE agent_uuid = ?";
    if tx.exists(sql, params![agent, agent])? {
        return Ok(false);
    }
    tx.execute("DELETE FROM agent WHERE uuid = ?", params![agent])?;
    Ok(true)
}

/// Whether an agent serves anything but this host.
pub fn serves_more(tx: &mut dyn Tx, agent: &str, host: Id<kind::Host>) -> Result<bool> {
    let sql = "SELECT 1 FROM host WHERE agent_uuid = ? AND uuid <> ?
               UNION ALL SELECT 1 FROM backup_storage WHERE agent_uuid = ? LIMIT 1";
    tx.exists(sql, params![agent, host, agent])
}

/// Hosts that runs are at work on which connect them by themselves.
pub fn being_connected(tx: &mut dyn Tx) -> Result<HashSet<Id<kind::Host>>> {
    let sql = "SELECT resource_uuid AS uuid FROM run WHERE state IN ('Running', 'Undoing')
               AND name IN ('host.add', 'host.reconnect', 'host.update', 'host.delete')";
    tx.query(sql, params![])?.iter().map(|row| row.id("uuid")).collect()
}

/// Whether a run is at work that waits for the host's agent and connects the host by itself.
pub fn is_being_connected(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<bool> {
    has_run(tx, host, "'host.add', 'host.reconnect', 'host.update', 'host.delete'")
}

/// Whether a run that connects the host waits behind one that does so now: it will use the connection that stands then, so no
/// further one is needed, however often the agent comes and goes meanwhile.
pub fn will_be_connected(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<bool> {
    let sql = "SELECT count(*) FROM run WHERE resource_uuid = ? AND state IN ('Running', 'Undoing') AND name = 'host.connect'";
    Ok(tx.query_int(sql, params![host])? >= 2)
}

/// Whether any run is at work on the host.
pub fn is_at_work(tx: &mut dyn Tx, host: Id<kind::Host>) -> Result<bool> {
    has_run(tx, host, "'host.add', 'host.reconnect', 'host.update', 'host.delete', 'host.connect'")
}

fn has_run(tx: &mut dyn Tx, host: Id<kind::Host>, names: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM run WHERE resource_uuid = ? AND state IN ('Running', 'Undoing') AND name IN ({names})"
    );
    tx.exists(&sql, params![host])
}
