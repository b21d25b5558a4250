//! Fetching an image, and judging a file that arrived.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use cairn_api::agent::image_store::{FetchImage, ImageFile, UrlPolicy};
use cairn_types::{Fault, Result, code};

use super::download::{Download, Received, Sink, Source};
use super::header::{self, Kind};
use super::shelf::Shelf;
use crate::drivers::{Call, cancelled};
use crate::process::{Tool, io_fault};
use crate::state::remove_any;

/// Fetches an image. One that is there already is evidence enough.
pub async fn fetch(args: FetchImage, call: Call) -> Result<ImageFile> {
    let shelf = Shelf::at(&args.store_path)?;
    shelf.make_folders()?;
    if let Ok(meta) = shelf.meta(&args.image) {
        return Ok(meta);
    }
    let tmp = shelf.tmp(&format!("{}.fetch", args.image))?;
    let fetched = fetch_into(&shelf, &args, &tmp, &call).await;
    if fetched.is_err() {
        let _ = remove_any(&tmp);
    }
    fetched
}

async fn fetch_into(shelf: &Shelf, args: &FetchImage, tmp: &Path, call: &Call) -> Result<ImageFile> {
    let what = format!("image {}", args.image);
    let received = match file_path(&args.url) {
        Some(path) => copy(path.to_owned(), &args.policy, tmp, args.max_bytes, &what, call).await?,
        None => {
            let source = Source::checked(&args.url, &args.policy)?;
            let download = Download {
                source,
                to: tmp.to_owned(),
                max_bytes: args.max_bytes,
                what: what.clone(),
                expected: None,
            };
            download.run(&|percent| call.progress(percent, "downloading the image"), call.cancelled()).await?
        }
    };
    accept(shelf, &args.image, tmp, &args.media_type, received).await
}

/// The path of a `file:` address; a text that begins with `/` is one too.
fn file_path(url: &str) -> Option<&str> {
    if url.starts_with('/') {
        return Some(url);
    }
    let scheme = url.get(..5).filter(|s| s.eq_ignore_ascii_case("file:"))?;
    let rest = &url[scheme.len()..];
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

/// Judges a file that has arrived and makes it an image.
pub async fn accept(
    shelf: &Shelf,
    image: &str,
    tmp: &Path,
    media_type: &str,
    received: Received,
) -> Result<ImageFile> {
    let (format, size_bytes) = judge(tmp, media_type, image).await?;
    let install_path = format!("zstore://{image}/{}", received.sha256);
    let Received { bytes: actual_bytes, md5, sha256 } = received;
    let meta = ImageFile { format: format.to_owned(), size_bytes, actual_bytes, md5, sha256, install_path };
    shelf.adopt(image, tmp, &meta)?;
    Ok(meta)
}

/// Format and virtual size, or why the file is refused.
async fn judge(path: &Path, media_type: &str, image: &str) -> Result<(&'static str, u64)> {
    let refuse = |code: &str, why: &str| {
        Err(Fault::new(code, format!("image {image} is refused: {why}")).with("image", image))
    };
    let unreadable =
        |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("image {image} could not be read"), &e);
    let kind = header::detect(path).map_err(unreadable)?;
    if media_type == "ISO" && kind != Kind::Iso {
        if let Kind::Refused(what) = kind {
            return refuse(code::IMAGE_CORRUPT, &format!("it is {what}"));
        }
        return refuse(code::IMAGE_CORRUPT, "it has no ISO 9660 file system");
    }
    match kind {
        Kind::Refused(what) => refuse(code::IMAGE_CORRUPT, &format!("it is {what}")),
        Kind::Iso => Ok(("iso", header::disk_bytes(path).map_err(unreadable)?)),
        Kind::Raw => Ok(("raw", header::disk_bytes(path).map_err(unreadable)?)),
        Kind::Qcow2(h) if h.backing_file.is_some() => {
            refuse(code::IMAGE_BACKING_FILE, "its header names a backing file; flatten it first")
        }
        Kind::Qcow2(h) if h.external_data => {
            refuse(code::IMAGE_BACKING_FILE, "its header names an external data file; convert it first")
        }
        Kind::Qcow2(h) if h.encrypted => refuse(code::IMAGE_CORRUPT, "it is encrypted"),
        Kind::Qcow2(h) => {
            check_qcow2(path, image).await?;
            Ok(("qcow2", h.virtual_bytes))
        }
    }
}

/// `qemu-img check`, bounded: a header may ask for tables of any size.
async fn check_qcow2(path: &Path, image: &str) -> Result<()> {
    let text = path.to_string_lossy();
    let args = ["check", "-q", "-f", "qcow2", "--output=json", text.as_ref()];
    let tool = Tool::new("qemu-img", &args).confined(2 << 30, 300).limit(Duration::from_secs(900));
    let unknown = |e: crate::process::ToolError| {
        e.fault(code::AGENT_STORAGE, format!("image {image} could not be checked"))
    };
    match tool.run_any().await.map_err(unknown)? {
        // 3: clusters that nobody uses, which is waste and no damage.
        (Some(0 | 3), ..) => Ok(()),
        (status, out, err) => {
            let fault = Fault::new(
                code::IMAGE_CORRUPT,
                format!("image {image} is refused: the qcow2 file is damaged"),
            );
            Err(fault
                .with("image", image)
                .for_operator(format!("qemu-img check ended with {status:?}: {out} {err}")))
        }
    }
}

/// Copies a file of this machine, from below the folder that the policy names and nowhere else.
async fn copy(
    path: String,
    policy: &UrlPolicy,
    tmp: &Path,
    max: u64,
    what: &str,
    call: &Call,
) -> Result<Received> {
    let refused =
        |why: &str| Fault::new(code::IMAGE_URL_REFUSED, format!("the image address is refused: {why}"));
    let Some(folder) = policy.file_folder.clone() else {
        return Err(refused("files of the image store's machine may not be read"));
    };
    let outside =
        refused("the file does not lie in the folder from which images may be taken, or is not there");
    let (tmp, what, call) = (tmp.to_owned(), what.to_owned(), call.clone());
    let work = tokio::task::spawn_blocking(move || {
        let mut file =
            open_below(Path::new(&folder), Path::new(&path)).map_err(|e| outside.for_operator(e))?;
        let total = file.metadata().map_or(0, |m| m.len());
        let failed =
            |e: std::io::Error| io_fault(code::AGENT_STORAGE, format!("{what} could not be copied"), &e);
        let mut sink = Sink::create(&tmp, max).map_err(failed)?;
        read_through(&mut file, total, &call, |chunk| sink.take(chunk, &what))?;
        sink.finish(&what)
    });
    work.await.map_err(|e| Fault::internal("a copy ended by a panic").for_operator(e))?
}

/// Opens a regular file below a folder. What counts is where the open file really lies, so links lead nowhere else.
fn open_below(folder: &Path, path: &Path) -> std::io::Result<File> {
    use std::os::fd::AsRawFd;
    let folder = fs::canonicalize(folder)?;
    // Not blocking: a FIFO would wait for a writer.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if !real.starts_with(&folder) || !file.metadata()?.is_file() {
        return Err(std::io::Error::other(format!(
            "{} is outside {} or no file",
            real.display(),
            folder.display()
        )));
    }
    Ok(file)
}

fn read_through(
    file: &mut File,
    total: u64,
    call: &Call,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let (mut done, mut told) = (0u64, 0u64);
    loop {
        if call.is_cancelled() {
            return Err(cancelled());
        }
        let n = file
            .read(&mut buffer)
            .map_err(|e| io_fault(code::AGENT_STORAGE, "an image could not be read", &e))?;
        if n == 0 {
            return Ok(());
        }
        take(&buffer[..n])?;
        done += n as u64;
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0).min(99);
        if percent > told {
            told = percent;
            call.progress(u8::try_from(percent).unwrap_or(99), "reading the image");
        }
    }
}

/// Reads an image's file again and compares its checksum.
pub async fn verify(shelf: &Shelf, image: &str, meta: &ImageFile, call: &Call) -> Result<()> {
    use sha2::{Digest, Sha256};
    let path = shelf.file(image)?;
    let (meta, call) = (meta.clone(), call.clone());
    let damaged =
        Fault::new(code::IMAGE_CHECKSUM, format!("the file of image {image} has changed or is damaged"));
    let work = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        let mut file = File::open(&path).map_err(|e| damaged.clone().for_operator(e))?;
        read_through(&mut file, meta.actual_bytes, &call, |chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        let same = crate::state::hex(&hash.finalize()) == meta.sha256;
        if same { Ok(()) } else { Err(damaged) }
    });
    work.await.map_err(|e| Fault::internal("a check ended by a panic").for_operator(e))?
}
