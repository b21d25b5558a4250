//! What is wrong after the server was killed and machines broke, by `cairn-robot`. Short forms by default; `CAIRN_BENCH_LONG=1` runs
//! the whole sweep and 20 seeds of 10,000 operations.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::interrupt;
use crate::report::Report;
use crate::server::program;

/// Between two looks whether somebody asked to stop.
const LOOK: Duration = Duration::from_millis(200);
/// How long the program may take to end then.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn crash_sweep(report: &mut Report) -> Result<()> {
    let args: &[&str] = if is_long() { &["crash-sweep"] } else { &["crash-sweep", "--short"] };
    let figures = run(args)?;
    ensure!(figures["steps_missing"] == 0, "the sweep left out steps: {figures}");
    let how = format!(
        "{} kills -9 of the server in {} steps of {} workflows{}",
        figures["kills"],
        figures["steps"],
        figures["workflows"],
        if is_long() { "" } else { ", one moment of each step" }
    );
    put(report, "crash_sweep_leaks", &figures, how)
}

pub(super) fn robots(report: &mut Report) -> Result<()> {
    let (seeds, ops) = if is_long() { ("20", "10000") } else { ("4", "1000") };
    let figures = run(&["--seeds", seeds, "--ops", ops, "--workers", "2", "--shrink", "0"])?;
    let how = format!(
        "{seeds} seeds of {ops} operations, {} kills -9, {} checks of everything, {} operations per second",
        figures["kills"], figures["checks"], figures["operations_per_second"]
    );
    put(report, "robot_violations", &figures, how)
}

fn is_long() -> bool {
    std::env::var_os("CAIRN_BENCH_LONG").is_some_and(|v| v != "0")
}

fn put(report: &mut Report, metric: &'static str, figures: &Value, how: String) -> Result<()> {
    let value = figures[metric].as_f64().with_context(|| format!("there is no {metric} in {figures}"))?;
    report.put(metric, value, how);
    Ok(())
}

/// Runs the program and shows what it says; its last line has the figures, whether or not it found something.
fn run(args: &[&str]) -> Result<Value> {
    let mut command = Command::new(program("cairn-robot"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    let name = format!("{:?}", command.get_program());
    let child = command.spawn().with_context(|| format!("{name} can't be started; build it first"))?;
    let mut robot = Robot { child, asked_to_end: None };
    let lines = lines_of(robot.child.stdout.take().context("no output")?);
    let mut figures = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                let line = line?;
                eprintln!("    {line}");
                figures = serde_json::from_str(&line).ok().filter(Value::is_object).or(figures);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        robot.look()?;
    }
    robot.child.wait()?;
    interrupt::check()?;
    figures.with_context(|| format!("{name} ended without figures"))
}

/// What a program prints, line by line, until it ends.
fn lines_of(output: ChildStdout) -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The program at work. It is gone when this is dropped, and takes its servers away when it is asked to end.
struct Robot {
    child: Child,
    asked_to_end: Option<Instant>,
}

impl Robot {
    /// Once somebody asked the bench to stop, the program is asked too; fails if it goes on nevertheless.
    fn look(&mut self) -> Result<()> {
        match self.asked_to_end {
            None if interrupt::check().is_err() => self.ask_to_end(),
            Some(then) => ensure!(then.elapsed() < PATIENCE, "cairn-robot does not end when it is asked"),
            None => {}
        }
        Ok(())
    }

    fn ask_to_end(&mut self) {
        self.asked_to_end = Some(Instant::now());
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGINT);
        }
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
