//! Making and reading volumes.

use std::path::Path;

use cairn_api::agent::storage::{CreateVolume, ReadVolume, VolumeFile};
use cairn_types::{Fault, Result, code};

use super::disk;
use super::paths::Storage;
use crate::image_store::header;
use crate::process::io_fault;
use crate::state::{remove_any, sync_folder};

/// Most that a volume may hold: the limit of qcow2 tools, far above any offering.
const MAX_BYTES: u64 = 64 << 40;

/// Makes a volume; one that is there already is left alone.
pub async fn create(args: CreateVolume) -> Result<VolumeFile> {
    let storage = Storage::at(&args.storage_path)?;
    let path = storage.volume(&args.r#type, &args.volume)?;
    let what = format!("volume {}", args.volume);
    if path.exists() {
        return evidence(&path, &what);
    }
    if args.size_bytes == 0 || args.size_bytes > MAX_BYTES {
        return Err(Fault::argument(format!("{what} cannot have {} bytes", args.size_bytes)));
    }
    let below = match &args.image {
        Some(image) => Some(storage.cached(image).ok_or_else(|| {
            Fault::new(code::AGENT_STORAGE, format!("image {image} is not in the cache of the host"))
                .with("image", image.as_str())
        })?),
        None => None,
    };
    super::ensure_room(storage.root(), 0, &what)?;
    let failed = |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be made"), &e);
    std::fs::create_dir_all(storage.tmp()).map_err(failed)?;
    let tmp = storage.tmp().join(format!("{}.qcow2", args.volume));
    let below =
        below.as_ref().map(|(path, format)| (path.as_path(), if *format == "iso" { "raw" } else { format }));
    let made = make(&tmp, &path, args.size_bytes, below, &what).await;
    if made.is_err() {
        let _ = remove_any(&tmp);
    }
    made
}

async fn make(
    tmp: &Path,
    path: &Path,
    size: u64,
    below: Option<(&Path, &str)>,
    what: &str,
) -> Result<VolumeFile> {
    let failed = |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be made"), &e);
    remove_any(tmp).map_err(failed)?;
    if let Some((image, _)) = below
        && header::disk_bytes(image).map_err(failed)? > size.next_multiple_of(512)
    {
        return Err(Fault::argument(format!("{what} is smaller than its image")));
    }
    disk::create(tmp, size, below, what).await?;
    let file = evidence(tmp, what)?;
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let renamed =
        std::fs::File::open(tmp).and_then(|f| f.sync_all()).and_then(|()| std::fs::rename(tmp, path));
    renamed.and_then(|()| sync_folder(folder)).map_err(failed)?;
    Ok(VolumeFile { path: path.to_string_lossy().into_owned(), ..file })
}

/// Reads a volume's file.
pub async fn read(args: ReadVolume) -> Result<VolumeFile> {
    let path = Storage::at(&args.storage_path)?.volume(&args.r#type, &args.volume)?;
    if !path.exists() {
        let text = format!("volume {} is not on the host", args.volume);
        return Err(Fault::new(code::AGENT_STORAGE, text).with("volume", args.volume.as_str()));
    }
    evidence(&path, &format!("volume {}", args.volume))
}

/// What the file itself says: its header and the blocks it takes.
fn evidence(path: &Path, what: &str) -> Result<VolumeFile> {
    use std::os::unix::fs::MetadataExt;
    let failed = |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be read"), &e);
    let header = header::read_qcow2(path).map_err(failed)?;
    let actual_bytes = std::fs::metadata(path).map_err(failed)?.blocks() * 512;
    let path = path.to_string_lossy().into_owned();
    Ok(VolumeFile { path, format: "qcow2".to_owned(), size_bytes: header.virtual_bytes, actual_bytes })
}
