//! Following what really runs: events of agents, lost hosts, and the list of VMs that a host brings when it comes back.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::vm::{ListVms, PowerState, VmOnHost};
use cairn_store::{Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Id, Result, kind, time};
use cairn_workflow::{Cx, Workflow};

use super::model::VmRow;
use super::store;
use crate::agents::CallOptions;
use crate::app::App;
use crate::network;

/// States in which evidence from a host decides.
const FOLLOWING: &[VmState] = &[VmState::Running, VmState::Paused, VmState::Unknown, VmState::Stopped];

fn state_of(power: PowerState) -> VmState {
    match power {
        PowerState::Running => VmState::Running,
        PowerState::Paused => VmState::Paused,
        PowerState::Off => VmState::Stopped,
    }
}

/// Takes back what a run that failed did to the state of a VM that was on: it is Unknown, and its host is asked what it does.
pub(super) async fn let_go<W: Workflow<Env = App>>(
    cx: &mut Cx<App>,
    w: &mut W,
    (vm, host): (Id<kind::Vm>, Option<Id<kind::Host>>),
    why: &'static str,
) -> Result<()> {
    let run = cx.run();
    cx.tx(w, move |_, tx| store::release(tx, vm, run, VmState::Unknown, Some(why)).map(|_| ())).await?;
    if let Some(host) = host {
        look_again(cx.env(), host, vm);
    }
    Ok(())
}

/// A domain changed its state by itself.
pub async fn power_event(
    app: &Arc<App>,
    host: Id<kind::Host>,
    vm: Id<kind::Vm>,
    power: PowerState,
) -> Result<()> {
    // It may have been on its way while a run ended: of a VM that has just changed the host is asked again.
    let evidence =
        Evidence { power, as_of_ms: time::now_ms() - EVENT_LAG_MS, reason: "reported by the host" };
    // Most events tell what a run has just brought about.
    if app
        .store
        .read(move |tx| Ok(VmRow::find(tx, vm)?.is_some_and(|row| is_expected(&row, host, power))))
        .await?
    {
        return Ok(());
    }
    let in_doubt = app.store.write(move |tx| one(tx, host, vm, &evidence)).await?;
    if in_doubt {
        // Whatever a run that is at work on it finds, look again when it has ended.
        look_again(app, host, vm);
    } else {
        network::apply::catch_up(app, host);
    }
    Ok(())
}

/// Whether an event says only what the row says already, or where the run that holds the VM takes it.
fn is_expected(row: &VmRow, host: Id<kind::Host>, power: PowerState) -> bool {
    let is_there = row.host == Some(host);
    match (row.run, power) {
        (None, _) => (is_there || power == PowerState::Off) && row.state == state_of(power),
        (Some(_), PowerState::Running) => is_there && row.state == VmState::Starting,
        (Some(_), PowerState::Off) => {
            is_there && matches!(row.state, VmState::Stopping | VmState::Destroying)
        }
        (Some(_), PowerState::Paused) => false,
    }
}

/// What a host said about a VM.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    power: PowerState,
    /// No later than when it was so.
    as_of_ms: i64,
    reason: &'static str,
}

/// An event is processed within this time.
const EVENT_LAG_MS: i64 = 1000;

/// Takes evidence about one VM. True if nothing was changed because a run holds the VM, or because its state is newer than
/// the evidence.
fn one(tx: &mut dyn Tx, host: Id<kind::Host>, vm: Id<kind::Vm>, evidence: &Evidence) -> Result<bool> {
    let Some(row) = VmRow::find(tx, vm)? else { return Ok(false) };
    if row.run.is_some() {
        return Ok(true);
    }
    if row.host.is_some_and(|h| h != host) {
        // Evidence from a host that it left.
        return Ok(false);
    }
    let Evidence { power, reason, .. } = *evidence;
    if row.state == state_of(power) {
        return Ok(false);
    }
    // A run that ended after the host was asked knows better. Unknown knows nothing.
    let is_newer = "SELECT 1 FROM vm_instance WHERE uuid = ? AND state_ms >= ? AND state <> 'Unknown'";
    if tx.exists(is_newer, params![vm, evidence.as_of_ms])? {
        return Ok(true);
    }
    let to = state_of(power);
    if to != VmState::Stopped && row.host.is_none() {
        // It runs although it was thought to be off: only its last host can say so.
        if row.state != VmState::Stopped || row.last_host != Some(host) {
            return Ok(false);
        }
        tx.execute("UPDATE vm_instance SET host_uuid = ? WHERE uuid = ?", params![host, vm])?;
    }
    store::follow(tx, vm, FOLLOWING, to, reason)?;
    Ok(false)
}

/// The hosts can't be reached: what ran there is Unknown, not Stopped (VM-35).
pub async fn hosts_lost(app: &Arc<App>, hosts: &[Id<kind::Host>]) -> Result<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    let hosts = hosts.to_vec();
    app.store
        .write(move |tx| {
            for host in &hosts {
                let sql = "SELECT uuid FROM vm_instance WHERE host_uuid = ? AND run_uuid IS NULL";
                for row in tx.query(sql, params![*host])? {
                    let from = [VmState::Running, VmState::Paused];
                    let why = "its host can't be reached";
                    store::follow(tx, row.id("uuid")?, &from, VmState::Unknown, why)?;
                }
            }
            Ok(())
        })
        .await
}

/// Asks a host that is back for its VMs: those that it has are what it says, those that it lacks are off.
pub async fn sync(app: &Arc<App>, host: Id<kind::Host>) -> Result<()> {
    let as_of_ms = time::now_ms();
    let vms = app.agents.call(host, &ListVms {}, CallOptions::default()).await?;
    let in_doubt = app.store.write(move |tx| compare(tx, host, &vms, as_of_ms)).await?;
    in_doubt.into_iter().for_each(|vm| look_again(app, host, vm));
    network::apply::catch_up(app, host);
    Ok(())
}

/// Takes the list of a host. VMs about which it has to be asked again.
pub fn compare(
    tx: &mut dyn Tx,
    host: Id<kind::Host>,
    vms: &[VmOnHost],
    as_of_ms: i64,
) -> Result<Vec<Id<kind::Vm>>> {
    let mut in_doubt = Vec::new();
    for seen in vms {
        let evidence = Evidence { power: seen.state, as_of_ms, reason: "seen on the host when it came back" };
        if let Ok(vm) = seen.vm.parse()
            && one(tx, host, vm, &evidence)?
        {
            in_doubt.push(vm);
        }
    }
    let rows =
        tx.query("SELECT uuid FROM vm_instance WHERE host_uuid = ? AND run_uuid IS NULL", params![host])?;
    for row in &rows {
        let vm: Id<kind::Vm> = row.id("uuid")?;
        let there = vms.iter().any(|v| v.vm == vm.to_string() && v.state != PowerState::Off);
        let evidence = Evidence { power: PowerState::Off, as_of_ms, reason: "the host came back without it" };
        if !there && one(tx, host, vm, &evidence)? {
            in_doubt.push(vm);
        }
    }
    Ok(in_doubt)
}

/// Asks the host about a VM once no run holds it any more. For runs that ended in doubt and events that came meanwhile.
pub fn look_again(app: &Arc<App>, host: Id<kind::Host>, vm: Id<kind::Vm>) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let Some(app) = app.upgrade() else { return };
            match look(&app, host, vm).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(f) => {
                    tracing::warn!(%vm, error = %f, "the state of VM {vm} is not known for sure");
                    return;
                }
            }
        }
    });
}

/// Asks the host about a VM. True if that has to be repeated.
async fn look(app: &Arc<App>, host: Id<kind::Host>, vm: Id<kind::Vm>) -> Result<bool> {
    match app.store.read(move |tx| VmRow::find(tx, vm)).await? {
        None => return Ok(false),
        Some(row) if row.run.is_some() => return Ok(true),
        Some(_) => {}
    }
    let as_of_ms = time::now_ms();
    let list = app.agents.call(host, &ListVms {}, CallOptions::default()).await?;
    let power = list.iter().find(|v| v.vm == vm.to_string()).map_or(PowerState::Off, |v| v.state);
    let evidence = Evidence { power, as_of_ms, reason: "asked the host" };
    let in_doubt = app.store.write(move |tx| one(tx, host, vm, &evidence)).await?;
    if !in_doubt {
        network::apply::catch_up(app, host);
    }
    Ok(in_doubt)
}
