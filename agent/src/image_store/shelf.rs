//! The files of one image store.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cairn_api::agent::image_store::ImageFile;
use cairn_types::{Fault, Result, code, id::is_uuid};
use serde::{Deserialize, Serialize};

use crate::process::io_fault;
use crate::state::{remove_any, sync_folder, write_file};
use crate::storage::paths::folder;

/// A download address that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// The secret in the address.
    pub token: String,
    /// Until when, in milliseconds since 1970; none: until it is closed.
    pub until: Option<i64>,
    /// The file.
    pub file: PathBuf,
}

impl Download {
    /// Whether it may still be used.
    pub fn is_valid(&self, now_ms: i64) -> bool {
        self.until.is_none_or(|until| now_ms < until)
    }
}

/// A store's folder.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

fn failed(e: &io::Error) -> Fault {
    io_fault(code::AGENT_STORAGE, "the folder of the image store could not be changed", e)
}

impl Shelf {
    /// The store at a path from outside.
    pub fn at(path: &str) -> Result<Self> {
        folder(path).map(Self)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Makes its folders.
    pub fn make_folders(&self) -> Result<()> {
        for name in ["images", "tmp"] {
            fs::create_dir_all(self.0.join(name)).map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Removes what an earlier process did not finish; the uploads that it cut short, by target and image.
    pub fn clear_leftovers(&self) -> Result<Vec<(String, String)>> {
        let mut cut_short = Vec::new();
        for entry in fs::read_dir(self.0.join("tmp")).map_err(|e| failed(&e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(image) = name.strip_suffix(".upload").filter(|i| is_uuid(i)) {
                let target = fs::read_to_string(entry.path()).unwrap_or_default();
                cut_short.push((target, image.to_owned()));
            }
            remove_any(&entry.path()).map_err(|e| failed(&e))?;
        }
        for image in self.folders()? {
            if !self.0.join("images").join(&image).join("meta.json").exists() {
                remove_any(&self.0.join("images").join(&image)).map_err(|e| failed(&e))?;
            }
        }
        Ok(cut_short)
    }

    /// An unfinished file.
    pub fn tmp(&self, name: &str) -> Result<PathBuf> {
        let tmp = self.0.join("tmp");
        fs::create_dir_all(&tmp).map_err(|e| failed(&e))?;
        Ok(tmp.join(name))
    }

    fn image_folder(&self, image: &str) -> Result<PathBuf> {
        if !is_uuid(image) {
            return Err(Fault::argument(format!("{image:?} is no uuid of an image")));
        }
        Ok(self.0.join("images").join(image))
    }

    /// The file of a finished image.
    pub fn file(&self, image: &str) -> Result<PathBuf> {
        self.meta(image)?;
        Ok(self.image_folder(image)?.join("image"))
    }

    /// What is known of a finished image.
    pub fn meta(&self, image: &str) -> Result<ImageFile> {
        let missing = || {
            let text = format!("image {image} is not in the image store");
            Fault::new(code::RESOURCE_NOT_FOUND, text).with("image", image)
        };
        let text = match fs::read(self.image_folder(image)?.join("meta.json")) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(e) => return Err(failed(&e)),
        };
        serde_json::from_slice(&text).map_err(|e| missing().for_operator(e))
    }

    /// Gives a checked file its final name. From here on the image is there.
    pub fn adopt(&self, image: &str, tmp: &Path, meta: &ImageFile) -> Result<()> {
        let folder = self.image_folder(image)?;
        let text = serde_json::to_vec_pretty(meta).map_err(|e| Fault::internal("no JSON").for_operator(e))?;
        let adopted = fs::create_dir_all(&folder)
            .and_then(|()| fs::rename(tmp, folder.join("image")))
            .and_then(|()| write_file(&folder.join("meta.json"), &text, 0o644))
            .and_then(|()| sync_folder(&self.0.join("images")));
        adopted.map_err(|e| {
            let _ = remove_any(&folder);
            failed(&e)
        })
    }

    /// Removes an image, finished or not.
    pub fn remove(&self, image: &str) -> Result<()> {
        let folder = self.image_folder(image)?;
        // Without its meta file the image is gone at once; the rest may take time.
        remove_any(&folder.join("meta.json")).and_then(|()| remove_any(&folder)).map_err(|e| failed(&e))?;
        for name in [format!("{image}.fetch"), format!("{image}.upload"), format!("{image}.part")] {
            remove_any(&self.tmp(&name)?).map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    fn folders(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.0.join("images")).map_err(|e| failed(&e))?;
        let mut names: Vec<String> =
            entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).filter(|n| is_uuid(n)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Uuids of all finished images.
    pub fn list(&self) -> Result<Vec<String>> {
        let done = |i: &String| self.0.join("images").join(i).join("meta.json").exists();
        Ok(self.folders()?.into_iter().filter(done).collect())
    }

    /// Keeps the open download addresses of an image.
    pub fn keep_downloads(&self, image: &str, open: &[Download]) -> Result<()> {
        let folder = self.image_folder(image)?;
        let file = folder.join("downloads.json");
        let kept = if open.is_empty() || !folder.exists() {
            remove_any(&file)
        } else {
            serde_json::to_vec(open).map_err(io::Error::other).and_then(|b| write_file(&file, &b, 0o600))
        };
        kept.map_err(|e| failed(&e))
    }

    /// All open download addresses by image.
    pub fn open_downloads(&self) -> HashMap<String, Vec<Download>> {
        let read = |image: &String| {
            let text = fs::read(self.0.join("images").join(image).join("downloads.json")).ok()?;
            serde_json::from_slice(&text).ok()
        };
        self.list().unwrap_or_default().into_iter().filter_map(|i| read(&i).map(|d| (i, d))).collect()
    }
}
