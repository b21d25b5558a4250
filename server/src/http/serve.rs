//! Accepts connections. Who sends half a request and stops must not keep a connection for ever, so a header has to come in
//! time, and so does a body ([`super::api`]).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// For the first request of a connection and between two: clients that keep connections come back within this time.
const HEADER: Duration = Duration::from_secs(75);
/// Connections at the same time.
const MOST: usize = 8192;

/// Serves until the process ends.
pub(super) async fn run(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, client, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // No descriptors left, most likely: wait until some are.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn connection(stream: TcpStream, client: SocketAddr, router: Router) {
    // Small answers must not wait for more bytes.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map_err(|never: Infallible| never) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER);
    // What ends a connection early is the client's business.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
