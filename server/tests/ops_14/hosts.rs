//! Simulated hosts in this process behind the real agent protocol, each agent with its own certificate and connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_simhost::{HostShape, SimCloud};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What `AddSimulatorHosts` answered, at work. Ends when it is dropped.
pub struct Hosts {
    /// What is on them.
    pub machines: SimCloud,
    _agents: JoinSet<()>,
}

struct Dialler {
    tls: TlsConnector,
    name: ServerName<'static>,
    servers: Vec<String>,
    next: AtomicUsize,
}

impl Dialler {
    fn new(answer: &Value, agent: &Value, servers: Vec<String>) -> Self {
        let text = |name: &str| agent[name].as_str().or(answer[name].as_str()).unwrap().to_owned();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(text("ca").as_bytes()).unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(text("certificate").as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(text("key").as_bytes()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = config.with_client_auth_cert(vec![certificate], key).unwrap();
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(text("serverName")).unwrap(),
            servers,
            next: AtomicUsize::new(0),
        }
    }

    /// The next server's turn, as the real agent does it.
    async fn dial(&self) -> io::Result<TlsStream<TcpStream>> {
        let server = &self.servers[self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len()];
        let connect = async {
            let tcp = TcpStream::connect(server).await?;
            tcp.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), tcp).await
        };
        tokio::time::timeout(Duration::from_secs(4), connect).await.map_err(io::Error::other)?
    }
}

impl Hosts {
    /// Serves all hosts of the answer.
    pub fn serve(answer: &Value, servers: &[String]) -> Self {
        let machines = SimCloud::new(7);
        let mut agents = JoinSet::new();
        for (n, given) in answer["agents"].as_array().unwrap().iter().enumerate() {
            let shape = HostShape { cpu_num: 64, memory_bytes: 256 << 30, ..HostShape::default() };
            let agent = machines.agent().uuid(given["uuid"].as_str().unwrap()).shape(shape).build();
            let mut servers = servers.to_vec();
            let count = servers.len();
            servers.rotate_left(n % count);
            let dialler = Arc::new(Dialler::new(answer, given, servers));
            agents.spawn(async move {
                agent
                    .run(move || {
                        let dialler = dialler.clone();
                        async move { dialler.dial().await }
                    })
                    .await;
            });
        }
        Self { machines, _agents: agents }
    }
}
