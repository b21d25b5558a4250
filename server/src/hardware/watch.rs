//! What hosts report by themselves: they come, they go, their VMs change state (HOST-05).

use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_api::agent::{AgentEvent, Target, TargetKind};
use cairn_store::{Tx, Value as Sql, params};
use cairn_types::state::Status;
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::Start;

use super::host::connect::ConnectHost;
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

type Host = Id<kind::Host>;

fn noted(host: Host, what: &str, done: Result<()>) {
    if let Err(f) = done {
        tracing::warn!(%host, error = %f, "host {host}: {what} failed");
    }
}

/// A connection serves the host now.
pub async fn host_arrived(app: Arc<App>, host: String) {
    let Ok(host) = host.parse::<Host>() else { return };
    noted(host, "connecting", arrived(&app, host).await);
}

async fn arrived(app: &Arc<App>, host: Host) -> Result<()> {
    let auto = app.settings.bool("host", "connection.autoReconnectOnError");
    let wanted = move |tx: &mut dyn Tx| {
        let Some(row) = HostRow::find(tx, host)? else { return Ok(false) };
        // One that was never seen has not been lost either.
        let left_alone = row.status == Status::Disconnected && row.was_seen && !auto;
        // Whoever adds or reconnects a host waits for this moment and goes on by itself.
        Ok(!row.is_deleting && !left_alone && !store::is_being_connected(tx, host)?)
    };
    if app.store.read(wanted).await? { connect(app, host).await } else { Ok(()) }
}

async fn connect(app: &Arc<App>, host: Host) -> Result<()> {
    let start = Start { account: ADMIN.to_string(), ..Start::default() };
    app.engine.start(ConnectHost::new(host), start).await.map(|_| ())
}

/// No connection serves the host any more.
pub async fn host_gone(app: &Arc<App>, host: &str) {
    let Ok(host) = host.parse::<Host>() else { return };
    noted(host, "noting that it went", gone(app, host, "the connection to its agent was lost").await);
    noted(host, "its storage", crate::storage::connect::host_gone(app, host).await);
}

async fn gone(app: &Arc<App>, host: Host, why: &'static str) -> Result<()> {
    let look = app.clone();
    let lost = app.store.write(move |tx| {
        if look.agents.is_connected(host) {
            return Ok(false);
        }
        let reason = format!("{}: {why}", code::HOST_DISCONNECTED);
        store::set_status(
            tx,
            host,
            &[Status::Connected, Status::Connecting],
            Status::Disconnected,
            Some(&reason),
        )
    });
    if lost.await? {
        let app: Weak<App> = Arc::downgrade(app);
        tokio::spawn(async move {
            tokio::time::sleep(RESTART).await;
            if let Some(app) = app.upgrade().filter(|a| !a.agents.is_connected(host)) {
                noted(host, "its VMs", track::host_lost(&app, host).await);
            }
        });
    }
    Ok(())
}

/// Called at the server's start: hosts whose agents do not dial in are lost.
pub(super) fn expect_agents(app: &Arc<App>) {
    let app: Weak<App> = Arc::downgrade(app);
    tokio::spawn(async move {
        tokio::time::sleep(FIRST_DIAL).await;
        let Some(app) = app.upgrade() else { return };
        let sql = "SELECT uuid FROM host WHERE status <> 'Disconnected'";
        let rows = app.store.read(move |tx| tx.query(sql, params![])).await.unwrap_or_default();
        for host in rows.iter().filter_map(|r| r.id::<kind::Host>("uuid").ok()) {
            if !app.agents.is_connected(host) {
                noted(
                    host,
                    "its status",
                    gone(&app, host, "its agent did not dial in after the server's start").await,
                );
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

/// A heartbeat of a connection: all its targets live, but those that are named.
pub fn heartbeat(app: &Arc<App>, targets: &[Target], failing: Vec<(String, Fault)>) {
    let hosts: Vec<Host> =
        targets.iter().filter(|t| t.kind == TargetKind::Host).filter_map(|t| t.uuid.parse().ok()).collect();
    if hosts.is_empty() {
        return;
    }
    let app: Weak<App> = Arc::downgrade(app);
    tokio::spawn(async move {
        let Some(app) = app.upgrade() else { return };
        if let Err(f) = compare(&app, hosts, failing).await {
            tracing::warn!(error = %f, "a heartbeat could not be compared with the hosts' status");
        }
    });
}

async fn compare(app: &Arc<App>, hosts: Vec<Host>, failing: Vec<(String, Fault)>) -> Result<()> {
    let odd = {
        let failing: Vec<String> = failing.iter().map(|(h, _)| h.clone()).collect();
        app.store.read(move |tx| out_of_step(tx, &hosts, &failing)).await?
    };
    let auto = app.settings.bool("host", "connection.autoReconnectOnError");
    for host in odd {
        if let Some((_, fault)) = failing.iter().find(|(h, _)| *h == host.to_string()) {
            lose(app, host, fault).await?;
        } else if auto {
            connect(app, host).await?;
        }
    }
    Ok(())
}

/// Hosts that fail and count as connected, and hosts that are well and could be connected.
fn out_of_step(tx: &mut dyn Tx, hosts: &[Host], failing: &[String]) -> Result<Vec<Host>> {
    let mut odd = Vec::new();
    for part in hosts.chunks(500) {
        let sql =
            format!("SELECT uuid, status FROM host WHERE uuid IN ({})", vec!["?"; part.len()].join(", "));
        let values: Vec<Sql> = part.iter().map(|h| Sql::from(*h)).collect();
        for row in tx.query(&sql, &values)? {
            let (host, status): (Host, Status) = (row.id("uuid")?, row.parse("status")?);
            let fails = failing.contains(&host.to_string());
            let is_odd = match status {
                Status::Connected => fails,
                Status::Disconnected | Status::Connecting => !fails && is_due(tx, host)?,
            };
            if is_odd {
                odd.push(host);
            }
        }
    }
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
        track::host_lost(app, host).await?;
    }
    Ok(())
}
