//! An image store in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cairn_api::agent::image_store::{
    CloseDownload, ConnectImageStore, DeleteImage, FetchImage, ImageFile, ImageStoreReady, ListImages,
    OpenDownload, OpenUpload, Opened, ReadImage,
};
use cairn_api::agent::storage::Capacity;
use cairn_api::agent::{AgentEvent, Done};
use cairn_types::size::GIB;
use cairn_types::{Fault, Result, code};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::address;
use crate::target::Common;
use crate::world::Source;

const HTTP_PORT: u16 = 8090;

/// One image store.
pub(crate) struct Store {
    pub(crate) common: Common,
    pub(crate) total_bytes: u64,
    pub(crate) folder: Option<String>,
    pub(crate) images: BTreeMap<String, SimImage>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Tokens under which an image can be read, and until when.
    pub(crate) downloads: HashMap<(String, String), Option<Instant>>,
}

/// An image of a simulated image store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimImage {
    /// Its file.
    pub file: ImageFile,
    /// Where it came from; `upload` for uploads.
    pub origin: String,
    /// The file has been damaged since.
    pub is_corrupt: bool,
}

/// An upload that is waited for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) token: String,
    pub(crate) media_type: String,
    pub(crate) max_bytes: u64,
    /// Tells this upload from a later one of the same image.
    pub(crate) number: u64,
    pub(crate) has_begun: bool,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            common: Common::default(),
            total_bytes: 10_240 * GIB,
            folder: None,
            images: BTreeMap::new(),
            uploads: BTreeMap::new(),
            downloads: HashMap::new(),
        }
    }

    fn capacity(&self) -> Capacity {
        let used: u64 = self.images.values().map(|i| i.file.actual_bytes).sum();
        Capacity { total_bytes: self.total_bytes, available_bytes: self.total_bytes.saturating_sub(used) }
    }

    pub(crate) fn connect(&mut self, o: &ConnectImageStore) -> Result<ImageStoreReady> {
        if !o.path.starts_with('/') || o.path.split('/').any(|part| part == "..") {
            return Err(storage("the folder of an image store must be an absolute path"));
        }
        self.folder = Some(o.path.clone());
        Ok(ImageStoreReady { capacity: self.capacity(), http_port: HTTP_PORT })
    }

    fn need_folder(&self, path: &str) -> Result<()> {
        if self.folder.as_deref() == Some(path) {
            return Ok(());
        }
        Err(storage("the image store is not connected").for_operator(format!("no folder {path}")))
    }

    fn find(&self, image: &str) -> Result<&SimImage> {
        self.images.get(image).ok_or_else(|| storage(format!("image {image} is not in the image store")))
    }

    pub(crate) fn fetch(&mut self, o: &FetchImage) -> Result<ImageFile> {
        self.need_folder(&o.store_path)?;
        if let Some(known) = self.images.get(&o.image) {
            return Ok(known.file.clone());
        }
        let file = address::fetch(o)?;
        self.keep(&o.image, &o.url, file)
    }

    fn keep(&mut self, image: &str, origin: &str, file: ImageFile) -> Result<ImageFile> {
        address::need_at_most(&file, self.capacity().available_bytes)?;
        let kept = SimImage { file: file.clone(), origin: origin.to_owned(), is_corrupt: false };
        self.images.insert(image.to_owned(), kept);
        Ok(file)
    }

    /// `number` is one that no other upload has.
    pub(crate) fn open_upload(&mut self, o: &OpenUpload, number: u64) -> Result<Opened> {
        self.need_folder(&o.store_path)?;
        let is_open = self.uploads.get(&o.image).is_some_and(|u| u.token == o.token);
        if !is_open && !self.images.contains_key(&o.image) {
            let (token, media_type) = (o.token.clone(), o.media_type.clone());
            let upload = Upload { token, media_type, max_bytes: o.max_bytes, number, has_begun: false };
            self.uploads.insert(o.image.clone(), upload);
        }
        Ok(Opened { path: format!("/upload/{}?token={}", o.image, o.token) })
    }

    /// The whole file of an upload has come.
    pub(crate) fn finish_upload(&mut self, image: &str, query: &str) -> Option<AgentEvent> {
        let upload = self.uploads.remove(image)?;
        let file = address::describe(image, &format!("upload:{image}"), query, "", &upload.media_type)
            .and_then(|file| address::need_at_most(&file, upload.max_bytes).map(|()| file))
            .and_then(|file| self.keep(image, "upload", file));
        let (file, fault) = match file {
            Ok(file) => (Some(file), None),
            Err(fault) => (None, Some(fault)),
        };
        Some(AgentEvent::Upload { image: image.to_owned(), file, fault })
    }

    /// The upload has failed.
    pub(crate) fn fail_upload(&mut self, image: &str, fault: Fault) -> Option<AgentEvent> {
        self.uploads.remove(image)?;
        Some(AgentEvent::Upload { image: image.to_owned(), file: None, fault: Some(fault) })
    }

    pub(crate) fn open_download(&mut self, o: &OpenDownload) -> Result<Opened> {
        self.need_folder(&o.store_path)?;
        self.find(&o.image)?;
        let until = (o.valid_ms > 0).then(|| Instant::now() + Duration::from_millis(o.valid_ms));
        self.downloads.insert((o.image.clone(), o.token.clone()), until);
        Ok(Opened { path: format!("/images/{}?token={}", o.image, o.token) })
    }

    pub(crate) fn close_download(&mut self, o: &CloseDownload) -> Result<Done> {
        self.downloads.retain(|(image, _), _| *image != o.image);
        Ok(Done {})
    }

    pub(crate) fn delete(&mut self, o: &DeleteImage) -> Result<Done> {
        self.images.remove(&o.image);
        self.uploads.remove(&o.image);
        self.downloads.retain(|(image, _), _| *image != o.image);
        Ok(Done {})
    }

    pub(crate) fn read(&self, o: &ReadImage) -> Result<ImageFile> {
        self.need_folder(&o.store_path)?;
        let image = self.find(&o.image)?;
        if o.verify && image.is_corrupt {
            let text = format!("the file of image {} no longer has its checksum", o.image);
            return Err(Fault::new(code::IMAGE_CHECKSUM, text));
        }
        Ok(image.file.clone())
    }

    pub(crate) fn list(&self, o: &ListImages) -> Result<Vec<String>> {
        self.need_folder(&o.store_path)?;
        Ok(self.images.keys().cloned().collect())
    }

    /// What a download of an image with this address gives; `None`: the image is not here.
    pub(crate) fn serve(&self, image: &str, url: &str) -> Option<Source> {
        let found = self.images.get(image)?;
        let token = url.rsplit_once("token=").map_or("", |(_, t)| t.split('&').next().unwrap_or(t));
        match self.downloads.get(&(image.to_owned(), token.to_owned())) {
            Some(until) if until.is_none_or(|t| Instant::now() < t) => {
                let mut file = found.file.clone();
                if found.is_corrupt {
                    file.sha256 = "damaged".into();
                }
                Some(Source::File(file))
            }
            _ => Some(Source::Refused),
        }
    }
}

fn storage(text: impl Into<String>) -> Fault {
    Fault::new(code::AGENT_STORAGE, text)
}
