//! Connections of simulated agents: each with its own certificate, no more than a few handshakes at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_link::DIAL_SEND_LIMIT_MS;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::Identity;

/// The server gives a handshake ten seconds; thousands at once would not make it.
const AT_ONCE: usize = 32;
/// A dial takes no longer, and where there is another server to dial not that long: one that was stopped takes connections
/// still and says nothing.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(6));
/// How long one server's machine may take to answer.
const REACH: Duration = Duration::from_secs(2);

/// Dials for all agents of the process.
pub struct Dialler {
    server: Option<String>,
    provider: Arc<CryptoProvider>,
    turns: Semaphore,
    /// How often anybody dialled.
    dials: AtomicUsize,
}

/// What one agent dials with.
pub struct Ready {
    server: String,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

impl Dialler {
    /// `server` replaces what the files say.
    pub fn new(server: Option<String>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self { server, provider, turns: Semaphore::new(AT_ONCE), dials: AtomicUsize::new(0) }
    }

    /// Reads keys and certificates once.
    pub fn prepare(&self, identity: &Identity) -> anyhow::Result<Ready> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.ca.as_bytes())?)?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let mut tls = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        tls.resumption = Resumption::disabled();
        Ok(Ready {
            server: self.server.clone().unwrap_or_else(|| identity.server.clone()),
            name: ServerName::try_from(identity.server_name.clone())?,
            tls: Arc::new(tls),
        })
    }

    /// The first of several servers that can be reached, beginning with another one each time.
    async fn reach(&self, servers: &str) -> io::Result<TcpStream> {
        let mut last = io::Error::other("no server is named");
        let mut servers: Vec<&str> = servers.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
        let count = servers.len().max(1);
        servers.rotate_left(self.dials.fetch_add(1, Ordering::Relaxed) % count);
        for server in servers {
            let patience = if count > 1 { REACH } else { PATIENCE.0 };
            match timeout(patience, TcpStream::connect(server)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(e)) => last = e,
                Err(e) => last = io::Error::other(e),
            }
        }
        Err(last)
    }

    /// One connection.
    pub async fn dial(&self, ready: &Ready) -> io::Result<TlsStream<TcpStream>> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let connect = async {
            let tcp = self.reach(&ready.server).await?;
            tcp.set_nodelay(true)?;
            nix::sys::socket::setsockopt(
                &tcp,
                nix::sys::socket::sockopt::TcpUserTimeout,
                &DIAL_SEND_LIMIT_MS,
            )?;
            TlsConnector::from(ready.tls.clone()).connect(ready.name.clone(), tcp).await
        };
        let patience = if ready.server.contains(',') { PATIENCE.1 } else { PATIENCE.0 };
        timeout(patience, connect).await.map_err(io::Error::other)?
    }
}
