//! Runs that are stuck: what they hold says so, and those that are stuck because of a machine are tried again when that
//! machine is back.

use std::sync::Arc;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};
use cairn_workflow::{RunInfo, RunState};
use serde_json::json;

use crate::app::App;
use crate::rows;

/// Names the machine whose command failed, in the fault of a command.
const MACHINE: &str = "agentTarget";

/// Notes in a fault which machine it came from.
pub fn from_machine(fault: Fault, target: &str) -> Fault {
    fault.with(MACHINE, target)
}

/// What is said of a run that is stuck: of what it holds, and to whom is refused because of it.
pub fn in_words(run: &RunInfo) -> String {
    let name = run.workflow.split('/').next().unwrap_or_default();
    let step = usize::try_from(run.high).ok().and_then(|at| run.steps.get(at)).map_or("", String::as_str);
    format!(
        "operation {name} (run {}) is stuck: it could not take back its step {step}; retry or abandon that run",
        run.uuid
    )
}

/// The run that holds something, in words, if it is stuck.
pub fn holder_in_words(tx: &mut dyn Tx, run: Id<kind::Run>) -> Result<Option<String>> {
    let sql = "SELECT * FROM run WHERE uuid = ? AND state = 'Stuck'";
    let row = tx.query_opt(sql, params![run])?;
    row.map(|r| RunInfo::from_row(&r).map(|info| in_words(&info))).transpose()
}

/// Lets the VM that a stuck run holds say so. Part of the transaction in which it gets stuck.
pub(super) fn noted(tx: &mut dyn Tx, run: &RunInfo) -> Result<()> {
    if run.state != RunState::Stuck {
        return Ok(());
    }
    let why = in_words(run);
    for row in tx.query("SELECT uuid FROM vm_instance WHERE run_uuid = ?", params![run.uuid])? {
        let vm: Id<kind::Vm> = row.id("uuid")?;
        tx.execute("UPDATE vm_instance SET state_reason = ? WHERE uuid = ?", params![&why, vm])?;
        rows::changed(tx, "VmInstanceVO", vm, &json!({ "stateReason": why }))?;
    }
    Ok(())
}

/// A machine can do its work again: tries the runs that are stuck because of it. Returns at once.
pub fn retry_because_of(app: &Arc<App>, target: impl ToString) {
    retry_because_of_any(app, vec![target.to_string()]);
}

/// The same for many machines, with one look at the runs.
pub fn retry_because_of_any(app: &Arc<App>, targets: Vec<String>) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        let Some(app) = app.upgrade() else { return };
        if let Err(f) = retry_all(&app, &targets).await {
            tracing::warn!(error = %f, "runs that are stuck because of machines could not be tried again");
        }
    });
}

async fn retry_all(app: &Arc<App>, targets: &[String]) -> Result<()> {
    // Children are younger than their parents and must be through before them.
    let sql = "SELECT * FROM run WHERE state = 'Stuck' ORDER BY create_ms DESC, uuid DESC";
    let stuck = move |tx: &mut dyn Tx| tx.query(sql, params![])?.iter().map(RunInfo::from_row).collect();
    let runs: Vec<RunInfo> = app.store.read(stuck).await?;
    let cause = |run: &RunInfo| {
        let error = run.error.as_ref()?;
        targets.iter().find(|target| is_from(error, target))
    };
    for run in runs {
        let Some(name) = cause(&run) else { continue };
        tracing::info!(run = %run.uuid, host = %name, "run {} is stuck because of {name}, which is back: it is tried again", run.uuid);
        match app.engine.retry(run.uuid).await {
            // How it ends is in its journal.
            Ok(handle) => drop(handle.wait().await),
            Err(f) => {
                tracing::debug!(run = %run.uuid, error = %f, "a stuck run was taken up by somebody else")
            }
        }
    }
    Ok(())
}

/// Whether a fault, or one below it, came from this machine.
fn is_from(fault: &Fault, machine: &str) -> bool {
    fault.params.get(MACHINE).and_then(|v| v.as_str()) == Some(machine)
        || fault.cause.as_deref().is_some_and(|c| is_from(c, machine))
        || fault.causes.iter().any(|c| is_from(c, machine))
}
