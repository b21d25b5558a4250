//! Operations of the image store role: whole files with checksums, served over HTTP on port 8090 with a token in the
//! address.

use serde::{Deserialize, Serialize};

use super::storage::Capacity;
use super::{Done, agent_op};

/// Make the image store's folder, open its HTTP server, and read the capacity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectImageStore {
    /// Absolute folder.
    pub path: String,
}
agent_op!(ConnectImageStore => "imageStore.connect", ImageStoreReady);

/// An image store that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageStoreReady {
    /// Room.
    pub capacity: Capacity,
    /// TCP port of its HTTP server.
    pub http_port: u16,
}

/// Which addresses a download may reach. Checked for every address that a name resolves to and after every redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlPolicy {
    /// Loopback, link-local, private and management networks are allowed (administrators, or a setting).
    pub allow_internal: bool,
    /// Networks in CIDR form that are never reachable unless `allow_internal`.
    pub refused_networks: Vec<String>,
    /// Folder from which `file:` addresses may be read; none: refused.
    #[serde(default)]
    pub file_folder: Option<String>,
}

/// Fetch an image: http, https, ftp or `file:`. The format is detected; a header with a backing or data file is
/// refused. Progress is reported. Done when the file lies under its final name with its checksum.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchImage {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
    /// Where from.
    pub url: String,
    /// What may be reached.
    pub policy: UrlPolicy,
    /// `RootVolumeTemplate`, `DataVolumeTemplate` or `ISO`.
    pub media_type: String,
    /// Refuse more than this, in bytes (quota, room).
    pub max_bytes: u64,
}
agent_op!(FetchImage => "imageStore.fetch", ImageFile, 6 * 3_600_000);

/// A whole image in the store: evidence that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFile {
    /// `qcow2`, `raw` or `iso`, as detected.
    pub format: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
    /// Bytes of the file.
    pub actual_bytes: u64,
    /// Hex MD5 of the file, which the API shows.
    pub md5: String,
    /// Hex SHA-256 of the file, which transfers are checked against.
    pub sha256: String,
    /// `zstore://<image>/<sha256>`.
    pub install_path: String,
}

/// Wait for the file of an image to be sent over HTTP (rest-conventions section 13).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenUpload {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
    /// Random, part of the address.
    pub token: String,
    /// As in [`FetchImage`].
    pub media_type: String,
    /// The first byte must come within this time, in milliseconds, else [`super::AgentEvent::Upload`] tells a fault.
    pub begin_within_ms: u64,
    /// Refuse more than this, in bytes.
    pub max_bytes: u64,
}
agent_op!(OpenUpload => "imageStore.openUpload", Opened);

/// A path below the store's HTTP address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Such as `/upload/<image>?token=…`.
    pub path: String,
}

/// Let the file of an image be read over HTTP with this token. Opening again with the same token changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenDownload {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
    /// Random, part of the address.
    pub token: String,
    /// The address works this long, in milliseconds; 0: until [`CloseDownload`] (exports).
    pub valid_ms: u64,
}
agent_op!(OpenDownload => "imageStore.openDownload", Opened);

/// Take an address back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseDownload {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
}
agent_op!(CloseDownload => "imageStore.closeDownload", Done);

/// Remove an image, finished or not. One that is gone is a success.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteImage {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
}
agent_op!(DeleteImage => "imageStore.delete", Done);

/// Read an image's file again and check it against its checksum.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadImage {
    /// Folder of the store.
    pub store_path: String,
    /// The image.
    pub image: String,
    /// Compute the checksum again.
    pub verify: bool,
}
agent_op!(ReadImage => "imageStore.read", ImageFile, 600_000);

/// List the images in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListImages {
    /// Folder of the store.
    pub store_path: String,
}
agent_op!(ListImages => "imageStore.list", Vec<String>);
