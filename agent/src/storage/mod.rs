//! Local primary storage: thin qcow2 volumes over a per-host image cache. The layout stands in
//! [`cairn_api::agent::storage`].
//!
//! Every file is made under a temporary name in the storage's own file system, synced, and renamed: a name that exists
//! is a whole file. Whatever a crash leaves under `tmp/` is removed at the next connect.

mod cache;
pub mod disk;
pub mod paths;
#[cfg(test)]
mod tests;
mod volume;

use std::io;
use std::path::Path;

use cairn_api::agent::storage::{
    CacheImage, CachedImage, Capacity, CreateVolume, DeleteVolume, ListStorage, ReadVolume, StorageContent,
    UncacheImage, VolumeFile,
};
use cairn_types::{Result, code, id::is_uuid};

use crate::drivers::{Answer, Call, LocalStorage};
use crate::process::{io_fault, no_space};
use crate::state::remove_any;
use paths::Storage;

/// Folders of this host as primary storage.
#[derive(Default)]
pub struct FolderStorage {
    downloads: cache::Downloads,
}

/// Size of the file system below a folder and the room left for us.
pub fn capacity(path: &Path) -> io::Result<Capacity> {
    let fs = nix::sys::statvfs::statvfs(path)?;
    let block = fs.fragment_size();
    Ok(Capacity { total_bytes: fs.blocks() * block, available_bytes: fs.blocks_available() * block })
}

/// Fails with `AGENT.8005` unless a file of this size fits, with a little to spare for the file system itself.
pub fn ensure_room(path: &Path, bytes: u64, what: &str) -> Result<()> {
    let room = capacity(path)
        .map_err(|e| io_fault(code::AGENT_STORAGE, format!("{what}: the room left could not be read"), &e))?;
    if room.available_bytes < bytes.saturating_add(1 << 20) {
        let fault = no_space(what).with("neededBytes", bytes).with("availableBytes", room.available_bytes);
        return Err(fault.for_operator(path.display()));
    }
    Ok(())
}

/// Bytes that the files in a folder take on the disk, holes left out.
fn taken_bytes(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let meta = entry?.metadata()?;
        if meta.is_file() {
            bytes += meta.blocks() * 512;
        }
    }
    Ok(bytes)
}

impl FolderStorage {
    async fn open(path: &str) -> Result<Capacity> {
        let storage = Storage::at(path)?;
        storage.make_folders()?;
        capacity(storage.root())
            .map_err(|e| io_fault(code::AGENT_STORAGE, "the storage could not be read", &e))
    }

    async fn content(path: &str) -> Result<StorageContent> {
        let storage = Storage::at(path)?;
        let names = |folders: &[std::path::PathBuf]| -> Vec<String> {
            let entries = folders.iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten();
            let mut names: Vec<String> = entries
                .filter_map(|e| e.ok()?.file_name().into_string().ok())
                .filter(|n| is_uuid(n))
                .collect();
            names.sort_unstable();
            names
        };
        let folders = [storage.root().join("rootVolumes"), storage.root().join("dataVolumes")];
        let volumes = names(&folders);
        let bytes = |volume: &String| {
            let taken = folders.iter().filter_map(|f| taken_bytes(&f.join(volume)).ok()).sum();
            (volume.clone(), taken)
        };
        let volume_bytes = volumes.iter().map(bytes).collect();
        let cached = names(&[storage.root().join("imageCache")]);
        let images = cached.into_iter().filter(|i| storage.cached(i).is_some()).collect();
        Ok(StorageContent { volumes, images, volume_bytes })
    }
}

impl LocalStorage for FolderStorage {
    fn connect<'a>(&'a self, path: &'a str) -> Answer<'a, Capacity> {
        Box::pin(Self::open(path))
    }

    fn cache_image(&self, args: CacheImage, call: Call) -> Answer<'_, CachedImage> {
        Box::pin(self.downloads.cache(args, call))
    }

    fn uncache_image(&self, args: UncacheImage) -> Answer<'_, ()> {
        Box::pin(self.downloads.uncache(args))
    }

    fn create_volume(&self, args: CreateVolume) -> Answer<'_, VolumeFile> {
        Box::pin(volume::create(args))
    }

    fn delete_volume(&self, args: DeleteVolume) -> Answer<'_, ()> {
        Box::pin(async move {
            let storage = Storage::at(&args.storage_path)?;
            let folder = storage.volume_folder(&args.r#type, &args.volume)?;
            let text = format!("volume {} could not be removed", args.volume);
            remove_any(&folder).map_err(|e| io_fault(code::AGENT_STORAGE, text, &e))
        })
    }

    fn read_volume(&self, args: ReadVolume) -> Answer<'_, VolumeFile> {
        Box::pin(volume::read(args))
    }

    fn list(&self, args: ListStorage) -> Answer<'_, StorageContent> {
        Box::pin(async move { Self::content(&args.storage_path).await })
    }
}
