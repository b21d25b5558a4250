//! The metadata service at 169.254.169.254, one per L3 network: what a guest may ask about itself.
//!
//! It listens inside the namespace of its network and knows a guest by its source address, which anti-spoofing
//! guarantees. Addresses that are not guests of this network on this host get 404, whatever they ask.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_api::agent::network::Lease;
use cairn_types::{Fault, Result, code};
use tokio::task::JoinHandle;

use super::{METADATA_ADDRESS, netns};
use crate::vm::{meta_data, xml};

/// Guests of one network by address.
type Guests = Arc<RwLock<HashMap<IpAddr, Lease>>>;

/// A running service.
pub struct Metadata {
    guests: Guests,
    task: JoinHandle<()>,
}

impl Metadata {
    /// Listens inside a network namespace.
    pub fn start(namespace: &str) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Fault::new(code::AGENT_NETWORK, "the metadata service did not start on the host").for_operator(e)
        };
        let listen = || {
            let listener = TcpListener::bind((METADATA_ADDRESS, 80))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = netns::inside(namespace, listen).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let guests = Guests::default();
        let app = Router::new().fallback(handle).with_state(guests.clone());
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, service).await {
                tracing::error!("a metadata service ended: {e}");
            }
        });
        Ok(Self { guests, task })
    }

    /// Whether it still serves.
    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// The guests from now on.
    pub fn set_guests(&self, leases: &[Lease]) {
        let guests = leases.iter().filter_map(|l| Some((l.ip.parse().ok()?, l.clone()))).collect();
        *self.guests.write().unwrap_or_else(PoisonError::into_inner) = guests;
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(
    State(guests): State<Guests>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let answer = {
        let guests = guests.read().unwrap_or_else(PoisonError::into_inner);
        let guest = guests.get(&from.ip().to_canonical());
        let asked = matches!(*request.method(), Method::GET | Method::HEAD);
        guest.filter(|_| asked).and_then(|g| answer(g, request.uri().path()))
    };
    match answer {
        Some((kind, body)) => ([(header::CONTENT_TYPE, kind)], body).into_response(),
        None => {
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "not found\n").into_response()
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What a guest gets for a path: content type and body; none: there is nothing.
pub fn answer(guest: &Lease, path: &str) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        [] => Some((TEXT, "latest\nopenstack\n".to_owned())),
        ["openstack"] => Some((TEXT, "latest\n".to_owned())),
        ["openstack", rest @ ..] => openstack(guest, rest),
        [version, rest @ ..] if is_version(version) => ec2(guest, rest),
        _ => None,
    }
}

/// `latest`, or a date as EC2 names its versions.
fn is_version(text: &str) -> bool {
    text == "latest"
        || text == "1.0"
        || (text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-'))
}

fn openstack(guest: &Lease, path: &[&str]) -> Option<(&'static str, String)> {
    match path {
        ["latest"] => Some((TEXT, "meta_data.json\nuser_data\n".to_owned())),
        ["latest", "meta_data.json"] => Some((JSON, meta_data(&guest.vm, &guest.metadata).to_string())),
        ["latest", "user_data"] => user_data(guest),
        ["latest", "vendor_data.json"] => Some((JSON, "{}".to_owned())),
        _ => None,
    }
}

fn user_data(guest: &Lease) -> Option<(&'static str, String)> {
    let data = &guest.metadata.user_data;
    (!data.is_empty()).then(|| (TEXT, data.clone()))
}

fn ec2(guest: &Lease, path: &[&str]) -> Option<(&'static str, String)> {
    let drive = &guest.metadata;
    let key = |n: &str| drive.ssh_keys.get(n.parse::<usize>().ok()?).map(|k| k.trim_end().to_owned());
    let body = match path {
        [] => "meta-data\nuser-data\n".to_owned(),
        ["user-data"] => return user_data(guest),
        ["meta-data"] => {
            let keys = if drive.ssh_keys.is_empty() { "" } else { "public-keys/\n" };
            format!("ami-id\nhostname\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\n{keys}")
        }
        ["meta-data", "instance-id"] => xml::dashed(&guest.vm),
        ["meta-data", "ami-id"] => drive.meta.get("image").cloned().unwrap_or_else(|| "none".to_owned()),
        ["meta-data", "instance-type"] => {
            drive.meta.get("offering").cloned().unwrap_or_else(|| "none".to_owned())
        }
        ["meta-data", "hostname" | "local-hostname"] => drive.hostname.clone(),
        ["meta-data", "local-ipv4"] => guest.ip.clone(),
        ["meta-data", "mac"] => guest.mac.clone(),
        ["meta-data", "public-keys"] if !drive.ssh_keys.is_empty() => {
            (0..drive.ssh_keys.len()).map(|i| format!("{i}=key-{i}\n")).collect()
        }
        ["meta-data", "public-keys", n] => key(n).map(|_| "openssh-key".to_owned())?,
        // With an end of line, as the original has it: first-boot scripts read lines.
        ["meta-data", "public-keys", n, "openssh-key"] => key(n)? + "\n",
        _ => return None,
    };
    Some((TEXT, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_api::agent::vm::ConfigDrive;

    fn guest() -> Lease {
        let metadata = ConfigDrive {
            hostname: "web-1".into(),
            ssh_keys: vec!["ssh-ed25519 AAAA a\n".into(), "ssh-rsa BBBB b".into()],
            user_data: "#!/bin/sh\n".into(),
            meta: [].into(),
        };
        Lease {
            vm: "0189b2c3d4e57f60a1b2c3d4e5f60718".into(),
            mac: "fa:00:00:00:00:01".into(),
            ip: "10.0.0.5".into(),
            prefix: 24,
            gateway: None,
            hostname: Some("web-1".into()),
            is_default: true,
            metadata,
        }
    }

    #[test]
    fn flat_03_a_guest_reads_its_own_metadata() {
        let g = guest();
        let body = |path: &str| answer(&g, path).map(|(_, body)| body);
        for (path, wanted) in [
            ("/latest/meta-data/hostname", "web-1"),
            ("/2009-04-04/meta-data/instance-id", "0189b2c3-d4e5-7f60-a1b2-c3d4e5f60718"),
            ("/latest/meta-data/public-keys/", "0=key-0\n1=key-1\n"),
            ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA a\n"),
            ("/latest/meta-data/local-ipv4", "10.0.0.5"),
            ("/latest/user-data", "#!/bin/sh\n"),
            ("/openstack/latest/user_data", "#!/bin/sh\n"),
        ] {
            assert_eq!(body(path).as_deref(), Some(wanted), "{path}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&body("/openstack/latest/meta_data.json").unwrap()).unwrap();
        assert_eq!(json["public_keys"]["key-1"], "ssh-rsa BBBB b");
        for path in [
            "/latest/meta-data/nothing",
            "/latest/meta-data/public-keys/9/openssh-key",
            "/../etc/passwd",
            "/latest/api/token",
        ] {
            assert_eq!(body(path), None, "{path}");
        }
    }

    #[test]
    fn no_user_data_is_not_found() {
        let mut g = guest();
        g.metadata.user_data.clear();
        assert_eq!(answer(&g, "/latest/user-data"), None);
    }
}
