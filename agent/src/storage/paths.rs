//! Paths below a primary storage's folder. Everything that reaches them from outside is checked here.

use std::path::{Component, Path, PathBuf};

use cairn_types::{Fault, Result, code, id::is_uuid};

use crate::process::io_fault;
use crate::state::remove_any;

/// Folders of the system in which no storage may lie.
const FORBIDDEN: &[&str] =
    &["proc", "sys", "dev", "etc", "usr", "bin", "sbin", "lib", "lib64", "boot", "run"];

/// Checks that a folder from outside is absolute, plain, and none of the system's own.
pub fn folder(path: &str) -> Result<PathBuf> {
    let refuse = |why: &str| Err(Fault::argument(format!("{path:?} cannot be a storage folder: {why}")));
    if path.len() > 1024 || path.chars().any(char::is_control) {
        return refuse("it is too long or has control characters");
    }
    let path_buf = Path::new(path);
    let mut parts = path_buf.components();
    if parts.next() != Some(Component::RootDir) {
        return refuse("it is not absolute");
    }
    let mut names = Vec::new();
    for part in parts {
        match part {
            Component::Normal(name) => names.push(name.to_string_lossy()),
            _ => return refuse("it has `..` in it"),
        }
    }
    match names.first() {
        None => refuse("it is the root of the host"),
        Some(first) if FORBIDDEN.contains(&first.as_ref()) => refuse("it belongs to the operating system"),
        Some(_) => Ok(path_buf.components().collect()),
    }
}

/// A primary storage's folder on this host.
#[derive(Debug, Clone)]
pub struct Storage(PathBuf);

impl Storage {
    /// The storage at a path from outside.
    pub fn at(path: &str) -> Result<Self> {
        folder(path).map(Self)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Makes all folders and clears what a crash left.
    pub fn make_folders(&self) -> Result<()> {
        let failed = |e: std::io::Error| {
            io_fault(code::AGENT_STORAGE, "the folders of the storage could not be made", &e)
        };
        for name in ["rootVolumes", "dataVolumes", "imageCache", "tmp"] {
            std::fs::create_dir_all(self.0.join(name)).map_err(failed)?;
        }
        for entry in std::fs::read_dir(self.tmp()).map_err(failed)?.flatten() {
            // A file that still belongs to a download of this process is young; a crash of the last one is not.
            let young = entry.metadata().and_then(|m| m.modified()).is_ok_and(|t| t > process_start());
            if !young {
                remove_any(&entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Where unfinished files lie.
    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Folder of a volume. `Root` and `Data` lie apart.
    pub fn volume_folder(&self, kind: &str, volume: &str) -> Result<PathBuf> {
        if !is_uuid(volume) {
            return Err(Fault::argument(format!("{volume:?} is no uuid of a volume")));
        }
        match kind {
            "Root" => Ok(self.0.join("rootVolumes").join(volume)),
            "Data" => Ok(self.0.join("dataVolumes").join(volume)),
            _ => Err(Fault::argument(format!("{kind:?} is no type of a volume"))),
        }
    }

    /// File of a volume.
    pub fn volume(&self, kind: &str, volume: &str) -> Result<PathBuf> {
        Ok(self.volume_folder(kind, volume)?.join(format!("{volume}.qcow2")))
    }

    /// Folder of a cached image.
    pub fn cache_folder(&self, image: &str) -> Result<PathBuf> {
        if !is_uuid(image) {
            return Err(Fault::argument(format!("{image:?} is no uuid of an image")));
        }
        Ok(self.0.join("imageCache").join(image))
    }

    /// The file and format of an image in the cache.
    pub fn cached(&self, image: &str) -> Option<(PathBuf, &'static str)> {
        let folder = self.cache_folder(image).ok()?;
        let file = |format| (folder.join(format!("{image}.{format}")), format);
        ["qcow2", "raw", "iso"].into_iter().map(file).find(|(path, _)| path.is_file())
    }
}

/// When this process began to look at storages; a moment in its first second is precise enough.
fn process_start() -> std::time::SystemTime {
    static START: std::sync::OnceLock<std::time::SystemTime> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::SystemTime::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_system_and_tricks_are_refused() {
        for bad in [
            "",
            "/",
            "cairn",
            "./x",
            "/proc/x",
            "/etc",
            "/usr/lib/x",
            "/boot",
            "/var/../etc",
            "/dev/shm/x",
            "/a\0b",
            "/a\nb",
        ] {
            assert!(folder(bad).is_err(), "{bad:?}");
        }
        assert_eq!(folder("/cairn_ps//x/").unwrap(), Path::new("/cairn_ps/x"));
        assert!(folder("/$(reboot)/'\"").is_ok(), "odd, but only a name");
    }

    #[test]
    fn only_uuids_become_names() {
        let storage = Storage::at("/cairn_ps").unwrap();
        assert!(storage.volume("Root", "../../etc/passwd").is_err());
        assert!(storage.volume("Other", "0189b2c3d4e57f60a1b2c3d4e5f60718").is_err());
        assert!(storage.cache_folder("x").is_err());
        let path = storage.volume("Data", "0189b2c3d4e57f60a1b2c3d4e5f60718").unwrap();
        let wanted =
            "/cairn_ps/dataVolumes/0189b2c3d4e57f60a1b2c3d4e5f60718/0189b2c3d4e57f60a1b2c3d4e5f60718.qcow2";
        assert_eq!(path, Path::new(wanted));
    }
}
