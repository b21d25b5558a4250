//! Which addresses may be reached: an image address comes from a tenant, and the image store stands inside.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use cairn_api::agent::image_store::UrlPolicy;
use cairn_types::address::{is_internal, lies_in, undress};
use cairn_types::{Fault, Result, code};

/// An address that was read strictly: what curl is given is put together again from these parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `http`, `https` or `ftp`.
    pub scheme: String,
    /// `user:password`, or empty.
    pub login: String,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query, from `/` on.
    pub path: String,
}

/// Characters of a path or query that need no further thought.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/?".contains(c)
}

impl Url {
    /// Reads an address. Whatever could be read in two ways (blanks, backslashes, quotes, other alphabets) is refused.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |why: &str| Fault::new(code::IMAGE_URL_REFUSED, format!("the image address is refused: {why}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            "ftp" => 21,
            _ => return Err(refuse("only http, https, ftp and file are known")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !path.chars().all(is_plain) || path.len() > 4096 {
            return Err(refuse("its path has characters that must be written as %XX"));
        }
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        if !login.chars().all(|c| is_plain(c) && !"@/?".contains(c)) {
            return Err(refuse("its user or password has characters that must be written as %XX"));
        }
        let (host, port) = split_port(place).ok_or_else(|| refuse("its host is not understood"))?;
        Ok(Self { scheme, login: login.to_owned(), host, port: port.unwrap_or(default_port), path })
    }

    /// The address as one text.
    pub fn text(&self) -> String {
        let login = if self.login.is_empty() { String::new() } else { format!("{}@", self.login) };
        format!("{}://{login}{}{}", self.scheme, self.place(), self.path)
    }

    /// Host and port as they stand in an address.
    pub fn place(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    /// The address that a redirect leads to.
    pub fn redirect(location: &str) -> Result<Self> {
        let next = Self::parse(location)?;
        if next.scheme == "ftp" {
            return Err(Fault::new(
                code::IMAGE_URL_REFUSED,
                "the image server redirects to ftp, which is refused",
            ));
        }
        Ok(next)
    }
}

fn split_port(place: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if port.is_empty() => None,
            None => return None,
        };
        return Some((address.to_string(), port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (place, None),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let fits = !host.is_empty() && host.len() <= 253 && host.chars().all(good) && !host.starts_with('-');
    fits.then(|| (host.to_ascii_lowercase(), port))
}

/// Checks an address against the policy. `own`: the networks of this machine.
fn check(policy: &UrlPolicy, own: &[String], host: &str, ip: IpAddr) -> Result<()> {
    if policy.allow_internal {
        return Ok(());
    }
    let networks = policy.refused_networks.iter().chain(own);
    let refused = is_internal(ip) || networks.into_iter().any(|n| lies_in(n, undress(ip)) || lies_in(n, ip));
    if !refused {
        return Ok(());
    }
    let text =
        format!("the image address is refused: {host} lies in a network that images may not be fetched from");
    Err(Fault::new(code::IMAGE_URL_REFUSED, text).with("host", host).for_operator(ip))
}

/// How long the name service may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(20);

/// Resolves the host of an address. Every answer must pass: a server with one address inside could be led there.
pub async fn resolve(policy: &UrlPolicy, url: &Url) -> Result<Vec<IpAddr>> {
    let unknown = || {
        Fault::new(code::IMAGE_SERVER, format!("the image server {} is not known by that name", url.host))
            .with("host", url.host.as_str())
    };
    let found =
        tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((url.host.as_str(), url.port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(e)) => return Err(unknown().for_operator(e)),
        Err(_) => return Err(unknown().for_operator("the name service did not answer in time").retry()),
    };
    let mut ips: Vec<IpAddr> = found.into_iter().map(|a| a.ip()).collect();
    ips.dedup();
    if ips.is_empty() {
        return Err(unknown());
    }
    let own = if policy.allow_internal { Vec::new() } else { cairn_link::networks::own() };
    for ip in &ips {
        check(policy, &own, &url.host, *ip)?;
    }
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(refused: &[&str]) -> UrlPolicy {
        let refused_networks = refused.iter().map(|s| (*s).to_owned()).collect();
        UrlPolicy { allow_internal: false, refused_networks, file_folder: None }
    }

    #[test]
    fn img_01_inside_addresses_are_refused_in_every_form() {
        for ip in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fec0::1",
            "ff02::1",
            "::127.0.0.1",
        ] {
            assert!(check(&policy(&[]), &[], "h", ip.parse().unwrap()).is_err(), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "2606:4700::1", "100.128.0.1"] {
            assert!(check(&policy(&[]), &[], "h", ip.parse().unwrap()).is_ok(), "{ip}");
        }
    }

    #[test]
    fn refused_networks_count_for_both_families() {
        let p = policy(&["8.8.8.0/24", "2606:4700::/32", "9.9.9.9", "nonsense"]);
        for (ip, ok) in [
            ("8.8.8.8", false),
            ("8.8.9.8", true),
            ("2606:4700::1", false),
            ("9.9.9.9", false),
            ("::ffff:8.8.8.8", false),
        ] {
            assert_eq!(check(&p, &[], "h", ip.parse().unwrap()).is_ok(), ok, "{ip}");
        }
        let open = UrlPolicy { allow_internal: true, ..p };
        assert!(check(&open, &[], "h", "127.0.0.1".parse().unwrap()).is_ok());
    }

    #[test]
    fn img_01_networks_of_the_fetching_machine_are_inside_whatever_their_range() {
        let own = ["192.0.2.2/24".to_owned(), "2001:db8:1::2/64".to_owned()];
        for (ip, ok) in [
            ("192.0.2.2", false),
            ("192.0.2.77", false),
            ("::ffff:192.0.2.2", false),
            ("2001:db8:1::9", false),
            ("198.51.100.1", true),
            ("2001:db8:2::9", true),
        ] {
            assert_eq!(check(&policy(&[]), &own, "h", ip.parse().unwrap()).is_ok(), ok, "{ip}");
        }
    }

    #[test]
    fn addresses_are_read_in_one_way_only() {
        let url = Url::parse("HTTP://User:pa%20ss@Example.ORG:8080/a/b.qcow2?x=1#frag").unwrap();
        assert_eq!(url.text(), "http://User:pa%20ss@example.org:8080/a/b.qcow2?x=1");
        assert_eq!(Url::parse("https://[::1]/x").unwrap().place(), "[::1]:443");
        assert_eq!(Url::parse("http://h?x").unwrap().path, "/?x");
        for bad in [
            "gopher://h/",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://h\\@127.0.0.1/",
            "http://a b/",
            "http://h/\n",
            "http://h:99999/",
            "http://h:/",
            "http://[::1/",
            "http://exämple/",
            "http://h/\"",
            "-oProxy://h",
            "http://-h/",
            "http://h/$(reboot) x",
            "http://[fe80::1%25eth0]/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn numbers_that_mean_loopback_are_seen_through() {
        for host in ["2130706433", "0x7f000001", "127.1", "localhost", "0177.0.0.1"] {
            let url = Url::parse(&format!("http://{host}/x")).unwrap();
            let result = resolve(&policy(&[]), &url).await;
            assert!(
                matches!(&result, Err(f) if f.code == "IMG.8002" || f.code == "IMG.8003"),
                "{host} {result:?}"
            );
        }
    }
}
