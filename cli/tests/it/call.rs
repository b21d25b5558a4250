//! `cairn` against a server that answers what a test wants.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::mock::{Mock, Ran, accepted, answer, cairn, hang_up, program, refused};

const VM: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
const OTHER: &str = "1f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

#[test]
fn cli_01_a_name_is_looked_up_and_the_job_awaited() {
    // Polled twice: running, then done.
    let polls = std::sync::atomic::AtomicUsize::new(0);
    let jobs = Mock::start(move |seen, _| match seen.line.as_str() {
        "GET /zstack/v1/api-jobs/j1" if polls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
            answer(202, json!({}))
        }
        "GET /zstack/v1/api-jobs/j1" => {
            answer(200, json!({"inventory": {"uuid": VM, "name": "web-1", "state": "Stopped"}}))
        }
        line if line.starts_with("GET /zstack/v1/vm-instances") => {
            answer(200, json!({"inventories": [{"uuid": VM}]}))
        }
        _ => accepted("j1"),
    });
    let ran = cairn(&jobs, &["vm", "stop", "web-1", "--type", "cold", "-o", "json", "--user-tag", "t"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["state"], "Stopped");
    let seen = jobs.seen();
    assert_eq!(seen[0].line, "GET /zstack/v1/vm-instances?limit=11&q=name%3Dweb-1");
    assert_eq!(seen[1].line, format!("PUT /zstack/v1/vm-instances/{VM}/actions"));
    assert_eq!(seen[1].json(), json!({"stopVmInstance": {"type": "cold"}, "userTags": ["t"]}));
    assert_eq!(seen[1].header("authorization"), "OAuth sess");
    assert_eq!(seen[1].header("x-job-uuid").len(), 32);
    assert_eq!((seen[2].line.as_str(), seen[2].header("authorization")), ("GET /zstack/v1/api-jobs/j1", ""));
    assert!(seen.iter().all(|s| s.header("x-cairn-time") == "rfc3339"));
    assert_eq!(seen.len(), 4);
}

#[test]
fn cli_01_names_that_are_missing_or_not_unique_list_candidates() {
    let mock = Mock::start(|seen, _| {
        let row = |uuid: &str, name: &str| json!({"uuid": uuid, "name": name, "state": "Running"});
        let rows = match seen.line.as_str() {
            line if line.contains("q=name%3Dtwice") => json!([row(VM, "twice"), row(OTHER, "twice")]),
            line if line.contains("q=name~%3D") => json!([row(VM, "web-10\u{1b}[2J")]),
            _ => json!([]),
        };
        answer(200, json!({"inventories": rows}))
    });
    let ran = cairn(&mock, &["vm", "start", "twice"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains(VM) && ran.err.contains(OTHER) && ran.err.contains("more than one VM"),
        "{}",
        ran.err
    );
    let ran = cairn(&mock, &["vm", "start", "web-1"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("there is no VM with name \"web-1\"; there is: web-10\\u{1b}[2J"),
        "{}",
        ran.err
    );
    assert!(mock.lines().iter().all(|l| l.starts_with("GET ")), "nothing may be changed");
}

#[test]
fn cli_01_providers_of_network_services_have_short_names() {
    let mock = Mock::start(|seen, _| match seen.line.as_str() {
        "GET /zstack/v1/network-services/providers?limit=2&q=type%3DFlat" => {
            answer(200, json!({"inventories": [{"uuid": OTHER}]}))
        }
        _ => answer(200, json!({})),
    });
    let ran = cairn(&mock, &["l3-network", "attach-service", VM, "--network-services", "Flat=DHCP,Userdata"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(mock.seen()[1].json()["params"]["networkServices"], json!({OTHER: ["DHCP", "Userdata"]}));
}

#[test]
fn cli_01_errors_show_their_chain_and_exit_with_one() {
    let mock = Mock::start(|_, n| match n {
        0 => accepted("j"),
        _ => refused(
            json!({"code": "HOST_ALLOCATION.1001", "details": "no host", "opaque": {"candidates": [{"name": "h1", "why": "full"}]},
            "cause": {"code": "SYS.1006", "details": "below"}}),
        ),
    });
    let ran = cairn(&mock, &["vm", "start", VM]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(
        ran.err,
        "error: no host (HOST_ALLOCATION.1001)\n  - h1: full\n  caused by: below (SYS.1006)\n"
    );
    let mock = Mock::start(|_, _| refused(json!({"code": "SYS.1003", "details": "gone"})));
    let ran = cairn(&mock, &["vm", "start", VM, "-o", "json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.err).unwrap()["error"]["code"], "SYS.1003");
}

#[test]
fn cli_01_exit_codes_tell_what_sort_of_failure_it_was() {
    let expired = Mock::start(|_, _| refused(json!({"code": "ID.1001", "details": "session expired"})));
    assert_eq!(cairn(&expired, &["zone", "list"]).code, 4);
    assert_eq!(cairn(&expired, &["zone", "fly"]).code, 2);
    assert_eq!(cairn(&expired, &["vm", "stop"]).code, 2);
    assert_eq!(cairn(&expired, &["--help"]).code, 0);
    let home = tempfile::tempdir().unwrap();
    let nobody: Ran =
        program(home.path()).args(["zone", "list", "--server", "127.0.0.1:1"]).output().unwrap().into();
    assert_eq!(nobody.code, 4, "without a session nothing is sent: {}", nobody.err);
    let ran: Ran = program(home.path())
        .args(["management-node", "show-version", "--server", "127.0.0.1:1"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 3, "{}", ran.err);
}

#[test]
fn cli_01_plans_are_asked_for_and_shown() {
    let plan = json!({"plan": {"summary": "delete zone z", "steps": [{"step": "A", "text": "delete it", "why": "asked"}],
        "creates": [], "deletes": [{"type": "ZoneVO", "uuid": VM, "name": "z"}], "facts": {}}});
    let mock = Mock::start(move |_, _| answer(200, plan.clone()));
    let ran = cairn(&mock, &["zone", "delete", VM, "--plan"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out
            .starts_with("Plan: delete zone z\n   1. delete it\n      because asked\nDeletes:\n  - zone z\n"),
        "{}",
        ran.out
    );
    assert_eq!(mock.seen()[0].header("x-cairn-plan"), "true");
    let ran = cairn(&mock, &["zone", "delete", VM, "--plan", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["plan"]["steps"][0]["why"], "asked");
}

#[test]
fn cli_01_no_wait_prints_the_job_which_can_be_awaited() {
    let mock =
        Mock::start(
            |seen, _| if seen.line.starts_with("DELETE") { accepted("abc") } else { answer(200, json!({})) },
        );
    assert_eq!(cairn(&mock, &["zone", "delete", VM, "--no-wait"]).out, "abc\n");
    let ran = cairn(&mock, &["job", "wait", "abc"]);
    assert_eq!((ran.code, mock.lines()[1].as_str()), (0, "GET /zstack/v1/api-jobs/abc"));
    let running =
        Mock::start(
            |seen, _| if seen.line.contains("api-jobs") { answer(202, json!({})) } else { accepted("abc") },
        );
    let ran = cairn(&running, &["zone", "delete", VM, "--timeout", "0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cairn job wait abc"), "{}", ran.err);
}

#[test]
fn cli_01_lists_take_conditions_and_print_table_json_and_yaml() {
    let mock = Mock::start(|seen, _| match seen.line.contains("count=true") {
        true => answer(200, json!({"total": 7})),
        false => answer(
            200,
            json!({"inventories": [{"uuid": VM, "name": "true", "state": "Enabled"}], "schema": {"inventories[0]": "x"}}),
        ),
    });
    let ran = cairn(
        &mock,
        &[
            "zone",
            "list",
            "state=Enabled",
            "-q",
            "name~=z%",
            "--limit",
            "5",
            "--start",
            "2",
            "--sort",
            "-name",
        ],
    );
    assert_eq!(
        ran.out,
        format!("UUID                              NAME  STATE    DESCRIPTION\n{VM}  true  Enabled\n")
    );
    let line = &mock.lines()[0];
    for part in ["q=state%3DEnabled&q=name~%3Dz%25", "limit=5", "start=2", "sort=-name"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(cairn(&mock, &["zone", "list", "--fields", "name,state"]).out, "NAME  STATE\ntrue  Enabled\n");
    assert_eq!(
        cairn(&mock, &["zone", "list", "-o", "yaml"]).out,
        format!("- name: \"true\"\n  state: Enabled\n  uuid: {VM}\n")
    );
    assert_eq!(cairn(&mock, &["zone", "list", "--count"]).out, "7\n");
    let one: Value = serde_json::from_str(&cairn(&mock, &["zone", "get", VM, "-o", "json"]).out).unwrap();
    assert_eq!(one["uuid"], VM);
}

#[test]
fn cli_01_login_keeps_a_profile_that_later_calls_use() {
    let mock = Mock::start(|seen, _| match seen.line.as_str() {
        "PUT /zstack/v1/accounts/login"
            if seen.json()["logInByAccount"]["password"] == cairn_cli::arguments::hash("example") =>
        {
            answer(200, json!({"inventory": {"uuid": "5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a"}}))
        }
        "PUT /zstack/v1/accounts/login" => refused(json!({"code": "ID.1000", "details": "wrong password"})),
        _ => answer(200, json!({"inventories": []})),
    });
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str], password: &str| -> Ran {
        program(home.path()).env("CAIRN_PASSWORD", password).args(args).output().unwrap().into()
    };
    assert_eq!(run(&["login", "--server", &mock.address], "wrong").code, 1);
    assert_eq!(run(&["login", "--server", &mock.address, "--profile", "lab"], "example").code, 0);
    let file = home.path().join(".config/cairn/config.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("example"), "the password is not kept");
    assert_eq!(run(&["zone", "list"], "").code, 0);
    assert_eq!(mock.seen().last().unwrap().header("authorization"), "OAuth 5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a");
    assert_eq!(
        run(&["login", "--profile", "two", "--account", "second"], "example").code,
        0,
        "the same server is meant"
    );
    assert_eq!(run(&["profile", "use", "lab"], "").code, 0);
    let list = run(&["profile", "list"], "");
    assert!(
        list.out.contains("lab") && list.out.contains("admin") && !list.out.contains("5a1c0e8d"),
        "{}",
        list.out
    );
    // The session is not for other servers.
    assert_eq!(run(&["zone", "list", "--server", "127.0.0.1:1"], "").code, 4);
    assert_eq!(run(&["zone", "list", "--profile", "none"], "").code, 2);
    assert_eq!(run(&["logout"], "").code, 0);
    assert_eq!(
        mock.lines().last().unwrap(),
        "DELETE /zstack/v1/accounts/sessions/5a1c0e8d3f7b4c2e9d6a8b1f0c3e5d7a"
    );
    assert_eq!(run(&["zone", "list"], "").code, 4);
}

#[test]
fn cli_01_a_password_comes_from_standard_input_and_a_terminal_is_not_needed() {
    let mock = Mock::start(|_, _| answer(200, json!({"inventory": {"uuid": "s"}})));
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["login", "--server", &mock.address, "--password-stdin"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"example\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(mock.seen()[0].json()["logInByAccount"]["password"], cairn_cli::arguments::hash("example"));
    let ran: Ran = program(home.path()).args(["login", "--server", &mock.address]).output().unwrap().into();
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--password-stdin"), "{}", ran.err);
}

#[test]
fn cli_01_access_keys_sign_every_request() {
    let mock = Mock::start(|_, _| answer(200, json!({"inventories": [], "total": 0})));
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| -> Ran {
        program(home.path()).env("CAIRN_PASSWORD", "example-secret").args(args).output().unwrap().into()
    };
    assert_eq!(run(&["login", "--server", &mock.address, "--access-key", "KEY1234567"]).code, 0);
    assert_eq!(run(&["zone", "list", "name=a"]).code, 0);
    for seen in mock.seen() {
        let path = if seen.line.contains("zones") { "/v1/zones" } else { "/v1/vm-instances" };
        let expected =
            cairn_cli::sign::authorization("KEY1234567", "example-secret", "GET", seen.header("date"), path);
        assert_eq!(seen.header("authorization"), expected);
    }
    let bad =
        Mock::start(|_, _| refused(json!({"code": "SYS.1000", "details": "wrong accessKey signature"})));
    assert_eq!(run(&["login", "--server", &bad.address, "--access-key", "KEY1234567"]).code, 4);
}

#[test]
fn cli_01_raw_calls_print_the_whole_answer() {
    let mock = Mock::start(|_, _| answer(200, json!({"inventories": [], "schema": {}})));
    let ran = cairn(&mock, &["api", "QueryZone", "--json", r#"{"q": ["name=a"]}"#]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!({"inventories": [], "schema": {}}));
    assert_eq!(mock.lines(), ["GET /zstack/v1/zones?q=name%3Da"]);
    assert_eq!(cairn(&mock, &["api", "QueryZone", "--json", "[1]"]).code, 2);
    assert_eq!(cairn(&mock, &["api", "NoSuchCall"]).code, 2);
    assert!(cairn(&mock, &["api", "--list"]).out.contains("CreateVmInstance\n"));
}

#[test]
fn cli_01_events_are_followed_across_a_broken_connection() {
    let mock = Mock::start(|seen, n| {
        let event = |id: usize| {
            format!("id: {id}\nevent: change\ndata: {}\n\n", json!({"cursor": id, "kind": "updated"}))
        };
        let hello = "event: hello\ndata: {\"cursor\":4}\n\n".to_owned();
        match n {
            0 => (200, "text/event-stream", hello + &event(5)),
            1 => (200, "text/event-stream", event(6) + &event(7)),
            _ => panic!("{}", seen.line),
        }
    });
    let ran = cairn(&mock, &["events", "--since", "4", "--count", "3", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let cursors: Vec<Value> =
        ran.out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["cursor"].clone()).collect();
    assert_eq!(cursors, [5, 6, 7]);
    assert_eq!(mock.lines(), ["GET /zstack/v1/cairn/events?since=4", "GET /zstack/v1/cairn/events?since=5"]);
}

#[test]
fn cli_01_a_job_is_awaited_while_the_server_restarts() {
    // The first poll breaks off; the next one finds the result.
    let mock = Mock::start(|seen, n| match (seen.line.contains("api-jobs"), n) {
        (false, _) => accepted("j"),
        (true, 1) => hang_up(),
        _ => answer(200, json!({"inventory": {"uuid": VM, "name": "z"}})),
    });
    let ran = cairn(&mock, &["zone", "create", "z", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(mock.lines().len(), 3);
}

#[test]
fn cli_01_a_state_can_be_waited_for_and_a_console_opened() {
    let mock = Mock::start(|seen, n| match seen.line.as_str() {
        "POST /zstack/v1/consoles" => accepted("c"),
        line if line.contains("api-jobs") => answer(
            200,
            json!({"inventory": {"scheme": "ws", "hostname": "10.0.0.5", "port": 5000, "token": "t0k"}}),
        ),
        _ => answer(
            200,
            json!({"inventories": [{"uuid": VM, "state": if n < 2 { "Starting" } else { "Running" }}]}),
        ),
    });
    let ran = cairn(&mock, &["vm", "wait", VM, "--state", "running", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["state"], "Running");
    let page = format!("http://10.0.0.5:5000/vms/{VM}/console\n");
    assert_eq!(cairn(&mock, &["vm", "console-url", VM]).out, page);
    assert_eq!(
        cairn(&mock, &["vm", "console-url", VM, "--websocket"]).out,
        "ws://10.0.0.5:5000/console/t0k\n"
    );
    let never = Mock::start(|_, _| answer(200, json!({"inventories": [{"uuid": VM, "state": "Stopped"}]})));
    assert_eq!(cairn(&never, &["vm", "wait", VM, "--state", "Running", "--timeout", "0"]).code, 1);
}
