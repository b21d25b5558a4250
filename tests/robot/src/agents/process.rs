//! The process with the agents: hosts as `cairn-agent --simulate` serves them, and what else the server wants simulated. It
//! kills itself at a moment of a command. What is on the machines is in a file, and there when the process starts again.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use cairn_agent::simulate::{self, Behaviour, Options};
use cairn_simhost::{Moment, SimCloud, Witness};
use tokio::sync::mpsc;

use super::Here;
use super::wire::{Ask, Orders, Point, Say, Spot};
use crate::serve::socket;

/// Serves until the standard input ends.
pub fn run(orders: &str) -> Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("the orders can't be read")?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAIRN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(orders))
}

async fn serve(orders: Orders) -> Result<()> {
    let (cloud, file) = (SimCloud::new(orders.seed), Orders::machines(&orders.folder));
    if let Ok(text) = std::fs::read_to_string(&file) {
        cloud.restore(&text)?;
        if orders.forget {
            cloud.host_uuids().iter().for_each(|host| cloud.remove(host));
        }
    }
    let state = State { kill: orders.kill, seen: BTreeSet::new() };
    let killer = Arc::new(Killer { cloud: cloud.clone(), file, state: Mutex::new(state) });
    killer.save()?;
    cloud.watch(killer.clone());
    let here = Here::new(cloud.clone(), socket(&orders.folder));
    let mut asked = input();
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Serve { agent, target, shape, room_bytes } => here.serve(&agent, &target, shape, room_bytes),
            Ask::End { agent } => here.end(&agent),
            Ask::Simulate { credentials, hosts } => {
                tokio::spawn(simulate(cloud.clone(), credentials, hosts, orders.seed));
            }
            Ask::Drop { host } => here.drop_connection(&host),
            Ask::Plot { kill } => {
                killer.plot(kill);
                say(&Say::Plotted);
            }
            Ask::Seen => say(&Say::Seen { spots: killer.state().seen.iter().cloned().collect() }),
        }
    }
    Ok(())
}

async fn simulate(cloud: SimCloud, credentials: PathBuf, hosts: usize, seed: u64) {
    let options = Options {
        hosts,
        credentials,
        server: None,
        hosts_per_connection: 1000,
        heartbeat: None,
        seed,
        behaviour: Behaviour::default(),
    };
    if let Err(e) = simulate::serve(&cloud, options, std::future::pending()).await {
        eprintln!("the hosts are not simulated: {e:#}");
        std::process::exit(1);
    }
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
        std::process::exit(0);
    });
    receiver
}

fn say(what: &Say) {
    let line = serde_json::to_string(what).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // A watcher that is gone closes the input as well, which ends this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Notes every moment of a command, writes down what is on the machines after each, and ends the process at one moment as
/// `kill -9` does.
struct Killer {
    cloud: SimCloud,
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    kill: Option<Spot>,
    seen: BTreeSet<Spot>,
}

impl Killer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plot(&self, kill: Option<Spot>) {
        *self.state() = State { kill, seen: BTreeSet::new() };
    }

    /// A reader sees the machines as they were or as they are.
    fn save(&self) -> Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, self.cloud.save()?)?;
        Ok(std::fs::rename(new, &self.file)?)
    }
}

impl Witness for Killer {
    fn at(&self, _: &str, op: &str, moment: Moment) {
        let point = match moment {
            Moment::Received => Point::Received,
            Moment::Done => Point::Done,
        };
        let spot = Spot { op: op.to_owned(), point };
        // One after the other, so that no older state of the machines goes over a newer one.
        let mut state = self.state();
        if point == Point::Done
            && let Err(e) = self.save()
        {
            eprintln!("what is on the machines can't be kept: {e:#}");
            std::process::exit(1);
        }
        if state.kill.as_ref() == Some(&spot) {
            say(&Say::Killing { spot });
            // SAFETY: sends a signal to this process; no memory is involved.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            loop {
                std::thread::park();
            }
        }
        state.seen.insert(spot);
    }
}
