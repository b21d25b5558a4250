//! Primary storage of a simulated host. Folders are its own, or shared: then all hosts that have the folder see the same volumes
//! in it. Copies of images are kept by each host for itself, in shared folders too, as the server counts them.

use std::collections::BTreeMap;

use cairn_api::agent::Done;
use cairn_api::agent::storage::{
    CacheImage, CachedImage, Capacity, ConnectLocalStorage, CreateVolume, DeleteVolume, ListStorage,
    ReadVolume, StorageContent, UncacheImage, VolumeFile,
};
use cairn_types::{Fault, Result, code};

use crate::host::{Content, Host, SharedVolumes, SimCachedImage, SimVolume};
use crate::world::{OpenDisks, Source};

/// What an empty qcow2 file takes.
const EMPTY_VOLUME_BYTES: u64 = 196_624;

fn storage(text: impl Into<String>) -> Fault {
    Fault::new(code::AGENT_STORAGE, text)
}

pub(crate) fn connect(host: &mut Host, o: &ConnectLocalStorage) -> Result<Capacity> {
    if !o.path.starts_with('/') || o.path.split('/').any(|part| part == "..") {
        return Err(storage("the folder of a primary storage must be an absolute path"));
    }
    let content = host.content_mut();
    content.folders.insert(o.path.clone());
    if o.shared {
        content.shared_folders.insert(o.path.clone());
    }
    Ok(host.capacity())
}

fn need_folder(content: &Content, path: &str) -> Result<()> {
    if content.folders.contains(path) {
        return Ok(());
    }
    Err(storage("the primary storage is not connected on this host")
        .for_operator(format!("no folder {path}")))
}

/// `source` is the image store that serves the address, if it is one of this simulation.
pub(crate) fn cache(host: &mut Host, o: &CacheImage, source: Option<Source>) -> Result<CachedImage> {
    need_folder(host.content_mut(), &o.storage_path)?;
    let folder = cache_folder(&o.storage_path, &o.image);
    if let Some(known) = host.content_mut().images.get(&folder)
        && known.sha256 == o.sha256
    {
        return Ok(CachedImage { path: known.path.clone(), file_bytes: known.file_bytes });
    }
    let size_bytes = match source {
        Some(Source::Refused) => {
            let text = format!("the image store does not give image {} under this address", o.image);
            return Err(Fault::new(code::IMAGE_SERVER, text));
        }
        Some(Source::File(file)) if file.sha256 != o.sha256 || file.actual_bytes != o.file_bytes => {
            let text = format!("image {} arrived with another checksum than it should have", o.image);
            return Err(Fault::new(code::IMAGE_CHECKSUM, text));
        }
        Some(Source::File(file)) => file.size_bytes,
        None => 0,
    };
    host.need_room(o.file_bytes)?;
    let extension = if o.format == "iso" { "iso" } else { "qcow2" };
    let path = format!("{folder}/{}.{extension}", o.image);
    let (file_bytes, sha256) = (o.file_bytes, o.sha256.clone());
    let image = SimCachedImage {
        image: o.image.clone(),
        path: path.clone(),
        storage_path: o.storage_path.clone(),
        file_bytes,
        sha256,
        size_bytes,
    };
    host.content_mut().images.insert(folder, image);
    Ok(CachedImage { path, file_bytes })
}

pub(crate) fn uncache(host: &mut Host, shared: &SharedVolumes, o: &UncacheImage) -> Result<Done> {
    let content = host.content_mut();
    let folder = cache_folder(&o.storage_path, &o.image);
    let Some(image) = content.images.get(&folder) else { return Ok(Done {}) };
    let is_based = |v: &SimVolume| v.image.as_deref() == Some(&o.image) && v.storage_path == o.storage_path;
    if let Some((volume, _)) = content.reachable(shared).find(|(_, v)| is_based(v)) {
        let text = format!("image {} is the base of volume {volume}", o.image);
        return Err(Fault::new(code::IN_USE, text).with("volume", volume.clone()));
    }
    if let Some(vm) = content.vms.values().find(|v| v.is_on() && v.spec.iso.as_ref() == Some(&image.path)) {
        return Err(Fault::new(
            code::IN_USE,
            format!("VM {} has image {} in its CD drive", vm.spec.vm, o.image),
        ));
    }
    content.images.remove(&folder);
    Ok(Done {})
}

pub(crate) fn create_volume(
    host: &mut Host,
    shared: &mut SharedVolumes,
    o: &CreateVolume,
) -> Result<VolumeFile> {
    need_folder(host.content_mut(), &o.storage_path)?;
    let path = path_of(&o.storage_path, &o.r#type, &o.volume)?;
    if let Some(known) = host.content_mut().volumes_of(shared, &o.storage_path).get(&o.volume) {
        return Ok(file_of(known));
    }
    if let Some(image) = &o.image {
        let cached = host.content_mut().images.get(&cache_folder(&o.storage_path, image));
        let cached = cached.ok_or_else(|| storage(format!("image {image} is not in the image cache")))?;
        if o.size_bytes < cached.size_bytes {
            let text = format!(
                "a volume of {} bytes is smaller than its image of {}",
                o.size_bytes, cached.size_bytes
            );
            return Err(storage(text));
        }
    }
    // How much room there is in a shared folder, the server knows.
    if !host.content_mut().shared_folders.contains(&o.storage_path) {
        host.need_room(EMPTY_VOLUME_BYTES)?;
    }
    let volume = SimVolume {
        path,
        storage_path: o.storage_path.clone(),
        r#type: o.r#type.clone(),
        size_bytes: o.size_bytes,
        actual_bytes: EMPTY_VOLUME_BYTES,
        image: o.image.clone(),
    };
    let file = file_of(&volume);
    host.content_mut().volumes_of(shared, &o.storage_path).insert(o.volume.clone(), volume);
    Ok(file)
}

pub(crate) fn delete_volume(
    host: &mut Host,
    uuid: &str,
    (disks, shared): (&OpenDisks, &mut SharedVolumes),
    o: &DeleteVolume,
) -> Result<Done> {
    if let Some(holder) = disks.get(&o.volume).filter(|h| h.host == uuid) {
        return Err(storage(format!("volume {} is held open by VM {}", o.volume, holder.vm)));
    }
    if shared.contains_key(&o.storage_path) {
        // The folder is there on other hosts: that it is not mounted here does not mean that the volume is gone.
        need_folder(host.content_mut(), &o.storage_path)?;
    }
    host.content_mut().volumes_of(shared, &o.storage_path).remove(&o.volume);
    Ok(Done {})
}

pub(crate) fn read_volume(host: &mut Host, shared: &mut SharedVolumes, o: &ReadVolume) -> Result<VolumeFile> {
    let path = path_of(&o.storage_path, &o.r#type, &o.volume)?;
    let volumes = host.content_mut().volumes_of(shared, &o.storage_path);
    let found = volumes.get(&o.volume).filter(|v| v.path == path);
    found
        .map(file_of)
        .ok_or_else(|| storage(format!("there is no file for volume {}", o.volume)).for_operator(path))
}

pub(crate) fn list(host: &mut Host, shared: &SharedVolumes, o: &ListStorage) -> Result<StorageContent> {
    let content = host.content_mut();
    need_folder(content, &o.storage_path)?;
    let volumes = content.reachable(shared).filter(|(_, v)| v.storage_path == o.storage_path);
    let images = content.images.values().filter(|i| i.storage_path == o.storage_path);
    let volume_bytes = volumes.map(|(uuid, v)| (uuid.clone(), v.actual_bytes)).collect::<BTreeMap<_, _>>();
    Ok(StorageContent {
        volumes: volume_bytes.keys().cloned().collect(),
        images: images.map(|i| i.image.clone()).collect(),
        volume_bytes,
    })
}

/// Folder of an image in the cache of a primary storage.
fn cache_folder(storage_path: &str, image: &str) -> String {
    format!("{storage_path}/imageCache/{image}")
}

fn path_of(storage_path: &str, r#type: &str, volume: &str) -> Result<String> {
    let folder = match r#type {
        "Root" => "rootVolumes",
        "Data" => "dataVolumes",
        other => return Err(Fault::argument(format!("{other:?} is no type of volume"))),
    };
    Ok(format!("{storage_path}/{folder}/{volume}/{volume}.qcow2"))
}

fn file_of(volume: &SimVolume) -> VolumeFile {
    VolumeFile {
        path: volume.path.clone(),
        format: "qcow2".into(),
        size_bytes: volume.size_bytes,
        actual_bytes: volume.actual_bytes,
    }
}
