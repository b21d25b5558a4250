//! Secrets at rest: sealed with a key file outside the database (AES-256-GCM).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairn_types::{Fault, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Seals and opens secrets.
pub struct Secrets {
    key: LessSafeKey,
    fingerprint: String,
}

impl Secrets {
    /// Reads the key file, or makes it (mode 0600) on the first start.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::create(path)?,
            Err(e) => return Err(Fault::internal("the key file can't be read").for_operator(e)),
        };
        let key =
            UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Fault::internal("the key file is damaged"))?;
        let digest =
            ring::digest::digest(&ring::digest::SHA256, &[b"cairn key file", bytes.as_slice()].concat());
        Ok(Self { key: LessSafeKey::new(key), fingerprint: STANDARD.encode(&digest.as_ref()[..12]) })
    }

    /// Tells this key file from another one without telling what is in it.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn create(path: &Path) -> Result<Vec<u8>> {
        let mut bytes = vec![0u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| Fault::internal("no random bytes").for_operator(e))?;
        write_private(path, &bytes)?;
        Ok(bytes)
    }

    /// Seals a secret into text for the database.
    pub fn seal(&self, secret: &str) -> Result<String> {
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| Fault::internal("no random bytes").for_operator(e))?;
        let mut data = secret.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut data)
            .map_err(|_| Fault::internal("a secret could not be sealed"))?;
        Ok(STANDARD.encode([nonce.as_slice(), &data].concat()))
    }

    /// Opens what [`Secrets::seal`] made.
    pub fn open_sealed(&self, sealed: &str) -> Result<String> {
        let damaged = || Fault::internal("a stored secret can't be opened with this key file");
        let bytes = STANDARD.decode(sealed).map_err(|_| damaged())?;
        let (nonce, data) = bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut data = data.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::empty(), &mut data).map_err(|_| damaged())?;
        String::from_utf8(plain.to_vec()).map_err(|_| damaged())
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let wrong =
        |e: std::io::Error| Fault::internal(format!("{} can't be written", path.display())).for_operator(e);
    let part = path.with_extension("part");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(wrong)?;
    file.write_all(bytes).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    fs::rename(&part, path).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_secrets_open_only_with_their_key() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Secrets::open(&dir.path().join("a")).unwrap();
        let other = Secrets::open(&dir.path().join("b")).unwrap();
        let sealed = ours.seal("s3cret").unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_eq!(Secrets::open(&dir.path().join("a")).unwrap().open_sealed(&sealed).unwrap(), "s3cret");
        assert!(other.open_sealed(&sealed).is_err());
        assert!(ours.open_sealed("AAAA").is_err());
    }
}
