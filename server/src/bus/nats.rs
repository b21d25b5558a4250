//! The bus by way of a NATS server. The only file that knows the client library.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use cairn_types::{Fault, Result, code};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::address::{BusAddress, Credentials};
use super::{Bus, Message};

/// Longest pause between two tries to reach the bus.
const LONGEST_PAUSE_MS: u64 = 2000;
/// How long a message waits for a bus that is down.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a NATS server takes when it has not said so yet.
const USUAL_MOST: usize = 1 << 20;

struct Nats {
    client: Client,
}

/// Connects, and goes on trying in the background for ever: a server serves without its bus too.
pub async fn connect(address: &BusAddress, name: &str) -> Result<Arc<dyn Bus>> {
    let failed = |e: &dyn std::fmt::Display| {
        Fault::operation(format!("the message bus {address} can't be used; check CAIRN_NATS")).for_operator(e)
    };
    let shown = address.to_string();
    let mut options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|tries| {
            let doubled = 50_u64.saturating_mul(1 << tries.min(10));
            Duration::from_millis(doubled.min(LONGEST_PAUSE_MS))
        })
        .event_callback(move |event| {
            tell(&shown, &event);
            std::future::ready(())
        });
    options = match address.credentials.clone() {
        Credentials::None => options,
        Credentials::Token(token) => options.token(token),
        Credentials::User(user, password) => options.user_and_password(user, password),
    };
    if let Some(authority) = &address.authority {
        options = options.add_root_certificates(authority.clone());
    }
    let client = options.connect(address.servers()).await.map_err(|e| failed(&e))?;
    Ok(Arc::new(Nats { client }))
}

fn tell(address: &str, event: &Event) {
    match event {
        Event::Connected => tracing::info!("the message bus {address} is connected"),
        Event::Disconnected => tracing::warn!("the message bus {address} is lost; trying again"),
        Event::SlowConsumer(_) => tracing::warn!("messages of the bus {address} came too fast and were lost"),
        other => tracing::warn!(event = %other, "the message bus {address} reports a problem"),
    }
}

impl Bus for Nats {
    fn publish(&self, subject: &str, body: Vec<u8>) -> BoxFuture<'_, Result<()>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let sent = tokio::time::timeout(PATIENCE, self.client.publish(subject, body.into())).await;
            match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(e)) => {
                    Err(Fault::operation("a message could not be sent over the bus").for_operator(e))
                }
                Err(_) => Err(down()),
            }
        })
    }

    fn request(&self, subject: &str, body: Vec<u8>, timeout: Duration) -> BoxFuture<'_, Result<Bytes>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let request = async_nats::Request::new().payload(body.into()).timeout(Some(timeout));
            // The library's own time begins once the message is sent, which it is not while the bus is down.
            let answer = tokio::time::timeout(timeout, self.client.send_request(subject.clone(), request));
            match answer.await {
                Ok(Ok(message)) => Ok(message.payload),
                Ok(Err(e)) => Err(refused(&subject, e.kind(), timeout).for_operator(e)),
                Err(_) if !self.is_connected() => Err(down()),
                Err(_) => Err(refused(&subject, RequestErrorKind::TimedOut, timeout)),
            }
        })
    }

    fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Message>>> {
        let (subject, group) = (subject.to_owned(), group.map(str::to_owned));
        Box::pin(async move {
            let subscribed = match group {
                Some(group) => self.client.queue_subscribe(subject, group).await,
                None => self.client.subscribe(subject).await,
            };
            let subscriber =
                subscribed.map_err(|e| Fault::operation("the bus takes no subscription").for_operator(e))?;
            Ok(subscriber
                .map(|m| Message {
                    subject: m.subject.to_string(),
                    body: m.payload,
                    reply: m.reply.map(|r| r.to_string()),
                })
                .boxed())
        })
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _ = self.client.flush().await;
        })
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn most_bytes(&self) -> usize {
        match self.client.max_payload() {
            0 => USUAL_MOST,
            most => most,
        }
    }
}

fn down() -> Fault {
    Fault::new(code::NOT_READY, "the message bus can't be reached now; try again").retry()
}

fn refused(subject: &str, kind: RequestErrorKind, timeout: Duration) -> Fault {
    match kind {
        RequestErrorKind::NoResponders => {
            Fault::new(code::NOT_READY, format!("nobody listens to {subject} on the message bus")).retry()
        }
        RequestErrorKind::TimedOut => {
            let text =
                format!("nobody answered {subject} on the message bus within {} ms", timeout.as_millis());
            Fault::new(code::TIMEOUT, text).retry()
        }
        _ => {
            Fault::operation(format!("a request to {subject} could not be sent over the message bus")).retry()
        }
    }
}
