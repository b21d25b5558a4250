//! HTTP: the API on its own port, and the page with API, events and consoles on another.

mod api;
mod events;
mod page;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use cairn_types::{Fault, Result};
use tokio::net::TcpListener;

use crate::app::App;

pub(crate) use serve::connection;

/// Largest body of a call, in bytes.
const MAX_BODY: usize = 4 << 20;

/// Addresses that are served.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// API.
    pub api: SocketAddr,
    /// Page.
    pub page: SocketAddr,
    /// Agents.
    pub agents: SocketAddr,
}

/// Opens all ports and serves them in the background.
pub async fn serve(app: &Arc<App>) -> Result<Served> {
    let api = bind(app.config.api).await?;
    let page = bind(app.config.page).await?;
    let agents = bind(app.config.agents).await?;
    let local = |l: &TcpListener| {
        l.local_addr().map_err(|e| Fault::internal("a port has no address").for_operator(e))
    };
    let served = Served { api: local(&api)?, page: local(&page)?, agents: local(&agents)? };
    app.page_port.store(served.page.port(), std::sync::atomic::Ordering::Relaxed);
    app.agents.listen(agents, served.agents);
    crate::bus::start(app).await?;
    tokio::spawn(serve::run(api, api_router(app)));
    tokio::spawn(serve::run(page, page_router(app)));
    Ok(served)
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Fault::operation(format!(
            "port {} can't be opened: {e}; stop what listens there or choose another",
            address
        ))
    })
}

/// What the ports of API and page serve.
pub(crate) fn routers(app: &Arc<App>) -> (Router, Router) {
    (api_router(app), page_router(app))
}

fn api_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/zstack/v1/api-jobs/{job}", any(api::poll))
        .route("/v1/api-jobs/{job}", any(api::poll))
        .route("/v1/cairn/events", get(events::stream))
        .route("/zstack/v1/cairn/events", get(events::stream))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

fn api_router(app: &Arc<App>) -> Router {
    api_routes().fallback(api::call).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(app.clone())
}

fn page_router(app: &Arc<App>) -> Router {
    api_routes()
        .route("/console/{token}", get(crate::compute::console::websocket))
        .route("/v1/{*rest}", any(api::call))
        .route("/zstack/{*rest}", any(api::call))
        .fallback(page::file)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app.clone())
}

async fn openapi() -> impl IntoResponse {
    ([("content-type", "application/json; charset=utf-8")], cairn_api::openapi::document_text())
}

/// For load balancers and supervisors: 200 while the server serves, with or without its bus.
async fn health(axum::extract::State(app): axum::extract::State<Arc<App>>) -> impl IntoResponse {
    axum::Json(
        serde_json::json!({ "ready": true, "managementNode": app.node, "messageBus": crate::bus::health(&app) }),
    )
}

async fn metrics(axum::extract::State(app): axum::extract::State<Arc<App>>) -> impl IntoResponse {
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render(&app))
}
