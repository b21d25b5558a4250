//! Where the bus is, and with what right it is used.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cairn_types::{Fault, Result};

/// How a client shows who it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// The bus asks for nothing.
    None,
    /// One shared word.
    Token(String),
    /// Name and password.
    User(String, String),
}

/// Addresses of the bus: `nats://[user:password@|token@]host[:port]`, several with commas, `tls://` for an encrypted one.
/// Neither `Debug` nor `Display` shows the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct BusAddress {
    servers: Vec<String>,
    pub(super) credentials: Credentials,
    /// Certificates of the authority of an encrypted bus, PEM; none: those of the system.
    pub authority: Option<PathBuf>,
}

impl BusAddress {
    /// Addresses without credentials.
    pub(super) fn servers(&self) -> &[String] {
        &self.servers
    }
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.servers.join(","))
    }
}

impl fmt::Debug for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusAddress({self})")
    }
}

/// The text is not part of the error: it may hold a password.
fn bad() -> Fault {
    Fault::argument(
        "the address of the message bus must look like nats://user:password@host:4222, several of them with commas and \
         the same credentials; % @ : / in a password are written %25 %40 %3A %2F",
    )
}

impl FromStr for BusAddress {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        let (mut servers, mut credentials) = (Vec::new(), Credentials::None);
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (scheme, rest) = part.split_once("://").ok_or_else(bad)?;
            if !["nats", "tls"].contains(&scheme) {
                return Err(bad());
            }
            let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
            let host = host.trim_end_matches('/');
            let clean = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
            if host.is_empty() || !host.bytes().all(clean) {
                return Err(bad());
            }
            servers.push(format!("{scheme}://{host}"));
            let found = user.map_or(Ok(Credentials::None), read_user)?;
            if servers.len() > 1 && found != Credentials::None && found != credentials {
                return Err(bad());
            }
            if found != Credentials::None {
                credentials = found;
            }
        }
        if servers.is_empty() {
            return Err(bad());
        }
        Ok(Self { servers, credentials, authority: None })
    }
}

fn read_user(text: &str) -> Result<Credentials> {
    let plain = |text: &str| cairn_api::request::decode(text, false).map_err(|_| bad());
    Ok(match text.split_once(':') {
        Some((user, password)) => Credentials::User(plain(user)?, plain(password)?),
        None => Credentials::Token(plain(text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_02_addresses_are_read_and_never_show_their_password() {
        let user = |u: &str, p: &str| Credentials::User(u.into(), p.into());
        for (text, servers, credentials) in [
            ("nats://bus", vec!["nats://bus"], Credentials::None),
            ("nats://s3cret@bus:4222/", vec!["nats://bus:4222"], Credentials::Token("s3cret".into())),
            ("tls://cairn:a%40b%3A@[::1]:4222", vec!["tls://[::1]:4222"], user("cairn", "a@b:")),
            ("nats://u:s3cret@a:1, nats://b:2", vec!["nats://a:1", "nats://b:2"], user("u", "s3cret")),
        ] {
            let read: BusAddress = text.parse().unwrap();
            assert_eq!(read.servers(), servers);
            assert!(read.credentials == credentials, "{text}");
            assert!(!format!("{read:?} {read}").contains("s3cret") && !format!("{read}").contains("a@b"));
        }
        for text in [
            "",
            "bus:4222",
            "http://bus",
            "nats://",
            "nats://u:p@",
            "nats://u:s3cret@a b",
            "nats://u:p@a,nats://x:y@b",
        ] {
            let fault = text.parse::<BusAddress>().unwrap_err();
            assert!(!fault.details.contains("s3cret"));
        }
    }
}
