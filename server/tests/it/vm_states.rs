//! VM-34: what may be asked of a VM follows from its state, in the list that comes with it, in the calls themselves, and in
//! tags that mean the same as calls.

use std::time::{Duration, Instant};

use cairn_store::{Tx, params};
use cairn_testkit::{Api, Cloud, Failure, World};
use cairn_types::state::{VmAction, VmState};
use serde_json::{Value, json};

/// The states that allow each action, as the manual (7.3.1.4) and the table of the original have it. What they do not name
/// (host name, key, owner, name) is allowed while the VM is there and its host is known.
const ALLOWED: &[(&str, &[&str])] = &[
    ("StartVmInstance", &["Created", "Stopped"]),
    ("StopVmInstance", &["Running", "Stopped", "Paused", "Unknown"]),
    ("RebootVmInstance", &["Running"]),
    ("PauseVmInstance", &["Running"]),
    ("ResumeVmInstance", &["Paused"]),
    (
        "DestroyVmInstance",
        &[
            "Created",
            "Starting",
            "Running",
            "Stopping",
            "Stopped",
            "Rebooting",
            "Migrating",
            "Pausing",
            "Paused",
            "Resuming",
            "VolumeMigrating",
            "Unknown",
        ],
    ),
    ("RecoverVmInstance", &["Destroyed"]),
    ("ExpungeVmInstance", &["Destroyed"]),
    ("RequestConsoleAccess", &["Running"]),
    ("GetVmConsoleAddress", &["Running"]),
    (
        "UpdateVmInstance",
        &[
            "Created",
            "Starting",
            "Running",
            "Stopping",
            "Stopped",
            "Rebooting",
            "Migrating",
            "Pausing",
            "Paused",
            "Resuming",
            "VolumeMigrating",
            "Unknown",
        ],
    ),
    ("SetVmStaticIp", &["Stopped"]),
    ("DeleteVmStaticIp", &["Running", "Stopped", "Paused"]),
    ("SetVmHostname", &["Created", "Running", "Stopped", "Paused"]),
    ("DeleteVmHostname", &["Created", "Running", "Stopped", "Paused"]),
    ("SetVmSshKey", &["Created", "Running", "Stopped", "Paused"]),
    ("DeleteVmSshKey", &["Created", "Running", "Stopped", "Paused"]),
    ("GetVmStartingCandidateClustersHosts", &["Stopped"]),
    ("ChangeResourceOwner", &["Created", "Running", "Stopped", "Paused"]),
];

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// The parameters of an action's call.
async fn of(api: &Api, action: &str, vm: &str, world: &World, receiver: &str) -> Value {
    match action {
        "SetVmHostname" => json!({ "uuid": vm, "hostname": "h" }),
        "RequestConsoleAccess" => json!({ "vmInstanceUuid": vm }),
        "UpdateVmInstance" => json!({ "uuid": vm, "description": "new" }),
        "SetVmStaticIp" => {
            let free = api.ok("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": world.l3, "limit": 1 })).await;
            let ip = &free["inventories"][0]["ip"];
            json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3, "ip": ip })
        }
        "DeleteVmStaticIp" => json!({ "vmInstanceUuid": vm, "l3NetworkUuid": world.l3 }),
        "SetVmSshKey" => json!({ "uuid": vm, "SshKey": "ssh-ed25519 AAAA me@home" }),
        "ChangeResourceOwner" => json!({ "resourceUuid": vm, "accountUuid": receiver }),
        _ => json!({ "uuid": vm }),
    }
}

async fn put(cloud: &Cloud, vm: &str, state: VmState) {
    let uuid = vm.to_owned();
    let sql = "UPDATE vm_instance SET state = ? WHERE uuid = ?";
    let put = move |tx: &mut dyn Tx| tx.execute(sql, params![state.as_str(), &uuid]);
    cloud.app().store.write(put).await.unwrap();
}

/// A refusal tells VM, state, action, and what would be needed.
fn assert_says_why(refused: &Failure, vm: &str, state: &str, action: &str, states: &[&str]) {
    assert!(refused.has_code("VM.1010") && refused.code() == "SYS.1006", "{action} in {state}: {refused}");
    let needs = format!("VM {vm} is {state} and can't do {action}; that needs one of the states ");
    let details = refused.details();
    assert!(details.starts_with(&needs), "{action} in {state}: {details}");
    for good in states {
        assert!(
            details[needs.len()..].contains(good),
            "{action} in {state} does not tell of {good}: {details}"
        );
    }
}

/// Every action in every state that forbids it; transitional states are set by hand, as no run is to hold them.
#[tokio::test]
async fn vm_34_every_state_lists_what_it_allows_and_refuses_the_rest() {
    assert_eq!(ALLOWED.len(), VmAction::ALL.len(), "every action");
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let receiver = cloud.account("receiver").await.account;
    let vm = text(&world.create_vm(&cloud.admin, "vm").await, "uuid");
    let mut refused = 0;
    for state in VmState::ALL {
        let to = state.as_str();
        put(&cloud, &vm, *state).await;
        let shown = cloud.admin.one("QueryVmInstance", &vm).await;
        let mut listed: Vec<String> = shown["allowedActions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a.as_str().unwrap().to_owned())
            .collect();
        let mut right: Vec<&str> = ALLOWED.iter().filter(|(_, s)| s.contains(&to)).map(|(a, _)| *a).collect();
        listed.sort_unstable();
        right.sort_unstable();
        assert_eq!(listed, right, "{to}");
        for (action, states) in ALLOWED.iter().filter(|(_, s)| !s.contains(&to)) {
            // A deletion that was begun is carried on by the next one, and one that is done is done.
            let deletes = matches!(*action, "DestroyVmInstance" | "ExpungeVmInstance");
            if deletes && matches!(to, "Destroying" | "Expunging") {
                continue;
            }
            put(&cloud, &vm, *state).await;
            let params = of(&cloud.admin, action, &vm, &world, &receiver).await;
            let answer = cloud.admin.call(action, params).await;
            let failure = answer.err().unwrap_or_else(|| panic!("{action} went well in {to}"));
            assert_says_why(&failure, &vm, to, action, states);
            let now = text(&cloud.admin.one("QueryVmInstance", &vm).await, "state");
            assert_eq!(now, to, "{action} changed the state");
            refused += 1;
        }
    }
    assert!(refused > 180, "{refused}");
}

/// Where an allowed action leads from each state that a VM can be left in.
fn leads_to(action: &str, from: &'static str) -> &'static str {
    match (action, from) {
        ("StartVmInstance" | "RebootVmInstance" | "ResumeVmInstance", _) => "Running",
        ("StopVmInstance" | "RecoverVmInstance", _) => "Stopped",
        ("PauseVmInstance", _) => "Paused",
        // One that never ran has nothing to recover.
        ("DestroyVmInstance", "Created") | ("ExpungeVmInstance", _) => "gone",
        ("DestroyVmInstance", _) => "Destroyed",
        _ => from,
    }
}

async fn in_state(api: &Api, world: &World, state: &str) -> String {
    let mut params = world.vm("vm");
    params["strategy"] = json!(match state {
        "Created" => "JustCreate",
        "Stopped" => "CreateStopped",
        _ => "InstantStart",
    });
    let vm = text(&api.make("CreateVmInstance", params).await, "uuid");
    match state {
        "Paused" => drop(api.ok("PauseVmInstance", json!({ "uuid": vm })).await),
        "Destroyed" => drop(api.ok("DestroyVmInstance", json!({ "uuid": vm })).await),
        _ => {}
    }
    vm
}

#[tokio::test]
async fn vm_34_what_a_state_allows_can_be_done() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let receiver = cloud.account("receiver").await.account;
    for state in ["Created", "Stopped", "Running", "Paused", "Destroyed"] {
        for (action, _) in ALLOWED.iter().filter(|(_, s)| s.contains(&state)) {
            let vm = in_state(api, &world, state).await;
            let params = of(api, action, &vm, &world, &receiver).await;
            api.call(action, params).await.unwrap_or_else(|f| panic!("{action} in {state}: {f}"));
            let found = api.list("QueryVmInstance", &[&format!("uuid={vm}")]).await;
            let now = found.first().map_or_else(|| "gone".to_owned(), |v| text(v, "state"));
            assert_eq!(now, leads_to(action, state), "{action} in {state}");
            let _ = api.call("DestroyVmInstance", json!({ "uuid": vm })).await;
            let _ = api.call("ExpungeVmInstance", json!({ "uuid": vm })).await;
        }
    }
    cloud.assert_sane("every allowed action").await;
}

#[tokio::test]
async fn vm_34_tags_that_mean_a_call_are_refused_like_the_call() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let vm = text(&world.create_vm(api, "vm").await, "uuid");
    let tag = |tag: &str| json!({ "resourceType": "VmInstanceVO", "resourceUuid": vm, "tag": tag });
    let name = api.make("CreateSystemTag", tag("hostname::web")).await;
    put(&cloud, &vm, VmState::Unknown).await;
    let ip = format!("staticIp::{}::10.7.0.98", world.l3);
    for (new, action) in [(ip.as_str(), "SetVmStaticIp"), ("sshkey::ssh-ed25519 AAAA", "SetVmSshKey")] {
        assert_says_why(&api.fails("CreateSystemTag", tag(new)).await, &vm, "Unknown", action, &[]);
    }
    let change = json!({ "uuid": name["uuid"], "tag": "hostname::other" });
    assert_says_why(&api.fails("UpdateSystemTag", change).await, &vm, "Unknown", "SetVmHostname", &[]);
    let delete = json!({ "uuid": name["uuid"] });
    assert_says_why(&api.fails("DeleteTag", delete).await, &vm, "Unknown", "DeleteVmHostname", &[]);
    // A tag that means no call goes on.
    api.ok("CreateUserTag", tag("blue")).await;
}

async fn becomes(api: &Api, vm: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    while text(&api.one("QueryVmInstance", vm).await, "state") != wanted {
        assert!(Instant::now() < end, "VM {vm} does not become {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The host is lost for real here: what is allowed meets a host that does not answer.
#[tokio::test]
async fn vm_34_everything_that_can_be_asked_of_a_vm_whose_host_is_lost() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let api = &cloud.admin;
    let receiver = cloud.account("receiver").await.account;
    let vm = text(&world.create_vm(api, "vm").await, "uuid");
    let other = text(&world.create_vm(api, "other").await, "uuid");
    let machine = cloud.machines.host(&world.hosts[0]);
    machine.disconnect();
    becomes(api, &vm, "Unknown").await;
    becomes(api, &other, "Unknown").await;
    for (action, states) in ALLOWED.iter().filter(|(_, s)| !s.contains(&"Unknown")) {
        let refused = api.fails(action, of(api, action, &vm, &world, &receiver).await).await;
        assert_says_why(&refused, &vm, "Unknown", action, states);
    }
    for reads in ["GetVmHostname", "GetVmSshKey", "GetVmCapabilities"] {
        api.ok(reads, json!({ "uuid": vm })).await;
    }
    api.ok("UpdateVmInstance", json!({ "uuid": vm, "name": "lost" })).await;
    // Whether it stopped, nobody can tell: it stays what it is.
    let refused = api.fails("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
    assert!(refused.has_code("VM.1002") || refused.details().contains("could not be stopped"), "{refused}");
    assert_eq!(text(&api.one("QueryVmInstance", &vm).await, "state"), "Unknown");
    // A deletion needs no answer: the host is told when it is back.
    api.ok("DestroyVmInstance", json!({ "uuid": other })).await;
    assert_eq!(text(&api.one("QueryVmInstance", &other).await, "state"), "Destroyed");
    api.ok("ExpungeVmInstance", json!({ "uuid": other })).await;
    machine.reconnect();
    becomes(api, &vm, "Running").await;
    assert!(cloud.converged().await);
    assert!(!machine.vms().contains_key(&other), "the guest was removed when its host came back");
    assert_eq!(text(&api.one("QueryVmInstance", &vm).await, "name"), "lost");
    cloud.assert_sane("a host that came back").await;
}
