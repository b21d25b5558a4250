//! The rows of membership: one in `management_node` for each server, and one in `leadership` for the right to lead. Everything
//! is judged by the clock of the database, which all servers share.

use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, code, new_uuid};

use super::rendezvous;

/// The one right there is: to lead. Whoever has it owns every queue, every agent and all periodic work.
const ALL: &str = "all";

/// Where a server can be reached, `host:port` each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// API.
    pub api: String,
    /// Page.
    pub page: String,
    /// Agents.
    pub agents: String,
    /// The other servers.
    pub peers: String,
}

/// A server as it knows itself.
#[derive(Debug, Clone)]
pub struct Me {
    /// Its row.
    pub uuid: String,
    /// Name of its machine.
    pub host_name: String,
    /// Where it can be reached.
    pub addresses: Addresses,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: i64,
}

/// Whoever leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The server.
    pub node: String,
    /// Its epoch.
    pub epoch: i64,
    /// Where the other servers reach it.
    pub peers: String,
}

/// What a round of membership found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Who leads, if anybody does.
    pub leader: Option<Leader>,
    /// This server does, whether it did before or not.
    pub is_mine: bool,
    /// Agent addresses of all servers that live, in the order of their uuids.
    pub agents: Vec<String>,
}

/// Enters this server, anew or again.
pub fn join(tx: &mut dyn Tx, me: &Me) -> Result<()> {
    let now = tx.now_ms()?;
    tx.execute("DELETE FROM management_node WHERE uuid = ?", params![&me.uuid])?;
    let sql =
        "INSERT INTO management_node (uuid, host_name, state, epoch, join_ms, heart_beat_ms, lease_until_ms,
                 api_address, page_address, agent_address, peer_address)
               VALUES (?, ?, 'JOINING', 0, ?, ?, ?, ?, ?, ?, ?)";
    let a = &me.addresses;
    let until = now + me.lease_ms;
    tx.execute(sql, params![&me.uuid, &me.host_name, now, now, until, &a.api, &a.page, &a.agents, &a.peers])?;
    Ok(())
}

/// One round, about every second: renews this server's leases and takes the right to lead when nobody has it. `held` is the
/// epoch in which this server leads so far.
pub fn tick(tx: &mut dyn Tx, me: &Me, held: Option<i64>) -> Result<View> {
    let now = tx.now_ms()?;
    let until = now + me.lease_ms;
    let renew =
        "UPDATE management_node SET heart_beat_ms = ?, lease_until_ms = ?, state = 'RUNNING' WHERE uuid = ?";
    if tx.execute(renew, params![now, until, &me.uuid])? == 0 {
        // Somebody tidied up after this server was silent for very long.
        join(tx, me)?;
    }
    let sql = "SELECT node_uuid, epoch, lease_until_ms FROM leadership WHERE name = ?";
    let row = tx.query_opt(sql, params![ALL])?;
    let (node, epoch, lease) = match &row {
        Some(row) => (row.text("node_uuid")?, row.int("epoch")?, row.int("lease_until_ms")?),
        None => (String::new(), 0, 0),
    };
    if held == Some(epoch) && node == me.uuid {
        // Nobody took it, even if it was late; while it was, nothing was written.
        tx.execute("UPDATE leadership SET lease_until_ms = ? WHERE name = ?", params![until, ALL])?;
        return view(tx, now, Some((node, epoch)), true);
    }
    // What stands in this server's name and it does not know of is of its last life: it takes it anew.
    let is_of_last_life = node == me.uuid && held.is_none();
    if lease > now && !is_of_last_life {
        return view(tx, now, Some((node, epoch)), false);
    }
    if held.is_some() || !is_of_last_life && !is_next(tx, me, epoch, lease, now)? {
        // One that led and lost it starts again first; one that is not next leaves it to the other.
        return view(tx, now, None, false);
    }
    let mine = lead(tx, me, epoch, now)?;
    view(tx, now, Some((me.uuid.clone(), mine)), true)
}

/// Whether this server takes the right that is free: the next one does so at once, the others when it did not.
fn is_next(tx: &mut dyn Tx, me: &Me, epoch: i64, lease: i64, now: i64) -> Result<bool> {
    if now - lease > me.lease_ms {
        return Ok(true);
    }
    let rows = tx.query("SELECT uuid FROM management_node WHERE lease_until_ms > ?", params![now])?;
    let live: Vec<String> = rows.iter().map(|r| r.text("uuid")).collect::<Result<_>>()?;
    let next = rendezvous::owner(&format!("{ALL}/{epoch}"), live.iter().map(String::as_str));
    Ok(next == Some(&me.uuid))
}

/// Takes the right to lead, in a new epoch.
fn lead(tx: &mut dyn Tx, me: &Me, last: i64, now: i64) -> Result<i64> {
    // It follows the clock as well, so that it is past what agents have seen also when the database is an older copy.
    let epoch = (last + 1).max(now / 1000);
    let until = now + me.lease_ms;
    tx.execute("DELETE FROM leadership WHERE name = ? AND epoch = ?", params![ALL, last])?;
    let sql = "INSERT INTO leadership (name, node_uuid, epoch, lease_until_ms) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![ALL, &me.uuid, epoch, until])?;
    tx.execute("UPDATE management_node SET epoch = ? WHERE uuid = ?", params![epoch, &me.uuid])?;
    Ok(epoch)
}

fn view(tx: &mut dyn Tx, now: i64, leader: Option<(String, i64)>, is_mine: bool) -> Result<View> {
    let sql = "SELECT uuid, agent_address, peer_address FROM management_node WHERE lease_until_ms > ? ORDER BY uuid";
    let rows = tx.query(sql, params![now])?;
    let mut agents = Vec::new();
    let mut peers = None;
    for row in &rows {
        agents.extend(row.opt_text("agent_address")?.filter(|a| !a.is_empty()));
        if leader.as_ref().is_some_and(|(node, _)| row.text("uuid").is_ok_and(|u| u == *node)) {
            peers = row.opt_text("peer_address")?;
        }
    }
    let leader = leader.map(|(node, epoch)| Leader { node, epoch, peers: peers.unwrap_or_default() });
    Ok(View { leader, is_mine, agents })
}

/// The guard of a leader's writes: fails once its lease is over or another one's.
pub fn still_leads(tx: &mut dyn Tx, node: &str, epoch: i64) -> Result<()> {
    let now = tx.now_ms()?;
    let sql =
        "SELECT 1 FROM leadership WHERE name = ? AND node_uuid = ? AND epoch = ? AND lease_until_ms > ?";
    if tx.exists(sql, params![ALL, node, epoch, now])? { Ok(()) } else { Err(super::lease::lost()) }
}

/// Gives the right back, so that another server takes over at once, and leaves.
pub fn leave(tx: &mut dyn Tx, node: &str, held: Option<i64>) -> Result<()> {
    let now = tx.now_ms()?;
    if let Some(epoch) = held {
        let sql = "UPDATE leadership SET lease_until_ms = ? WHERE name = ? AND node_uuid = ? AND epoch = ?";
        tx.execute(sql, params![now, ALL, node, epoch])?;
    }
    tx.execute("UPDATE management_node SET lease_until_ms = ? WHERE uuid = ?", params![now, node])?;
    Ok(())
}

/// Takes the rows of servers away whose lease has been over for two lengths of it. One that comes back enters anew.
pub fn tidy(tx: &mut dyn Tx, lease_ms: i64) -> Result<()> {
    let before = tx.now_ms()? - 2 * lease_ms;
    tx.execute("DELETE FROM management_node WHERE lease_until_ms < ?", params![before])?;
    Ok(())
}

/// Notes what all servers must have in common, the first time; afterwards fails for one that has something else.
pub fn agree(tx: &mut dyn Tx, name: &str, fingerprint: &str) -> Result<()> {
    let sql = "SELECT value FROM installation WHERE name = ?";
    let Some(row) = tx.query_opt(sql, params![name])? else {
        tx.execute("INSERT INTO installation (name, value) VALUES (?, ?)", params![name, fingerprint])?;
        return Ok(());
    };
    if row.text("value")? == fingerprint {
        return Ok(());
    }
    let text = format!(
        "this server's {name} is not that of the installation in the database; copy secret.key and the folder pki \
         from the data folder of the first server into this one's, then start it again"
    );
    Err(Fault::new(code::NOT_READY, text))
}

/// The uuid that a data folder gives its server, made at the first start.
pub fn uuid_of(folder: &std::path::Path) -> Result<String> {
    let file = folder.join("node");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    if cairn_types::is_uuid(kept.trim()) {
        return Ok(kept.trim().to_owned());
    }
    let uuid = new_uuid();
    crate::platform::secrets::write_private(&file, uuid.as_bytes())?;
    Ok(uuid)
}
