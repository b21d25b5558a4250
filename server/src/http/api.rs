//! Calls of the API: from HTTP to [`crate::dispatch`] and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};

use crate::app::App;
use crate::dispatch::{Answer, Request, dispatch};

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(60);
const JSON: &str = "application/json; charset=utf-8";

/// Any address below the context path that is not a route of its own.
pub(super) async fn call(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let host = host_of(&headers);
    let body = match tokio::time::timeout(BODY, to_bytes(body, super::MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!("the body could not be read, or has more than {} bytes", super::MAX_BODY);
            return response(Answer::Text(413, text), &host);
        }
        Err(_) => return response(Answer::Text(408, "the body did not come in time".into()), &host),
    };
    let request = Request {
        method: method.as_str().to_owned(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        body: body.to_vec(),
        authorization: text(&headers, "authorization"),
        date: text(&headers, "date"),
        job: text(&headers, "x-job-uuid"),
        web_hook: text(&headers, "x-web-hook"),
        schema: headers.contains_key("x-json-schema"),
        plan: text(&headers, "x-cairn-plan").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        time: text(&headers, "x-cairn-time"),
        timeout_s: text(&headers, "x-api-timeout").and_then(|v| v.parse().ok()),
        host: host.clone(),
        source: client.ip().to_string(),
    };
    response(dispatch(&app, request).await, &host)
}

/// The poll of a job; only GET.
pub(super) async fn poll(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    if method != Method::GET {
        return response(Answer::Text(405, "a job can only be polled with GET".into()), "");
    }
    let schema = headers.contains_key("x-json-schema");
    let time = text(&headers, "x-cairn-time");
    response(crate::dispatch::poll(&app, &job, schema, time.as_deref(), waits(&headers)).await, "")
}

/// How long a client prefers to wait for an answer that says more (`Prefer: wait=5`, RFC 7240); not at all if it does not say.
fn waits(headers: &HeaderMap) -> Duration {
    let prefer = text(headers, "prefer").unwrap_or_default();
    let seconds = prefer.split([',', ';']).find_map(|p| p.trim().strip_prefix("wait=")?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

/// The host and port that the client used, for the address of a job.
fn host_of(headers: &HeaderMap) -> String {
    let given = text(headers, header::HOST.as_str()).unwrap_or_default();
    let clean = given.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    if clean && !given.is_empty() { given } else { "127.0.0.1:8080".into() }
}

fn response(answer: Answer, host: &str) -> Response<Body> {
    let (status, kind, body) = match answer {
        Answer::Json(status, value) => (status, JSON, value.to_string()),
        Answer::Text(status, text) => (status, "text/plain; charset=utf-8", text),
        Answer::Accepted(job) => (202, JSON, location(&job, host).to_string()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

fn location(job: &str, host: &str) -> Value {
    json!({ "location": format!("http://{host}/zstack/v1/api-jobs/{job}") })
}
