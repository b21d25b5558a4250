//! The way of a call: route, session, parameters, permission, checks, handler. The same for HTTP and the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cairn_api::request::{Problem, Refusal, check, extract, parse_query, refs, route};
use cairn_api::{Kind, Method, Operation, Params};
use cairn_query::{DateStyle, Query};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Result, code, is_uuid, job_uuid, time};
use cairn_workflow::{Handle, Plan, Start};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Call, Caller};
use crate::handlers::{Change, Handler, Launch, Launchable};
use crate::platform::audit::{self, Entry};
use crate::platform::jobs::{self, NewJob};
use crate::platform::{shown, tags};
use crate::rows;

/// The longest that a poll waits for the end of its job.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A request as the transport hands it over.
#[derive(Debug, Default)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// Address with context path.
    pub path: String,
    /// Query string, still encoded.
    pub query: String,
    /// Body.
    pub body: Vec<u8>,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// `Date`.
    pub date: Option<String>,
    /// `X-Job-UUID`.
    pub job: Option<String>,
    /// `X-Web-Hook`.
    pub web_hook: Option<String>,
    /// `X-JSON-Schema` was there.
    pub schema: bool,
    /// `X-Cairn-Plan: true`.
    pub plan: bool,
    /// `X-Cairn-Time`.
    pub time: Option<String>,
    /// `X-API-Timeout`, seconds.
    pub timeout_s: Option<u64>,
    /// `Host`.
    pub host: String,
    /// Address of the client.
    pub source: String,
}

/// An answer for the transport.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A JSON object with a status.
    Json(u16, Value),
    /// Plain text with a status: the request could not be mapped to a call.
    Text(u16, String),
    /// 202: poll this job.
    Accepted(String),
}

impl From<Problem> for Answer {
    fn from(p: Problem) -> Self {
        Self::Text(p.status(), p.to_string())
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        if fault.code == code::JOB_TAKEN {
            return Self::Text(400, fault.details);
        }
        if fault.has_code(code::STORE)
            && let Some(detail) = &fault.operator
        {
            tracing::warn!(error = %fault, detail, "a call failed in the database");
        }
        Self::Json(503, json!({ "error": fault.to_api() }))
    }
}

impl From<Refusal> for Answer {
    fn from(r: Refusal) -> Self {
        match r {
            Refusal::Problem(p) => p.into(),
            Refusal::Fault(f) => f.into(),
        }
    }
}

/// Answers a request.
pub async fn dispatch(app: &Arc<App>, request: Request) -> Answer {
    let (Ok(answer) | Err(answer)) = walk(app, &request).await;
    // What a server says that was cut off meanwhile may be long out of date.
    match app.lease.as_ref().map(|lease| lease.check()) {
        Some(Err(fault)) => fault.into(),
        Some(Ok(())) | None => answer,
    }
}

async fn walk(app: &Arc<App>, request: &Request) -> Result<Answer, Answer> {
    let began = Instant::now();
    let method = Method::parse(&request.method).ok_or(Problem::MethodNotAllowed)?;
    let body = parse_body(method, &request.body)?;
    let matched = route(method, &request.path, body.as_ref())?;
    let op = matched.op;
    let caller = caller(app, op, request).await?;
    let extracted = extract(op, &matched.path_params, &request.query, body.as_ref());
    let call = new_call(app, op, caller, request, extracted.as_ref().ok())?;
    let mut params = Params::default();
    let answer = match extracted {
        Ok(mut r) => {
            let answer = authorised(&call, request, &matched.path_params, &mut r.params).await;
            params = r.params;
            answer
        }
        Err(Refusal::Fault(fault)) => finish_now(&call, &params, Err(fault)).await,
        Err(Refusal::Problem(problem)) => Err(problem.into()),
    };
    let answer = answer.map(|answer| mine(&call, answer));
    let (Ok(answer) | Err(answer)) = &answer;
    app.metrics.call(op.name, matches!(answer, Answer::Json(200, _) | Answer::Accepted(_)), began.elapsed());
    note(&call, &params, answer).await;
    Ok(answer.clone())
}

/// Leaves out what only administrators may do. What was found by a query is looked through there.
fn mine(call: &Call, answer: Answer) -> Answer {
    match answer {
        Answer::Json(200, mut body) if call.op.kind != Kind::Query && !call.caller.is_admin() => {
            shown::for_tenant(&mut body);
            Answer::Json(200, body)
        }
        other => other,
    }
}

fn parse_body(method: Method, body: &[u8]) -> Result<Option<Value>, Answer> {
    if !method.has_body() || body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let bad = |e: serde_json::Error| Answer::Text(400, format!("the body is not valid JSON: {e}"));
    serde_json::from_slice(body).map(Some).map_err(bad)
}

async fn caller(app: &Arc<App>, op: &Operation, request: &Request) -> Result<Caller, Answer> {
    if !op.session {
        return Ok(Caller::nobody());
    }
    app.identity.authenticate(app, request).await
}

fn new_call(
    app: &Arc<App>,
    op: &'static Operation,
    caller: Caller,
    request: &Request,
    extracted: Option<&cairn_api::request::Request>,
) -> Result<Call, Answer> {
    let job = match &request.job {
        Some(job) if is_uuid(job) => job.clone(),
        Some(_) => {
            return Err(Answer::Text(400, "X-Job-UUID must be a uuid of 32 hexadecimal digits".into()));
        }
        // Polls need no session: the id is the secret.
        None => job_uuid(),
    };
    let dates = if op.job { app.dates() } else { app.dates_for(request.time.as_deref()) };
    Ok(Call {
        app: app.clone(),
        op,
        caller,
        job,
        system_tags: extracted.map(|r| r.system_tags.clone()).unwrap_or_default(),
        user_tags: extracted.map(|r| r.user_tags.clone()).unwrap_or_default(),
        dates,
        host: request.host.clone(),
        source: request.source.clone(),
        web_hook: request.web_hook.clone(),
        is_plan: request.plan && op.changes(),
        timeout_s: request.timeout_s,
        after: Arc::default(),
        made: Arc::default(),
        began: Instant::now(),
        audited: Arc::default(),
    })
}

async fn authorised(
    call: &Call,
    request: &Request,
    path: &[(&'static str, String)],
    params: &mut Params,
) -> Result<Answer, Answer> {
    if let Some(url) = &call.web_hook {
        crate::platform::reach::check_url(&call.app, url, call.caller.is_admin())?;
    }
    let gone = match admit(call, params).await {
        Ok(gone) => gone,
        Err(fault) if request.plan => return Err(fault.into()),
        Err(fault) => return finish_now(call, params, Err(fault)).await,
    };
    if call.op.kind == Kind::Query {
        return query(call, request, path).await;
    }
    if let Some(done) = gone {
        return if request.plan {
            Ok(plan_answer(call, Plan::default()))
        } else {
            finish_now(call, params, Ok(done)).await
        };
    }
    if call.system_tags.iter().any(|t| t == "ephemeral::validationOnly") {
        return finish_now(call, params, Ok(json!({}))).await;
    }
    let handler = call.app.handlers.find(call.op.name);
    let handler =
        handler.ok_or_else(|| Fault::internal(format!("operation {} has no handler", call.op.name)))?;
    if request.plan && call.op.changes() {
        return plan(call, handler, params).await;
    }
    let answer = execute(call, handler, params).await?;
    Ok(with_schema(call.op, request.schema, answer))
}

/// Permission and every check of the parameters. `Some`: what shall be deleted is gone already, which is a success.
async fn admit(call: &Call, params: &mut Params) -> Result<Option<Value>> {
    permit(call)?;
    if call.op.kind == Kind::Query {
        return Ok(None);
    }
    check(call.op, params)?;
    if call.op.kind == Kind::Create || !call.system_tags.is_empty() {
        tags::check(call.op.tag_resource, &call.system_tags)?;
    }
    referred(call, params).await
}

/// Refuses what the operation's own rule forbids.
fn permit(call: &Call) -> Result<()> {
    if is_closed(call.op) { call.require_admin() } else { Ok(()) }
}

/// Whether only administrators may make the call.
pub fn is_closed(op: &Operation) -> bool {
    // Progress is asked for by whoever owns the job; the handler looks at that.
    let open = ["SetImageQga", "GetImageQga", "GetTaskProgress"].contains(&op.name);
    let unnamed = op.rbac.category.is_none() && op.session && op.kind != Kind::Query;
    // Sharing and giving away stand in a class that other accounts have too, and are the administrators' all the same.
    let admins = ["ShareResource", "RevokeResourceSharing", "ChangeResourceOwner"].contains(&op.name);
    !open && (op.rbac.admin_only || unnamed || admins)
}

/// Checks that what the parameters name exists and may be used by the caller. `Some`: what shall be deleted is gone
/// already, which is a success.
async fn referred(call: &Call, params: &Params) -> Result<Option<Value>> {
    let (op, caller) = (call.op, call.caller.clone());
    let named = named(op, params);
    if named.is_empty() {
        return Ok(None);
    }
    let gone_is_fine = op.succeeds_if_missing && op.kind == Kind::Delete;
    call.app
        .store
        .read(move |tx| {
            for name in &named {
                if !is_uuid(&name.uuid) {
                    return Err(Fault::argument(format!(
                        "parameter {} is {:?}, which is no uuid of 32 lower-case hexadecimal digits",
                        name.param, name.uuid
                    )));
                }
                let exists = match name.entity {
                    Some(entity) => rows::exists(tx, entity, &name.uuid)?,
                    None => tx.exists("SELECT 1 FROM resource WHERE uuid = ?", params![&name.uuid])?,
                };
                if !exists && gone_is_fine && name.target {
                    return Ok(Some(json!({})));
                }
                if !exists && name.entity.is_some() {
                    return Err(Fault::not_found(name.entity.unwrap_or_default(), &name.uuid)
                        .with("parameter", name.param));
                }
                if exists && !caller.is_admin() {
                    allowed(tx, &caller, name)?;
                }
            }
            Ok(None)
        })
        .await
}

struct Named {
    param: &'static str,
    /// `None`: any resource of the registry.
    entity: Option<&'static str>,
    uuid: String,
    target: bool,
    change: bool,
}

/// Everything that the parameters name by uuid, declared or by the look of the parameter.
fn named(op: &'static Operation, params: &Params) -> Vec<Named> {
    let change = op.changes();
    let target = op.target().map(|p| p.name);
    let mut all: Vec<Named> = refs(op, params)
        .into_iter()
        .map(|r| Named {
            param: r.param,
            entity: Some(r.entity),
            target: r.target || target == Some(r.param),
            uuid: r.uuid,
            change,
        })
        .collect();
    for param in op
        .params
        .iter()
        .filter(|p| p.refers.is_none() && p.name != "resourceUuid" || p.refers.is_none() && p.owned)
    {
        let is_uuid_param =
            param.name == "uuid" || param.name.ends_with("Uuid") || param.name == "resourceUuids";
        let session = param.name == "sessionUuid";
        if !is_uuid_param || session {
            continue;
        }
        let uuids = match params.get(param.name) {
            Some(Value::String(s)) => vec![s.clone()],
            Some(Value::Array(_)) => params.list(param.name),
            _ => continue,
        };
        let target = target == Some(param.name);
        all.extend(uuids.into_iter().map(|uuid| Named {
            param: param.name,
            entity: None,
            uuid,
            target,
            change,
        }));
    }
    all
}

/// A stranger's resource may not be touched; a shared one may be used but not changed.
fn allowed(tx: &mut dyn Tx, caller: &Caller, name: &Named) -> Result<()> {
    let Some(row) = tx.query_opt("SELECT account_uuid FROM resource WHERE uuid = ?", params![&name.uuid])?
    else {
        return Ok(());
    };
    let owner = row.opt_text("account_uuid")?;
    let me = caller.account.to_string();
    if owner.as_deref() == Some(&me) || name.uuid == me {
        return Ok(());
    }
    // What belongs to nobody is the operators': others may choose a zone or a host, but not change it or hang tags on it.
    let touches = name.change && (name.target || name.entity.is_none());
    if owner.is_none() {
        let text = format!("{} named by parameter {} is the administrators'", name.uuid, name.param);
        return if touches { Err(Fault::denied(text)) } else { Ok(()) };
    }
    if !(name.target && name.change) && is_shared(tx, &name.uuid, &me)? {
        return Ok(());
    }
    Err(Fault::denied(format!(
        "resource {} named by parameter {} belongs to another account",
        name.uuid, name.param
    )))
}

/// Whether a resource, or the network of an IP range, is shared with an account or with everybody.
fn is_shared(tx: &mut dyn Tx, uuid: &str, account: &str) -> Result<bool> {
    // The receiver is no condition: SQLite would begin with it, and go through everything that is shared with him.
    let sql = "SELECT receiver_account_uuid, to_public FROM shared_resource
               WHERE resource_uuid IN (?, (SELECT l3_network_uuid FROM ip_range WHERE uuid = ?))";
    for row in tx.query(sql, params![uuid, uuid])? {
        if row.bool("to_public")? || row.opt_text("receiver_account_uuid")?.as_deref() == Some(account) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn query(call: &Call, request: &Request, path: &[(&'static str, String)]) -> Result<Answer, Answer> {
    let uuid = path.first().map(|(_, v)| v.as_str());
    let query = Query::from(parse_query(&request.query, uuid)?);
    let found = crate::platform::query::run(call, call.op.inventory.unwrap_or_default(), query).await?;
    Ok(with_schema(call.op, true, Answer::Json(200, found.into_answer())))
}

async fn execute(call: &Call, handler: Handler, params: &Params) -> Result<Answer, Answer> {
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

fn change_work(
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
async fn finish_now(call: &Call, params: &Params, result: Result<Value>) -> Result<Answer, Answer> {
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

async fn plan(call: &Call, handler: Handler, params: &Params) -> Result<Answer, Answer> {
    let engine = &call.app.engine;
    let plan = match handler {
        Handler::Read(_) => Plan {
            summary: format!("{} changes no resource; whether it would succeed was not tried.", call.op.name),
            ..Plan::default()
        },
        Handler::Change(work) => engine.plan_tx(change_work(call, work, params)).await?,
        Handler::Prepared(prepare) => {
            let work = prepare(call.clone(), params.clone()).await?;
            engine.plan_tx(change_work(call, work, params)).await?
        }
        Handler::Run(run) => match run(call.clone(), params.clone()).await? {
            Launch::Done(_) => Plan::default(),
            Launch::Run(workflow) => workflow.plan(engine.clone()).await?,
        },
    };
    Ok(plan_answer(call, plan))
}

fn plan_answer(call: &Call, mut plan: Plan) -> Answer {
    // A tenant is not told what becomes of that which is not his.
    let me = call.caller.account.to_string();
    plan.changes.retain(|c| call.caller.is_admin() || c.account.as_deref() == Some(&me));
    if plan.summary.is_empty() {
        plan.summary = crate::platform::plan_text::summary(call.op.name, &plan);
    }
    Answer::Json(200, json!({ "plan": plan }))
}

/// Adds the `schema` map where the client wants it (rest-conventions section 7).
fn with_schema(op: &Operation, wanted: bool, answer: Answer) -> Answer {
    match answer {
        Answer::Json(200, mut body) if wanted => {
            cairn_api::schema::add(op, &mut body);
            Answer::Json(200, body)
        }
        other => other,
    }
}

/// The parameters as the audit keeps them: masked, with a mark on what was only planned, and short if nobody is logged in.
fn shown(call: &Call, params: &Params) -> String {
    let mut all = params.0.clone();
    if call.is_plan {
        all.insert("X-Cairn-Plan".into(), json!(true));
    }
    let text = audit::masked(call.op, &all, &call.system_tags);
    if call.op.session { text } else { audit::cut(text, 1 << 10) }
}

fn entry(call: &Call, params: &Params, error_code: Option<String>, took_ms: Option<i64>) -> Entry {
    let target = call.op.target().map(|p| params.str(p.name).to_owned()).filter(|u| is_uuid(u));
    Entry {
        action: call.op.name,
        account: call.caller.account.to_string(),
        user: call.caller.user.clone(),
        resource_type: call.op.target().and_then(|p| p.refers).or(call.op.tag_resource).map(str::to_owned),
        resource_uuid: target
            .or_else(|| call.made.get().cloned())
            .or_else(|| params.opt_str("resourceUuid").map(str::to_owned)),
        params: shown(call, params),
        source: call.source.clone(),
        error_code,
        took_ms,
        job: call.op.job.then(|| call.job.clone()),
        create_ms: time::now_ms(),
    }
}

/// Whether the audit has a row for calls of this operation.
fn is_audited(call: &Call) -> bool {
    call.op.changes() || call.app.settings.bool("cairn", "audit.reads")
}

/// The audit row of a call that ends with the transaction that it is written in; none if it gets none.
fn done_entry(call: &Call, params: &Params) -> Option<Entry> {
    is_audited(call).then(|| entry(call, params, None, Some(took_ms(call))))
}

/// Writes it, with what came of the call.
fn audit_done(tx: &mut dyn Tx, entry: &Option<Entry>, result: &Result<Value>) -> Result<()> {
    let Some(entry) = entry else { return Ok(()) };
    let made = result.as_ref().ok().and_then(|v| v.pointer("/inventory/uuid")).and_then(Value::as_str);
    let mut entry = entry.clone();
    entry.resource_uuid = entry.resource_uuid.or_else(|| made.map(str::to_owned));
    entry.error_code = result.as_ref().err().map(|f| f.code.to_string());
    audit::insert(tx, &entry)
}

fn took_ms(call: &Call) -> i64 {
    i64::try_from(call.began.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Writes the audit row, unless the transaction of the change or of the run did.
async fn note(call: &Call, params: &Params, answer: &Answer) {
    if !is_audited(call) || call.audited.load(Ordering::Relaxed) {
        return;
    }
    let error = match answer {
        Answer::Json(200, _) | Answer::Accepted(_) => None,
        Answer::Json(_, body) => body.pointer("/error/code").and_then(Value::as_str).map(str::to_owned),
        Answer::Text(status, _) => Some(format!("HTTP.{status}")),
    };
    // The wrong passwords before it are in the audit; whoever goes on asking must not fill it.
    if error.as_deref() == Some(code::TOO_MANY_TRIES) {
        return;
    }
    call.app.audit.note(entry(call, params, error, Some(took_ms(call)))).await;
}

/// Answers the poll of a job (rest-conventions section 5). `time` is the poll's own `X-Cairn-Time`: who reads a result decides
/// in which form, whatever the call said. A client that says `Prefer: wait=5` (RFC 7240) is answered when the job ends, or after
/// that many seconds.
pub async fn poll(app: &Arc<App>, job: &str, schema: bool, time: Option<&str>, wait: Duration) -> Answer {
    let dates = app.dates_for(time);
    if app.recent.is_at_work(job, wait.min(MOST_WAIT)).await {
        return Answer::Json(202, json!({}));
    }
    if let Some((op, is_admin, value)) = app.recent.take(job) {
        return polled(app, Some(op), is_admin, value, (schema, dates));
    }
    let id = job.to_owned();
    let found = app.store.read(move |tx| {
        let action = tx.query_opt("SELECT action FROM job WHERE uuid = ?", params![&id])?;
        let action = action.map(|r| r.text("action")).transpose()?;
        Ok((jobs::find(tx, &id)?, action, jobs::is_of_admin(tx, &id)?))
    });
    match found.await {
        Ok((Some(jobs::JobState::Processing), ..)) => Answer::Json(202, json!({})),
        Ok((Some(jobs::JobState::Done(value)), action, is_admin)) => {
            polled(app, action.and_then(|a| Operation::find(&a)), is_admin, value, (schema, dates))
        }
        Ok((Some(jobs::JobState::Failed(fault)), ..)) => (*fault).into(),
        Ok((None, ..)) => Answer::Text(404, "there is no such job, or its result has aged out".into()),
        Err(fault) if fault.has_code(code::NOT_READY) => fault.into(),
        Err(_) => Answer::Text(500, "the job can't be read now; try again".into()),
    }
}

/// The stored result of a job as its caller sees it.
fn polled(
    app: &Arc<App>,
    op: Option<&'static Operation>,
    is_admin: bool,
    mut value: Value,
    (schema, dates): (bool, DateStyle),
) -> Answer {
    crate::platform::sealed::reveal(app, &mut value);
    shown::dates(&mut value, dates);
    if !is_admin {
        shown::for_tenant(&mut value);
    }
    match op {
        Some(op) => with_schema(op, schema, Answer::Json(200, value)),
        None => Answer::Json(200, value),
    }
}
