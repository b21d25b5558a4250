//! The programs of this crate as tests.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::Command;

use serde_json::Value;

/// Runs the program; its output, and its last line that is JSON.
fn robot(args: &[&str]) -> (bool, String, Value) {
    let done = Command::new(env!("CARGO_BIN_EXE_cairn-robot")).args(args).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let figures = text.lines().rev().find_map(|l| serde_json::from_str(l).ok().filter(Value::is_object));
    (done.status.success(), text, figures.unwrap_or_default())
}

/// The server's process is killed at every moment of every step of every workflow, and what it left goes on and is right.
#[test]
fn bey_02_a_killed_server_goes_on_at_every_step_of_every_workflow() {
    let (is_good, text, figures) = robot(&["crash-sweep"]);
    println!("{text}");
    assert!(is_good, "the sweep found something");
    assert_eq!(figures["crash_sweep_leaks"], 0);
    assert_eq!(figures["steps_missing"], 0);
    assert!(figures["kills"].as_u64().unwrap() >= figures["steps"].as_u64().unwrap() * 2);
}
