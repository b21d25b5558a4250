//! Following what really runs: events of agents, lost hosts, and the list of VMs that a host brings when it comes back.

use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::vm::{ListVms, PowerState, VmOnHost};
use cairn_store::{Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Id, Result, kind};

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

/// A domain changed its state by itself.
pub async fn power_event(app: &Arc<App>, host: Id<kind::Host>, vm: Id<kind::Vm>, power: PowerState) -> Result<()> {
    let held = app.store.write(move |tx| one(tx, host, vm, power, "reported by the host")).await?;
    if held {
        // A run is at work on it. Whatever it finds, look again when it has ended.
        look_again(app, host, vm);
    } else {
        network::apply::catch_up(app, host);
    }
    Ok(())
}

/// Takes evidence about one VM. True if a run holds the VM and nothing was changed.
fn one(tx: &mut dyn Tx, host: Id<kind::Host>, vm: Id<kind::Vm>, power: PowerState, reason: &str) -> Result<bool> {
    let Some(row) = VmRow::find(tx, vm)? else { return Ok(false) };
    if row.run.is_some() {
        return Ok(true);
    }
    if row.host.is_some_and(|h| h != host) {
        // Evidence from a host that it left.
        return Ok(false);
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

/// The host can't be reached: what ran there is Unknown, not Stopped (VM-35).
pub async fn host_lost(app: &Arc<App>, host: Id<kind::Host>) -> Result<()> {
    app.store
        .write(move |tx| {
            let rows = tx.query("SELECT uuid FROM vm_instance WHERE host_uuid = ? AND run_uuid IS NULL", params![host])?;
            for row in &rows {
                let from = [VmState::Running, VmState::Paused];
                store::follow(tx, row.id("uuid")?, &from, VmState::Unknown, "its host can't be reached")?;
            }
            Ok(())
        })
        .await
}

/// The host is back with this list: VMs that it has are what it says, those that it lacks are off.
pub async fn sync(app: &Arc<App>, host: Id<kind::Host>, vms: Vec<VmOnHost>) -> Result<()> {
    app.store
        .write(move |tx| {
            for seen in &vms {
                if let Ok(vm) = seen.vm.parse() {
                    one(tx, host, vm, seen.state, "seen on the host when it came back")?;
                }
            }
            let rows = tx.query("SELECT uuid FROM vm_instance WHERE host_uuid = ? AND run_uuid IS NULL", params![host])?;
            for row in &rows {
                let vm: Id<kind::Vm> = row.id("uuid")?;
                let there = vms.iter().any(|v| v.vm == vm.to_string() && v.state != PowerState::Off);
                if !there {
                    one(tx, host, vm, PowerState::Off, "the host came back without it")?;
                }
            }
            Ok(())
        })
        .await?;
    network::apply::catch_up(app, host);
    Ok(())
}

/// Asks the host about a VM once no run holds it any more. For runs that ended in doubt and events that came meanwhile.
pub fn look_again(app: &Arc<App>, host: Id<kind::Host>, vm: Id<kind::Vm>) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let Some(app) = app.upgrade() else { return };
            let Ok(Some(row)) = app.store.read(move |tx| VmRow::find(tx, vm)).await else { return };
            if row.run.is_none() {
                let seen = app.agents.call(host, &ListVms {}, CallOptions::default()).await;
                let Ok(list) = seen else { return };
                let found = list.iter().find(|v| v.vm == vm.to_string()).map_or(PowerState::Off, |v| v.state);
                let noted = app.store.write(move |tx| one(tx, host, vm, found, "asked the host")).await;
                if let Err(f) = noted {
                    tracing::warn!(%vm, error = %f, "the state of VM {vm} could not be noted");
                }
                network::apply::catch_up(&app, host);
                return;
            }
        }
    });
}
