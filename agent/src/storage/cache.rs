//! The image cache: each image is downloaded once per storage, checked, and kept as the base of thin volumes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cairn_api::agent::storage::{CacheImage, CachedImage, UncacheImage};
use cairn_types::{Fault, Result, code};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::paths::Storage;
use crate::drivers::{Call, cancelled};
use crate::image_store::download::{Download, Source};
use crate::image_store::header;
use crate::process::io_fault;
use crate::state::{remove_any, sync_folder};

/// How far a shared download is; the result when it has ended.
#[derive(Clone, Default)]
struct Report {
    percent: u8,
    end: Option<Result<CachedImage>>,
}

/// A download under way.
struct Running {
    report: watch::Receiver<Report>,
    task: AbortHandle,
}

/// Downloads under way, by storage folder and image. All who want the same image wait for the same one.
#[derive(Default)]
pub struct Downloads(std::sync::Arc<Mutex<HashMap<String, Running>>>);

fn key(storage: &Storage, image: &str) -> String {
    storage.root().join(image).to_string_lossy().into_owned()
}

/// Where the file of a download grows.
fn tmp_file(storage: &Storage, image: &str) -> PathBuf {
    storage.tmp().join(format!("{image}.image"))
}

impl Downloads {
    /// Brings an image into the cache, or waits for who does.
    pub async fn cache(&self, args: CacheImage, call: Call) -> Result<CachedImage> {
        let storage = Storage::at(&args.storage_path)?;
        if let Some(found) = find(&storage, &args) {
            return Ok(found);
        }
        let mut report = self.join(&storage, args);
        loop {
            let now = report.borrow_and_update().clone();
            if let Some(end) = now.end {
                return end;
            }
            call.progress(now.percent, "downloading the image");
            tokio::select! {
                changed = report.changed() => if changed.is_err() {
                    return Err(Fault::internal("the download ended without a result"));
                },
                // The download goes on for those who still wait and for the next one who asks.
                () = call.cancelled() => return Err(cancelled()),
            }
        }
    }

    fn join(&self, storage: &Storage, args: CacheImage) -> watch::Receiver<Report> {
        let key = key(storage, &args.image);
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.get(&key) {
            return known.report.clone();
        }
        let (tell, report) = watch::channel(Report::default());
        let (all, storage, at) = (self.0.clone(), storage.clone(), key.clone());
        let task = tokio::spawn(async move {
            let progress = |percent: u8| {
                tell.send_if_modified(|r| std::mem::replace(&mut r.percent, percent) != percent);
            };
            let end = bring(&storage, &args, &progress).await;
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
            tell.send_modify(|r| r.end = Some(end));
        });
        running.insert(key, Running { report: report.clone(), task: task.abort_handle() });
        report
    }

    /// Removes an image from the cache, unless a volume is based on it. A download that nobody waits for any more ends.
    pub async fn uncache(&self, args: UncacheImage) -> Result<()> {
        let storage = Storage::at(&args.storage_path)?;
        let running =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(&storage, &args.image));
        if let Some(mut running) = running {
            running.task.abort();
            // Who reports goes when the task has gone.
            while running.report.changed().await.is_ok() {}
            let tmp = tmp_file(&storage, &args.image);
            remove_any(&tmp)
                .map_err(|e| io_fault(code::AGENT_STORAGE, "a download could not be removed", &e))?;
        }
        remove(&storage, &args)
    }
}

/// The image, if its file is there in full. Its checksum was checked before it got its name.
fn find(storage: &Storage, args: &CacheImage) -> Option<CachedImage> {
    let (path, format) = storage.cached(&args.image)?;
    let bytes = std::fs::metadata(&path).ok()?.len();
    let same = bytes == args.file_bytes && format == args.format;
    same.then(|| CachedImage { path: path.to_string_lossy().into_owned(), file_bytes: bytes })
}

async fn bring(
    storage: &Storage,
    args: &CacheImage,
    progress: &(dyn Fn(u8) + Send + Sync),
) -> Result<CachedImage> {
    if let Some(found) = find(storage, args) {
        return Ok(found);
    }
    let what = format!("image {}", args.image);
    if !matches!(args.format.as_str(), "qcow2" | "raw" | "iso") {
        return Err(Fault::argument(format!("{what} has the unknown format {:?}", args.format)));
    }
    super::ensure_room(storage.root(), args.file_bytes, &what)?;
    let failed = |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be cached"), &e);
    std::fs::create_dir_all(storage.tmp()).map_err(failed)?;
    let tmp = tmp_file(storage, &args.image);
    let brought = download(storage, args, &tmp, progress).await;
    if brought.is_err() {
        let _ = remove_any(&tmp);
    }
    brought
}

async fn download(
    storage: &Storage,
    args: &CacheImage,
    tmp: &Path,
    progress: &(dyn Fn(u8) + Send + Sync),
) -> Result<CachedImage> {
    let what = format!("image {}", args.image);
    let source = Source::trusted(&args.url)?;
    let wanted = Download {
        source,
        to: tmp.to_owned(),
        max_bytes: args.file_bytes,
        what: what.clone(),
        expected: Some(args.file_bytes),
    };
    let got = wanted.run(progress, std::future::pending()).await?;
    if got.bytes != args.file_bytes || got.sha256 != args.sha256 {
        let text = format!("{what} arrived damaged: its size or checksum is not that of the image store");
        return Err(Fault::new(code::IMAGE_CHECKSUM, text)
            .with("bytes", got.bytes)
            .with("sha256", got.sha256)
            .retry());
    }
    let folder = storage.cache_folder(&args.image)?;
    let path = folder.join(format!("{}.{}", args.image, args.format));
    let failed = |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be cached"), &e);
    // Another format of the same image would be found first.
    remove_any(&folder).map_err(failed)?;
    std::fs::create_dir_all(&folder).map_err(failed)?;
    std::fs::rename(tmp, &path).and_then(|()| sync_folder(&folder)).map_err(failed)?;
    Ok(CachedImage { path: path.to_string_lossy().into_owned(), file_bytes: got.bytes })
}

fn remove(storage: &Storage, args: &UncacheImage) -> Result<()> {
    let folder = storage.cache_folder(&args.image)?;
    if !folder.exists() {
        return Ok(());
    }
    for kind in ["rootVolumes", "dataVolumes"] {
        let Ok(entries) = std::fs::read_dir(storage.root().join(kind)) else { continue };
        for entry in entries.flatten() {
            let Ok(volume) = entry.file_name().into_string() else { continue };
            let file = entry.path().join(format!("{volume}.qcow2"));
            if !file.exists() {
                continue;
            }
            // A volume that cannot be read may well be based on it.
            let base = header::read_qcow2(&file)
                .map_err(|e| io_fault(code::AGENT_STORAGE, format!("volume {volume} could not be read"), &e))?
                .backing_file;
            if base.is_some_and(|f| Path::new(&f).starts_with(&folder)) {
                let text = format!("image {} is the base of volume {volume}", args.image);
                return Err(Fault::new(code::IN_USE, text).with("volume", volume));
            }
        }
    }
    remove_any(&folder)
        .map_err(|e| io_fault(code::AGENT_STORAGE, format!("image {} could not be removed", args.image), &e))
}
