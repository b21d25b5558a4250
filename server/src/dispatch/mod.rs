//! The way of a call: route, session, parameters, permission, checks, handler. The same for HTTP and the bus.

mod admit;
mod execute;
mod plan;
mod poll;
mod record;

use std::sync::Arc;
use std::time::Instant;

use cairn_api::request::{Problem, Refusal, extract, parse_query, route};
use cairn_api::{Kind, Method, Operation, Params};
use cairn_query::Query;
use cairn_types::{Fault, Result, code, is_uuid, job_uuid};
use cairn_workflow::Plan;
use serde_json::{Value, json};

use self::admit::admit;
pub use self::admit::is_closed;
use self::execute::{execute, finish_now};
use self::plan::{plan, plan_answer};
pub use self::poll::poll;
use self::record::note;
use crate::app::App;
use crate::call::{Call, Caller};
use crate::platform::shown;

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

async fn query(call: &Call, request: &Request, path: &[(&'static str, String)]) -> Result<Answer, Answer> {
    let uuid = path.first().map(|(_, v)| v.as_str());
    let query = Query::from(parse_query(&request.query, uuid)?);
    let found = crate::platform::query::run(call, call.op.inventory.unwrap_or_default(), query).await?;
    Ok(with_schema(call.op, true, Answer::Json(200, found.into_answer())))
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
