//! Where the server keeps its data and listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_store::PostgresUrl;
use serde::Deserialize;

use crate::bus::BusAddress;

/// Settings of the process; everything else is a global setting in the database.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of database, keys and logs.
    pub data_dir: PathBuf,
    /// Built page; none: no page is served.
    pub page_dir: Option<PathBuf>,
    /// API.
    pub api: SocketAddr,
    /// Page, with the API again and consoles.
    pub page: SocketAddr,
    /// Agents.
    pub agents: SocketAddr,
    /// Where agents find this server, `host:port`.
    pub agents_advertised: String,
    /// Folder into which the credentials of this machine's own agent are written; none: `data_dir/local-agent`.
    pub local_agent_dir: PathBuf,
    /// Where the other servers reach this one, if it is one of several.
    pub peers: SocketAddr,
    /// Host under which other machines find this one; none: found out.
    pub advertised_host: Option<String>,
    /// How long the lease of one of several servers lasts.
    pub lease: Duration,
    /// The PostgreSQL database, which several servers may share; none: the file `data_dir/cairn.db`.
    pub store: Option<PostgresUrl>,
    /// The message bus; none: the server has none.
    pub nats: Option<BusAddress>,
}

/// The optional file `<data-dir>/server.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_address: Option<SocketAddr>,
    page_address: Option<SocketAddr>,
    agent_address: Option<SocketAddr>,
    agent_advertised: Option<String>,
    page_dir: Option<PathBuf>,
    local_agent_dir: Option<PathBuf>,
    peer_address: Option<SocketAddr>,
    advertised_host: Option<String>,
    store: Option<String>,
    nats: Option<String>,
    nats_authority: Option<PathBuf>,
}

const USAGE: &str =
    "usage: cairn-server [--data-dir DIR] [--page-dir DIR] [--api ADDR] [--page ADDR] [--agents ADDR]
                    [--agents-advertised HOST:PORT] [--local-agent-dir DIR] [--peers ADDR] [--advertised-host HOST] [--version]
       CAIRN_STORE=postgres://user@host/database names a database that several servers may share.
       CAIRN_NATS=nats://user:password@host:4222 names the message bus, CAIRN_NATS_CA=FILE its authority.";

impl Config {
    /// Everything at its default below this folder, on free ports of the loopback address. For tests.
    pub fn ephemeral(data_dir: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir: data_dir.to_owned(),
            page_dir: None,
            api: any,
            page: any,
            agents: any,
            agents_advertised: String::new(),
            local_agent_dir: data_dir.join("local-agent"),
            peers: any,
            advertised_host: None,
            lease: LEASE,
            store: None,
            nats: None,
        }
    }

    /// Reads the command line and the file. `None`: the call asked for the version or for help.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut given = std::collections::BTreeMap::new();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--version" => {
                    println!("cairn-server {}", env!("CARGO_PKG_VERSION"));
                    return Ok(None);
                }
                "--help" | "-h" => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                "--data-dir"
                | "--page-dir"
                | "--api"
                | "--page"
                | "--agents"
                | "--agents-advertised"
                | "--local-agent-dir"
                | "--peers"
                | "--advertised-host" => {
                    let value = args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"))?;
                    given.insert(arg, value);
                }
                other => bail!("unknown argument {other}\n{USAGE}"),
            }
        }
        Self::resolve(&given).map(Some)
    }

    fn resolve(given: &std::collections::BTreeMap<String, String>) -> Result<Self> {
        let home = std::env::var("CAIRN_HOME").unwrap_or_else(|_| "/var/lib/cairn".into());
        let data_dir = PathBuf::from(given.get("--data-dir").cloned().unwrap_or(home));
        let file = read_file(&data_dir.join("server.json"))?;
        let address = |flag: &str, from_file: Option<SocketAddr>, port: u16| -> Result<SocketAddr> {
            match given.get(flag) {
                Some(text) => {
                    text.parse().with_context(|| format!("{flag} {text} is no address like 0.0.0.0:{port}"))
                }
                None => Ok(from_file.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], port)))),
            }
        };
        let agents = address("--agents", file.agent_address, 7443)?;
        let advertised = given.get("--agents-advertised").cloned().or(file.agent_advertised);
        let nats = bus(std::env::var("CAIRN_NATS").ok().or(file.nats), file.nats_authority)?;
        Ok(Self {
            page_dir: given.get("--page-dir").map(PathBuf::from).or(file.page_dir),
            api: address("--api", file.api_address, 8080)?,
            page: address("--page", file.page_address, 5000)?,
            agents_advertised: advertised.unwrap_or_default(),
            agents,
            local_agent_dir: given
                .get("--local-agent-dir")
                .map(PathBuf::from)
                .or(file.local_agent_dir)
                .unwrap_or_else(|| data_dir.join("local-agent")),
            peers: address("--peers", file.peer_address, 7444)?,
            advertised_host: given.get("--advertised-host").cloned().or(file.advertised_host),
            lease: lease()?,
            store: store(std::env::var("CAIRN_STORE").ok().or(file.store))?,
            nats,
            data_dir,
        })
    }
}

/// The word `sqlite`, or nothing, is the file; an address is a database of PostgreSQL.
fn store(text: Option<String>) -> Result<Option<PostgresUrl>> {
    let text = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty() && t != "sqlite");
    text.map(|t| t.parse().map_err(|f: cairn_types::Fault| anyhow::anyhow!("CAIRN_STORE: {}", f.details)))
        .transpose()
}

/// How long a lease lasts if nothing else is said.
const LEASE: Duration = Duration::from_secs(5);

fn lease() -> Result<Duration> {
    let Ok(text) = std::env::var("CAIRN_LEASE_MS") else { return Ok(LEASE) };
    let ms = text.parse().ok().filter(|ms| (1000..=60_000).contains(ms));
    ms.map(Duration::from_millis)
        .with_context(|| format!("CAIRN_LEASE_MS is {text}; it must be 1000 to 60000"))
}

/// From the environment or the file, not from the command line, which everybody on the machine can read.
fn bus(address: Option<String>, authority: Option<PathBuf>) -> Result<Option<BusAddress>> {
    let Some(text) = address.filter(|a| !a.trim().is_empty()) else { return Ok(None) };
    let mut address: BusAddress =
        text.parse().map_err(|f: cairn_types::Fault| anyhow::anyhow!("CAIRN_NATS: {}", f.details))?;
    address.authority = std::env::var_os("CAIRN_NATS_CA").map(PathBuf::from).or(authority);
    Ok(Some(address))
}

fn read_file(path: &Path) -> Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(e) => Err(e).with_context(|| format!("{} can't be read", path.display())),
    }
}
