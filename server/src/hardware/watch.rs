//! What hosts report by themselves: they come, they go, their VMs change state (HOST-05).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_api::agent::AgentEvent;
use cairn_store::{Tx, params};
use cairn_types::state::Status;
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::Start;

use super::host::connect::ConnectHost;
use super::host::connect_many;
use super::host::store::{self, HostRow};
use crate::app::App;
use crate::call::ADMIN;
use crate::compute::vm::track;

/// An agent that restarts is back within this time; only then are the VMs of its host Unknown.
const RESTART: Duration = Duration::from_secs(3);
/// After the server's own start agents get this long to dial in.
const FIRST_DIAL: Duration = Duration::from_secs(30);
/// A host that could not be connected is tried again after this long.
const AGAIN_MS: i64 = 15_000;

/// Hosts whose loss is written in one transaction.
const PART: usize = 500;

type Host = Id<kind::Host>;

fn noted(host: Host, what: &str, done: Result<()>) {
    if let Err(f) = done {
        tracing::warn!(%host, error = %f, "host {host}: {what} failed");
    }
}

/// A connection serves these hosts now.
pub async fn hosts_arrived(app: Arc<App>, hosts: Vec<Host>) {
    connect_all(&app, &hosts).await;
}

/// Connects hosts that one connection serves: many by as few transactions as may be, one by a run of its own.
async fn connect_all(app: &Arc<App>, hosts: &[Host]) {
    match hosts {
        [] => {}
        [host] => connect_alone(app, *host).await,
        many => connect_many::connect(app, many).await,
    }
}

/// Has a run connect the host, unless it is to be left alone.
pub(super) async fn connect_alone(app: &Arc<App>, host: Host) {
    noted(host, "connecting", arrived(app, host).await);
}

async fn arrived(app: &Arc<App>, host: Host) -> Result<()> {
    let auto = app.settings.bool("host", "connection.autoReconnectOnError");
    let wanted = move |tx: &mut dyn Tx| {
        let Some(row) = HostRow::find(tx, host)? else { return Ok(false) };
        // One that was never seen has not been lost either.
        let left_alone = row.status == Status::Disconnected && row.was_seen && !auto;
        // Whoever adds or reconnects a host waits for this moment and goes on by itself.
        let is_seen_to = store::is_being_connected(tx, host)? || store::will_be_connected(tx, host)?;
        Ok(!row.is_deleting && !left_alone && !is_seen_to)
    };
    if app.store.read(wanted).await? { connect(app, host).await } else { Ok(()) }
}

async fn connect(app: &Arc<App>, host: Host) -> Result<()> {
    let start = Start { account: ADMIN.to_string(), ..Start::default() };
    app.engine.start(ConnectHost::new(host), start).await.map(|_| ())
}

/// No connection serves these hosts any more.
pub async fn hosts_gone(app: &Arc<App>, hosts: Vec<Host>) {
    for part in hosts.chunks(PART) {
        several(part, "noting that they went", gone(app, part, "the connection to its agent was lost").await);
        several(part, "their storage", crate::storage::connect::hosts_gone(app, part).await);
    }
}

fn several(hosts: &[Host], what: &str, done: Result<()>) {
    if let (Err(f), Some(first)) = (done, hosts.first()) {
        let count = hosts.len();
        tracing::warn!(host = %first, count, error = %f, "{count} hosts, {first} the first of them: {what} failed");
    }
}

async fn gone(app: &Arc<App>, hosts: &[Host], why: &'static str) -> Result<()> {
    let (look, all) = (app.clone(), hosts.to_vec());
    let lost = app.store.write(move |tx| {
        let here: HashSet<Host> = look.agents.connected(&all).into_iter().collect();
        let away: Vec<Host> = all.iter().filter(|h| !here.contains(h)).copied().collect();
        let reason = format!("{}: {why}", code::HOST_DISCONNECTED);
        let from = [Status::Connected, Status::Connecting];
        store::set_status_of_all(tx, &away, &from, Status::Disconnected, Some(&reason))
    });
    let lost = lost.await?;
    if lost.is_empty() {
        return Ok(());
    }
    let app: Weak<App> = Arc::downgrade(app);
    tokio::spawn(async move {
        tokio::time::sleep(RESTART).await;
        let Some(app) = app.upgrade() else { return };
        let back: HashSet<Host> = app.agents.connected(&lost).into_iter().collect();
        let away: Vec<Host> = lost.into_iter().filter(|h| !back.contains(h)).collect();
        several(&away, "their VMs", track::hosts_lost(&app, &away).await);
    });
    Ok(())
}

/// Called at the server's start: hosts whose agents do not dial in are lost.
pub(super) fn expect_agents(app: &Arc<App>) {
    let app: Weak<App> = Arc::downgrade(app);
    tokio::spawn(async move {
        tokio::time::sleep(FIRST_DIAL).await;
        let mut last = String::new();
        loop {
            let Some(app) = app.upgrade() else { return };
            let after = last.clone();
            let sql =
                "SELECT uuid FROM host WHERE status <> 'Disconnected' AND uuid > ? ORDER BY uuid LIMIT 1000";
            let rows = app.store.read(move |tx| tx.query(sql, params![&after])).await.unwrap_or_default();
            let page: Vec<Host> = rows.iter().filter_map(|r| r.id("uuid").ok()).collect();
            let Some(end) = page.last() else { return };
            last = end.to_string();
            let here: HashSet<Host> = app.agents.connected(&page).into_iter().collect();
            let away: Vec<Host> = page.into_iter().filter(|h| !here.contains(h)).collect();
            if !away.is_empty() {
                let why = "its agent did not dial in after the server's start";
                several(&away, "their status", gone(&app, &away, why).await);
            }
        }
    });
}

/// Something happened on a target.
pub async fn event(app: Arc<App>, target: String, event: AgentEvent) {
    match event {
        AgentEvent::Vm { vm, state, reason } => {
            let (Ok(host), Ok(vm)) = (target.parse::<Host>(), vm.parse()) else { return };
            tracing::info!(%vm, %host, ?state, reason, "VM {vm} is {state:?} on host {host}");
            noted(host, "an event", track::power_event(&app, host, vm, state).await);
        }
        AgentEvent::Upload { .. } | AgentEvent::UploadProgress { .. } => {
            crate::storage::image::upload_event(&app, &target, event).await;
        }
    }
}

/// A heartbeat of a connection: all its hosts live, but those that are named. True if every host that lives is Connected and
/// none is named: then nobody has to look again soon.
pub async fn heartbeat(app: &Arc<App>, agent: &str, hosts: &[Host], failing: Vec<(String, Fault)>) -> bool {
    compare(app, agent, hosts, failing).await.unwrap_or_else(|f| {
        tracing::warn!(error = %f, "a heartbeat could not be compared with the hosts' status");
        false
    })
}

async fn compare(app: &Arc<App>, agent: &str, hosts: &[Host], failing: Vec<(String, Fault)>) -> Result<bool> {
    let failing: HashMap<Host, Fault> =
        failing.into_iter().filter_map(|(host, fault)| Some((host.parse().ok()?, fault))).collect();
    let (agent, served, ill) =
        (agent.to_owned(), hosts.to_vec(), failing.keys().copied().collect::<HashSet<_>>());
    let odd = app.store.read(move |tx| out_of_step(tx, &agent, &served, &ill)).await?;
    for (host, fault) in &failing {
        if odd.lost.contains(host) {
            lose(app, *host, fault).await?;
        }
    }
    if app.settings.bool("host", "connection.autoReconnectOnError") {
        connect_all(app, &odd.due).await;
    }
    Ok(failing.is_empty() && odd.is_settled)
}

/// Hosts whose status is not what a heartbeat says.
struct Odd {
    /// They fail and count as connected.
    lost: HashSet<Host>,
    /// They are well and could be connected.
    due: Vec<Host>,
    /// All are Connected.
    is_settled: bool,
}

/// Reads only the hosts that are not Connected: of a thousand that are, none.
fn out_of_step(tx: &mut dyn Tx, agent: &str, served: &[Host], failing: &HashSet<Host>) -> Result<Odd> {
    let mut odd = Odd { lost: HashSet::new(), due: Vec::new(), is_settled: true };
    let sql = "SELECT uuid FROM host WHERE agent_uuid = ? AND status <> 'Connected'";
    let mut away = HashSet::new();
    for row in tx.query(sql, params![agent])? {
        let host: Host = row.id("uuid")?;
        away.insert(host);
        if served.binary_search(&host).is_err() {
            continue;
        }
        odd.is_settled = false;
        if !failing.contains(&host) && is_due(tx, host)? {
            odd.due.push(host);
        }
    }
    let is_lost = |h: &&Host| !away.contains(*h) && served.binary_search(*h).is_ok();
    odd.lost = failing.iter().filter(is_lost).copied().collect();
    Ok(odd)
}

/// Whether a host that is not connected shall be tried now.
fn is_due(tx: &mut dyn Tx, host: Host) -> Result<bool> {
    let Some(row) = HostRow::find(tx, host)? else { return Ok(false) };
    // A hypervisor that answers again is worth a try at once.
    let recovered = row.status == Status::Disconnected && row.reason_code() == code::AGENT_LIBVIRTD;
    let waited = time::now_ms() - row.status_ms >= AGAIN_MS;
    Ok(!row.is_deleting && (recovered || waited) && !store::is_at_work(tx, host)?)
}

async fn lose(app: &Arc<App>, host: Host, fault: &Fault) -> Result<()> {
    let reason = store::reason(fault);
    let lost = app.store.write(move |tx| {
        store::set_status(tx, host, &[Status::Connected], Status::Disconnected, Some(&reason))
    });
    if lost.await? {
        tracing::warn!(%host, error = %fault, "host {host} does not answer");
        app.agents.doubt(host);
        track::hosts_lost(app, &[host]).await?;
    }
    Ok(())
}
