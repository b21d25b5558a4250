//! Ctrl-C: the first one ends the scenario at its next step, so that everything is taken away; the second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for SIGINT and SIGTERM.
pub fn watch() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let listened = runtime.and_then(|r| r.block_on(listen()));
        if let Err(error) = listened {
            eprintln!("Ctrl-C will not clean up: {error}");
        }
    });
}

async fn listen() -> std::io::Result<()> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    either(&mut int, &mut term).await;
    eprintln!("\nstopping; this takes away what was started (once more: end at once)");
    ASKED.store(true, Ordering::Relaxed);
    either(&mut int, &mut term).await;
    std::process::exit(130);
}

async fn either(int: &mut Signal, term: &mut Signal) {
    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
}

/// Fails once somebody asked to stop.
pub fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
