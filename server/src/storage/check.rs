//! Checks of what users type: folders on hosts and names of machines.

use std::net::IpAddr;

use cairn_types::{Fault, Result};

/// An absolute folder, without what could be read in two ways. Returned without a slash at its end.
pub(super) fn folder(param: &str, text: &str) -> Result<String> {
    let refuse =
        |why: &str| Err(Fault::argument(format!("parameter {param} {why}")).with("parameter", param));
    let path = text.trim_end_matches('/');
    if !path.starts_with('/') || path.len() < 2 {
        return refuse("must be an absolute folder such as /var/lib/cairn/storage");
    }
    if path.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == "..") {
        return refuse("must be a plain path, without empty parts, . and ..");
    }
    if !path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@=~".contains(c)) {
        return refuse("may consist of ASCII letters, digits and / . _ - + @ = ~ only");
    }
    Ok(path.to_owned())
}

/// An IP address or a DNS name.
pub(super) fn hostname(param: &str, text: &str) -> Result<String> {
    let is_name = !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(Fault::argument(format!("parameter {param} must be an IP address or a DNS name"))
        .with("parameter", param))
}

/// The type of a resource, if the caller named one, must be the one there is.
pub(super) fn only_type(given: Option<&str>, known: &str) -> Result<()> {
    match given {
        Some(other) if !other.is_empty() && other != known => {
            let text = format!("type {other:?} is unknown here; leave it out, or write {known}");
            Err(Fault::argument(text).with("parameter", "type"))
        }
        _ => Ok(()),
    }
}

/// `host:port` in an address.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ps_01_folders_are_plain_absolute_paths() {
        assert_eq!(folder("url", "/cairn_ps/").unwrap(), "/cairn_ps");
        assert_eq!(folder("url", "/a/b.c-d_e").unwrap(), "/a/b.c-d_e");
        for bad in [
            "",
            "/",
            "//",
            "a/b",
            "/a/../b",
            "/a//b",
            "/a/./b",
            "/$(reboot)",
            "/a b",
            "/a\nb",
            "/a'",
            "/ä",
            "/a,b",
        ] {
            assert!(folder("url", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bs_01_hosts_are_addresses_or_names() {
        for good in ["10.0.0.1", "store-1.example.org", "localhost", "fd00::1"] {
            assert!(hostname("hostname", good).is_ok(), "{good}");
        }
        for bad in ["", "$(reboot)", "a b", "-oProxyCommand=x", "a;b", "a..b", "a/b", "ä", "a-", "x@y"] {
            assert!(hostname("hostname", bad).is_err(), "{bad}");
        }
        assert_eq!(host_port("fd00::1", 80), "[fd00::1]:80");
    }
}
