//! What must outlive the process: small JSON files, replaced atomically and durably.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Replaces a file durably: a reader sees the old contents or the new, also after a power loss.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    fs::create_dir_all(folder)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let tmp = folder.join(format!(".{name}.{}.tmp", cairn_types::random_uuid()));
    let written = (|| {
        let mut file = File::create(&tmp)?;
        crate::config::set_mode(&tmp, mode)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&tmp, path)?;
        sync_folder(folder)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&tmp);
    }
    written
}

/// Makes a rename or removal in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file or folder; one that is gone is a success.
pub fn remove_any(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A folder of JSON documents, one file per key. Keys are uuids.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The shelf `name` in the state folder.
    pub fn new(state: &Path, name: &str) -> io::Result<Self> {
        let folder = state.join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn file(&self, key: &str) -> PathBuf {
        self.0.join(format!("{key}.json"))
    }

    /// Keeps a document.
    pub fn put<T: Serialize>(&self, key: &str, value: &T) -> io::Result<()> {
        write_file(&self.file(key), &serde_json::to_vec(value)?, 0o600)
    }

    /// Reads a document. One that cannot be read counts as absent: the server holds the truth and sends it again.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = fs::read(self.file(key)).ok()?;
        serde_json::from_slice(&bytes)
            .map_err(|e| tracing::warn!("{} is damaged: {e}", self.file(key).display()))
            .ok()
    }

    /// Forgets a document.
    pub fn remove(&self, key: &str) -> io::Result<()> {
        remove_any(&self.file(key))
    }

    /// All documents by key.
    pub fn all<T: DeserializeOwned>(&self) -> Vec<(String, T)> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let mut keys: Vec<String> = entries
            .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .filter(|k| !k.starts_with('.'))
            .collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|k| self.get(&k).map(|v| (k, v))).collect()
    }
}

/// Hex SHA-256 of a wanted state: what server and agent compare to see drift.
pub fn hash_of<T: Serialize>(wanted: &T) -> String {
    hex(&Sha256::digest(serde_json::to_vec(wanted).unwrap_or_default()))
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_survive_and_damaged_ones_count_as_absent() {
        let tmp = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(tmp.path(), "things").unwrap();
        shelf.put("b", &2).unwrap();
        shelf.put("a", &1).unwrap();
        fs::write(tmp.path().join("things/c.json"), "{").unwrap();
        assert_eq!(shelf.all::<u32>(), vec![("a".to_owned(), 1), ("b".to_owned(), 2)]);
        shelf.remove("a").unwrap();
        shelf.remove("a").unwrap();
        assert_eq!(shelf.get::<u32>("a"), None);
    }
}
