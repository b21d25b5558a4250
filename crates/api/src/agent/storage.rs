//! Operations on the primary storage of a host: a folder of its own, or one that is the same on several hosts.
//!
//! Layout below the storage's folder: `rootVolumes/<volume>/<volume>.qcow2`, `dataVolumes/…`, `imageCache/<image>/<image>.qcow2`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, agent_op};

/// Make the folders of a primary storage and read its capacity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectLocalStorage {
    /// Absolute folder.
    pub path: String,
    /// Several hosts share the folder: a volume made on one is there on all. A real host finds it mounted; simulated hosts of one
    /// process share what they keep under this path.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}
agent_op!(ConnectLocalStorage => "storage.connect", Capacity);

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Size.
    pub total_bytes: u64,
    /// Room left.
    pub available_bytes: u64,
}

/// Bring an image into the host's image cache, once; checked against size and checksum.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheImage {
    /// Folder of the primary storage.
    pub storage_path: String,
    /// The image.
    pub image: String,
    /// HTTP address at the image store, with its token.
    pub url: String,
    /// Format of the file: `qcow2`, `raw` or `iso`.
    pub format: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Hex SHA-256 of the file.
    pub sha256: String,
}
agent_op!(CacheImage => "storage.cache", CachedImage, 3_600_000);

/// An image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedImage {
    /// File on the host.
    pub path: String,
    /// Bytes it takes.
    pub file_bytes: u64,
}

/// Remove an image from the cache; refused while a volume is based on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UncacheImage {
    /// Folder of the primary storage.
    pub storage_path: String,
    /// The image.
    pub image: String,
}
agent_op!(UncacheImage => "storage.uncache", Done);

/// Make a volume: thin over a cached image, or empty. One that is there already is left alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateVolume {
    /// Folder of the primary storage.
    pub storage_path: String,
    /// The volume.
    pub volume: String,
    /// `Root` or `Data`.
    pub r#type: String,
    /// Virtual size in bytes; at least that of the image.
    pub size_bytes: u64,
    /// Cached image below it; none: empty.
    #[serde(default)]
    pub image: Option<String>,
}
agent_op!(CreateVolume => "volume.create", VolumeFile);

/// A volume's file: evidence that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFile {
    /// File on the host.
    pub path: String,
    /// `qcow2`.
    pub format: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
    /// Bytes it takes.
    pub actual_bytes: u64,
}

/// Remove a volume's file. One that is gone is a success.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteVolume {
    /// Folder of the primary storage.
    pub storage_path: String,
    /// The volume.
    pub volume: String,
    /// `Root` or `Data`.
    pub r#type: String,
}
agent_op!(DeleteVolume => "volume.delete", Done);

/// Read a volume's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadVolume {
    /// Folder of the primary storage.
    pub storage_path: String,
    /// The volume.
    pub volume: String,
    /// `Root` or `Data`.
    pub r#type: String,
}
agent_op!(ReadVolume => "volume.read", VolumeFile);

/// List the volumes and cached images in a primary storage's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListStorage {
    /// Folder of the primary storage.
    pub storage_path: String,
}
agent_op!(ListStorage => "storage.list", StorageContent);

/// What a primary storage's folder holds, by uuid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageContent {
    /// Volumes.
    pub volumes: Vec<String>,
    /// Cached images.
    pub images: Vec<String>,
    /// Bytes that the files of volumes take, by volume.
    #[serde(default)]
    pub volume_bytes: BTreeMap<String, u64>,
}
