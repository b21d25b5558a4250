//! The ports of one of several servers: whoever leads serves what comes, the others pass it on to it, byte by byte. So a
//! client or an agent may dial any of them.
//!
//! While nobody leads a new connection waits. When the leader changes, connections that were passed on are closed, and clients and
//! agents dial again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cairn_types::code;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::peers::{self, Port, Word};
use crate::app::App;
use crate::http;
use crate::platform::secrets::Secrets;

/// How long a new connection waits for a leader that can be reached.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long dialling the leader may take.
const DIAL: Duration = Duration::from_secs(2);
/// Connections at the same time, on all ports together.
const MOST: usize = 16_384;

/// What this server does with connections now.
#[derive(Clone)]
pub(super) enum Role {
    /// Nobody leads.
    Waiting,
    /// This server does.
    Leading(Arc<Serving>),
    /// Another one does.
    Following {
        /// Its address for servers.
        peers: String,
        /// Its epoch.
        epoch: i64,
    },
}

impl Role {
    /// Whether connections that were passed on under `self` may go on under `next`.
    fn goes_on(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Following { peers: a, epoch: x }, Self::Following { peers: b, epoch: y }) => {
                a == b && x == y
            }
            // The leader of before may serve still; only a new one ends that.
            (Self::Following { .. }, Self::Waiting) => true,
            _ => false,
        }
    }
}

/// What a leader serves.
pub(super) struct Serving {
    app: Arc<App>,
    epoch: i64,
    api: Router,
    page: Router,
}

impl Serving {
    pub(super) fn new(app: Arc<App>, epoch: i64) -> Self {
        let (api, page) = http::routers(&app);
        Self { app, epoch, api, page }
    }

    /// Takes no more calls of the bus.
    pub(super) async fn close(&self) {
        self.app.bus.close().await;
    }

    async fn connection(&self, port: Port, stream: TcpStream, client: SocketAddr) {
        match port {
            Port::Api => http::connection(stream, client, self.api.clone()).await,
            Port::Page => http::connection(stream, client, self.page.clone()).await,
            Port::Agents => self.app.agents.accept(stream, client).await,
        }
    }
}

/// The ports.
#[derive(Clone)]
pub(super) struct Front {
    role: watch::Receiver<Role>,
    secrets: Arc<Secrets>,
    room: Arc<Semaphore>,
}

impl Front {
    pub(super) fn new(role: watch::Receiver<Role>, secrets: Arc<Secrets>) -> Self {
        Self { role, secrets, room: Arc::new(Semaphore::new(MOST)) }
    }

    /// Accepts clients or agents until the process ends.
    pub(super) fn listen(&self, listener: TcpListener, port: Port) {
        let front = self.clone();
        tokio::spawn(front.accept(listener, move |front, stream, client| {
            tokio::spawn(async move { front.client(port, stream, client).await })
        }));
    }

    /// Accepts what other servers pass on.
    pub(super) fn listen_to_peers(&self, listener: TcpListener) {
        let front = self.clone();
        tokio::spawn(front.accept(listener, |front, stream, from| {
            tokio::spawn(async move { front.peer(stream, from).await })
        }));
    }

    async fn accept<F>(self, listener: TcpListener, serve: F)
    where
        F: Fn(Self, TcpStream, SocketAddr) -> tokio::task::JoinHandle<()> + Send,
    {
        loop {
            let Ok(permit) = self.room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let _ = stream.set_nodelay(true);
                    let served = serve(self.clone(), stream, from);
                    tokio::spawn(async move {
                        let _ = served.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn peer(mut self, mut stream: TcpStream, from: SocketAddr) {
        let word = match peers::hear(&mut stream, &self.secrets).await {
            Ok(word) => word,
            Err(fault) => {
                tracing::warn!(%from, error = %fault, "a connection for servers was refused");
                return;
            }
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let role = self.role.borrow_and_update().clone();
            match role {
                Role::Leading(serving) if serving.epoch == word.epoch => {
                    if peers::take(&mut stream, &self.secrets, &word).await.is_err() {
                        return;
                    }
                    return serving.connection(word.port, stream, word.client).await;
                }
                // The lead was just taken, and is not taken up yet.
                Role::Waiting if Instant::now() < end => {}
                Role::Waiting | Role::Leading(_) | Role::Following { .. } => return,
            }
            if let Ok(Err(_)) = timeout_at(end, self.role.changed()).await {
                return;
            }
        }
    }

    async fn client(mut self, port: Port, stream: TcpStream, client: SocketAddr) {
        let end = Instant::now() + PATIENCE;
        loop {
            let role = self.role.borrow_and_update().clone();
            match &role {
                Role::Leading(serving) => return serving.connection(port, stream, client).await,
                Role::Following { peers, epoch } => {
                    let mut changes = self.role.clone();
                    let leader = tokio::select! {
                        leader = self.dial(peers, (port, client, *epoch)) => leader.ok(),
                        // A leader that was stopped answers nothing; the next one does.
                        changed = changes.changed() => match changed {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                        () = sleep_until(end) => None,
                    };
                    if let Some(leader) = leader {
                        return self.pass_on(&role, stream, leader).await;
                    }
                }
                Role::Waiting => {}
            }
            // A leader that can't be reached is tried again; its lease may be about to end.
            if let Ok(Err(_)) = timeout(Duration::from_millis(200), self.role.changed()).await {
                return;
            }
            if Instant::now() >= end {
                return unavailable(port, stream, client).await;
            }
        }
    }

    async fn dial(
        &self,
        peers: &str,
        (port, client, epoch): (Port, SocketAddr, i64),
    ) -> cairn_types::Result<TcpStream> {
        let failed = |e: &dyn std::fmt::Display| {
            cairn_types::Fault::operation("the leader can't be reached").for_operator(e)
        };
        let dialled = timeout(DIAL, TcpStream::connect(peers)).await.map_err(|e| failed(&e))?;
        let mut leader = dialled.map_err(|e| failed(&e))?;
        let _ = leader.set_nodelay(true);
        let nonce = cairn_types::random_uuid();
        let word = Word { port, client, epoch, said_ms: cairn_types::time::now_ms(), nonce };
        peers::say(&mut leader, &self.secrets, &word).await?;
        peers::hear_taken(&mut leader, &self.secrets, &word).await?;
        Ok(leader)
    }

    /// Until one side closes or the leader is another one.
    async fn pass_on(&mut self, role: &Role, mut client: TcpStream, mut leader: TcpStream) {
        let changed = async {
            while self.role.changed().await.is_ok() {
                if !role.goes_on(&self.role.borrow_and_update()) {
                    return;
                }
            }
        };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut leader) => {}
            () = changed => {}
        }
    }
}

/// Nobody leads: says so to clients of HTTP, and closes the connection of an agent, which dials elsewhere.
async fn unavailable(port: Port, stream: TcpStream, client: SocketAddr) {
    if port == Port::Agents {
        return;
    }
    let router = Router::new().fallback(|| async {
        let error = json!({ "error": {
            "code": code::NOT_READY, "description": code::meaning(code::NOT_READY),
            "details": "no management server leads now; try again in a moment",
        } });
        (StatusCode::SERVICE_UNAVAILABLE, [("connection", "close")], axum::Json(error)).into_response()
    });
    let end = Instant::now() + Duration::from_secs(5);
    let _ = timeout_at(end, http::connection(stream, client, router)).await;
}
