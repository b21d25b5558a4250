//! The one connection to the server: the agent dials, both sides show certificates, JSON frames go both ways.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::agent::{AgentFrame, PROTOCOLS, ServerFrame};
use cairn_link::{DIAL_SEND_LIMIT_MS, FrameReader, FrameWriter, LinkError, heartbeat_interval};
use cairn_types::Fault;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{AgentDir, Enrolment};
use crate::dispatch::{Dispatcher, Outbox};

/// First pause before another try to connect, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The server must take what we send within this time, else the connection is lost.
const SEND_LIMIT: Duration = Duration::from_millis(DIAL_SEND_LIMIT_MS as u64);

/// A server that is alone may be silent as long as it likes.
const ALONE: Duration = Duration::from_secs(365 * 86_400);
/// How long dialling may take: where there is another server to dial, not long.
const DIAL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(4));

/// Tells which targets do not answer, for heartbeats.
pub type Health = Arc<dyn Fn() -> Vec<(String, Fault)> + Send + Sync>;

/// Keeps the connection: waits for the enrolment, dials, serves, dials again. Never returns.
pub struct Link {
    /// The agent's folder.
    pub dir: AgentDir,
    /// Takes commands.
    pub dispatcher: Arc<Dispatcher>,
    /// Where frames of everybody come from.
    pub outbox: Outbox,
    /// For heartbeats.
    pub health: Health,
    /// Called when a connection stands.
    pub on_connect: Arc<dyn Fn() + Send + Sync>,
    /// Random per process start.
    pub boot: String,
}

impl Link {
    /// Runs until the task is dropped.
    pub async fn run(&self) {
        let mut pause = BACKOFF.0;
        let mut last_error = String::new();
        for attempt in 0_usize.. {
            let enrolment = self.dir.one_of_several(self.wait_for_enrolment().await, attempt);
            let mut welcome = false;
            let end = self.session(&enrolment, &mut welcome).await;
            self.outbox.connect(None);
            if welcome {
                pause = BACKOFF.0;
                last_error.clear();
            }
            let error =
                end.map_or_else(|e| e.to_string(), |()| "the server closed the connection".to_owned());
            if error != last_error {
                tracing::warn!(server = enrolment.server, "no connection to the server: {error}");
                last_error = error;
            }
            sleep(jitter(pause)).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn wait_for_enrolment(&self) -> Enrolment {
        let mut told = false;
        loop {
            match self.dir.enrolment() {
                Ok(Some(enrolment)) => return enrolment,
                Ok(None) if told => (),
                Ok(None) => {
                    tracing::info!("waiting for agent.json and certificates in {}", self.dir.path().display())
                }
                Err(e) => tracing::warn!("agent.json cannot be read: {e}"),
            }
            told = true;
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// One connection from dial to loss.
    async fn session(&self, enrolment: &Enrolment, welcome: &mut bool) -> io::Result<()> {
        let patience = if enrolment.is_one_of_several { DIAL.1 } else { DIAL.0 };
        let stream = timeout(patience, dial(&self.dir, enrolment)).await.map_err(io::Error::other)??;
        let (mut reader, mut writer) = cairn_link::split(stream);
        let hello = AgentFrame::Hello {
            protocols: PROTOCOLS.to_vec(),
            agent: enrolment.agent.clone(),
            version: crate::VERSION.to_owned(),
            targets: self.dispatcher.targets(),
            boot: self.boot.clone(),
        };
        writer.send(&hello).await.map_err(io::Error::other)?;
        let first = timeout(Duration::from_secs(15), reader.next()).await.map_err(io::Error::other)?;
        let every;
        match first.map_err(io::Error::other)?.ok_or(io::ErrorKind::UnexpectedEof)? {
            ServerFrame::Welcome { protocol, server, targets, now_ms, heartbeat_s } => {
                every = heartbeat_interval(heartbeat_s, fraction());
                self.dispatcher.set_clock(now_ms);
                tracing::info!(server, protocol, "connected; serving {} targets", targets.len());
                self.dispatcher.set_targets(targets);
            }
            ServerFrame::Refuse { fault } => return Err(io::Error::other(format!("refused: {fault}"))),
            other => return Err(io::Error::other(format!("expected a welcome, got {other:?}"))),
        }
        *welcome = true;
        let (out, outgoing) = mpsc::unbounded_channel();
        self.outbox.connect(Some(out));
        self.dispatcher.resend();
        (self.on_connect)();
        tokio::select! {
            end = self.receive(reader) => end,
            end = send(writer, outgoing) => end,
            never = self.beat(every) => never,
        }
    }

    async fn receive(&self, mut reader: FrameReader<impl AsyncRead + Unpin>) -> io::Result<()> {
        let mut silence = ALONE;
        loop {
            let next = timeout(silence, reader.next::<ServerFrame>()).await;
            match next.map_err(|_| io::Error::other("the server has fallen silent"))? {
                Ok(Some(ServerFrame::Servers { addresses, beat_ms })) => {
                    silence = Duration::from_millis(beat_ms.saturating_mul(3));
                    if let Err(e) = self.dir.keep_servers(&addresses) {
                        tracing::warn!("the addresses of the servers could not be kept: {e}");
                    }
                }
                Ok(Some(ServerFrame::Command(command))) => self.dispatcher.command(command),
                Ok(Some(ServerFrame::Cancel { id })) => self.dispatcher.cancel(&id),
                Ok(Some(ServerFrame::Acknowledge { ids })) => self.dispatcher.acknowledge(&ids),
                Ok(Some(ServerFrame::Targets { targets })) => self.dispatcher.set_targets(targets),
                Ok(Some(ServerFrame::Refuse { fault })) => {
                    return Err(io::Error::other(format!("refused: {fault}")));
                }
                Ok(Some(ServerFrame::Welcome { .. })) => (),
                Ok(None) => return Ok(()),
                // A newer server may say what this agent does not know; it goes on with the rest.
                Err(LinkError::Json(e)) => tracing::warn!("a frame of the server is not understood: {e}"),
                Err(e) => return Err(io::Error::other(e)),
            }
        }
    }

    async fn beat(&self, every: Duration) -> io::Result<()> {
        loop {
            self.outbox.send(AgentFrame::Heartbeat { failing: (self.health)() });
            sleep(every).await;
        }
    }
}

async fn send(
    mut writer: FrameWriter<impl AsyncWrite + Unpin>,
    mut outgoing: mpsc::UnboundedReceiver<AgentFrame>,
) -> io::Result<()> {
    while let Some(frame) = outgoing.recv().await {
        match timeout(SEND_LIMIT, writer.send(&frame)).await {
            Ok(Ok(())) => (),
            Ok(Err(LinkError::TooLarge(bytes))) => {
                tracing::error!("an answer of {bytes} bytes is too large to be sent")
            }
            Ok(Err(e)) => return Err(io::Error::other(e)),
            Err(_) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes nothing any more"));
            }
        }
    }
    Ok(())
}

async fn dial(dir: &AgentDir, enrolment: &Enrolment) -> io::Result<TlsStream<TcpStream>> {
    let config = tls_config(dir)?;
    let name = ServerName::try_from(enrolment.server_name.clone()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(&enrolment.server).await?;
    tcp.set_nodelay(true)?;
    nix::sys::socket::setsockopt(&tcp, nix::sys::socket::sockopt::TcpUserTimeout, &DIAL_SEND_LIMIT_MS)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

fn tls_config(dir: &AgentDir) -> io::Result<ClientConfig> {
    let certificates = |file: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        let read = CertificateDer::pem_file_iter(dir.file(file)).and_then(Iterator::collect);
        read.map_err(|e| io::Error::other(format!("{file}: {e}")))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.pem")? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let key = PrivateKeyDer::from_pem_file(dir.file("key.pem"))
        .map_err(|e| io::Error::other(format!("key.pem: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("cert.pem")?, key)
        .map_err(|e| io::Error::other(format!("cert.pem and key.pem: {e}")))
}

/// Half to one and a half of the pause, so that a thousand agents do not come back in the same moment.
fn jitter(pause: Duration) -> Duration {
    pause / 2 + pause.mul_f64(fraction())
}

/// A random one, 0 to 1.
fn fraction() -> f64 {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread() {
        for _ in 0..100 {
            let pause = jitter(Duration::from_millis(1000));
            assert!((500..=1500).contains(&pause.as_millis()));
        }
    }
}
