//! Uploads: an address is opened, one file comes, and the server hears how it ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_api::agent::image_store::{ImageFile, OpenUpload, Opened};
use cairn_api::agent::{AgentEvent, AgentFrame};
use cairn_types::{Fault, Result, code};
use futures_util::{Stream, StreamExt};

use super::download::Sink;
use super::shelf::Shelf;
use super::{Inner, PROGRESS_EVERY, fetch, http};
use crate::process::io_fault;
use crate::state::{remove_any, write_file};

/// An upload that is awaited or under way.
#[derive(Clone)]
pub struct Pending {
    /// Target of the store.
    target: String,
    args: OpenUpload,
    /// The first byte has come.
    begun: bool,
}

/// Opens the address of an upload. Opening again with the same token changes nothing.
pub fn open(inner: &Arc<Inner>, target: &str, args: OpenUpload) -> Result<Opened> {
    let shelf = Shelf::at(&args.store_path)?;
    shelf.make_folders()?;
    let path = format!("/upload/{}?token={}", args.image, http::checked_token(&args.token)?);
    let mut live = inner.live();
    if live.uploads.get(&args.image).is_some_and(|p| p.args.token == args.token) {
        return Ok(Opened { path });
    }
    // A mark, so that a restart can tell that this upload will never come.
    let mark = shelf.tmp(&format!("{}.upload", args.image))?;
    write_file(&mark, target.as_bytes(), 0o600)
        .map_err(|e| io_fault(code::AGENT_STORAGE, format!("image {} cannot be uploaded", args.image), &e))?;
    let wait = Duration::from_millis(args.begin_within_ms);
    tokio::spawn(expire(inner.clone(), args.image.clone(), args.token.clone(), wait));
    live.uploads.insert(args.image.clone(), Pending { target: target.to_owned(), args, begun: false });
    Ok(Opened { path })
}

/// Ends an upload that has not begun in time.
async fn expire(inner: Arc<Inner>, image: String, token: String, wait: Duration) {
    tokio::time::sleep(wait).await;
    let late = {
        let mut live = inner.live();
        let late = live.uploads.get(&image).is_some_and(|p| p.args.token == token && !p.begun);
        if late { live.uploads.remove(&image) } else { None }
    };
    if let Some(pending) = late {
        let text = format!("the upload of image {image} did not begin within {} s", wait.as_secs());
        end(&inner, &pending, Err(Fault::new(code::IMAGE_UPLOAD_LATE, text).with("image", image)));
    }
}

fn end(inner: &Inner, pending: &Pending, result: Result<ImageFile>) {
    if let Ok(shelf) = Shelf::at(&pending.args.store_path) {
        for suffix in ["part", "upload"] {
            let _ = shelf.tmp(&format!("{}.{suffix}", pending.args.image)).map(|f| remove_any(&f));
        }
    }
    inner.upload_ended(&pending.target, &pending.args.image, result);
}

/// Why a request to upload is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Wrong token, or nothing is awaited.
    Unknown,
    /// Another request sends it already.
    Busy,
}

/// Takes the one right to send an image.
pub fn begin(inner: &Inner, image: &str, token: &str) -> std::result::Result<Pending, NotTaken> {
    let mut live = inner.live();
    let pending = live
        .uploads
        .get_mut(image)
        .filter(|p| http::same_secret(&p.args.token, token))
        .ok_or(NotTaken::Unknown)?;
    if pending.begun {
        return Err(NotTaken::Busy);
    }
    pending.begun = true;
    Ok(pending.clone())
}

/// Ends the upload as failed if the request is dropped in the middle (the client has gone).
struct Ending {
    inner: Arc<Inner>,
    pending: Option<Pending>,
}

impl Ending {
    fn finish(mut self, result: Result<ImageFile>) {
        self.close(result);
    }

    fn close(&mut self, result: Result<ImageFile>) {
        let Some(pending) = self.pending.take() else { return };
        // Whoever deleted the image in the meantime wants to hear nothing of it.
        if self.inner.live().uploads.remove(&pending.args.image).is_some() {
            end(&self.inner, &pending, result);
        } else if let Ok(shelf) = Shelf::at(&pending.args.store_path) {
            let _ = shelf.remove(&pending.args.image);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            let text = format!("the upload of image {} broke off", pending.args.image);
            self.close(Err(Fault::new(code::IMAGE_UPLOAD_SIZE, text)));
        }
    }
}

/// Receives the file. `announced`: its size in bytes, if the client said.
pub async fn receive<S, E>(
    inner: Arc<Inner>,
    pending: Pending,
    announced: Option<u64>,
    body: S,
) -> Result<ImageFile>
where
    S: Stream<Item = std::result::Result<bytes::Bytes, E>> + Send + Unpin,
    E: std::fmt::Display,
{
    let ending = Ending { inner: inner.clone(), pending: Some(pending.clone()) };
    let result = take(&inner, &pending, announced, body).await;
    ending.finish(result.clone());
    result
}

async fn take<S, E>(
    inner: &Inner,
    pending: &Pending,
    announced: Option<u64>,
    mut body: S,
) -> Result<ImageFile>
where
    S: Stream<Item = std::result::Result<bytes::Bytes, E>> + Send + Unpin,
    E: std::fmt::Display,
{
    let args = &pending.args;
    let what = format!("image {}", args.image);
    if announced.is_some_and(|n| n > args.max_bytes) {
        let text = format!("{what} is larger than the {} bytes allowed", args.max_bytes);
        return Err(Fault::new(code::IMAGE_TOO_LARGE, text).with("maxBytes", args.max_bytes));
    }
    let shelf = Shelf::at(&args.store_path)?;
    let part: PathBuf = shelf.tmp(&format!("{}.part", args.image))?;
    let failed =
        |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be written"), &e);
    let mut sink = Sink::create(&part, args.max_bytes).map_err(failed)?;
    let mut told = Instant::now();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| {
            Fault::new(code::IMAGE_UPLOAD_SIZE, format!("the upload of {what} broke off")).for_operator(e)
        })?;
        // Short writes into the page cache; the sync at the end runs elsewhere.
        sink.take(&chunk, &what)?;
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell_progress(inner, pending, sink.bytes(), announced);
        }
    }
    if let Some(announced) = announced.filter(|n| *n != sink.bytes()) {
        let text =
            format!("the upload of {what} has {} bytes where {announced} were announced", sink.bytes());
        return Err(Fault::new(code::IMAGE_UPLOAD_SIZE, text)
            .with("bytes", sink.bytes())
            .with("announced", announced));
    }
    let name = what.clone();
    let finished = tokio::task::spawn_blocking(move || sink.finish(&name)).await;
    let received = finished.map_err(|e| Fault::internal("an upload ended by a panic").for_operator(e))??;
    fetch::accept(&shelf, &args.image, &part, &args.media_type, received).await
}

fn tell_progress(inner: &Inner, pending: &Pending, bytes: u64, announced: Option<u64>) {
    let Some(percent) = announced.and_then(|n| bytes.saturating_mul(100).checked_div(n)) else { return };
    let percent = u8::try_from(percent.min(99)).unwrap_or(99);
    let event = AgentEvent::UploadProgress { image: pending.args.image.clone(), percent };
    inner.outbox.send(AgentFrame::Event { target: pending.target.clone(), event });
}
