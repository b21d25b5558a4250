//! `cairn-robot`: tries to break a server and its simulated hosts, and checks what must hold afterwards.

mod agents;
mod killer;
mod rig;
mod robot;
mod serve;
mod sweep;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cairn-robot [--seed N] [--seeds N] [--ops N] [--every N] [--time SECONDS] [--shrink SECONDS] [--workers N]
                   [--no-kills] [--verbose] [--folder FOLDER] [--plant OPERATION,OPERATION]
       cairn-robot --replay FILE [--seed N] [--shrink SECONDS]
       cairn-robot crash-sweep [--short] [--only WORD] [--workers N]
       cairn-robot agent-sweep [--short] [--forget] [--only WORD] [--workers N]";

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
fn run(args: impl Iterator<Item = String>) -> Result<bool> {
    let mut args = args.peekable();
    if args.peek().is_none_or(|a| a.starts_with("--")) {
        return robots(args);
    }
    match args.next().as_deref() {
        // The server that this program starts for itself.
        Some("serve") => serve::run(&args.next().context("serve needs its orders")?).map(|()| true),
        // The agents that it starts for itself.
        Some("agents") => agents::run(&args.next().context("agents need their orders")?).map(|()| true),
        Some(sweep @ ("crash-sweep" | "agent-sweep")) => {
            let mut choice =
                sweep::Choice { only: String::new(), is_short: false, forget: false, workers: 2 };
            while let Some(arg) = args.next() {
                match arg.as_str() {
                    "--short" => choice.is_short = true,
                    "--forget" if sweep == "agent-sweep" => choice.forget = true,
                    "--only" => choice.only = args.next().context("--only needs a word")?,
                    "--workers" => {
                        choice.workers = args.next().context("--workers needs a number")?.parse()?
                    }
                    other => bail!("unknown argument {other}\n{USAGE}"),
                }
            }
            if sweep == "crash-sweep" { crash_sweep(&choice) } else { agent_sweep(&choice) }
        }
        _ => bail!("{USAGE}"),
    }
}

fn robots(mut args: impl Iterator<Item = String>) -> Result<bool> {
    let mut choice = robot::Choice {
        seed: 1,
        seeds: 1,
        ops: 1000,
        every: 100,
        no_kills: false,
        time: None,
        shrink: Duration::from_secs(120),
        workers: 1,
        verbose: false,
        folder: "target/robot".into(),
        plant: None,
    };
    let mut list = None;
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--seed" => choice.seed = value()?.parse()?,
            "--seeds" => choice.seeds = value()?.parse()?,
            "--ops" => choice.ops = value()?.parse()?,
            "--every" => choice.every = value()?.parse()?,
            "--time" => choice.time = Some(Duration::from_secs(value()?.parse()?)),
            "--shrink" => choice.shrink = Duration::from_secs(value()?.parse()?),
            "--workers" => choice.workers = value()?.parse()?,
            "--folder" => choice.folder = value()?.into(),
            "--replay" => list = Some(std::path::PathBuf::from(value()?)),
            "--plant" => {
                let pair = value()?;
                let (one, other) = pair.split_once(',').context("--plant needs two operations")?;
                choice.plant = Some((one.into(), other.into()));
            }
            "--no-kills" => choice.no_kills = true,
            "--verbose" => choice.verbose = true,
            other => bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    let runtime = runtime()?;
    if let Some(list) = list {
        return runtime.block_on(unless_interrupted(robot::replay(&list, choice.seed, &choice)));
    }
    let report = runtime.block_on(unless_interrupted(robot::run(&choice)))?;
    println!("\n{}", report.figures());
    Ok(report.is_good())
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

fn agent_sweep(choice: &sweep::Choice) -> Result<bool> {
    let report = runtime()?.block_on(unless_interrupted(sweep::agents::run(choice)))?;
    println!();
    for (op, why) in report.unsent() {
        println!("not received by any agent: {op}: {why}");
    }
    println!("{}", report.figures());
    for failure in report.failures() {
        println!("FAILED {failure}");
    }
    let missing = report.missing();
    if choice.only.is_empty() && !missing.is_empty() {
        println!("never killed at: {}", missing.join(", "));
        return Ok(false);
    }
    Ok(report.failures().is_empty())
}
