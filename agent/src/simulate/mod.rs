//! `cairn-agent --simulate N`: hosts in memory behind the real protocol, many of them on one connection (BEY-07).
//!
//! The server registers the hosts and issues a certificate for each agent that serves some of them (`AddSimulatorHosts`). This
//! process plays all those agents: it dials once for each, with mutual TLS, and the server tells which hosts it serves. What
//! "runs" on the hosts lives in this process only and is gone when it ends.

mod behaviour;
mod credentials;
mod dial;
mod faults;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use cairn_simhost::{HostShape, SimCloud};

pub use behaviour::{Behaviour, duration};
use credentials::Identity;
use dial::Dialler;

/// What can be chosen at the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many hosts.
    pub hosts: usize,
    /// Folder with one file per agent.
    pub credentials: PathBuf,
    /// `host:port` of the server, if it is not the one in the files.
    pub server: Option<String>,
    /// Most hosts on one connection.
    pub hosts_per_connection: usize,
    /// Time between heartbeats, if it is not the server's choice.
    pub heartbeat: Option<Duration>,
    /// Decides every latency and every choice of a host.
    pub seed: u64,
    /// Latencies and faults.
    pub behaviour: Behaviour,
}

/// Serves the hosts until `stop` returns.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let cloud = SimCloud::new(options.seed);
    serve(&cloud, options, stop).await
}

/// The same for hosts of this cloud, which may be there already.
pub async fn serve(cloud: &SimCloud, options: Options, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let identities = chosen(&options)?;
    let files = cairn_link::limits::raise_open_files();
    ensure!(
        files > identities.len() as u64 + 64,
        "{} connections need more open files than the {files} that are allowed; raise the limit (ulimit -n)",
        identities.len()
    );
    options.behaviour.apply(cloud);
    let dialler = Arc::new(Dialler::new(options.server.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    let mut shapes: Vec<Arc<HostShape>> = Vec::new();
    for identity in &identities {
        let wanted = identity.shape();
        let shape = shapes.iter().find(|s| ***s == wanted).cloned().unwrap_or_else(|| {
            shapes.push(Arc::new(wanted));
            shapes[shapes.len() - 1].clone()
        });
        let mut builder = cloud.agent().uuid(identity.uuid.as_str()).shared_shape(shape);
        if let Some(every) = options.heartbeat {
            builder = builder.heartbeat(every);
        }
        let agent = builder.build();
        let file = identity.file.display();
        let ready = dialler.prepare(identity).with_context(|| format!("{file} cannot be used"))?;
        let ready = Arc::new(ready);
        let dialler = dialler.clone();
        tasks.spawn(async move {
            agent
                .run(move || {
                    let (dialler, ready) = (dialler.clone(), ready.clone());
                    async move { dialler.dial(&ready).await }
                })
                .await;
        });
    }
    let hosts: usize = identities.iter().map(|i| i.hosts).sum();
    tracing::info!(hosts, connections = identities.len(), "simulating {hosts} hosts");
    let timed = faults::run(cloud, &options.behaviour, options.seed);
    tokio::select! {
        () = stop => {}
        () = timed => {}
    }
    tasks.shutdown().await;
    Ok(())
}

/// The agents that together serve the hosts asked for.
fn chosen(options: &Options) -> anyhow::Result<Vec<Identity>> {
    let folder = &options.credentials;
    let all = credentials::read(folder)
        .with_context(|| format!("the credentials in {} cannot be used", folder.display()))?;
    let fitting = all.iter().filter(|i| i.hosts <= options.hosts_per_connection);
    let mut chosen = Vec::new();
    let mut hosts = 0;
    for identity in fitting.cloned() {
        if hosts >= options.hosts {
            break;
        }
        hosts += identity.hosts;
        chosen.push(identity);
    }
    ensure!(
        hosts >= options.hosts,
        "{} has credentials for {hosts} hosts with at most {} on a connection, and {} are wanted; register {} more with \
         `cairn host add-simulators --count {} --hosts-per-agent {} --save-credentials {}`",
        folder.display(),
        options.hosts_per_connection,
        options.hosts,
        options.hosts - hosts,
        options.hosts - hosts,
        options.hosts_per_connection,
        folder.display()
    );
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bey_07_a_key_that_does_not_fit_its_certificate_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let made = || rcgen::generate_simple_self_signed(vec!["agent".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let identity = serde_json::json!({ "uuid": "a", "hosts": 1, "cpuNum": 1, "memorySize": 1, "server": "127.0.0.1:1",
            "serverName": "server", "ca": one.cert.pem(), "certificate": one.cert.pem(), "key": other.signing_key.serialize_pem() });
        let file = folder.path().join("mixed up.json");
        std::fs::write(&file, identity.to_string()).unwrap();
        let options = Options {
            hosts: 1,
            credentials: folder.path().to_owned(),
            server: None,
            hosts_per_connection: 1000,
            heartbeat: None,
            seed: 1,
            behaviour: Behaviour::default(),
        };
        let error = format!("{:#}", run(options, std::future::ready(())).await.unwrap_err());
        assert!(error.starts_with(&format!("{} cannot be used: ", file.display())), "{error}");
    }
}
