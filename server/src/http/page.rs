//! The built page, from a folder. Every address without a file is the page itself, which routes within the browser.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri, header};

use crate::app::App;

pub(super) async fn file(State(app): State<Arc<App>>, uri: Uri) -> Response<Body> {
    let Some(folder) = &app.config.page_dir else {
        return plain(StatusCode::NOT_FOUND, "this server was started without a page; see --page-dir");
    };
    let asked = uri.path().trim_start_matches('/');
    // Only plain names: nothing climbs out of the folder.
    if !Path::new(asked).components().all(|c| matches!(c, Component::Normal(_))) {
        return plain(StatusCode::NOT_FOUND, "no such file");
    }
    let wanted = folder.join(asked);
    let is_asset = asked.starts_with("assets/");
    let path = if !asked.is_empty() && wanted.is_file() { wanted } else { folder.join("index.html") };
    if is_asset && !path.ends_with(asked) {
        return plain(StatusCode::NOT_FOUND, "no such file");
    }
    send(path, is_asset).await
}

async fn send(path: PathBuf, is_asset: bool) -> Response<Body> {
    let Ok(bytes) = tokio::fs::read(&path).await else {
        return plain(
            StatusCode::NOT_FOUND,
            "the page is not built; run `make run` or `npm run build` in ui/",
        );
    };
    let cache = if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" };
    let built = Response::builder()
        .header(header::CONTENT_TYPE, content_type(&path))
        .header(header::CACHE_CONTROL, cache)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "no-referrer")
        .body(Body::from(bytes));
    built.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be sent"))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
