//! `cairn-bench`: measures the figures that Cairn promises. Prints one table with the machine named and writes them to
//! `target/bench/latest.json`, and when and at which commit each was measured to `measured.json` beside it. It judges, but it is no test: a missed figure is said and does not fail.
//!
//! Every scenario brings its own server and data and takes them away again, after Ctrl-C too.

mod http;
mod interrupt;
mod machine;
mod metrics;
mod report;
mod sample;
mod scale;
mod scenario;
mod server;
mod simulation;
mod world;

use anyhow::Result;

use crate::report::Report;
use crate::scenario::{Kind, SCENARIOS, Scenario};

const USAGE: &str = "usage: cairn-bench [--with-cargo] [--list] [SCENARIO...]";

struct Args {
    with_cargo: bool,
    chosen: Vec<&'static Scenario>,
}

fn main() {
    let args = match parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return,
        Err(text) => {
            eprintln!("{text}\n{USAGE}");
            std::process::exit(2);
        }
    };
    interrupt::watch();
    let mut report = Report::new(args.chosen.len() == SCENARIOS.len() - usize::from(!args.with_cargo));
    let mut failed = false;
    for (name, error) in run(&args.chosen, &mut report) {
        eprintln!("\n{name} could not be measured: {error:#}");
        report.broke_off(name);
        failed = true;
    }
    println!("\n{}\n{:9} {}\n\n{}", machine::describe(), "command", command(), report.table());
    match report.write(&machine::commit()) {
        Ok(path) => println!("\n{}\nwritten to {}", report.verdict(), path.display()),
        Err(error) => {
            eprintln!("\nthe figures could not be written: {error:#}");
            failed = true;
        }
    }
    std::process::exit(i32::from(failed));
}

/// The command that measures this again.
fn command() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let scale =
        std::env::var("CAIRN_BENCH_SCALE").map_or(String::new(), |s| format!("CAIRN_BENCH_SCALE={s} "));
    if args.is_empty() {
        format!("{scale}make bench")
    } else {
        format!("{scale}scripts/bench.sh {}", args.join(" "))
    }
}

/// `None`: the call was answered already. Without names: everything that needs no flag.
fn parse(args: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let (mut with_cargo, mut chosen) = (false, Vec::new());
    for arg in args {
        match arg.as_str() {
            "--with-cargo" => with_cargo = true,
            "--help" | "-h" => {
                println!("{USAGE}\n\nscenarios:\n{}", list());
                return Ok(None);
            }
            "--list" => {
                println!("{}", list());
                return Ok(None);
            }
            name => match SCENARIOS.iter().find(|s| s.name == name) {
                Some(scenario) => chosen.push(scenario),
                None => return Err(format!("there is no scenario {name}; there are:\n{}", list())),
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(SCENARIOS.iter().filter(|s| s.name != "cargo-check"));
    }
    if with_cargo && !chosen.iter().any(|s| s.name == "cargo-check") {
        chosen.extend(SCENARIOS.iter().filter(|s| s.name == "cargo-check"));
    }
    Ok(Some(Args { with_cargo, chosen }))
}

fn list() -> String {
    let lines: Vec<String> = SCENARIOS.iter().map(|s| format!("  {:14} {}", s.name, s.about)).collect();
    lines.join("\n")
}

/// Runs the scenarios and gives those that failed. Those that need a whole installation share one.
fn run(chosen: &[&'static Scenario], report: &mut Report) -> Vec<(&'static str, anyhow::Error)> {
    let mut failures = Vec::new();
    for scenario in chosen {
        if let Kind::Alone(measure) = scenario.kind {
            note(scenario.name, &mut failures, || measure(report));
        }
    }
    let on_lab: Vec<_> = chosen.iter().filter(|s| matches!(s.kind, Kind::Lab(_))).collect();
    if on_lab.is_empty() {
        return failures;
    }
    eprintln!("starting an installation with real guests");
    let started = interrupt::check().and_then(|()| cairn_lab::Lab::start());
    let mut lab = match started {
        Ok(lab) => lab,
        Err(error) => {
            failures.push(("the installation", error));
            return failures;
        }
    };
    for scenario in on_lab {
        if let Kind::Lab(measure) = scenario.kind {
            note(scenario.name, &mut failures, || measure(&mut lab, report));
        }
    }
    if let Err(error) = lab.stop() {
        failures.push(("taking the installation away", error));
    }
    failures
}

fn note(
    name: &'static str,
    failures: &mut Vec<(&'static str, anyhow::Error)>,
    measure: impl FnOnce() -> Result<()>,
) {
    eprintln!("measuring {name}");
    if let Err(error) = interrupt::check().and_then(|()| measure()) {
        failures.push((name, error));
    }
}
