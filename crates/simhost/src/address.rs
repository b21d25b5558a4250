//! What a simulated download finds at an address. Nothing is fetched: the address itself says what the file is like.
//!
//! `sim://size=2G&actual=100M&format=qcow2` and the query part of other addresses take: `size` (virtual), `actual` (bytes of
//! the file), `format` (`qcow2`, `raw`, `iso`). The words `bad`, `backing`, `missing`, `refused` and `checksum`, there or as
//! the name of the file (`http://images/backing.qcow2`), make the download fail in that way.

use std::net::{IpAddr, Ipv6Addr};

use cairn_api::agent::image_store::{FetchImage, ImageFile, UrlPolicy};
use cairn_types::size::{GIB, MIB, parse_size};
use cairn_types::{Fault, Result, code};

use crate::network::hex_sha256;

const DEFAULT_SIZE: u64 = GIB;

/// The file that a download of this address yields.
pub(crate) fn fetch(o: &FetchImage) -> Result<ImageFile> {
    let (scheme, rest) = o.url.split_once("://").ok_or_else(|| refused(&o.url, "it has no scheme"))?;
    check_policy(&o.url, scheme, rest, &o.policy)?;
    let (path, query) = if scheme == "sim" { ("", rest) } else { rest.split_once('?').unwrap_or((rest, "")) };
    let file_name = path.rsplit('/').next().unwrap_or_default();
    let (stem, extension) = file_name.rsplit_once('.').unwrap_or((file_name, ""));
    check_trouble(&o.url, stem, query)?;
    let file = describe(&o.image, &o.url, query, extension, &o.media_type)?;
    need_at_most(&file, o.max_bytes)?;
    Ok(file)
}

pub(crate) fn need_at_most(file: &ImageFile, max_bytes: u64) -> Result<()> {
    if file.actual_bytes <= max_bytes {
        return Ok(());
    }
    let text = format!("the image has {} bytes and {max_bytes} are allowed or left", file.actual_bytes);
    Err(Fault::new(code::IMAGE_TOO_LARGE, text).with("maxBytes", max_bytes))
}

/// A file whose checksums follow from `origin` alone.
pub(crate) fn describe(
    image: &str,
    origin: &str,
    query: &str,
    extension: &str,
    media_type: &str,
) -> Result<ImageFile> {
    let size_bytes = amount(query, "size")?.unwrap_or(DEFAULT_SIZE);
    let actual_bytes = amount(query, "actual")?.unwrap_or((size_bytes / 8).max(MIB).min(size_bytes));
    let format = match value(query, "format").unwrap_or(extension) {
        "raw" | "img" if media_type != "ISO" => "raw",
        "iso" => "iso",
        _ if media_type == "ISO" => "iso",
        _ => "qcow2",
    };
    let sha256 = hex_sha256(format!("{origin}|{size_bytes}|{actual_bytes}|{format}").as_bytes());
    let mut md5 = hex_sha256(format!("md5 of {sha256}").as_bytes());
    md5.truncate(32);
    let install_path = format!("zstore://{image}/{sha256}");
    Ok(ImageFile { format: format.into(), size_bytes, actual_bytes, md5, sha256, install_path })
}

fn check_trouble(url: &str, stem: &str, query: &str) -> Result<()> {
    let asks_for = |word: &str| stem == word || query.split('&').any(|part| part == word);
    for (word, code, text) in [
        ("bad", code::IMAGE_CORRUPT, "the file is damaged or of no known format"),
        ("backing", code::IMAGE_BACKING_FILE, "the header of the file names a backing file"),
        ("missing", code::IMAGE_SERVER, "the server answered 404"),
        ("refused", code::IMAGE_URL_REFUSED, "the address leads to a network that must not be reached"),
        ("checksum", code::IMAGE_CHECKSUM, "the file arrived damaged"),
    ] {
        if asks_for(word) {
            return Err(Fault::new(code, format!("the image at {url} was not taken: {text}")));
        }
    }
    Ok(())
}

fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|part| part.split_once('=').filter(|(k, _)| *k == key).map(|(_, v)| v))
}

fn amount(query: &str, key: &str) -> Result<Option<u64>> {
    let Some(text) = value(query, key) else { return Ok(None) };
    parse_size(text).map(Some).ok_or_else(|| Fault::argument(format!("{key}={text} is no size")))
}

fn refused(url: &str, why: &str) -> Fault {
    Fault::new(code::IMAGE_URL_REFUSED, format!("the address {url} is not allowed: {why}"))
}

fn check_policy(url: &str, scheme: &str, rest: &str, policy: &UrlPolicy) -> Result<()> {
    match scheme {
        "sim" => Ok(()),
        "file" => {
            let inside = policy.file_folder.as_deref().is_some_and(|folder| {
                let below =
                    rest.strip_prefix(folder.trim_end_matches('/')).is_some_and(|r| r.starts_with('/'));
                below && !rest.split('/').any(|part| part == "..")
            });
            if inside {
                Ok(())
            } else {
                Err(refused(url, "files may be read from the configured folder only"))
            }
        }
        "http" | "https" | "ftp" => check_host(url, rest, policy),
        _ => Err(refused(url, "only http, https, ftp and file addresses can be fetched")),
    }
}

fn check_host(url: &str, rest: &str, policy: &UrlPolicy) -> Result<()> {
    if policy.allow_internal {
        return Ok(());
    }
    let host = host_of(rest);
    let Ok(address) = host.parse::<IpAddr>() else {
        let is_local =
            host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
        return if is_local { Err(refused(url, "it leads to the host itself")) } else { Ok(()) };
    };
    let address = address.to_canonical();
    if is_internal(address) || policy.refused_networks.iter().any(|n| contains(n, address)) {
        return Err(refused(url, "it leads to an internal network"));
    }
    Ok(())
}

/// The host of an address without user, port and brackets.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    match place.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            a.is_loopback()
                || a.is_private()
                || a.is_link_local()
                || a.is_unspecified()
                || contains("100.64.0.0/10", address)
        }
        IpAddr::V6(a) => {
            a == Ipv6Addr::UNSPECIFIED || a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local()
        }
    }
}

/// Whether a network in CIDR form contains an address.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, prefix)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(prefix)) = (base.parse::<IpAddr>(), prefix.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(b), IpAddr::V4(a)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix)).unwrap_or(0);
            u32::from(b) & mask == u32::from(a) & mask
        }
        (IpAddr::V6(b), IpAddr::V6(a)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix)).unwrap_or(0);
            u128::from(b) & mask == u128::from(a) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, policy: UrlPolicy) -> Result<ImageFile> {
        fetch(&FetchImage {
            store_path: "/s".into(),
            image: "i".into(),
            url: url.into(),
            policy,
            media_type: "RootVolumeTemplate".into(),
            max_bytes: 10 * GIB,
        })
    }

    fn tenant() -> UrlPolicy {
        let refused_networks = vec!["203.0.113.0/24".into(), "2001:db8::/32".into()];
        UrlPolicy { allow_internal: false, refused_networks, file_folder: None }
    }

    #[test]
    fn the_address_says_what_the_file_is_like() {
        let file = ask("sim://size=2G&actual=10M&format=raw", tenant()).unwrap();
        assert_eq!((file.format.as_str(), file.size_bytes, file.actual_bytes), ("raw", 2 * GIB, 10 * MIB));
        assert_eq!((file.sha256.len(), file.md5.len()), (64, 32));
        assert_eq!(file.install_path, format!("zstore://i/{}", file.sha256));
        assert_eq!(ask("sim://size=2G&actual=10M&format=raw", tenant()).unwrap(), file);
        let other = ask("http://images.example/debian.img?size=3G", tenant()).unwrap();
        assert_eq!((other.format.as_str(), other.size_bytes), ("raw", 3 * GIB));
        assert_ne!(other.sha256, file.sha256);
    }

    #[test]
    fn bad_files_and_forbidden_addresses_have_their_codes() {
        for (url, code) in [
            ("sim://bad", code::IMAGE_CORRUPT),
            ("sim://size=1G&backing", code::IMAGE_BACKING_FILE),
            ("http://images.example/backing.qcow2", code::IMAGE_BACKING_FILE),
            ("http://images.example/x.qcow2?missing", code::IMAGE_SERVER),
            ("sim://size=100G", code::IMAGE_TOO_LARGE),
            ("sim://size=huge", code::INVALID_ARGUMENT),
            ("gopher://images.example/x", code::IMAGE_URL_REFUSED),
            ("no address", code::IMAGE_URL_REFUSED),
            ("file:///etc/shadow", code::IMAGE_URL_REFUSED),
            ("http://127.0.0.1/x", code::IMAGE_URL_REFUSED),
            ("http://me:secret@localhost:80/x", code::IMAGE_URL_REFUSED),
            ("http://169.254.169.254/latest", code::IMAGE_URL_REFUSED),
            ("http://[::ffff:10.0.0.1]/x", code::IMAGE_URL_REFUSED),
            ("http://[fe80::1]:8080/x", code::IMAGE_URL_REFUSED),
            ("http://203.0.113.9/x", code::IMAGE_URL_REFUSED),
            ("http://[2001:db8::1]/x", code::IMAGE_URL_REFUSED),
        ] {
            assert_eq!(ask(url, tenant()).unwrap_err().code, code, "{url}");
        }
        let admin = UrlPolicy {
            allow_internal: true,
            refused_networks: vec![],
            file_folder: Some("/images/".into()),
        };
        for url in ["http://127.0.0.1/x", "http://203.0.113.9/x", "file:///images/a.qcow2"] {
            assert!(ask(url, admin.clone()).is_ok(), "{url}");
        }
        for url in ["file:///images/../etc/shadow", "file:///imagesx/a", "file:///images"] {
            assert_eq!(ask(url, admin.clone()).unwrap_err().code, code::IMAGE_URL_REFUSED, "{url}");
        }
    }
}
