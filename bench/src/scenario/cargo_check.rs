//! `cargo check` of the server after a new function in one of its files, as somebody at work on it has it all day. The
//! file is as it was afterwards.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::interrupt;
use crate::report::{Report, checkout};
use crate::sample::Sample;

const RUNS: u32 = 5;

pub(super) fn measure(report: &mut Report) -> Result<()> {
    // Before the clock runs everything else is up to date.
    check()?;
    let mut sample = Sample::default();
    for run in 0..RUNS {
        interrupt::check()?;
        let _edit = Edit::new(run)?;
        let began = Instant::now();
        check()?;
        sample.push_value(began.elapsed().as_secs_f64());
    }
    check()?;
    let how = format!(
        "median of {RUNS} runs of cargo check -p cairn-server after a new line in server/src/dispatch/mod.rs"
    );
    report.put("cargo_check_edit_s", sample.median(), how);
    Ok(())
}

fn check() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["check", "-q", "-p", "cairn-server"]).current_dir(checkout()).stdin(Stdio::null());
    ensure!(command.status().context("cargo can't be started")?.success(), "the server does not build");
    Ok(())
}

/// A line more at the end of a file, until dropped. Whatever else happens to the file meanwhile stays.
struct Edit {
    path: PathBuf,
    line: String,
}

impl Edit {
    fn new(run: u32) -> Result<Self> {
        let path = checkout().join("server/src/dispatch/mod.rs");
        let line = format!("\nfn _added_by_the_bench() -> u32 {{ {run} }}\n");
        let mut text = std::fs::read_to_string(&path)?;
        text.push_str(&line);
        std::fs::write(&path, text)?;
        Ok(Self { path, line })
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        let restored = std::fs::read_to_string(&self.path)
            .and_then(|text| std::fs::write(&self.path, text.replacen(&self.line, "", 1)));
        if let Err(error) = restored {
            eprintln!("take the last line out of {}: {error}", self.path.display());
        }
    }
}
