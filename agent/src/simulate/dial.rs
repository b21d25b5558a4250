//! Connections of simulated agents: each with its own certificate, no more than a few handshakes at once.

use std::io;
use std::sync::Arc;
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
/// A dial takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Dials for all agents of the process.
pub struct Dialler {
    server: Option<String>,
    provider: Arc<CryptoProvider>,
    turns: Semaphore,
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
        Self { server, provider, turns: Semaphore::new(AT_ONCE) }
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

    /// The first of several servers that can be reached.
    async fn reach(&self, servers: &str) -> io::Result<TcpStream> {
        let mut last = io::Error::other("no server is named");
        for server in servers.split(',') {
            match TcpStream::connect(server).await {
                Ok(tcp) => return Ok(tcp),
                Err(e) => last = e,
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
        timeout(PATIENCE, connect).await.map_err(io::Error::other)?
    }
}
