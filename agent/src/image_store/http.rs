//! The HTTP server of the image store: uploads and downloads, each with a secret token in its address.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cairn_types::{Fault, Result, code, id::is_uuid, time::now_ms};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

use super::upload::{self, NotTaken};
use super::{Inner, listen_addresses};

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

/// Checks that a token can stand in an address as it is.
pub fn checked_token(token: &str) -> Result<&str> {
    let fits = token.len() >= 16
        && token.len() <= 128
        && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if fits {
        Ok(token)
    } else {
        Err(Fault::argument("the token of an address must be 16 to 128 letters and digits"))
    }
}

/// Compares two secrets in a time that tells nothing about where they differ.
pub fn same_secret(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |all, (x, y)| all | (x ^ y)) == 0
}

/// Opens the port and serves from now on.
pub async fn listen(inner: Arc<Inner>, port: u16) -> std::io::Result<()> {
    let [both, v4] = listen_addresses(port);
    // A host without IPv6 has only the second.
    let listener = match TcpListener::bind(both).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(v4).await?,
    };
    let app = Router::new()
        .route("/upload/{image}", post(upload).put(upload))
        .route("/download/{image}", get(download))
        .layer(middleware::from_fn(allow_browsers))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(inner);
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, app).await {
            tracing::error!("the HTTP server of the image store ended: {e}");
        }
    });
    Ok(())
}

/// The page comes from another port. The token in the address is the permission, so every origin may try.
async fn allow_browsers(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, Content-Type, X-IMAGE-UUID, X-IMAGE-SIZE"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, format!("{}\n", text.into())).into_response()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

async fn upload(
    State(inner): State<Arc<Inner>>,
    Path(image): Path<String>,
    Query(t): Query<Token>,
    request: Request,
) -> Response {
    let said = request.headers().get("x-image-uuid").and_then(|v| v.to_str().ok());
    if said.is_some_and(|s| s != image) {
        return plain(StatusCode::BAD_REQUEST, "X-IMAGE-UUID names another image than the address");
    }
    let pending = match upload::begin(&inner, &image, &t.token) {
        Ok(pending) => pending,
        Err(NotTaken::Unknown) => {
            return plain(StatusCode::NOT_FOUND, "no upload is awaited at this address");
        }
        Err(NotTaken::Busy) => return plain(StatusCode::CONFLICT, "this image is being uploaded already"),
    };
    let announced = number(request.headers(), "x-image-size");
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let result = if kind.to_ascii_lowercase().starts_with("multipart/form-data") {
        match Multipart::from_request(request, &()).await {
            Ok(form) => upload::receive(inner, pending, announced, Box::pin(first_file(form))).await,
            Err(e) => {
                upload::receive(inner, pending, announced, Box::pin(futures_util::stream::iter([Err(e)])))
                    .await
            }
        }
    } else {
        let announced = announced.or_else(|| number(request.headers(), "content-length"));
        upload::receive(inner, pending, announced, request.into_body().into_data_stream()).await
    };
    match result {
        Ok(file) => (StatusCode::OK, axum::Json(file)).into_response(),
        Err(fault) => {
            let status = match fault.code.as_str() {
                code::AGENT_NO_SPACE => StatusCode::INSUFFICIENT_STORAGE,
                code::IMAGE_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
                code::INTERNAL | code::AGENT_STORAGE => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            (status, axum::Json(serde_json::json!({ "error": fault.to_api() }))).into_response()
        }
    }
}

/// The bytes of the first part of a form that is a file, or of the first part at all.
fn first_file(
    form: Multipart,
) -> impl futures_util::Stream<Item = std::result::Result<bytes::Bytes, String>> + Send {
    // A field borrows its form, so a task of its own reads it.
    let (send, receive) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut form = form;
        loop {
            match form.next_field().await {
                Ok(Some(mut field)) => {
                    let is_file = field.file_name().is_some();
                    if !is_file && field.name().is_some_and(|n| n != "file") {
                        continue;
                    }
                    loop {
                        match field.chunk().await {
                            Ok(Some(chunk)) => {
                                if send.send(Ok(chunk)).await.is_err() {
                                    return;
                                }
                            }
                            Ok(None) => return,
                            Err(e) => return drop(send.send(Err(e.to_string())).await),
                        }
                    }
                }
                Ok(None) => return drop(send.send(Err("the form has no file".to_owned())).await),
                Err(e) => return drop(send.send(Err(e.to_string())).await),
            }
        }
    });
    futures_util::stream::unfold(receive, |mut r| async move { r.recv().await.map(|item| (item, r)) })
}

async fn download(
    State(inner): State<Arc<Inner>>,
    Path(image): Path<String>,
    Query(t): Query<Token>,
    headers: HeaderMap,
) -> Response {
    let open = {
        let live = inner.live();
        let all =
            live.downloads.get(&image).filter(|_| is_uuid(&image)).map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|d| d.is_valid(now_ms()) && same_secret(&d.token, &t.token)).cloned()
    };
    let Some(open) = open else { return plain(StatusCode::NOT_FOUND, "there is nothing at this address") };
    let opened = async {
        let file = tokio::fs::File::open(&open.file).await?;
        let length = file.metadata().await?.len();
        Ok::<_, std::io::Error>((file, length))
    };
    let Ok((mut file, length)) = opened.await else {
        return plain(StatusCode::NOT_FOUND, "the image is gone");
    };
    let range = headers.get(header::RANGE).and_then(|v| v.to_str().ok()).and_then(|r| byte_range(r, length));
    let (status, from, to) = match range {
        None => (StatusCode::OK, 0, length),
        Some(Ok((from, to))) => (StatusCode::PARTIAL_CONTENT, from, to),
        Some(Err(())) => {
            let all = format!("bytes */{length}");
            return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response();
        }
    };
    if from > 0 && file.seek(SeekFrom::Start(from)).await.is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the image cannot be read");
    }
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(to - from), 128 << 10));
    let mut response = (status, body).into_response();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    set(header::CONTENT_LENGTH, (to - from).to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{image}\""));
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", to - 1));
    }
    response
}

/// The half-open range that a `Range` header asks for. None: not one that is understood, so all; an error: beyond the end.
fn byte_range(text: &str, length: u64) -> Option<std::result::Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let (from, to) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(from), Ok(last)) if from <= last => (from, length.min(last.saturating_add(1))),
        (Ok(from), Err(_)) if last.is_empty() => (from, length),
        (Err(_), Ok(n)) if first.is_empty() => (length.saturating_sub(n), length),
        _ => return None,
    };
    Some(if from < to { Ok((from, to)) } else { Err(()) })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, wanted) in [
            ("bytes=0-9", Some(Ok((0, 10)))),
            ("bytes=90-", Some(Ok((90, 100)))),
            ("bytes=-5", Some(Ok((95, 100)))),
            ("bytes=50-1000", Some(Ok((50, 100)))),
            ("bytes=100-", Some(Err(()))),
            ("bytes=9-1", None),
            ("bytes=0-1,5-6", None),
            ("pages=1-2", None),
        ] {
            assert_eq!(byte_range(text, 100), wanted, "{text}");
        }
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd"));
        assert!(!same_secret("", "abc"));
        assert!(checked_token("short").is_err());
        assert!(checked_token("0123456789abcdef&x=1").is_err());
    }
}
