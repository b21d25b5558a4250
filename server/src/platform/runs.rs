//! Workflow runs as users see them: progress, and the verbs cancel, retry and abandon.

use cairn_api::ops::platform::{AbandonRun, CancelRun, GetTaskProgress, RetryRun};
use cairn_api::resource;
use cairn_store::{Row, Tx, params};
use cairn_types::state::ImageStatus;
use cairn_types::{Fault, Id, Result, kind, time};
use cairn_workflow::RunInfo;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::{inventory, rows};

/// Deepest children that progress tells of.
const MAX_DEPTH: u32 = 5;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<GetTaskProgress, _>(progress);
    h.read::<CancelRun, _>(cancel);
    h.read::<RetryRun, _>(retry);
    h.read::<AbandonRun, _>(abandon);
}

async fn cancel(call: Call, op: CancelRun) -> Result<Value> {
    let run = of_caller(&call, &op.uuid).await?;
    call.app.engine.cancel(run).await?;
    answer(&call, run).await
}

async fn retry(call: Call, op: RetryRun) -> Result<Value> {
    let run = of_caller(&call, &op.uuid).await?;
    call.app.engine.retry(run).await?;
    answer(&call, run).await
}

async fn abandon(call: Call, op: AbandonRun) -> Result<Value> {
    let run = of_caller(&call, &op.uuid).await?;
    call.app.engine.abandon(run, release).await?;
    answer(&call, run).await
}

/// The run, if it is the caller's. What belongs to others looks as if it were not there.
async fn of_caller(call: &Call, uuid: &str) -> Result<Id<kind::Run>> {
    let (run, caller) = (id::<kind::Run>("uuid", uuid)?, call.caller.clone());
    let sql = "SELECT account_uuid FROM run WHERE uuid = ?";
    let row = call.app.store.read(move |tx| tx.query_opt(sql, params![run])).await?;
    let row = row.ok_or_else(|| Fault::not_found("CairnRunVO", run))?;
    if caller.is_admin() || row.opt_text("account_uuid")?.as_deref() == Some(&caller.account.to_string()) {
        return Ok(run);
    }
    Err(Fault::denied(format!("run {run} belongs to another account")))
}

async fn answer(call: &Call, run: Id<kind::Run>) -> Result<Value> {
    let dates = call.dates;
    call.app.store.read(move |tx| inventory::answer(tx, "CairnRunInventory", run, dates)).await
}

/// Gives what an abandoned run held an honest state: nobody knows what a VM does on its host until its agent says so, and
/// what was to be deleted can be deleted again.
fn release(tx: &mut dyn Tx, run: &RunInfo) -> Result<()> {
    let vms = tx.query("SELECT uuid FROM vm_instance WHERE run_uuid = ?", params![run.uuid])?;
    for row in vms {
        let vm: Id<kind::Vm> = row.id("uuid")?;
        let sql = "UPDATE vm_instance SET state = 'Unknown', state_reason = ?, state_ms = ?, run_uuid = NULL WHERE uuid = ?";
        let reason =
            format!("operation {} was given up half way", run.workflow.split('/').next().unwrap_or_default());
        tx.execute(sql, params![reason, time::now_ms(), vm])?;
        rows::changed(
            tx,
            "VmInstanceVO",
            vm,
            &json!({ "state": "Unknown", "abandonedRun": run.uuid.to_string() }),
        )?;
    }
    let deletable = resource::ALL.iter().filter(|r| r.parent.is_none() && r.post.contains(&"deleting_run"));
    for r in deletable {
        let sql = format!("SELECT uuid FROM {} WHERE deleting_run = ?", r.table);
        for row in tx.query(&sql, params![run.uuid])? {
            let uuid: Id<kind::AnyResource> = row.id("uuid")?;
            rows::end_delete(tx, r.entity, uuid, run.uuid)?;
            rows::changed(tx, r.entity, uuid, &json!({ "abandonedRun": run.uuid.to_string() }))?;
        }
    }
    release_image(tx, run)
}

/// An image that was on its way will not arrive.
fn release_image(tx: &mut dyn Tx, run: &RunInfo) -> Result<()> {
    if run.resource_type != "ImageVO" {
        return Ok(());
    }
    let sql = "UPDATE image SET status = ?, status_reason = 'its download was given up half way'
               WHERE uuid = ? AND status IN ('Downloading', 'Creating')";
    if tx.execute(sql, params![ImageStatus::Error.as_str(), &run.resource_uuid])? == 1 {
        let image: Id<kind::Image> = id("uuid", &run.resource_uuid)?;
        rows::changed(tx, "ImageVO", image, &json!({ "status": "Error" }))?;
    }
    Ok(())
}

/// Removes ended runs that are older than this many days. Children go with their parents.
pub(super) fn prune(tx: &mut dyn Tx, days: i64) -> Result<usize> {
    let sql = "DELETE FROM run WHERE state IN ('Done', 'Failed') AND last_op_ms < ?
               AND (parent_uuid IS NULL OR NOT EXISTS (SELECT 1 FROM run p WHERE p.uuid = run.parent_uuid
                    AND p.state NOT IN ('Done', 'Failed')))";
    tx.execute(sql, params![time::now_ms() - days.max(0) * 86_400_000])
}

/// How far a job is. Whose job it is not, and a job that nobody knows, has no progress.
async fn progress(call: Call, op: GetTaskProgress) -> Result<Value> {
    let (app, caller, job) = (call.app.clone(), call.caller.clone(), op.api_id.clone());
    let oldest = time::now_ms()
        .saturating_sub(app.settings.int("progress", "progress.ttl").max(0).saturating_mul(1000));
    if !app.settings.bool("progress", "progress.on") {
        return Ok(json!({ "inventories": [] }));
    }
    let found = move |tx: &mut dyn Tx| {
        let sql = "SELECT j.uuid, j.action, j.account_uuid, j.state, j.create_ms, j.done_ms, r.uuid AS run FROM job j
                   LEFT JOIN run r ON r.uuid = j.run_uuid WHERE j.uuid = ?";
        let Some(row) = tx.query_opt(sql, params![&job])? else { return Ok(Vec::new()) };
        if !caller.is_admin() && row.text("account_uuid")? != caller.account.to_string() {
            return Ok(Vec::new());
        }
        if row.opt_int("done_ms")?.is_some_and(|done| done < oldest) {
            return Ok(Vec::new());
        }
        match row.opt_id::<kind::Run>("run")? {
            Some(run) => of_run(&app, tx, run, &job, op.all, 0),
            None => Ok(vec![of_job(&row)?]),
        }
    };
    let inventories = call.app.store.read(found).await?;
    Ok(json!({ "inventories": inventories }))
}

/// A job that needs no run is done as soon as it is there.
fn of_job(row: &Row) -> Result<Value> {
    let done = row.text("state")? == "done";
    Ok(json!({
        "taskUuid": row.text("uuid")?, "taskName": row.text("action")?, "type": "Progress",
        "content": if done { "100" } else { "0" }, "time": row.opt_int("done_ms")?.unwrap_or(row.int("create_ms")?),
    }))
}

/// Progress of a run with its children; with `all` its steps too.
fn of_run(
    app: &App,
    tx: &mut dyn Tx,
    run: Id<kind::Run>,
    task: &str,
    all: bool,
    depth: u32,
) -> Result<Vec<Value>> {
    let Some(row) = tx.query_opt("SELECT * FROM run WHERE uuid = ?", params![run])? else {
        return Ok(Vec::new());
    };
    let info = RunInfo::from_row(&row)?;
    let live = app.engine.progress(run).unwrap_or_default();
    let steps = i64::try_from(info.steps.len()).unwrap_or(1).max(1);
    let least = i64::from(live.percent).max(info.progress).max(info.done * 100 / steps).min(100);
    let is_exact = live.step.and_then(|s| i64::try_from(s).ok()) == Some(info.done);
    let (percent, text) = (if is_exact { i64::from(live.percent) } else { least }, live.text);
    let time = row.int("last_op_ms")?;
    let name = row.text("name")?;
    let mut latest = json!({
        "taskUuid": task, "taskName": name, "type": "Progress", "content": percent.to_string(), "time": time,
        "opaque": { "runUuid": run, "state": info.state.as_str(), "step": info.current_step(), "text": text },
    });
    if let Some(parent) = &info.parent {
        latest["parentUuid"] = parent.as_str().into();
    }
    if depth < MAX_DEPTH {
        let children = tx.query(
            "SELECT uuid FROM run WHERE parent_uuid = ? ORDER BY create_ms, uuid LIMIT 200",
            params![run],
        )?;
        let mut tasks = Vec::new();
        for child in children {
            let child: Id<kind::Run> = child.id("uuid")?;
            tasks.extend(of_run(app, tx, child, &child.to_string(), false, depth + 1)?);
        }
        latest["subTasks"] = tasks.into();
    }
    let done = usize::try_from(info.done).unwrap_or(0);
    let task_of = |step: &String| json!({ "taskUuid": task, "taskName": name, "type": "Task", "content": step, "time": time });
    let mut list: Vec<Value> =
        if all { info.steps.iter().take(done).map(task_of).collect() } else { Vec::new() };
    list.push(latest);
    Ok(list)
}
