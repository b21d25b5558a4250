//! Robots (BEY-03): seeded random operations over everything that there is, against simulated hosts that break and a server
//! that is killed. After every few operations everything is mended, and what must hold is checked. The same seed gives the same
//! list of operations; a list that fails is replayed and made short.

mod check;
mod client;
mod dice;
mod model;
pub mod op;
mod play;
mod recount;
mod repertoire;
mod shrink;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::rig::Terms;
use op::{Deed, Op};
use play::{Played, play};

/// What robots do.
#[derive(Debug, Clone)]
pub struct Choice {
    /// First seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Operations of each.
    pub ops: usize,
    /// Operations between two checks.
    pub every: usize,
    /// Without kills of the server.
    pub no_kills: bool,
    /// No further seed is begun after this time.
    pub time: Option<Duration>,
    /// Time to make a failing list short.
    pub shrink: Duration,
    /// Seeds at the same time.
    pub workers: usize,
    /// How often which operation was refused with which code is told.
    pub verbose: bool,
    /// Folder for failing lists.
    pub folder: PathBuf,
    /// An error of the server that is planted, to try the robots themselves: see [`crate::serve::Orders::plant`].
    pub plant: Option<(String, String)>,
}

impl Choice {
    fn terms(&self, seed: u64) -> Terms {
        Terms { seed, periodic: true, plant: self.plant.clone(), ..Terms::default() }
    }
}

/// What robots found.
#[derive(Default)]
pub struct Report {
    violations: usize,
    seeds: u64,
    ops: usize,
    calls: usize,
    went_well: usize,
    kills: usize,
    checks: usize,
    took: Duration,
}

impl Report {
    /// Whether all was well.
    pub fn is_good(&self) -> bool {
        self.violations == 0
    }

    /// The figures.
    pub fn figures(&self) -> Value {
        let seconds = self.took.as_secs_f64();
        json!({
            "robot_violations": self.violations, "seeds": self.seeds, "operations": self.ops, "calls": self.calls,
            "went_well": self.went_well, "kills": self.kills, "checks": self.checks,
            "seconds": (seconds * 10.0).round() / 10.0,
            "operations_per_second": (self.ops as f64 / seconds.max(0.001)).round(),
        })
    }

    fn add(&mut self, ops: usize, played: &Played) {
        self.seeds += 1;
        self.ops += ops;
        self.went_well += played.counts.values().map(|c| c.0).sum::<usize>();
        self.calls += played.counts.values().map(|c| c.0 + c.1).sum::<usize>();
        self.kills += played.kills;
        self.checks += played.checks;
        self.violations += usize::from(!played.violations.is_empty());
    }
}

/// Runs one seed after the other, some at the same time.
pub async fn run(choice: &Choice) -> Result<Report> {
    let begun = Instant::now();
    let mut report = Report::default();
    let mut at_work = tokio::task::JoinSet::new();
    let mut next = choice.seed;
    loop {
        let is_time = choice.time.is_none_or(|t| begun.elapsed() < t);
        while is_time && next < choice.seed + choice.seeds && at_work.len() < choice.workers.max(1) {
            let (seed, choice) = (next, choice.clone());
            at_work.spawn(async move { one(seed, &choice).await });
            next += 1;
        }
        let Some(done) = at_work.join_next().await else { break };
        let (ops, played) = done??;
        report.add(ops, &played);
    }
    report.took = begun.elapsed();
    Ok(report)
}

async fn one(seed: u64, choice: &Choice) -> Result<(usize, Played)> {
    let begun = Instant::now();
    let ops = repertoire::generate(seed, choice.ops, choice.every, !choice.no_kills);
    let played = play(&choice.terms(seed), &ops).await?;
    let calls: usize = played.counts.values().map(|c| c.0 + c.1).sum();
    let good: usize = played.counts.values().map(|c| c.0).sum();
    println!(
        "seed {seed}: {calls} calls, {good} went well, {} kills, {} checks, {:.1} s{}",
        played.kills,
        played.checks,
        begun.elapsed().as_secs_f64(),
        if played.violations.is_empty() { "" } else { ", FAILED" }
    );
    if choice.verbose {
        for (name, (good, bad)) in &played.counts {
            println!("    {name:40} {good:5} went well, {bad:5} were refused");
        }
        for (code, count) in &played.codes {
            println!("    {code:60} {count:5}");
        }
    }
    if !played.violations.is_empty() {
        tell(seed, &ops[..=played.at], &played, choice).await?;
    }
    Ok((played.at.max(ops.len()), played))
}

/// Tells what was found, and makes the list short.
async fn tell(seed: u64, ops: &[Op], played: &Played, choice: &Choice) -> Result<()> {
    for line in &played.violations {
        println!("seed {seed}: {line}");
    }
    println!("what is known of these, and the end of the server's log:\n{}", played.log);
    let path = choice.folder.join(format!("seed-{seed}.jsonl"));
    op::write(&path, ops)?;
    println!(
        "seed {seed}: {} operations, to be replayed with: cairn-robot --replay {} --seed {seed}",
        ops.len(),
        path.display()
    );
    if choice.shrink.is_zero() {
        return Ok(());
    }
    let least = shrink::shrink(&choice.terms(seed), ops, &played.violations[0], choice.shrink).await?;
    let path = choice.folder.join(format!("seed-{seed}-short.jsonl"));
    op::write(&path, &least)?;
    println!("seed {seed}: shortest list that still fails, {} operations, {}:", least.len(), path.display());
    print!("{}", op::text(&least));
    Ok(())
}

/// Plays a list from a file; whether all was well. With time it is made short if it fails.
pub async fn replay(path: &Path, seed: u64, choice: &Choice) -> Result<bool> {
    let mut ops = op::read(path)?;
    if ops.last().is_none_or(|o| o.deed != Deed::Check) {
        ops.push(Op { n: ops.len(), client: 0, deed: Deed::Check });
    }
    let played = play(&choice.terms(seed), &ops).await?;
    if played.violations.is_empty() {
        println!("{} operations, nothing found", ops.len());
        return Ok(true);
    }
    tell(seed, &ops[..=played.at], &played, choice).await?;
    Ok(false)
}
