//! From a message to a request of [`crate::dispatch`], and from its answer to a message.

use std::time::Duration;

use cairn_api::Operation;
use cairn_api::request::{build, encode_path, encode_query, plain_text};
use cairn_types::is_uuid;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dispatch::{Answer, Request};

/// The end of job `u` is published on this subject with `.u` behind it.
pub const JOB_SUBJECT: &str = "cairn.api.job";
/// Longest wait for the end of a job in one request.
const LONGEST_WAIT_S: u64 = 300;

/// A message of `cairn.api.call`: a call by its action, a call by its address, or a question after a job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    action: Option<String>,
    #[serde(default)]
    params: Map<String, Value>,
    system_tags: Option<Value>,
    user_tags: Option<Value>,
    session: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
    job: Option<String>,
    web_hook: Option<String>,
    #[serde(default)]
    plan: bool,
    time: Option<String>,
    #[serde(default)]
    schema: bool,
    timeout: Option<u64>,
    #[serde(default)]
    wait: u64,
}

/// What a message wants.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A call, and how long its job is waited for.
    Call(Box<Request>, Duration),
    /// How a job stands.
    Job { job: String, schema: bool, time: Option<String>, wait: Duration },
}

/// Reads a message; an error is the answer.
pub(super) fn read(message: &[u8]) -> Result<Wanted, Answer> {
    let asked: Asked = serde_json::from_slice(message).map_err(|e| {
        Answer::Text(400, format!("the message is no request as docs/howto/message-bus.md has it: {e}"))
    })?;
    if asked.wait > LONGEST_WAIT_S {
        return Err(Answer::Text(
            400,
            format!("wait is at most {LONGEST_WAIT_S} seconds; ask again with job"),
        ));
    }
    let wait = Duration::from_secs(asked.wait);
    match (&asked.action, &asked.path, &asked.job) {
        (Some(_), None, _) => by_action(asked).map(|r| Wanted::Call(Box::new(r), wait)),
        (None, Some(_), _) => by_address(asked).map(|r| Wanted::Call(Box::new(r), wait)),
        (None, None, Some(job)) if is_uuid(job) => {
            Ok(Wanted::Job { job: job.clone(), schema: asked.schema, time: asked.time, wait })
        }
        _ => Err(Answer::Text(
            400,
            "a request has an action, or a method and a path, or only a job's id".into(),
        )),
    }
}

fn common(asked: &Asked) -> Request {
    Request {
        authorization: asked.session.as_ref().map(|s| format!("OAuth {s}")),
        job: asked.job.clone(),
        web_hook: asked.web_hook.clone(),
        schema: asked.schema,
        plan: asked.plan,
        time: asked.time.clone(),
        timeout_s: asked.timeout,
        // Where a job is polled over HTTP is not known here; it is asked for over the bus.
        host: String::new(),
        source: "message bus".into(),
        ..Request::default()
    }
}

fn by_action(mut asked: Asked) -> Result<Request, Answer> {
    let name = asked.action.clone().unwrap_or_default();
    let unknown = || Answer::Text(404, format!("there is no operation {name}"));
    let op = Operation::find(&name).ok_or_else(unknown)?;
    if asked.method.is_some() || asked.query.is_some() || asked.body.is_some() || !asked.headers.is_empty() {
        return Err(Answer::Text(
            400,
            "method, query, headers and body go with a path, not with an action".into(),
        ));
    }
    let named = |name: &str| asked.params.get(name).map(plain_text).unwrap_or_default();
    if let Some(missing) = op.params.iter().find(|p| p.in_path && named(p.name).is_empty()) {
        return Err(Answer::Text(400, format!("{name} needs the parameter {}", missing.name)));
    }
    let mut tags = Map::new();
    tags.extend(asked.system_tags.take().map(|t| ("systemTags".to_owned(), t)));
    tags.extend(asked.user_tags.take().map(|t| ("userTags".to_owned(), t)));
    let built = build(op, std::mem::take(&mut asked.params), tags);
    Ok(Request {
        method: op.method.as_str().to_owned(),
        path: format!("/zstack{}", encode_path(&built.path)),
        query: encode_query(&built.query),
        body: built.body.map(|b| b.to_string().into_bytes()).unwrap_or_default(),
        ..common(&asked)
    })
}

fn by_address(asked: Asked) -> Result<Request, Answer> {
    if !asked.params.is_empty() || asked.system_tags.is_some() || asked.user_tags.is_some() {
        return Err(Answer::Text(400, "params and tags of a call by path stand in its body".into()));
    }
    let mut request = common(&asked);
    request.method = asked.method.unwrap_or_else(|| "GET".into());
    request.path = asked.path.unwrap_or_default();
    request.query = asked.query.unwrap_or_default();
    request.body = asked.body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    for (name, value) in &asked.headers {
        let value = plain_text(value);
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value),
            "date" => request.date = Some(value),
            "x-job-uuid" => request.job = Some(value),
            "x-web-hook" => request.web_hook = Some(value),
            "x-json-schema" => request.schema = true,
            "x-cairn-plan" => request.plan = value.eq_ignore_ascii_case("true"),
            "x-cairn-time" => request.time = Some(value),
            "x-api-timeout" => request.timeout_s = value.parse().ok(),
            // As over HTTP, what nobody knows is nobody's business.
            _ => {}
        }
    }
    Ok(request)
}

/// The message that answers.
pub(super) fn write(answer: &Answer) -> Vec<u8> {
    let message = match answer {
        Answer::Json(status, body) => json!({ "status": status, "body": body }),
        Answer::Text(status, text) => json!({ "status": status, "text": text }),
        Answer::Accepted(job) => {
            json!({ "status": 202, "job": job, "subject": format!("{JOB_SUBJECT}.{job}") })
        }
    };
    message.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(message: Value) -> (Request, Duration) {
        match read(message.to_string().as_bytes()) {
            Ok(Wanted::Call(request, wait)) => (*request, wait),
            other => panic!("{message} was read as {other:?}"),
        }
    }

    fn refused(message: &str) -> (u16, String) {
        match read(message.as_bytes()) {
            Err(Answer::Text(status, text)) => (status, text),
            other => panic!("{message} was read as {other:?}"),
        }
    }

    #[test]
    fn api_02_an_action_becomes_the_request_of_the_table() {
        let uuid = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
        let (r, wait) = call(json!({ "action": "StopVmInstance", "params": { "uuid": uuid, "type": "cold" },
            "session": "s", "plan": true, "job": uuid, "timeout": 9, "time": "rfc3339", "wait": 3 }));
        assert_eq!(
            (r.method.as_str(), r.path.as_str()),
            ("PUT", format!("/zstack/v1/vm-instances/{uuid}/actions").as_str())
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&r.body).unwrap(),
            json!({ "stopVmInstance": { "type": "cold" } })
        );
        assert_eq!((r.authorization.as_deref(), r.plan, r.timeout_s), (Some("OAuth s"), true, Some(9)));
        assert_eq!((r.job.as_deref(), r.time.as_deref(), wait.as_secs()), (Some(uuid), Some("rfc3339"), 3));

        let (r, _) = call(
            json!({ "action": "QueryZone", "params": { "q": ["name=a b", "state=Enabled"], "limit": 3 } }),
        );
        assert_eq!((r.method.as_str(), r.path.as_str()), ("GET", "/zstack/v1/zones"));
        assert_eq!(r.query, "limit=3&q=name%3Da%20b&q=state%3DEnabled");

        let (r, _) =
            call(json!({ "action": "CreateZone", "params": { "name": "z" }, "systemTags": ["a::b"] }));
        assert_eq!(
            serde_json::from_slice::<Value>(&r.body).unwrap(),
            json!({ "params": { "name": "z" }, "systemTags": ["a::b"] })
        );
        assert_eq!(r.authorization, None);
    }

    #[test]
    fn api_02_a_parameter_of_the_path_can_not_leave_its_place() {
        let (r, _) = call(
            json!({ "action": "DeleteZone", "params": { "uuid": "../accounts/x?deleteMode=Enforcing" } }),
        );
        assert_eq!(r.path, "/zstack/v1/zones/..%2Faccounts%2Fx%3FdeleteMode%3DEnforcing");
    }

    #[test]
    fn api_02_an_address_takes_the_headers_of_http() {
        let (r, _) = call(
            json!({ "method": "POST", "path": "/v1/zones", "query": "a=b", "body": { "params": { "name": "z" } },
            "headers": { "Authorization": "ZStack k:s", "Date": "d", "X-Cairn-Plan": "TRUE", "X-API-Timeout": "5", "X-Other": 1 } }),
        );
        assert_eq!(
            (r.authorization.as_deref(), r.date.as_deref(), r.plan, r.timeout_s),
            (Some("ZStack k:s"), Some("d"), true, Some(5))
        );
        assert_eq!((r.query.as_str(), r.body.as_slice()), ("a=b", br#"{"params":{"name":"z"}}"#.as_slice()));
    }

    #[test]
    fn api_02_what_is_no_request_is_refused_with_a_reason() {
        for (message, status, says) in [
            ("", 400, "no request"),
            ("[]", 400, "no request"),
            ("{}", 400, "has an action"),
            (r#"{"action":"CreateZone","parms":{}}"#, 400, "parms"),
            (r#"{"action":"MakeCoffee"}"#, 404, "MakeCoffee"),
            (r#"{"action":"DeleteZone"}"#, 400, "uuid"),
            (r#"{"action":"CreateZone","path":"/v1/zones"}"#, 400, "has an action"),
            (r#"{"action":"CreateZone","method":"GET"}"#, 400, "go with a path"),
            (r#"{"path":"/v1/zones","params":{"a":1}}"#, 400, "in its body"),
            (r#"{"job":"x"}"#, 400, "job's id"),
            (r#"{"action":"QueryZone","wait":301}"#, 400, "300"),
        ] {
            let (got, text) = refused(message);
            assert!(got == status && text.contains(says), "{message}: {got} {text}");
        }
    }
}
