//! `cairn-server`: the management server.

use std::os::unix::process::CommandExt;
use std::time::Instant;

use anyhow::Result;
use cairn_server::app::{App, Tuning};
use cairn_server::config::Config;
use cairn_server::{http, nodes};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A fifth of a busy server's processor time went into glibc's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let Some(config) = Config::from_args(std::env::args().skip(1))? else { return Ok(()) };
    let filter = EnvFilter::try_from_env("CAIRN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    // Each agent is a connection.
    cairn_link::limits::raise_open_files();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if config.store.is_none() {
        return runtime.block_on(serve(config));
    }
    match runtime.block_on(serve_with_others(config))? {
        nodes::Ended::Stopped => Ok(()),
        nodes::Ended::LostLead => Err(again()),
    }
}

/// Begins this program again in this process, with nothing of what it had in memory. Returns only if that fails.
fn again() -> anyhow::Error {
    let error = std::process::Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec();
    anyhow::Error::new(error).context("the server could not start itself again")
}

/// Serves as one of several servers on one database, or as the only one so far.
async fn serve_with_others(config: Config) -> Result<nodes::Ended> {
    let data_dir = config.data_dir.clone();
    let opened = move |served: http::Served| {
        tracing::info!(api = %served.api, page = %served.page, agents = %served.agents, data = %data_dir.display(),
            "the API is on {}, the page on {}, agents on {}", served.api, served.page, served.agents);
    };
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("stopping; another server, or the next start, goes on with unfinished operations");
    };
    Ok(nodes::serve(config, Tuning::default(), opened, stop).await?)
}

async fn serve(config: Config) -> Result<()> {
    let began = Instant::now();
    let data_dir = config.data_dir.clone();
    let app = App::start(config, Tuning::default()).await?;
    app.store.reserve_log()?;
    let served = http::serve(&app).await?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(api = %served.api, page = %served.page, agents = %served.agents, data = %data_dir.display(), took_ms,
        "serving the API on {}, the page on {}, agents on {}", served.api, served.page, served.agents);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    // Runs that are at work stay in the journal and go on at the next start.
    tracing::info!("stopping; unfinished operations go on at the next start");
    Ok(())
}
