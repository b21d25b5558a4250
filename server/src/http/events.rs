//! The event stream (BEY-05): server-sent events, filtered by owner, resumable from any kept cursor.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use cairn_store::{Tx, params};
use cairn_types::Result;
use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::call::Caller;
use crate::dispatch::{Answer, Request};
use crate::platform::events::{self, Event};

/// Entries read from the log at a time.
const PAGE: i64 = 500;
/// Pause between two looks at the session of a stream without events.
const LOOK: Duration = Duration::from_secs(5);
/// How long a stream goes on that was opened by a signed request.
const SIGNED: Duration = Duration::from_secs(15 * 60);

/// `GET /v1/cairn/events?since=CURSOR&type=VmInstanceVO`, or with `Last-Event-ID`.
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let request = Request {
        method: "GET".into(),
        path: "/v1/cairn/events".into(),
        authorization: header("authorization"),
        date: header("date"),
        ..Request::default()
    };
    let caller = match app.identity.authenticate(&app, &request).await {
        Ok(caller) => caller,
        Err(answer) => return refuse(answer),
    };
    let since = query.get("since").cloned().or_else(|| header("last-event-id"));
    let cursor = match since.map(|s| s.parse::<i64>()) {
        Some(Ok(cursor)) => Some(cursor),
        Some(Err(_)) => return (StatusCode::BAD_REQUEST, "since must be a cursor").into_response(),
        None => None,
    };
    match Follower::new(app, caller, cursor, query.get("type").cloned()).await {
        Ok(follower) => {
            let events = stream::unfold(follower, |mut f| async move {
                f.next().await.map(|e| (Ok::<_, Infallible>(e), f))
            });
            Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
        }
        Err(fault) => refuse(fault.into()),
    }
}

fn refuse(answer: Answer) -> Response {
    match answer {
        Answer::Json(status, body) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            (status, [("content-type", "application/json; charset=utf-8")], body.to_string()).into_response()
        }
        Answer::Text(status, text) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), text).into_response()
        }
        Answer::Accepted(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

struct Follower {
    app: Arc<App>,
    caller: Caller,
    only: Option<String>,
    cursor: i64,
    live: tokio::sync::broadcast::Receiver<Arc<Event>>,
    ready: std::collections::VecDeque<sse::Event>,
    caught_up: bool,
    began: Instant,
}

impl Follower {
    async fn new(app: Arc<App>, caller: Caller, since: Option<i64>, only: Option<String>) -> Result<Self> {
        // Subscribed before the log is read, so nothing falls between the two.
        let live = app.feed.subscribe();
        let (first, last) = app.store.read(|tx| Ok((events::first(tx)?, events::last(tx)?))).await?;
        let mut ready = std::collections::VecDeque::new();
        let cursor = since.unwrap_or(last);
        if cursor.saturating_add(1) < first {
            let gap = json!({ "requested": cursor, "oldest": first, "newest": last });
            ready.push_back(sse::Event::default().event("gap").data(gap.to_string()));
        }
        ready.push_back(sse::Event::default().event("hello").data(json!({ "cursor": cursor }).to_string()));
        Ok(Self { app, caller, only, cursor, live, ready, caught_up: false, began: Instant::now() })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.caught_up {
                self.read_log().await?;
                continue;
            }
            let event = tokio::select! {
                event = self.live.recv() => event,
                () = tokio::time::sleep(LOOK) => {
                    if !self.may_go_on().await {
                        return None;
                    }
                    continue;
                }
            };
            if !self.may_go_on().await {
                return None;
            }
            match event {
                Ok(event) if event.seq > self.cursor => {
                    self.cursor = event.seq;
                    if self.may_see(&event).await {
                        self.ready.push_back(self.render(&event));
                    }
                }
                Ok(_) => {}
                // Too slow for the live feed: go on from the log.
                Err(RecvError::Lagged(_)) => self.caught_up = false,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Whether the session that the stream was opened with is still good. A signed request is good for as long as its date is;
    /// then the client comes again with a new one and its cursor.
    async fn may_go_on(&self) -> bool {
        if self.caller.session.is_empty() {
            return self.began.elapsed() < SIGNED;
        }
        self.app.identity.session(&self.app, &self.caller.session).await.is_ok()
    }

    async fn read_log(&mut self) -> Option<()> {
        let cursor = self.cursor;
        let page = self.app.store.read(move |tx| events::after(tx, cursor, PAGE)).await.ok()?;
        self.caught_up = i64::try_from(page.len()).unwrap_or(0) < PAGE;
        for event in page {
            self.cursor = event.seq;
            if self.may_see(&event).await {
                let shown = self.render(&event);
                self.ready.push_back(shown);
            }
        }
        Some(())
    }

    fn render(&self, event: &Event) -> sse::Event {
        let mut shown = event.to_json();
        if !self.caller.is_admin() {
            crate::platform::shown::for_tenant(&mut shown);
        }
        sse::Event::default().id(event.seq.to_string()).event("change").data(shown.to_string())
    }

    /// The admin account sees everything, others what is their own or shared with them.
    async fn may_see(&self, event: &Event) -> bool {
        if self.only.as_deref().is_some_and(|only| only != event.resource_type) {
            return false;
        }
        let me = self.caller.account.to_string();
        if self.caller.is_admin() || event.account.as_deref() == Some(&me) {
            return true;
        }
        let uuid = event.uuid.clone();
        let shared = move |tx: &mut dyn Tx| {
            let sql = "SELECT 1 FROM shared_resource WHERE resource_uuid = ? AND (receiver_account_uuid = ? OR to_public = 1)";
            tx.exists(sql, params![&uuid, &me])
        };
        self.app.store.read(shared).await.unwrap_or(false)
    }
}
