//! The connection of a simulated agent to its server: one task, however many hosts it serves.

use std::future::Future;
use std::io;
use std::time::Duration;

use cairn_api::agent::{AgentFrame, PROTOCOLS, ServerFrame};
use cairn_link::{FrameReader, FrameWriter, LinkError, heartbeat_interval};
use cairn_types::Fault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::SimAgent;
use crate::agent::{Core, Gate, lock};

/// Frames written at once.
const BATCH: usize = 256;
/// The server answers Hello within this time.
const WELCOME: Duration = Duration::from_secs(30);
/// A server that is alone may be silent as long as it likes.
const ALONE: Duration = Duration::from_secs(365 * 86_400);
/// Longest pause between two dials, in multiples of the first.
const SLOWEST: u32 = 16;
/// An agent whose connections are closed says so that often.
const TELL_CLOSED: Duration = Duration::from_secs(60);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The server closed it.
    Closed,
    /// A test dropped it.
    Dropped,
    /// The server wants no such connection.
    Refused(Fault),
}

/// Takes the outgoing frames of the agent while a connection stands.
struct Outgoing<'a> {
    core: &'a Core,
    frames: mpsc::UnboundedReceiver<AgentFrame>,
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.core.detach(&self.frames);
    }
}

impl SimAgent {
    /// Serves one connection until it ends. The agent speaks first.
    pub async fn serve<S: AsyncRead + AsyncWrite>(&self, stream: S) -> Result<Ended, LinkError> {
        let mut gate = self.core.gate.subscribe();
        let begun = *gate.borrow_and_update();
        if !begun.is_open {
            return Ok(Ended::Dropped);
        }
        let (mut reader, mut writer) = cairn_link::split(stream);
        tokio::select! {
            () = dropped(&mut gate, begun) => Ok(Ended::Dropped),
            ended = self.converse(&mut reader, &mut writer) => ended,
        }
    }

    async fn converse<R, W>(
        &self,
        reader: &mut FrameReader<R>,
        writer: &mut FrameWriter<W>,
    ) -> Result<Ended, LinkError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        writer.send(&self.core.hello()).await?;
        let answer = tokio::time::timeout(WELCOME, reader.next::<ServerFrame>()).await;
        let welcome_s = match answer.map_err(|_| LinkError::Io(io::ErrorKind::TimedOut.into()))?? {
            Some(ServerFrame::Welcome { protocol, targets, now_ms, heartbeat_s, .. })
                if PROTOCOLS.contains(&protocol) =>
            {
                self.core.set_clock(now_ms);
                self.core.assign(targets);
                heartbeat_s
            }
            Some(ServerFrame::Refuse { fault }) => return Ok(Ended::Refused(fault)),
            Some(_) => {
                return Err(LinkError::Io(io::Error::other(
                    "the server's first frame is not what it must be",
                )));
            }
            None => return Ok(Ended::Closed),
        };
        let frames = self.core.attach();
        let mut outgoing = Outgoing { core: &self.core, frames };
        let mut heartbeat = self.heartbeats(welcome_s);
        let mut batch = Vec::with_capacity(BATCH);
        // One of several servers says something now and then.
        let (mut heard, mut silence) = (Instant::now(), ALONE);
        loop {
            tokio::select! {
                frame = reader.next() => match frame? {
                    Some(frame) => {
                        heard = Instant::now();
                        if let ServerFrame::Servers { beat_ms, .. } = &frame {
                            silence = Duration::from_millis(beat_ms * 3);
                        }
                        self.core.receive(frame);
                    }
                    None => return Ok(Ended::Closed),
                },
                count = outgoing.frames.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        // Another connection has taken the place of this one.
                        return Ok(Ended::Dropped);
                    }
                    for frame in batch.drain(..) {
                        writer.push(&frame)?;
                    }
                }
                () = tokio::time::sleep_until(heard + silence) => {
                    return Err(LinkError::Io(io::ErrorKind::TimedOut.into()));
                }
                written = writer.flush(), if writer.pending() > 0 => written?,
                _ = heartbeat.tick() => {
                    if let Some(frame) = self.core.heartbeat() {
                        writer.push(&frame)?;
                    }
                }
            }
        }
    }

    /// Ticks that do not fall together with those of other connections.
    fn heartbeats(&self, welcome_s: u64) -> Interval {
        let (first, jitter) = {
            let dice = &mut lock(&self.core.world).dice;
            (dice.unit(), dice.unit())
        };
        let every = self.heartbeat.unwrap_or_else(|| heartbeat_interval(welcome_s, jitter));
        let mut ticks = tokio::time::interval_at(Instant::now() + every.mul_f64(first), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Dials, serves, and dials again, for ever.
    pub async fn run<D, F, S>(&self, dial: D)
    where
        D: Fn() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite,
    {
        let mut gate = self.core.gate.subscribe();
        let mut pauses = 1;
        let mut told: Option<Instant> = None;
        loop {
            if gate.wait_for(|g| g.is_open).await.is_err() {
                return;
            }
            match dial().await {
                Ok(stream) => match self.tell_closed(self.serve(stream).await, &mut told) {
                    Ok(Ended::Refused(fault)) => {
                        tracing::warn!(agent = %self.core.uuid, error = %fault, "the server refused agent {}", self.core.uuid);
                        pauses = SLOWEST;
                    }
                    Ok(Ended::Closed | Ended::Dropped) => pauses = 1,
                    Err(e) => tracing::debug!(agent = %self.core.uuid, error = %e, "a connection ended"),
                },
                Err(e) => {
                    tracing::debug!(agent = %self.core.uuid, error = %e, "the server can't be reached");
                    pauses = (pauses * 2).min(SLOWEST);
                }
            }
            let jitter = 0.5 + lock(&self.core.world).dice.unit() / 2.0;
            tokio::time::sleep((self.redial * pauses).mul_f64(jitter)).await;
        }
    }

    /// Says that the server closed the connection, at most once in [`TELL_CLOSED`]. A server that ends says no goodbye of TLS.
    fn tell_closed(
        &self,
        end: Result<Ended, LinkError>,
        told: &mut Option<Instant>,
    ) -> Result<Ended, LinkError> {
        let is_closed = match &end {
            Ok(Ended::Closed) => true,
            Err(LinkError::Io(e)) => {
                matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            }
            _ => false,
        };
        if is_closed && told.is_none_or(|at| at.elapsed() >= TELL_CLOSED) {
            *told = Some(Instant::now());
            let agent = &self.core.uuid;
            tracing::warn!(
                %agent,
                "the server closed the connection of agent {agent}; it dials again. If this goes on, another process may use the \
                 same credentials: the server's log says so"
            );
        }
        end
    }

    /// [`SimAgent::run`] as a task of its own; abort it to end the agent.
    pub fn spawn<D, F, S>(&self, dial: D) -> JoinHandle<()>
    where
        D: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let agent = self.clone();
        tokio::spawn(async move { agent.run(dial).await })
    }
}

/// Ends when a test drops the connection.
async fn dropped(gate: &mut watch::Receiver<Gate>, begun: Gate) {
    // The agent, and with it the sender, lives while it serves.
    let _ = gate.wait_for(|g| *g != begun).await;
}
