//! `cairn-server`: the management server.

use std::time::Instant;

use anyhow::Result;
use cairn_server::app::{App, Tuning};
use cairn_server::config::Config;
use cairn_server::http;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> Result<()> {
    let Some(config) = Config::from_args(std::env::args().skip(1))? else { return Ok(()) };
    let filter = EnvFilter::try_from_env("CAIRN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    // Memory that is given back and asked for again with every batch costs more than it saves.
    // SAFETY: mallopt only sets parameters of the allocator, before any other thread runs.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
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
