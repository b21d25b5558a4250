//! What a file is, by its own bytes. Read before any tool touches it: the header of a qcow2 file may name other files
//! of the host, and a tool that follows it would give them away.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What a disk image file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// qcow2 version 2 or 3.
    Qcow2(Qcow2),
    /// ISO 9660 file system.
    Iso,
    /// Anything else: bytes of a disk.
    Raw,
    /// Something that is no image we take: what it is, for people.
    Refused(&'static str),
}

/// The parts of a qcow2 header that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qcow2 {
    /// Size of the disk in it, in bytes.
    pub virtual_bytes: u64,
    /// Name of the file below it.
    pub backing_file: Option<String>,
    /// Its data lies in another file.
    pub external_data: bool,
    /// It is encrypted.
    pub encrypted: bool,
}

/// Bytes at the start of files of other formats, and their names.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"KDMV", "a VMDK file; convert it to qcow2 first"),
    (0, b"COWD", "a VMDK file; convert it to qcow2 first"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor; convert the disk to qcow2 first"),
    (0, b"conectix", "a VHD file; convert it to qcow2 first"),
    (0, b"vhdxfile", "a VHDX file; convert it to qcow2 first"),
    (0, b"QED\0", "a QED file; convert it to qcow2 first"),
    (64, b"\x7f\x10\xda\xbe", "a VDI file; convert it to qcow2 first"),
    (0, b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (0, b"\xfd7zXZ", "compressed by xz; unpack it first"),
    (0, b"BZh", "compressed by bzip2; unpack it first"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (0, b"<!DOCTYPE", "a web page, not an image"),
    (0, b"<!doctype", "a web page, not an image"),
    (0, b"<html", "a web page, not an image"),
];

/// No disk is smaller, in bytes.
const SECTOR: usize = 512;

/// Largest disk that we believe, in bytes.
const MAX_VIRTUAL: u64 = 64 << 40;

/// Tells what a file is.
pub fn detect(path: &Path) -> io::Result<Kind> {
    let mut file = File::open(path)?;
    let mut head = vec![0; 64 << 10];
    let got = fill(&mut file, &mut head)?;
    head.truncate(got);
    Ok(kind(&head))
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// Tells what a file with this start is. `head` holds its first 64 KiB, or all of it.
pub fn kind(head: &[u8]) -> Kind {
    if head.is_empty() {
        return Kind::Refused("empty");
    }
    if head.starts_with(b"QFI\xfb") {
        return qcow2(head).map_or(Kind::Refused("a damaged qcow2 file"), Kind::Qcow2);
    }
    let foreign = FOREIGN.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|h| h.starts_with(magic)));
    if let Some((_, _, what)) = foreign {
        return Kind::Refused(what);
    }
    // Volume descriptors begin at sector 16; an ISO that boots as a disk has one too.
    if head.get(0x8001..0x8006) == Some(b"CD001") {
        return Kind::Iso;
    }
    // Anything can be a raw disk, but none is this small.
    if head.len() < SECTOR {
        return Kind::Refused("smaller than one sector of a disk");
    }
    Kind::Raw
}

/// The header of a qcow2 file at `path`.
pub fn read_qcow2(path: &Path) -> io::Result<Qcow2> {
    match detect(path)? {
        Kind::Qcow2(header) => Ok(header),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is no qcow2 file", path.display()))),
    }
}

fn u32_at(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(head: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?))
}

fn qcow2(head: &[u8]) -> Option<Qcow2> {
    let version = u32_at(head, 4)?;
    let (backing_at, backing_length) = (u64_at(head, 8)?, u32_at(head, 16)?);
    let (cluster_bits, virtual_bytes) = (u32_at(head, 20)?, u64_at(head, 24)?);
    if !matches!(version, 2 | 3) || !(9..=21).contains(&cluster_bits) || virtual_bytes > MAX_VIRTUAL {
        return None;
    }
    let encrypted = u32_at(head, 32)? != 0;
    let (incompatible, header_length) =
        if version == 3 { (u64_at(head, 72)?, u32_at(head, 100)? as usize) } else { (0, 72) };
    let backing_file = match (backing_at, backing_length) {
        (0, _) => None,
        (at, n) if n <= 1023 => {
            let at = usize::try_from(at).ok()?;
            Some(String::from_utf8_lossy(head.get(at..at.checked_add(n as usize)?)?).into_owned())
        }
        _ => return None,
    };
    let named = extensions(head, header_length)?.contains(&DATA_FILE_NAME);
    Some(Qcow2 {
        virtual_bytes,
        backing_file,
        external_data: incompatible & EXTERNAL_DATA != 0 || named,
        encrypted,
    })
}

/// Incompatible-features bit: guest data lies in an external file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Header extension with the name of the external data file.
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// Types of the header extensions; `None` when they do not end where they should.
fn extensions(head: &[u8], mut at: usize) -> Option<Vec<u32>> {
    let mut types = Vec::new();
    loop {
        match (u32_at(head, at), u32_at(head, at.checked_add(4)?)) {
            (Some(0), _) => return Some(types),
            (Some(kind), Some(length)) if types.len() < 64 => {
                types.push(kind);
                at = at.checked_add(8)?.checked_add(length as usize)?.checked_next_multiple_of(8)?;
            }
            _ => return None,
        }
    }
}

/// Size of the disk in a file, in bytes: the header's for qcow2, the file's own, in whole sectors, for the rest.
pub fn disk_bytes(path: &Path) -> io::Result<u64> {
    if let Kind::Qcow2(header) = detect(path)? {
        return Ok(header.virtual_bytes);
    }
    Ok(File::open(path)?.seek(SeekFrom::End(0))?.next_multiple_of(512))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;

    async fn made(args: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("disk");
        let text = path.to_string_lossy().into_owned();
        let base = tmp.path().join("base").to_string_lossy().into_owned();
        let args: Vec<String> =
            args.iter().map(|a| a.replace("DISK", &text).replace("BASE", &base)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run("qemu-img", &["create", "-f", "raw", &base, "1M"]).await.unwrap();
        run("qemu-img", &args).await.unwrap();
        (tmp, path)
    }

    #[tokio::test]
    async fn qcow2_headers_are_read() {
        let (_tmp, path) = made(&["create", "-f", "qcow2", "DISK", "10M"]).await;
        let plain =
            Qcow2 { virtual_bytes: 10 << 20, backing_file: None, external_data: false, encrypted: false };
        assert_eq!(detect(&path).unwrap(), Kind::Qcow2(plain.clone()));
        let (_tmp, path) = made(&["create", "-f", "qcow2", "-o", "compat=0.10", "DISK", "10M"]).await;
        assert_eq!(detect(&path).unwrap(), Kind::Qcow2(plain));
        assert_eq!(disk_bytes(&path).unwrap(), 10 << 20);
    }

    #[tokio::test]
    async fn files_behind_the_image_are_seen() {
        let (_tmp, path) = made(&["create", "-f", "qcow2", "-b", "BASE", "-F", "raw", "DISK", "10M"]).await;
        let Kind::Qcow2(header) = detect(&path).unwrap() else { panic!() };
        assert!(header.backing_file.unwrap().ends_with("/base"));
        let (_tmp, path) =
            made(&["create", "-f", "qcow2", "-o", "data_file=BASE,data_file_raw=on", "DISK", "1M"]).await;
        let Kind::Qcow2(header) = detect(&path).unwrap() else { panic!() };
        assert!(header.external_data);
    }

    #[test]
    fn damaged_and_foreign_files_are_named() {
        assert_eq!(kind(b""), Kind::Refused("empty"));
        assert_eq!(kind(b"QFI\xfb\0\0\0\x03"), Kind::Refused("a damaged qcow2 file"));
        assert_eq!(
            kind(b"QFI\xfb\0\0\0\x01 and so on, an old version"),
            Kind::Refused("a damaged qcow2 file")
        );
        assert!(matches!(kind(b"KDMV...."), Kind::Refused(_)));
        assert!(matches!(kind(b"<!DOCTYPE html>"), Kind::Refused("a web page, not an image")));
        assert_eq!(kind(&[0; 512]), Kind::Raw);
        assert!(matches!(kind(b"404 not here"), Kind::Refused(_)));
        let mut iso = vec![0; 64 << 10];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(kind(&iso), Kind::Iso);
    }

    #[test]
    fn no_header_makes_the_reader_panic() {
        let mut head = vec![0xff; 64 << 10];
        head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        kind(&head);
        for length in 0..200 {
            kind(&head[..length]);
        }
        head[20..24].copy_from_slice(&16u32.to_be_bytes());
        head[24..32].copy_from_slice(&1024u64.to_be_bytes());
        kind(&head);
    }
}
