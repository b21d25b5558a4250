//! Runs cases one after the other and prints what the standard test runner would.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::Result;

use crate::installation::Lab;

/// One case: its name carries the requirement id.
pub struct Case {
    /// Name.
    pub name: &'static str,
    /// The case itself.
    pub run: fn(&mut Lab) -> Result<()>,
}

/// Runs the cases whose name contains the first argument (all without one); the exit code tells.
pub fn run(cases: &[Case]) -> i32 {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    if std::env::args().any(|a| a == "--list") {
        cases.iter().for_each(|c| println!("{}: test", c.name));
        return 0;
    }
    let chosen: Vec<&Case> = cases.iter().filter(|c| c.name.contains(&filter)).collect();
    println!("\nrunning {} tests", chosen.len());
    let mut lab = match Lab::start() {
        Ok(lab) => lab,
        Err(e) => {
            println!("the lab can't be started: {e:#}");
            println!("\ntest result: FAILED. 0 passed; {} failed; 0 ignored", chosen.len().max(1));
            return 1;
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for case in chosen {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut lab)));
        let took = began.elapsed().as_secs();
        match result {
            Ok(Ok(())) => {
                passed += 1;
                println!("test {} ... ok ({took} s)", case.name);
            }
            Ok(Err(e)) => {
                failed += 1;
                println!("test {} ... FAILED ({took} s)\n  {e:#}", case.name);
            }
            Err(_) => {
                failed += 1;
                println!("test {} ... FAILED ({took} s)\n  it panicked", case.name);
            }
        }
    }
    if failed > 0 {
        println!("\n--- end of the server's log ---\n{}", lab.log("cairn-server"));
        println!("\n--- end of the agent's log ---\n{}", lab.log("cairn-agent"));
    }
    if let Err(e) = lab.stop() {
        failed += 1;
        println!("the lab could not be taken away: {e:#}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    i32::from(failed > 0)
}
