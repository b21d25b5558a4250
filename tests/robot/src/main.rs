//! `cairn-robot`: tries to break a server and its simulated hosts, and checks what must hold afterwards.

mod killer;
mod rig;
mod serve;
mod sweep;
mod wire;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cairn-robot crash-sweep [--short] [--only WORD] [--workers N]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything was as it must be.
fn run(mut args: impl Iterator<Item = String>) -> Result<bool> {
    match args.next().as_deref() {
        // The server that this program starts for itself.
        Some("serve") => serve::run(&args.next().context("serve needs its orders")?).map(|()| true),
        Some("crash-sweep") => {
            let mut choice = sweep::Choice { only: String::new(), is_short: false, workers: 2 };
            while let Some(arg) = args.next() {
                match arg.as_str() {
                    "--short" => choice.is_short = true,
                    "--only" => choice.only = args.next().context("--only needs a word")?,
                    "--workers" => {
                        choice.workers = args.next().context("--workers needs a number")?.parse()?
                    }
                    other => bail!("unknown argument {other}\n{USAGE}"),
                }
            }
            crash_sweep(&choice)
        }
        _ => bail!("{USAGE}"),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Ends early at Ctrl-C, so that servers and their folders are taken away.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

fn crash_sweep(choice: &sweep::Choice) -> Result<bool> {
    let report = runtime()?.block_on(unless_interrupted(sweep::run(choice)))?;
    let mut missing = report.missing(false);
    missing.extend(report.missing(true));
    println!("\n{}", report.figures());
    for failure in report.failures() {
        println!("FAILED {failure}");
    }
    if choice.only.is_empty() && !missing.is_empty() {
        println!("never killed at: {}", missing.join(", "));
        return Ok(false);
    }
    Ok(report.leaks() == 0)
}
