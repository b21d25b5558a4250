//! `cairn image upload`: adds an image and sends its file to the backup storage (section 13 of the conventions).

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;

use cairn_api::Operation;
use cairn_types::new_uuid;
use clap::ArgMatches;
use serde_json::{Value, json};

use crate::arguments::{self, Params};
use crate::client::{Answer, Client};
use crate::job::{self, Wait};
use crate::output::binary_size;
use crate::progress::Bar;
use crate::session::simple;
use crate::{Failure, Result, call, names, watch};

/// Uploads a file; the image as it is when it is ready.
pub fn upload(client: &Client, matches: &ArgMatches) -> Result<Value> {
    let path = Path::new(matches.get_one::<String>("@file").map_or("", String::as_str));
    let (file, size) = open(path)?;
    let quiet = matches.get_flag("@quiet");
    let timeout = matches.get_one::<u64>("@timeout").map(|s| Duration::from_secs(*s));
    let (uuid, address) = announce(client, matches, path)?;
    send(client, path, file, size, &uuid, &address, quiet)?;
    let query =
        Operation::find("QueryImage").ok_or_else(|| Failure::Failed("images cannot be listed".to_owned()))?;
    watch::until(client, query, &uuid, &Wait { label: "image", timeout, quiet }, |row| {
        let Some(row) = row else {
            return Err(Failure::Failed(
                "the server did not accept the file and removed the image; see `cairn audit list`".into(),
            ));
        };
        Ok(row.get("status").and_then(Value::as_str) == Some("Ready"))
    })
}

fn open(path: &Path) -> Result<(File, u64)> {
    let wrong = |e: std::io::Error| Failure::Failed(format!("cannot read {}: {e}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    match (about.is_file(), about.len()) {
        (false, _) => Err(Failure::Usage(format!("{} is not a file", path.display()))),
        (true, 0) => Err(Failure::Usage(format!("{} is empty", path.display()))),
        (true, size) => Ok((file, size)),
    }
}

/// Adds the image without its contents: its uuid and the address to send the file to.
fn announce(client: &Client, matches: &ArgMatches, path: &Path) -> Result<(String, String)> {
    let op =
        Operation::find("AddImage").ok_or_else(|| Failure::Failed("images cannot be added".to_owned()))?;
    let mut params = arguments::read(op, matches)?;
    let uuid = new_uuid();
    params.insert("url".into(), json!(format!("upload://{uuid}")));
    params.insert("resourceUuid".into(), json!(uuid));
    if !params.contains_key("name") {
        let stem = path.file_stem().map_or_else(|| "image".into(), |s| s.to_string_lossy().into_owned());
        params.insert("name".into(), json!(stem));
    }
    only_backup_storage(client, &mut params)?;
    names::resolve(client, op, &mut params)?;
    let answer = match client.call(&call::request(op, &params)?)? {
        Answer::Done(answer) => answer,
        Answer::Job(id) => job::wait(client, &id, &Wait { label: "image", timeout: None, quiet: true })?,
    };
    let refs = answer.pointer("/inventory/backupStorageRefs").and_then(Value::as_array);
    let address = refs
        .into_iter()
        .flatten()
        .filter_map(|r| r.get("installPath")?.as_str())
        .find(|a| a.starts_with("http"));
    match address {
        Some(address) => Ok((uuid, address.to_owned())),
        None => Err(Failure::Failed(format!("the server named no address to upload image {uuid} to"))),
    }
}

/// Nobody has to name the backup storage where there is only one.
fn only_backup_storage(client: &Client, params: &mut Params) -> Result<()> {
    if params.contains_key("backupStorageUuids") {
        return Ok(());
    }
    let answer = simple(client, "QueryBackupStorage", json!({"limit": "2"}))?;
    let rows = answer.get("inventories").and_then(Value::as_array).cloned().unwrap_or_default();
    match rows.as_slice() {
        [only] => {
            params.insert("backupStorageUuids".into(), json!([only.get("uuid")]));
            Ok(())
        }
        [] => Err(Failure::Failed("there is no backup storage to upload to".to_owned())),
        _ => Err(Failure::Usage(
            "there are several backup storages; name one with --backup-storage".to_owned(),
        )),
    }
}

fn send(
    client: &Client,
    path: &Path,
    file: File,
    size: u64,
    uuid: &str,
    address: &str,
    quiet: bool,
) -> Result<()> {
    let boundary = format!("cairn-{}", cairn_types::random_uuid());
    // The name is for people only; what cannot stand in a header is left out.
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String =
        path.file_name().map(|n| n.to_string_lossy().chars().filter(plain).collect()).unwrap_or_default();
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + size + tail.len() as u64;
    let counted = Counted { inner: file.take(size), done: 0, size, bar: Bar::new("upload", quiet) };
    let body = Cursor::new(head).chain(counted).chain(Cursor::new(tail));
    let headers = [
        ("Content-Type", format!("multipart/form-data; boundary={boundary}")),
        ("Content-Length", length.to_string()),
        ("X-IMAGE-UUID", uuid.to_owned()),
        ("X-IMAGE-SIZE", size.to_string()),
    ];
    match client.post_stream(address, &headers, body)? {
        (200..=299, _) => Ok(()),
        (status, text) => {
            let text: String = text.trim().chars().take(300).collect();
            Err(Failure::Failed(format!("the backup storage refused the file ({status}): {text}")))
        }
    }
}

/// Draws progress while the file is read.
struct Counted<R> {
    inner: R,
    done: u64,
    size: u64,
    bar: Bar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && self.done < self.size && !buffer.is_empty() {
            return Err(std::io::Error::other("the file became shorter while it was read"));
        }
        self.done += n as u64;
        let percent = self.done as f64 * 100.0 / self.size.max(1) as f64;
        self.bar.update(Some(percent.floor()), &format!("of {}", binary_size(self.size)));
        Ok(n)
    }
}
