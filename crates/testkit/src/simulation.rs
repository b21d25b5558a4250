//! Simulated hosts whose agents dial in from outside, with mutual TLS, as those of `cairn-agent --simulate` do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_simhost::{HostShape, SimCloud};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Agents of other processes; they end with this.
pub struct Simulation {
    server: Arc<Mutex<SocketAddr>>,
    tasks: JoinSet<()>,
}

fn tls_of(ca: &str, agent: &Value) -> Arc<ClientConfig> {
    let pem = |name: &str| agent[name].as_str().expect("a PEM text").as_bytes();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("an authority")).expect("a root");
    let certificate = CertificateDer::from_pem_slice(pem("certificate")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pem("key")).expect("a key");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .expect("a certificate with its key");
    Arc::new(config)
}

impl Simulation {
    /// Agents with the credentials of an answer of `AddSimulatorHosts`; their hosts are machines of this cloud.
    pub fn start(server: SocketAddr, answer: &Value, machines: &SimCloud) -> Self {
        let server = Arc::new(Mutex::new(server));
        let (ca, mut tasks) = (answer["ca"].as_str().expect("an authority"), JoinSet::new());
        for agent in answer["agents"].as_array().expect("agents") {
            let shape = HostShape {
                cpu_num: u32::try_from(agent["cpuNum"].as_u64().unwrap_or(1)).unwrap_or(1),
                memory_bytes: agent["memorySize"].as_u64().unwrap_or(1),
                ..HostShape::default()
            };
            let simulated =
                machines.agent().uuid(agent["uuid"].as_str().expect("a uuid")).shape(shape).build();
            let (tls, server) = (tls_of(ca, agent), server.clone());
            tasks.spawn(async move {
                let dial = move || {
                    let (tls, address) =
                        (tls.clone(), *server.lock().unwrap_or_else(PoisonError::into_inner));
                    async move {
                        let tcp = TcpStream::connect(address).await?;
                        let name = ServerName::try_from("cairn-server").map_err(std::io::Error::other)?;
                        TlsConnector::from(tls).connect(name, tcp).await
                    }
                };
                simulated.run(dial).await;
            });
        }
        Self { server, tasks }
    }

    /// The server listens elsewhere now.
    pub fn move_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// The process is killed.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}
