//! The image store: whole files with checksums, in `images/<image>/{image,meta.json}` below the store's folder.
//!
//! An image is there when its `meta.json` is there: it is written last, after the file was checked, synced and renamed.
//! Everything unfinished lies in `tmp/` and is cleared when the store connects.

pub mod download;
mod fetch;
#[cfg(test)]
mod ftp_tests;
pub mod header;
mod http;
pub mod policy;
mod shelf;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_api::agent::image_store::{
    CloseDownload, DeleteImage, FetchImage, ImageFile, ImageStoreReady, ListImages, OpenDownload, OpenUpload,
    Opened, ReadImage,
};
use cairn_api::agent::{AgentEvent, AgentFrame};
use cairn_types::{Fault, Result, code, time::now_ms};

use crate::dispatch::Outbox;
use crate::drivers::{Answer, Call, ImageStore};
use crate::process::io_fault;
use crate::state::write_file;
use crate::storage::capacity;
use shelf::{Download, Shelf};
use upload::Pending;

/// Image stores in folders of this machine, with one HTTP server for all.
pub struct FolderImageStore {
    inner: Arc<Inner>,
}

/// What the HTTP server and the operations share.
pub struct Inner {
    port: u16,
    outbox: Outbox,
    /// `image-stores.json`: target and folder of each store, so that exports work again after a restart.
    kept: PathBuf,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    /// Folder by target.
    stores: HashMap<String, String>,
    /// Stores whose leftovers are cleared: once per process.
    cleared: HashSet<PathBuf>,
    uploads: HashMap<String, Pending>,
    downloads: HashMap<String, Vec<Download>>,
    serving: bool,
    /// Events that wait for a connection.
    late: Vec<AgentFrame>,
}

impl FolderImageStore {
    /// Stores served on this TCP port. Nothing listens before the first store connects.
    pub fn new(state: &Path, port: u16, outbox: Outbox) -> Self {
        let kept = state.join("image-stores.json");
        Self { inner: Arc::new(Inner { port, outbox, kept, live: Mutex::default() }) }
    }

    /// Serves the stores that an earlier process served.
    pub async fn restore(&self) {
        let stores: HashMap<String, String> = std::fs::read(&self.inner.kept)
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_default();
        for (target, path) in stores {
            if let Err(e) = self.inner.connect(&target, &path).await {
                tracing::error!(
                    target,
                    operator = e.operator,
                    "the image store could not be opened again: {e}"
                );
            }
        }
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self: &Arc<Self>, target: &str, path: &str) -> Result<ImageStoreReady> {
        let shelf = Shelf::at(path)?;
        shelf.make_folders()?;
        let first = self.live().cleared.insert(shelf.root().to_owned());
        if first {
            let cut_short = shelf.clear_leftovers()?;
            self.live().downloads.extend(shelf.open_downloads());
            for (target, image) in cut_short {
                let text =
                    format!("the upload of image {image} was cut short by a restart of the image store");
                self.upload_ended(&target, &image, Err(Fault::new(code::IMAGE_UPLOAD_LATE, text)));
            }
        }
        let stores = {
            let mut live = self.live();
            live.stores.insert(target.to_owned(), path.to_owned());
            live.stores.clone()
        };
        let kept = serde_json::to_vec(&stores)
            .map_err(io::Error::other)
            .and_then(|b| write_file(&self.kept, &b, 0o600));
        kept.map_err(|e| io_fault(code::BS_CONNECT, "the image store could not be kept in mind", &e))?;
        let http_port = self.serve().await?;
        let room = capacity(shelf.root())
            .map_err(|e| io_fault(code::BS_CONNECT, "the image store cannot be read", &e))?;
        Ok(ImageStoreReady { capacity: room, http_port })
    }

    /// Opens the HTTP server, once.
    async fn serve(self: &Arc<Self>) -> Result<u16> {
        if std::mem::replace(&mut self.live().serving, true) {
            return Ok(self.port);
        }
        match http::listen(self.clone(), self.port).await {
            Ok(()) => Ok(self.port),
            Err(e) => {
                self.live().serving = false;
                let text = format!("port {} of the image store cannot be opened", self.port);
                Err(Fault::new(code::BS_CONNECT, text).for_operator(e))
            }
        }
    }

    /// Tells the server how an upload ended; later, if there is no connection now.
    fn upload_ended(&self, target: &str, image: &str, result: Result<ImageFile>) {
        if let Err(fault) = &result {
            tracing::warn!(image, operator = fault.operator, "the upload of image {image} failed: {fault}");
        }
        let (file, fault) = match result {
            Ok(file) => (Some(file), None),
            Err(fault) => (None, Some(fault)),
        };
        let event = AgentEvent::Upload { image: image.to_owned(), file, fault };
        let frame = AgentFrame::Event { target: target.to_owned(), event };
        if self.outbox.is_connected() {
            self.outbox.send(frame);
        } else {
            self.live().late.push(frame);
        }
    }

    /// A connection stands: sends what waited for it.
    pub fn flush(&self) {
        for frame in std::mem::take(&mut self.live().late) {
            self.outbox.send(frame);
        }
    }
}

impl FolderImageStore {
    /// A connection stands: sends events that waited for it.
    pub fn flush(&self) {
        self.inner.flush();
    }
}

/// Where the HTTP server listens: all addresses of both families.
pub(crate) fn listen_addresses(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port),
    ]
}

impl ImageStore for FolderImageStore {
    fn connect<'a>(&'a self, target: &'a str, path: &'a str) -> Answer<'a, ImageStoreReady> {
        Box::pin(self.inner.connect(target, path))
    }

    fn fetch(&self, args: FetchImage, call: Call) -> Answer<'_, ImageFile> {
        Box::pin(fetch::fetch(args, call))
    }

    fn open_upload<'a>(&'a self, target: &'a str, args: OpenUpload) -> Answer<'a, Opened> {
        Box::pin(async move { upload::open(&self.inner, target, args) })
    }

    fn open_download(&self, args: OpenDownload) -> Answer<'_, Opened> {
        Box::pin(async move {
            let shelf = Shelf::at(&args.store_path)?;
            let file = shelf.file(&args.image)?;
            let until = (args.valid_ms > 0)
                .then(|| now_ms().saturating_add(i64::try_from(args.valid_ms).unwrap_or(i64::MAX)));
            let path = format!("/download/{}?token={}", args.image, http::checked_token(&args.token)?);
            let mut live = self.inner.live();
            let open = live.downloads.entry(args.image.clone()).or_default();
            open.retain(|d| d.token != args.token && d.is_valid(now_ms()));
            open.push(Download { token: args.token, until, file });
            shelf.keep_downloads(&args.image, open)?;
            Ok(Opened { path })
        })
    }

    fn close_download(&self, args: CloseDownload) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.live().downloads.remove(&args.image);
            Shelf::at(&args.store_path)?.keep_downloads(&args.image, &[])
        })
    }

    fn delete(&self, args: DeleteImage) -> Answer<'_, ()> {
        Box::pin(async move {
            {
                let mut live = self.inner.live();
                live.downloads.remove(&args.image);
                live.uploads.remove(&args.image);
            }
            Shelf::at(&args.store_path)?.remove(&args.image)
        })
    }

    fn read(&self, args: ReadImage, call: Call) -> Answer<'_, ImageFile> {
        Box::pin(async move {
            let shelf = Shelf::at(&args.store_path)?;
            let meta = shelf.meta(&args.image)?;
            if args.verify {
                fetch::verify(&shelf, &args.image, &meta, &call).await?;
            }
            Ok(meta)
        })
    }

    fn list(&self, args: ListImages) -> Answer<'_, Vec<String>> {
        Box::pin(async move { Shelf::at(&args.store_path)?.list() })
    }
}

/// How often progress of an upload is told.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_millis(500);
