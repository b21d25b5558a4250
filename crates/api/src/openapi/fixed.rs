//! The parts of the document that follow from no table.

use serde_json::{Map, Value, json};

use super::reference;

pub(super) fn info() -> Value {
    json!({
        "title": "Cairn",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Manager of a private cloud, with the HTTP API of ZStack 2.2",
        "description": "A call that starts a job answers 202 with a `location` to poll: 202 while it runs, 200 with the result, 503 \
            with the error. Fields without a value are left out.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    })
}

/// Parameters of every query.
pub(super) const QUERY_PARAMETERS: &[(&str, &str)] = &[
    ("q", "One condition, such as `name~=web%`; repeat it, and all must hold."),
    ("limit", "Most rows to return; 1000 if absent."),
    ("start", "Rows to skip."),
    ("count", "Return only `total`."),
    ("replyWithCount", "Return rows and `total`, the number of matches without `limit` and `start`."),
    ("sort", "`+name` or `name` ascending, `-name` descending."),
    ("fields", "Own fields to return, separated by commas."),
    ("groupBy", "Return one row per value of this own field."),
    ("filterName", "Named predefined filter."),
];

pub(super) fn parameters() -> Value {
    let mut out = json!({
        "plan": header("X-Cairn-Plan", "boolean", "Answer what the call would do, and do nothing."),
        "jobUuid": header("X-Job-UUID", "string", "Id that the job shall have: a uuid without dashes."),
        "webHook": header("X-Web-Hook", "string", "Address to post the result to once the job ends."),
    });
    for (name, doc) in QUERY_PARAMETERS {
        let schema = match *name {
            "limit" | "start" => json!({"type": "integer", "format": "int32", "minimum": 0}),
            "count" | "replyWithCount" => json!({"type": "boolean", "default": false}),
            "q" => json!({"type": "array", "items": {"type": "string"}}),
            _ => json!({"type": "string"}),
        };
        out[*name] =
            json!({"name": name, "in": "query", "required": false, "description": doc, "schema": schema});
    }
    out
}

fn header(name: &str, ty: &str, doc: &str) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": doc, "schema": {"type": ty}})
}

pub(super) fn responses() -> Value {
    let json_of = |schema: &str| json!({"application/json": {"schema": reference("schemas", schema)}});
    let text = json!({"text/plain": {"schema": {"type": "string"}}});
    json!({
        "Accepted": {"description": "A job runs; poll its location.", "content": json_of("JobLocation")},
        "BadRequest": {"description": "The request could not be mapped to a call.", "content": text},
        "Failed": {"description": "The call was understood and failed.", "content": json_of("Error")},
    })
}

pub(super) fn security_schemes() -> Value {
    json!({
        "session": {"type": "apiKey", "in": "header", "name": "Authorization",
            "description": "`OAuth <session uuid>`, with the uuid that a login answered."},
        "accessKey": {"type": "apiKey", "in": "header", "name": "Authorization",
            "description": "`ZStack <access key id>:<signature>`: base64 of the HMAC-SHA1, with the key's secret, of method, Date \
                header and path, joined by line feeds."},
    })
}

/// Objects that no resource table describes.
pub(super) fn objects() -> Map<String, Value> {
    let objects = [
        ("Error", json!({"error!": "ErrorCode"})),
        (
            "ErrorCode",
            json!({"code!": "string", "description": "string", "details": "string", "elaboration": "string", "cause": "ErrorCode",
                "causes": ["ErrorCode"], "opaque": "object"}),
        ),
        ("JobLocation", json!({"location!": "string", "apiTimeout": "integer"})),
        ("QuotaUsage", json!({"name": "string", "total": "integer", "used": "integer"})),
        (
            "HostDiskCapacity",
            json!({"hostUuid": "string", "totalCapacity": "integer", "availableCapacity": "integer",
                "totalPhysicalCapacity": "integer", "availablePhysicalCapacity": "integer"}),
        ),
        (
            "UploadJobDetails",
            json!({"longJobUuid": "string", "longJobState": "string", "imageUuid": "string", "imageUploadUrl": "string",
                "offset": "integer"}),
        ),
        (
            "SimulatorAgent",
            json!({"uuid!": "string", "hosts!": "integer", "cpuNum!": "integer", "memorySize!": "integer", "certificate!": "string",
                "key!": "string"}),
        ),
        (
            "AllocationCandidate",
            json!({"hostUuid": "string", "hostName": "string", "clusterUuid": "string", "zoneUuid": "string",
                "primaryStorageUuid": "string", "accepted": "boolean", "reasons": ["string"]}),
        ),
        (
            "Plan",
            json!({"summary": "string", "steps": ["PlanStep"], "creates": ["PlannedResource"], "deletes": ["PlannedResource"],
                "changes": ["PlannedChange"], "facts": "object"}),
        ),
        (
            "PlannedChange",
            json!({"type": "string", "uuid": "string", "name": "string", "fields": ["FieldChange"]}),
        ),
        ("FieldChange", json!({"field!": "string", "from": "any", "to": "any"})),
        ("PlanStep", json!({"step": "string", "text": "string", "why": "string"})),
        ("PlannedResource", json!({"type": "string", "uuid": "string", "name": "string"})),
        (
            "Event",
            json!({"cursor": "integer", "time": "integer", "type": "string", "uuid": "string", "kind": "string",
                "data": "object"}),
        ),
    ];
    let mut out: Map<String, Value> =
        objects.into_iter().map(|(name, fields)| (name.to_owned(), object(&fields))).collect();
    out.insert(
        "Schema".to_owned(),
        json!({"type": "object", "additionalProperties": {"type": "string"},
            "description": "Java class of each object in the result by its place, such as `inventories[0].vmNics[1]`."}),
    );
    out
}

/// An object out of field names and types; `!` marks those that are always there.
fn object(fields: &Value) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, ty) in fields.as_object().into_iter().flatten() {
        let bare = name.trim_end_matches('!');
        if bare.len() < name.len() {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), field(ty));
    }
    let mut out = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

fn field(ty: &Value) -> Value {
    match ty {
        Value::Array(of) => json!({"type": "array", "items": of.first().map_or(Value::Null, field)}),
        Value::String(ty) if ty == "integer" => json!({"type": "integer", "format": "int64"}),
        Value::String(ty) if ty == "any" => json!({}),
        Value::String(ty) if matches!(ty.as_str(), "string" | "boolean" | "object") => json!({"type": ty}),
        Value::String(name) => reference("schemas", name),
        _ => json!({}),
    }
}

/// Addresses that are no operations of the table: polling a job and the event stream.
pub(super) fn add_paths(paths: &mut Map<String, Value>) {
    let id = json!({"name": "jobUuid", "in": "path", "required": true, "schema": {"type": "string"},
        "description": "Job id, as in `location`. It is a secret: no session is asked for."});
    let anything = json!({"application/json": {"schema": {"type": "object"}}});
    let text = json!({"text/plain": {"schema": {"type": "string"}}});
    let prefer = json!({"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"},
        "description": "`wait=5`: the answer leaves when the job ends, at the latest after so many seconds (RFC 7240). Without it, \
            or where the server does not know when the job ends, it leaves at once."});
    paths.insert(
        "/api-jobs/{jobUuid}".to_owned(),
        json!({"get": {
            "operationId": "PollJob", "summary": "Poll a job", "tags": ["job"], "security": [], "parameters": [id, prefer],
            "description": "Poll a job. Reading a result does not use it up. The header `X-Cairn-Time: rfc3339` of the poll, not of the \
                call, decides how dates are written. With `Prefer: wait=30` one poll is mostly enough.",
            "responses": {
                "200": {"description": "Done: the result of the call.", "content": anything},
                "202": {"description": "Still running."},
                "404": {"description": "Unknown or aged-out job.", "content": text},
                "503": reference("responses", "Failed"),
            },
        }}),
    );
    let filter = |name: &str, doc: &str| json!({"name": name, "in": "query", "required": false, "schema": {"type": "string"}, "description": doc});
    let since = filter(
        "since",
        "Cursor: go on behind this event, or from now if absent. The header `Last-Event-ID` does the same.",
    );
    let only = filter("type", "Only events of this entity, such as `VmInstanceVO`.");
    let stream = json!({"text/event-stream": {"schema": {"type": "string"}}});
    paths.insert(
        "/cairn/events".to_owned(),
        json!({"get": {
            "operationId": "GetEvents", "summary": "Follow what happens", "tags": ["event"], "parameters": [since, only],
            "description": "Follow what happens, as server-sent events in the order of their commits. Each event's `id` is a cursor \
                to go on from, its data an `Event`. Only what the account may see. The stream opens with `hello` and the cursor it \
                begins at; `gap` before it says that the cursor asked for is no longer kept.",
            "x-cairn-own": true, "x-cairn-cli": "events", "x-cairn-job": false,
            "responses": {
                "200": {"description": "The stream.", "content": stream},
                "400": reference("responses", "BadRequest"),
                "503": reference("responses", "Failed"),
            },
        }}),
    );
}
