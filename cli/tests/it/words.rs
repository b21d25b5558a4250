//! What `cairn` says: names for uuids, flags for parameters, and what to do next.

use serde_json::{Value, json};

use crate::mock::{Mock, accepted, answer, cairn, refused};

const VM: &str = "0f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
const HOST: &str = "1f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
const IMAGE: &str = "2f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";
const ALICE: &str = "3f6f3c7be3a94dcdb8b7f5b0c2a1d9e4";

/// A cloud with one VM `web-1`, which is paused on host `rack1`, an image `debian-12` and an account `alice`.
fn cloud() -> Mock {
    Mock::start(|seen, _| {
        let line = seen.line.as_str();
        let named = |wanted: &str| !line.contains("name%3D") || line.contains(&format!("name%3D{wanted}"));
        let list =
            |yes: bool, row: Value| answer(200, json!({"inventories": if yes { vec![row] } else { vec![] }}));
        if line.contains("/resources/names") {
            let name = |uuid: &str, name: &str, entity: &str| json!({"uuid": uuid, "resourceName": name, "resourceType": entity});
            let all = [
                name(VM, "web-1", "VmInstanceVO"),
                name(HOST, "rack1", "HostVO"),
                name(IMAGE, "debian-12", "ImageVO"),
            ];
            let asked = all.into_iter().filter(|row| line.contains(row["uuid"].as_str().unwrap()));
            return answer(200, json!({"inventories": asked.collect::<Vec<_>>()}));
        }
        if line.contains("/resources/accounts") {
            return answer(200, json!({"inventories": {VM: {"name": "alice"}}}));
        }
        if line.starts_with("GET /zstack/v1/vm-instances") {
            let vm = json!({"uuid": VM, "name": "web-1", "state": "Paused", "hostUuid": HOST, "memorySize": 1 << 30,
                "allowedActions": ["ResumeVmInstance", "StopVmInstance", "SetVmHostname"]});
            return list(named("web-1"), vm);
        }
        if line.starts_with("GET /zstack/v1/images?") {
            return list(named("debian-12"), json!({"uuid": IMAGE, "name": "debian-12"}));
        }
        if line.starts_with("GET /zstack/v1/accounts?") {
            return list(named("alice"), json!({"uuid": ALICE, "name": "alice"}));
        }
        if line.starts_with("GET /zstack/v1/global-configurations?") {
            return list(true, json!({"category": "vm", "name": "deletionPolicy", "value": "Delay"}));
        }
        if line.contains("/actions") && seen.json().get("startVmInstance").is_some() {
            let text = format!("VM {VM} is Paused and can't do StartVmInstance");
            let params = json!({"params": {"allowedStates": ["Stopped"]}});
            let cause = json!({"code": "VM.1010", "details": text, "opaque": params});
            return refused(json!({"code": "SYS.1006", "details": text, "cause": cause}));
        }
        match seen.line.as_str() {
            "POST /zstack/v1/vm-instances" => {
                refused(json!({"code": "SYS.1007", "details": "l3NetworkUuids is missing"}))
            }
            _ if line.starts_with("GET ") => answer(200, json!({"inventories": []})),
            _ => answer(200, json!({})),
        }
    })
}

#[test]
fn cli_01_tables_show_names_and_owners_and_json_keeps_uuids() {
    let mock = cloud();
    assert_eq!(
        cairn(&mock, &["vm", "list", "--limit", "5"]).out,
        format!(
            "UUID                              NAME   STATE   IP  CPU-NUM  MEMORY-SIZE  HOST   ACCOUNT\n\
             {VM}  web-1  Paused               1 GiB        rack1  alice\n"
        )
    );
    let names = mock.lines().into_iter().filter(|l| l.contains("/resources/names")).count();
    assert_eq!(names, 1, "one question for all names");
    let ran = cairn(&mock, &["vm", "list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()[0]["hostUuid"], HOST);
    let ran = cairn(&mock, &["vm", "get", "web-1"]);
    assert!(
        ran.out.contains(&format!("rack1 ({HOST})")) && ran.out.contains("vm resume, vm stop"),
        "{}",
        ran.out
    );
}

#[test]
fn cli_01_any_uuid_may_be_typed_as_a_name() {
    let mock = cloud();
    let last = || mock.seen().last().unwrap().clone();
    let ran = cairn(&mock, &["resource", "share", "debian-12", "vm/web-1", "--account", "alice"]);
    assert_eq!(ran.out, "resource share debian-12, vm/web-1: done\n", "{}", ran.err);
    assert_eq!(
        last().json()["shareResource"],
        json!({"resourceUuids": [IMAGE, VM], "accountUuids": [ALICE]})
    );
    cairn(&mock, &["resource", "change-owner", "web-1", "alice"]);
    assert_eq!(last().line, format!("POST /zstack/v1/account/{ALICE}/resources"));
    assert_eq!(last().json()["params"], json!({"resourceUuid": VM}));
    cairn(&mock, &["user-tag", "create", "web-1", "blue"]);
    assert_eq!(
        last().json()["params"],
        json!({"resourceType": "VmInstanceVO", "resourceUuid": VM, "tag": "blue"})
    );
    cairn(&mock, &["quota", "update", "alice", "vm.num", "5"]);
    assert_eq!(last().json()["updateQuota"], json!({"identityUuid": ALICE, "name": "vm.num", "value": 5}));
    cairn(&mock, &["vm", "list", "image=debian-12"]);
    assert!(mock.lines().iter().any(|l| l.contains(&format!("q=imageUuid%3D{IMAGE}"))));
    let ran = cairn(&mock, &["resource", "share", "nothing", "--to-public"]);
    assert!(ran.code == 1 && ran.err.contains("nothing has the name \"nothing\""), "{}", ran.err);
}

#[test]
fn cli_01_settings_are_named_by_category_and_name() {
    let mock = cloud();
    let ran = cairn(&mock, &["global-config", "get", "vm", "deletionPolicy"]);
    assert!(ran.code == 0 && ran.out.contains("Delay"), "{}{}", ran.out, ran.err);
    assert!(mock.lines()[0].ends_with("q=category%3Dvm&q=name%3DdeletionPolicy"), "{:?}", mock.lines());
    cairn(&mock, &["global-config", "update", "vm", "deletionPolicy", "Never"]);
    assert_eq!(mock.seen().last().unwrap().json(), json!({"updateGlobalConfig": {"value": "Never"}}));
}

#[test]
fn cli_01_what_is_missing_is_named_together_with_what_there_is() {
    let mock = cloud();
    let ran = cairn(&mock, &["vm", "stop"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (2, "error: vm stop needs what was not given:\n  VM  VM instance to stop; there is: web-1\n")
    );
    let ran = cairn(&mock, &["l2-network", "create-no-vlan"]);
    for part in ["  NAME ", "  --zone NAME|UUID ", "  --physical-interface "] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    let ran = cairn(&mock, &["vm", "create", "x"]);
    for part in [
        "error: --l3-network is missing (SYS.1007)",
        "  --instance-offering ",
        "there is: debian-12",
        "--cpu-num",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert!(cairn(&mock, &["vm", "create", "--help"]).out.contains("[needed as a rule]"));
    let many = cairn(&mock, &["host", "add-simulators", "--help"]).out;
    assert!(many.contains("`{n}` in it stands") && many.contains("[default: sim-{n}]"), "{many}");
}

#[test]
fn cli_01_a_refusal_speaks_of_what_was_typed_and_says_what_is_possible() {
    let ran = cairn(&cloud(), &["vm", "start", "web-1"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            1,
            "error: VM web-1 is Paused and can't do vm start (VM.1010)\npossible now:\n  cairn vm resume web-1\n  cairn vm stop web-1\n"
        )
    );
}

#[test]
fn cli_01_typing_mistakes_get_a_suggestion_and_conditions_an_example() {
    let mock = Mock::start(|_, _| (400, "text/plain", "no operator in the condition 'name'".to_owned()));
    let ran = cairn(&mock, &["vm", "list", "name"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("cairn vm list name=web-1") && ran.err.contains("memorySize"), "{}", ran.err);
    assert!(cairn(&mock, &["vms", "list"]).err.contains("'vm'"));
    assert!(cairn(&mock, &["vm", "stopp", "x"]).err.contains("'stop'"));
}

#[test]
fn cli_01_what_the_guest_gets_has_flags_of_its_own() {
    let mock = Mock::start(|seen, _| match seen.line.as_str() {
        "POST /zstack/v1/vm-instances" => accepted("j"),
        _ => answer(200, json!({})),
    });
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key.pub");
    std::fs::write(&key, "ssh-ed25519 AAAA me\n").unwrap();
    let (ip, key) = (format!("{HOST}=10.0.0.9"), key.display().to_string());
    let ran = cairn(
        &mock,
        &["vm", "create", "v", "--l3-network", HOST, "--ssh-key-file", &key, "--hostname", "v1", "--ip", &ip],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        mock.seen()[0].json()["systemTags"],
        json!(["sshkey::ssh-ed25519 AAAA me", "hostname::v1", format!("staticIp::{HOST}::10.0.0.9")])
    );
}

#[test]
fn cli_01_what_was_made_is_shown_as_it_is_now_with_what_is_told_once() {
    let mock = Mock::start(|seen, _| match seen.line.as_str() {
        "POST /zstack/v1/accesskeys" => accepted("j"),
        line if line.contains("api-jobs") => answer(
            200,
            json!({"inventory": {"uuid": VM, "createDate": "Nov 30, 2026 1:37:50 PM", "AccessKeySecret": "once"}}),
        ),
        line if line.contains("/accesskeys?") => {
            answer(200, json!({"inventories": [{"uuid": VM, "createDate": "2026-11-30T13:37:50.408Z"}]}))
        }
        _ => answer(200, json!({"inventories": []})),
    });
    let ran = cairn(&mock, &["access-key", "create", "--account", ALICE]);
    assert!(
        ran.out.contains("2026-11-30T13:37:50.408Z") && ran.out.contains("once"),
        "{}{}",
        ran.out,
        ran.err
    );
}
