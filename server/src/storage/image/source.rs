//! Where an image comes from: the address that a caller gave, and what it may reach.

use cairn_api::agent::image_store::UrlPolicy;
use cairn_store::Tx;
use cairn_types::{Fault, Result, code, is_uuid, mask};

use crate::app::App;
use crate::call::Call;
use crate::platform::reach;

/// How the file of an image comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The store fetches it from this address.
    Fetch(String),
    /// Somebody sends it to the store; the uuid that the address names, if it names one.
    Upload(Option<String>),
}

fn refused(text: impl Into<String>) -> Fault {
    Fault::new(code::IMAGE_URL_REFUSED, text).with("parameter", "url")
}

/// Reads the address. Only its form and what this caller may ask for is looked at here; where names lead is checked by the
/// machine that fetches, which resolves them.
pub(super) fn read(call: &Call, url: &str) -> Result<Source> {
    let source = parse(url)?;
    match &source {
        Source::Fetch(url) if url.starts_with("file:") => {
            if !call.caller.is_admin() {
                return Err(refused(
                    "only the admin account may add images from files of the backup storage's machine",
                ));
            }
            must_be_below(&call.app.settings.text("cairn", "image.fileFolder"), url)?;
        }
        Source::Fetch(_) | Source::Upload(_) => {}
    }
    Ok(source)
}

fn parse(url: &str) -> Result<Source> {
    let url = url.trim();
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(refused("the image address must not hold blanks or control characters"));
    }
    if url.starts_with('/') {
        return Ok(Source::Fetch(format!("file://{url}")));
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match scheme.to_ascii_lowercase().as_str() {
        "upload" => Ok(Source::Upload(Some(rest.to_owned()).filter(|r| is_uuid(r)))),
        "file" if rest.starts_with('/') => Ok(Source::Fetch(format!("file://{rest}"))),
        "file" => Err(refused("a file address has three slashes: file:///folder/image.qcow2")),
        known @ ("http" | "https" | "ftp" | "sim") if !rest.is_empty() => {
            Ok(Source::Fetch(format!("{known}://{rest}")))
        }
        _ => {
            Err(refused("the image address must begin with http://, https://, ftp://, file:/// or upload://"))
        }
    }
}

fn must_be_below(folder: &str, url: &str) -> Result<()> {
    let folder = folder.trim_end_matches('/');
    if folder.is_empty() {
        return Err(refused(
            "images from files are switched off; set the global setting cairn image.fileFolder to the folder they may lie in",
        ));
    }
    let path = url.strip_prefix("file://").unwrap_or(url);
    let is_below = path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if is_below && !path.split('/').any(|part| part == "..") {
        return Ok(());
    }
    Err(refused(format!(
        "the file must lie below {folder}, the folder of the global setting cairn image.fileFolder"
    )))
}

/// The address as everybody may see it: without a login or a token in it.
pub(super) fn shown(url: &str) -> String {
    mask::addresses(url)
}

/// What a download for this caller may reach.
pub(super) fn policy(app: &App, tx: &mut dyn Tx, is_admin: bool) -> Result<UrlPolicy> {
    let folder = app.settings.text("cairn", "image.fileFolder");
    let allow_internal = is_admin || app.settings.bool("cairn", "image.tenantMayReachInternal");
    let refused_networks = if allow_internal { Vec::new() } else { reach::management_networks(tx)? };
    Ok(UrlPolicy {
        allow_internal,
        refused_networks,
        file_folder: Some(folder).filter(|f| is_admin && !f.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn img_01_addresses_are_read_by_their_scheme() {
        let fetch = |url: &str| Source::Fetch(url.to_owned());
        let uuid = "0123456789ab7cdef8123456789abcde";
        for (url, source) in [
            ("http://h/a.qcow2", fetch("http://h/a.qcow2")),
            ("HTTPS://h/a", fetch("https://h/a")),
            ("ftp://u:p@h/a", fetch("ftp://u:p@h/a")),
            ("/images/a.iso", fetch("file:///images/a.iso")),
            ("file:///images/a.iso", fetch("file:///images/a.iso")),
            ("sim://size=1G", fetch("sim://size=1G")),
            (&format!("upload://{uuid}"), Source::Upload(Some(uuid.into()))),
            ("upload://disk.img", Source::Upload(None)),
        ] {
            assert_eq!(parse(url).unwrap(), source, "{url}");
        }
        for bad in [
            "",
            "a.qcow2",
            "file://host/a",
            "gopher://h/a",
            "http://",
            "http://h/a b",
            "http://h/\na",
            "zstore://a/b",
        ] {
            assert_eq!(parse(bad).unwrap_err().code, code::IMAGE_URL_REFUSED, "{bad:?}");
        }
    }

    #[test]
    fn img_01_files_lie_below_the_folder_of_the_setting() {
        for (folder, url, ok) in [
            ("/images", "file:///images/a", true),
            ("/images/", "file:///images/b/a", true),
            ("/images", "file:///images", false),
            ("/images", "file:///imagesx/a", false),
            ("/images", "file:///images/../etc/shadow", false),
            ("", "file:///images/a", false),
        ] {
            assert_eq!(must_be_below(folder, url).is_ok(), ok, "{folder} {url}");
        }
    }

    #[test]
    fn logins_in_addresses_are_not_shown() {
        for (url, seen) in [
            ("http://u:p@h/a@b", "http://*****@h/a@b"),
            ("http://h/a@b", "http://h/a@b"),
            ("ftp://u:p@x@h", "ftp://*****@h"),
            ("file:///a", "file:///a"),
        ] {
            assert_eq!(shown(url), seen);
        }
    }
}
