//! The data folder and what stands in it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use cairn_store::PostgresUrl;
use serde_json::Value;

use crate::{Failure, Result};

/// Where the data is when nobody says otherwise.
pub const DEFAULT: &str = "/var/lib/cairn";

/// The data folder of one server.
#[derive(Debug, Clone)]
pub struct Home {
    /// Absolute path.
    pub dir: PathBuf,
    /// Address of the API.
    pub api: SocketAddr,
    /// Address of the page.
    pub page: SocketAddr,
    /// The database, if it is not the file in the folder.
    pub store: Option<PostgresUrl>,
}

impl Home {
    /// The folder of the flag, of CAIRN_HOME, or the default one, with the addresses of its `server.json`.
    pub fn open(flag: Option<&PathBuf>) -> Result<Self> {
        let from_env = || std::env::var_os("CAIRN_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let dir = flag.cloned().or_else(from_env).unwrap_or_else(|| PathBuf::from(DEFAULT));
        let dir = std::path::absolute(&dir).map_err(|e| super::cannot("find", &dir, &e))?;
        let dir = dir.canonicalize().unwrap_or(dir);
        let settings = read_settings(&dir.join("server.json"))?;
        let api = address(&settings, "apiAddress", 8080)?;
        Ok(Self { page: address(&settings, "pageAddress", 5000)?, store: store(&settings)?, api, dir })
    }

    /// The database file; with [`Home::store`] there is none.
    pub fn database(&self) -> PathBuf {
        self.dir.join("cairn.db")
    }

    /// Optional settings of the server process.
    pub fn config(&self) -> PathBuf {
        self.dir.join("server.json")
    }

    /// What the server says.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Process id of a server that `cairn-ctl` started.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("server.pid")
    }

    /// Held while the server is started or stopped.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("cairn-ctl.lock")
    }

    /// Whether this is the folder that the systemd unit uses.
    pub fn is_default(&self) -> bool {
        let default = Path::new(DEFAULT);
        self.dir == default.canonicalize().unwrap_or_else(|_| default.to_owned())
    }
}

fn read_settings(path: &Path) -> Result<Value> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|e| Failure::Failed(format!("{} is not JSON: {e}", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(e) => Err(super::cannot("read", path, &e)),
    }
}

/// As the server reads it: the variable `CAIRN_STORE`, else `server.json`.
fn store(settings: &Value) -> Result<Option<PostgresUrl>> {
    let in_file = || settings.get("store").and_then(Value::as_str).map(str::to_owned);
    let text = std::env::var("CAIRN_STORE")
        .ok()
        .or_else(in_file)
        .filter(|text| !text.trim().is_empty() && text.trim() != "sqlite");
    let parse = |text: String| {
        text.parse().map_err(|f| Failure::Failed(format!("CAIRN_STORE, or store in server.json: {f}")))
    };
    text.map(parse).transpose()
}

fn address(settings: &Value, key: &str, port: u16) -> Result<SocketAddr> {
    match settings.get(key).and_then(Value::as_str) {
        None => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        Some(text) => text.parse().map_err(|_| {
            Failure::Failed(format!("{key} {text:?} in server.json is no address like 0.0.0.0:{port}"))
        }),
    }
}

/// The address under which this machine reaches what listens there.
pub fn local(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// The address under which others reach what listens there: that of the interface with the default route.
pub fn public(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        // Connecting a datagram socket sends nothing; it only makes the kernel choose the source address.
        let chosen =
            UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9").and_then(|()| s.local_addr()));
        address.set_ip(chosen.map_or_else(|_| [127, 0, 0, 1].into(), |a| a.ip()));
    }
    address
}
