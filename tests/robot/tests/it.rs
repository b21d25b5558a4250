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

/// The process with the agents is killed at every kind of command, before the work and after it, and what it left goes on and is
/// right.
#[test]
fn bey_02_killed_agents_go_on_at_every_kind_of_command() {
    let (is_good, text, figures) = robot(&["agent-sweep"]);
    println!("{text}");
    assert!(is_good, "the sweep found something");
    assert_eq!(figures["agent_sweep_leaks"], 0);
    // Every kind of command that some server sends, at both moments.
    assert_eq!(figures["points_missing"], 0);
    let of = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(of("commands") + of("commands_unsent"), of("commands_known"));
    assert!(of("kills") > of("plays") && of("plays") >= of("commands") * 2, "{figures}");
    assert!(of("went_well") * 10 >= of("plays") * 9, "hardly any call outlives a kill: {figures}");
}

/// The same with hosts that come back empty, as those of `cairn-agent --simulate` do: every call ends, no VM stays in between.
#[test]
fn bey_02_hosts_that_come_back_empty_after_a_kill_leave_nothing_in_between() {
    let (is_good, text, figures) = robot(&["agent-sweep", "--forget", "--short"]);
    println!("{text}");
    assert!(is_good, "the sweep found something");
    assert_eq!(
        (&figures["agent_sweep_leaks"], &figures["points_missing"]),
        (&Value::from(0), &Value::from(0))
    );
}

/// Random operations of several clients on machines that break, with a server that is killed: whatever happened, afterwards
/// everything agrees.
#[test]
fn bey_02_robots_leave_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (is_good, text, figures) = robot(&[
        "--seeds",
        "6",
        "--ops",
        "400",
        "--every",
        "100",
        "--workers",
        "2",
        "--shrink",
        "0",
        "--folder",
        folder,
    ]);
    println!("{text}");
    assert!(is_good, "the robots found something");
    assert_eq!(figures["robot_violations"], 0);
    assert!(
        figures["kills"].as_u64().unwrap() > 0 && figures["went_well"].as_u64().unwrap() > 600,
        "{figures}"
    );
}

/// The server is wrong once two certain operations were called: the robots find it, the list shrinks to these two and still fails
/// when it is played again.
#[test]
fn bey_03_a_planted_error_shrinks_to_the_two_operations_that_bring_it_about() {
    let pair = ["UpdateGlobalConfig", "ResetGlobalConfig"];
    let (folder, plant) = (tempfile::tempdir().unwrap(), pair.join(","));
    let name = folder.path().to_str().unwrap();
    let with = |args: &[&str]| robot(&[args, &["--plant", &plant, "--folder", name]].concat());
    let (is_good, text, figures) = with(&["--seed", "5", "--ops", "120", "--every", "60", "--shrink", "120"]);
    println!("{text}");
    assert!(!is_good && figures["robot_violations"] == 1, "the error was not found");
    let short = folder.path().join("seed-5-short.jsonl");
    let list = std::fs::read_to_string(&short).unwrap();
    let list: Vec<Value> = list.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut called: Vec<&str> = list.iter().filter_map(|o| o["action"].as_str()).collect();
    called.sort_unstable();
    assert_eq!(called, ["ResetGlobalConfig", "UpdateGlobalConfig"], "{list:#?}");
    assert_eq!((list.len(), &list[2]["do"]), (3, &Value::from("check")), "{list:#?}");
    let short = short.to_str().unwrap();
    let (is_good, text, _) = with(&["--replay", short, "--shrink", "0"]);
    assert!(!is_good && text.contains("the registry names ZoneVO"), "{text}");
    let (is_good, text, _) = robot(&["--replay", short, "--shrink", "0", "--folder", name]);
    assert!(is_good, "without the planted error nothing is wrong\n{text}");
}
