//! Carrying a call out: its handler, the transaction of a change or the run of a workflow, and its job.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_api::{Kind, Params};
use cairn_store::{Tx, params};
use cairn_types::Result;
use cairn_workflow::{Handle, Start};
use serde_json::Value;

use super::Answer;
use super::record::{audit_done, done_entry, entry};
use crate::call::Call;
use crate::handlers::{Change, Handler, Launch, Launchable};
use crate::platform::jobs::{self, NewJob};
use crate::platform::{audit, tags};

pub(super) async fn execute(call: &Call, handler: Handler, params: &Params) -> Result<Answer, Answer> {
    match handler {
        Handler::Read(read) => {
            let result = read(call.clone(), params.clone()).await;
            if call.op.job { finish_now(call, params, result).await } else { Ok(Answer::Json(200, result?)) }
        }
        Handler::Change(work) => change(call, work, params).await,
        Handler::Prepared(prepare) => match prepare(call.clone(), params.clone()).await {
            Ok(work) => change(call, work, params).await,
            Err(fault) => finish_now(call, params, Err(fault)).await,
        },
        Handler::Run(run) => match run(call.clone(), params.clone()).await {
            Ok(Launch::Done(value)) => finish_now(call, params, Ok(value)).await,
            Ok(Launch::Run(workflow)) => start(call, workflow, params).await,
            Err(fault) => finish_now(call, params, Err(fault)).await,
        },
    }
}

fn new_job(call: &Call, run: Option<String>) -> NewJob {
    NewJob {
        uuid: call.job.clone(),
        action: call.op.name.to_owned(),
        account: call.caller.account.to_string(),
        run,
        web_hook: call.web_hook.clone(),
    }
}

/// One transaction: the change, the tags that came with it, and the job's result.
async fn change(call: &Call, work: Change, params: &Params) -> Result<Answer, Answer> {
    let work = change_work(call, work, params);
    let (job, is_job, entry) = (new_job(call, None), call.op.job, done_entry(call, params));
    let with_job = move |tx: &mut dyn Tx| {
        let value = work(tx)?;
        if is_job {
            jobs::record(tx, &job, &Ok(value.clone()))?;
        }
        audit_done(tx, &entry, &Ok(value.clone()))?;
        Ok(value)
    };
    match call.app.store.write(with_job).await {
        Ok(value) => {
            call.committed();
            call.audited.store(true, Ordering::Relaxed);
            if let Some(uuid) = value.pointer("/inventory/uuid").and_then(Value::as_str) {
                let _ = call.made.set(uuid.to_owned());
            }
            if !is_job {
                return Ok(Answer::Json(200, value));
            }
            call.app.recent.put(&call.job, call.op, call.caller.is_admin(), value);
            Ok(Answer::Accepted(call.job.clone()))
        }
        Err(fault) => finish_now(call, params, Err(fault)).await,
    }
}

pub(super) fn change_work(
    call: &Call,
    change: Change,
    params: &Params,
) -> impl Fn(&mut dyn Tx) -> Result<Value> + Send + Sync + 'static + use<> {
    let (call, params) = (call.clone(), params.clone());
    move |tx| {
        call.begin_attempt();
        let value = change(&call, tx, &params)?;
        let created = value.pointer("/inventory/uuid").and_then(Value::as_str).and_then(|u| u.parse().ok());
        if let (Kind::Create, Some(uuid)) = (call.op.kind, created) {
            let uuid: cairn_types::Id<cairn_types::kind::AnyResource> = uuid;
            let entity = call.op.tag_resource.map(str::to_owned).or_else(|| registered_type(tx, uuid));
            if let Some(entity) = entity {
                tags::store(tx, &entity, uuid, &call.system_tags, &call.user_tags)?;
            }
        }
        Ok(value)
    }
}

fn registered_type(tx: &mut dyn Tx, uuid: cairn_types::Id<cairn_types::kind::AnyResource>) -> Option<String> {
    let row = tx.query_opt("SELECT resource_type FROM resource WHERE uuid = ?", params![uuid]).ok()??;
    row.text("resource_type").ok()
}

async fn start(call: &Call, workflow: Box<dyn Launchable>, params: &Params) -> Result<Answer, Answer> {
    let start = Start {
        account: call.caller.account.to_string(),
        job: Some(call.job.clone()),
        deadline: call.timeout_s.map(Duration::from_secs),
        ..Start::default()
    };
    let (job, entry) = (new_job(call, None), entry(call, params, None, None));
    let admit = Box::new(move |tx: &mut dyn Tx, run: &cairn_workflow::RunInfo| {
        jobs::begin(tx, &NewJob { run: Some(run.uuid.to_string()), ..job.clone() })?;
        audit::insert(tx, &entry)
    });
    match workflow.start(call.app.engine.clone(), start, admit).await {
        Ok(handle) => {
            call.audited.store(true, Ordering::Relaxed);
            follow(call, handle);
            Ok(Answer::Accepted(call.job.clone()))
        }
        Err(fault) => finish_now(call, params, Err(fault)).await,
    }
}

/// Lets polls of a job know how its run stands without asking the database.
fn follow(call: &Call, handle: Handle) {
    let (app, op, is_admin) = (Arc::downgrade(&call.app), call.op, call.caller.is_admin());
    let work = call.app.recent.begin(&call.job);
    let job = call.job.clone();
    tokio::spawn(async move {
        let outcome = handle.wait().await;
        let Some(app) = app.upgrade() else { return };
        if let Ok(value) = outcome {
            app.recent.put(&job, op, is_admin, value);
        }
        app.recent.end(work);
    });
}

/// Ends a job that needs no run. A failure answers at once, unless the client waits for a web hook.
pub(super) async fn finish_now(
    call: &Call,
    params: &Params,
    result: Result<Value>,
) -> Result<Answer, Answer> {
    if !call.op.job {
        return Ok(Answer::Json(200, result?));
    }
    if let (Err(fault), None) = (&result, &call.web_hook) {
        return Err(fault.clone().into());
    }
    let (job, entry) = (new_job(call, None), done_entry(call, params));
    let record = move |tx: &mut dyn Tx| {
        jobs::record(tx, &job, &result)?;
        audit_done(tx, &entry, &result)
    };
    call.app.store.write(record).await?;
    call.audited.store(true, Ordering::Relaxed);
    Ok(Answer::Accepted(call.job.clone()))
}
