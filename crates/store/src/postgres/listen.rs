//! Hears of the commits of other servers, on a connection and a thread of its own.

use std::time::Duration;

use cairn_types::{Fault, Result};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};

use super::session::limited;
use super::url::PostgresUrl;

/// Where each commit is told of; the message is the name of the writer.
pub(super) const CHANNEL: &str = "cairn_commit";
/// Pause between two tries to connect. While not connected, followers are told to look themselves that often.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a silent connection is asked whether it lives.
const ALIVE: Duration = Duration::from_secs(5);

/// Listens until it is dropped.
pub(super) struct Listener {
    _stop: oneshot::Sender<()>,
}

impl Listener {
    pub(super) fn start(url: &PostgresUrl, own: &str, progress: watch::Sender<u64>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Fault::internal(format!("a connection can't be made: {e}")))?;
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (url, own) = (url.clone(), own.to_owned());
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = &mut stopped => {}
                    () = listen(&url, &own, &progress) => {}
                }
            });
        };
        std::thread::Builder::new()
            .name("store-listen".into())
            .spawn(serve)
            .map_err(|e| Fault::internal(format!("the thread that listens could not be started: {e}")))?;
        Ok(Self { _stop: stop })
    }
}

async fn listen(url: &PostgresUrl, own: &str, progress: &watch::Sender<u64>) {
    let look = || progress.send_modify(|n| *n += 1);
    loop {
        if let Some((client, mut heard)) = connect(url).await {
            // What was committed before it listened was not heard.
            look();
            while let Some(writer) = next(&client, &mut heard).await {
                if writer.as_deref().is_some_and(|writer| writer != own) {
                    look();
                }
            }
            tracing::warn!("the connection that hears of other servers' commits is lost");
        }
        look();
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection that listens, and the writers it hears of.
async fn connect(url: &PostgresUrl) -> Option<(Client, mpsc::UnboundedReceiver<String>)> {
    let config = url.config().ok()?;
    let (client, mut connection) = limited(config.connect(NoTls), "connecting").await.ok()?;
    let (sender, heard) = mpsc::unbounded_channel();
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    tokio::spawn(async move {
        while let Some(Ok::<_, Error>(message)) = messages.next().await {
            if let AsyncMessage::Notification(note) = message
                && sender.send(note.payload().to_owned()).is_err()
            {
                return;
            }
        }
    });
    limited(client.batch_execute(&format!("LISTEN {CHANNEL}")), "LISTEN").await.ok()?;
    Some((client, heard))
}

/// The next writer heard of, or nothing new; `None` when the connection is lost.
async fn next(client: &Client, heard: &mut mpsc::UnboundedReceiver<String>) -> Option<Option<String>> {
    match tokio::time::timeout(ALIVE, heard.recv()).await {
        Ok(Some(writer)) => Some(Some(writer)),
        Ok(None) => None,
        Err(_) => limited(client.batch_execute("SELECT 1"), "SELECT 1").await.ok().map(|()| None),
    }
}
