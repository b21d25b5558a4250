//! The message bus: the API once more for those who speak NATS (API-02), and what servers tell each other.
//!
//! Everything here is behind [`Bus`], so that the client library stays in one file. Without `CAIRN_NATS` there is no bus and
//! nothing of this runs.

mod address;
mod ends;
mod health;
mod nats;
mod request;
mod serve;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_types::Result;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::task::JoinHandle;

pub use address::BusAddress;
pub use health::state as health;
pub use nats::connect;
pub use request::JOB_SUBJECT;
pub use serve::start;

/// How long the end of a subscription waits for a bus that is down.
const CLOSE: Duration = Duration::from_millis(500);

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it was sent to.
    pub subject: String,
    /// What it says.
    pub body: Bytes,
    /// Where an answer is expected, if one is.
    pub reply: Option<String>,
}

/// A message bus: delivery at most once, to whoever listens now.
pub trait Bus: Send + Sync {
    /// Sends to everybody who subscribed. Well done as soon as the message is on its way; while the bus is down it waits,
    /// 10 seconds at most.
    fn publish(&self, subject: &str, body: Vec<u8>) -> BoxFuture<'_, Result<()>>;
    /// Sends and waits for one answer. Fails at once if nobody has subscribed.
    fn request(&self, subject: &str, body: Vec<u8>, timeout: Duration) -> BoxFuture<'_, Result<Bytes>>;
    /// Messages from now on; of each message one subscriber of a `group` gets it. A subscription outlives a loss of the bus;
    /// what is sent meanwhile is lost.
    fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Message>>>;
    /// Waits until what was published, subscribed and given up so far has been sent. While the bus is down that is long.
    fn flush(&self) -> BoxFuture<'_, ()>;
    /// Whether the bus can be reached now.
    fn is_connected(&self) -> bool;
    /// Largest body, in bytes.
    fn most_bytes(&self) -> usize;
}

/// The bus of a server, if it has one.
#[derive(Default)]
pub struct Connection {
    bus: OnceLock<Arc<dyn Bus>>,
    calls: Mutex<Option<JoinHandle<()>>>,
}

impl Connection {
    /// The bus; none if none is configured.
    pub fn bus(&self) -> Option<&Arc<dyn Bus>> {
        self.bus.get()
    }

    fn set(&self, bus: Arc<dyn Bus>, calls: JoinHandle<()>) {
        let _ = self.bus.set(bus);
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner) = Some(calls);
    }

    /// Takes no more calls: whoever sends one hears at once that nobody listens, or another server takes it.
    pub async fn close(&self) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(calls), Some(bus)) = (calls, self.bus.get()) else { return };
        calls.abort();
        // The subscription ends with the task.
        let _ = calls.await;
        let _ = tokio::time::timeout(CLOSE, bus.flush()).await;
    }
}
