//! The server in a process of its own that can be told to kill itself. Its simulated machines live in the process that
//! started it; their agents dial a socket in its folder.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_api::agent::Target;
use cairn_server::agents::Patience;
use cairn_server::app::{App, Tuning};
use cairn_server::config::Config;
use cairn_server::hardware::Elsewhere;
use cairn_server::platform::cleanup;
use cairn_simhost::HostShape;
use cairn_store::{Tx, params};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::killer::Killer;
use crate::wire::{Ask, Plot, Say};

/// Length of the line by which an agent says who it is: a uuid.
const NAME: usize = 32;

/// How the server is started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Its folder.
    pub folder: PathBuf,
    /// What goes wrong from the start.
    pub plot: Option<Plot>,
    /// With periodic work.
    pub periodic: bool,
    /// An error that is planted, to see that it is found: once both of these operations were called the registry names
    /// something that is not there.
    #[serde(default)]
    pub plant: Option<(String, String)>,
}

/// Socket to which the simulated agents of a server dial.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("agents.sock")
}

/// Tells the watching process something.
pub fn say(what: &Say) {
    let line = serde_json::to_string(what).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // A watcher that is gone closes the input as well, which ends this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Serves until the standard input ends.
pub fn run(orders: &str) -> Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("the orders can't be read")?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(orders))
}

async fn serve(orders: Orders) -> Result<()> {
    let killer = Killer::new(orders.plot);
    let tuning = Tuning {
        probe: Some(killer.clone()),
        undo_tries: Some(6),
        undo_pause: Some(Duration::from_millis(2)),
        no_periodic: !orders.periodic,
        fast_hash: true,
        elsewhere: Some(Arc::new(Outside)),
        patience: Some(Patience { come_back: Duration::from_secs(1), first_dial: Duration::from_secs(1) }),
        ..Tuning::default()
    };
    let path = socket(&orders.folder);
    // Left by the one before, which was killed.
    let _ = std::fs::remove_file(&path);
    let listener =
        UnixListener::bind(&path).with_context(|| format!("{} can't be opened", path.display()))?;
    let app = App::start(Config::ephemeral(&orders.folder), tuning).await?;
    if let Some((one, other)) = orders.plant {
        app.store.write(move |tx| plant(tx, &one, &other)).await?;
    }
    tokio::spawn(accept(app.clone(), listener));
    let served = cairn_server::http::serve(&app).await?;
    let steps = app.engine.steps().into_iter().map(|(w, s)| (w.to_owned(), s)).collect();
    say(&Say::Ready { api: served.api.to_string(), steps });
    let mut asked = input();
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Plot { plot } => {
                killer.plot(plot);
                say(&Say::Plotted);
            }
            Ask::Calm => say(&calm(&app).await?),
            Ask::Seen => {
                let (spots, is_hit) = killer.seen();
                say(&Say::Seen { spots, is_hit });
            }
        }
    }
    Ok(())
}

/// The audit has a row of each call in the transaction of what it does, and so tells what was called.
fn plant(tx: &mut dyn Tx, one: &str, other: &str) -> cairn_types::Result<()> {
    let word = |s: &str| s.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let (one, other) = (word(one), word(other));
    let called = |action: &str| {
        format!("EXISTS (SELECT 1 FROM audit WHERE action = '{action}' AND success AND job_uuid IS NOT NULL)")
    };
    let sql = format!(
        "CREATE TRIGGER IF NOT EXISTS planted AFTER INSERT ON audit
         WHEN NEW.success AND NEW.action IN ('{one}', '{other}') AND {} AND {} BEGIN
         INSERT INTO resource (uuid, resource_type, create_ms) VALUES (lower(hex(randomblob(16))), 'ZoneVO', 0); END",
        called(&one),
        called(&other)
    );
    tx.execute(&sql, params![]).map(drop)
}

/// What is asked; ends with the watching process.
fn input() -> mpsc::UnboundedReceiver<Ask> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let ask = line.ok().and_then(|l| serde_json::from_str(&l).ok());
            if ask.is_none_or(|a| sender.send(a).is_err()) {
                break;
            }
        }
        // Runs stay where they are; nobody is there to see them end.
        std::process::exit(0);
    });
    receiver
}

/// Does what is kept for connected agents, whenever it was to be tried again, and counts what is left.
async fn calm(app: &Arc<App>) -> Result<Say> {
    if cleanup::count_ready(app).await? > 0 {
        let now =
            |tx: &mut dyn Tx| tx.execute("UPDATE cleanup SET next_ms = 0 WHERE kind = 'agent'", params![]);
        app.store.write(now).await?;
        cleanup::due(app).await;
    }
    Ok(Say::Calm {
        live: app.engine.live_count(),
        kept: cleanup::count_ready(app).await?,
        away: away(app).await?,
    })
}

/// Hosts and backup storages whose agents have no connection.
async fn away(app: &Arc<App>) -> Result<Vec<String>> {
    let sql = "SELECT uuid FROM host UNION ALL SELECT uuid FROM backup_storage";
    let rows = app.store.read(move |tx| tx.query(sql, params![])).await?;
    let uuids = rows.iter().filter_map(|r| r.text("uuid").ok());
    Ok(uuids.filter(|uuid| !app.agents.is_connected(uuid)).collect())
}

/// Takes in agents: a uuid, then the frames of the protocol.
async fn accept(app: Arc<App>, listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(greet(app.clone(), stream));
    }
}

async fn greet(app: Arc<App>, mut stream: UnixStream) {
    let mut name = [0; NAME];
    if stream.read_exact(&mut name).await.is_ok()
        && let Ok(agent) = std::str::from_utf8(&name)
    {
        app.agents.serve_internal(stream, agent.to_owned());
    }
}

/// The watching process has the machines.
struct Outside;

impl Elsewhere for Outside {
    fn serve(&self, agent: &str, target: &Target, shape: &HostShape, room_bytes: u64) {
        say(&Say::Serve { agent: agent.into(), target: target.clone(), shape: shape.clone(), room_bytes });
    }

    fn end(&self, agent: &str) {
        say(&Say::End { agent: agent.into() });
    }
}
