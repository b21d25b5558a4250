//! The files from which simulated agents know who they are: one for each, `<agent uuid>.json`, as the command line writes them
//! from the answer of `AddSimulatorHosts`.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use cairn_simhost::HostShape;
use serde::Deserialize;

/// One agent.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its uuid: the common name of its certificate.
    pub uuid: String,
    /// How many hosts it was made for.
    pub hosts: usize,
    /// Processors of each host.
    pub cpu_num: u32,
    /// Memory of each host in bytes.
    pub memory_size: u64,
    /// Where the server listens: `host:port`.
    pub server: String,
    /// The name in the server's certificate.
    pub server_name: String,
    /// Certificate of the server's authority, PEM.
    pub ca: String,
    /// The agent's certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// The file that all this is from.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Identity {
    /// What its hosts are made of.
    pub fn shape(&self) -> HostShape {
        HostShape { cpu_num: self.cpu_num, memory_bytes: self.memory_size, ..HostShape::default() }
    }
}

/// Reads all of them, in the order of their uuids, which is the order in which they were made.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Identity>> {
    let mut all: Vec<Identity> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let mut identity: Identity = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no file of an agent", path.display()))?;
        ensure!((1..=1000).contains(&identity.hosts), "{}: an agent serves 1 to 1000 hosts", path.display());
        identity.file = path;
        all.push(identity);
    }
    all.sort_by(|a, b| a.uuid.cmp(&b.uuid));
    Ok(all)
}
