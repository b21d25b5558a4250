//! The life of VMs on simulated hosts: every operation is seen by another path than its own answer.

use std::time::{Duration, Instant};

use cairn_api::agent::vm::PowerState;
use cairn_testkit::{Api, Cloud, World};
use serde_json::{Value, json};

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

async fn state(api: &Api, vm: &str) -> String {
    text(&api.one("QueryVmInstance", vm).await, "state")
}

/// Waits until a VM is in a state.
async fn becomes(api: &Api, vm: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        if state(api, vm).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("VM {vm} is {} and not {wanted}", state(api, vm).await);
}

async fn running(cloud: &Cloud, world: &World) -> (String, String) {
    let vm = world.create_vm(&cloud.admin, "vm").await;
    (text(&vm, "uuid"), text(&vm, "hostUuid"))
}

async fn policy(cloud: &Cloud, name: &str, value: &str) {
    cloud.admin.ok("UpdateGlobalConfig", json!({ "category": "vm", "name": name, "value": value })).await;
}

#[tokio::test]
async fn vm_01_a_created_vm_runs_on_its_host_with_its_address() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let vm = world.create_vm(&cloud.admin, "web").await;
    assert_eq!((text(&vm, "state"), text(&vm, "name")), ("Running".into(), "web".into()));
    let host = cloud.machines.host(&world.hosts[0]);
    assert_eq!(host.vm_state(&text(&vm, "uuid")), PowerState::Running);
    let leases = host.leases(&world.l3).expect("services on the host");
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].ip, text(&vm["vmNics"][0], "ip"));
    assert!(host.volumes().contains_key(&text(&vm, "rootVolumeUuid")));
    cloud.assert_sane("a running VM").await;
}

#[tokio::test]
async fn vm_01_strategies_stop_half_way() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    for (strategy, wanted, files) in [("JustCreate", "Created", 0), ("CreateStopped", "Stopped", 1)] {
        let mut params = world.vm(strategy);
        params["strategy"] = json!(strategy);
        let vm = text(&cloud.admin.make("CreateVmInstance", params).await, "uuid");
        assert_eq!(state(&cloud.admin, &vm).await, wanted);
        assert_eq!(cloud.machines.host(&world.hosts[0]).vm_state(&vm), PowerState::Off);
        assert_eq!(cloud.machines.host(&world.hosts[0]).volumes().len(), files);
        cloud.admin.ok("StartVmInstance", json!({ "uuid": vm })).await;
        assert_eq!(cloud.machines.host(&world.hosts[0]).vm_state(&vm), PowerState::Running);
        cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
        cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    }
    cloud.assert_sane("strategies").await;
}

#[tokio::test]
async fn vm_01_a_vm_that_is_only_made_has_no_lease_on_its_host() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, host) = (cloud.admin.clone(), cloud.machines.host(&world.hosts[0]));
    let (other, _) = running(&cloud, &world).await;
    // While its disk is made, another VM brings the network up to date on the host.
    host.delay("volume.create", std::time::Duration::from_millis(300));
    let mut params = world.vm("made");
    params["strategy"] = json!("CreateStopped");
    let maker = api.clone();
    let made = tokio::spawn(async move { maker.make("CreateVmInstance", params).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    api.ok("StopVmInstance", json!({ "uuid": other, "type": "cold" })).await;
    api.ok("StartVmInstance", json!({ "uuid": other })).await;
    assert!(!made.is_finished(), "the other VM came too late");
    made.await.unwrap();
    cloud.assert_sane("a VM that is made, and one that runs").await;
    assert_eq!(host.leases(&world.l3).unwrap().len(), 1);
}

#[tokio::test]
async fn flat_01_a_host_that_could_not_take_a_lease_away_is_asked_again() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let host = cloud.machines.host(&world.hosts[0]);
    let (first, _) = running(&cloud, &world).await;
    let second = text(&world.create_vm(&cloud.admin, "second").await, "uuid");
    host.fail("network.applyL3", 1, cairn_types::Fault::operation("not now"));
    cloud.admin.ok("StopVmInstance", json!({ "uuid": second, "type": "cold" })).await;
    cloud.assert_sane("a lease that was taken away in the end").await;
    let leases = host.leases(&world.l3).unwrap();
    assert_eq!(leases.iter().map(|l| l.vm.as_str()).collect::<Vec<_>>(), [first]);
    assert_eq!(host.waiting_faults(), 0, "the host was not asked");
}

#[tokio::test]
async fn vm_04_stop_start_reboot_pause_and_resume_reach_the_guest() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (api, host) = (&cloud.admin, cloud.machines.host(&world.hosts[0]));
    let (vm, _) = running(&cloud, &world).await;
    let it = json!({ "uuid": vm });
    let began = host.vms()[&vm].starts;
    api.ok("RebootVmInstance", it.clone()).await;
    assert!(host.vms()[&vm].starts > began, "the guest was started anew");
    api.ok("PauseVmInstance", it.clone()).await;
    assert_eq!((host.vm_state(&vm), state(api, &vm).await), (PowerState::Paused, "Paused".into()));
    api.ok("ResumeVmInstance", it.clone()).await;
    assert_eq!((host.vm_state(&vm), state(api, &vm).await), (PowerState::Running, "Running".into()));
    let used = api.ok("GetCpuMemoryCapacity", json!({ "hostUuids": world.hosts })).await;
    api.ok("StopVmInstance", it.clone()).await;
    assert_eq!((host.vm_state(&vm), state(api, &vm).await), (PowerState::Off, "Stopped".into()));
    let free = api.ok("GetCpuMemoryCapacity", json!({ "hostUuids": world.hosts })).await;
    assert!(free["availableMemory"].as_i64() > used["availableMemory"].as_i64(), "memory is given back");
    api.ok("StartVmInstance", it).await;
    assert_eq!(host.vm_state(&vm), PowerState::Running);
    cloud.assert_sane("a restarted VM").await;
}

#[tokio::test]
async fn vm_05_a_vm_on_shared_storage_starts_on_a_chosen_host() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let api = &cloud.admin;
    let storage = json!({
        "name": "shared", "url": "sim://shared", "zoneUuid": world.zone, "totalCapacity": 1_i64 << 40,
        "availableCapacity": 1_i64 << 40,
    });
    let storage = text(&api.make("AddSimulatorPrimaryStorage", storage).await, "uuid");
    let attach = json!({ "primaryStorageUuid": storage, "clusterUuid": world.cluster });
    api.ok("AttachPrimaryStorageToCluster", attach).await;
    let mut params = world.vm("wanderer");
    params["primaryStorageUuidForRootVolume"] = json!(storage);
    let vm = api.make("CreateVmInstance", params).await;
    let (uuid, first) = (text(&vm, "uuid"), text(&vm, "hostUuid"));
    let second = world.hosts.iter().find(|h| **h != first).expect("another host").clone();
    for host in [second, first] {
        api.ok("StopVmInstance", json!({ "uuid": uuid, "type": "cold" })).await;
        api.ok("StartVmInstance", json!({ "uuid": uuid, "hostUuid": host })).await;
        assert_eq!(text(&api.one("QueryVmInstance", &uuid).await, "hostUuid"), host);
        assert_eq!(cloud.machines.host(&host).vm_state(&uuid), PowerState::Running);
        cloud.assert_sane("a VM on another host").await;
    }
    api.ok("DestroyVmInstance", json!({ "uuid": uuid })).await;
    api.ok("ExpungeVmInstance", json!({ "uuid": uuid })).await;
    cloud.assert_sane("no VM on shared storage").await;
    assert_eq!(cloud.machines.snapshot().shared_volumes.values().map(|v| v.len()).sum::<usize>(), 0);
}

#[tokio::test]
async fn vm_04_a_guest_that_does_not_listen_is_powered_off() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (vm, host) = running(&cloud, &world).await;
    cloud.machines.host(&host).make_stubborn(&vm, true);
    let short = json!({ "category": "cairn", "name": "vm.stopTimeout", "value": "1" });
    cloud.admin.ok("UpdateGlobalConfig", short).await;
    cloud.admin.ok("StopVmInstance", json!({ "uuid": vm, "type": "grace" })).await;
    assert_eq!(cloud.machines.host(&host).vm_state(&vm), PowerState::Off);
}

#[tokio::test]
async fn vm_21_delay_keeps_a_destroyed_vm_until_its_time_has_passed() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (vm, host) = running(&cloud, &world).await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(state(&cloud.admin, &vm).await, "Destroyed");
    assert_eq!(cloud.machines.host(&host).volumes().len(), 1, "its volume is kept");
    cloud.inside(|app| async move { cairn_server::compute::expunge::due(&app).await }).await.unwrap();
    assert!(cloud.converged().await);
    assert_eq!(state(&cloud.admin, &vm).await, "Destroyed", "its time has not come");
    cloud.admin.ok("RecoverVmInstance", json!({ "uuid": vm })).await;
    assert_eq!(state(&cloud.admin, &vm).await, "Stopped");
    cloud.admin.ok("StartVmInstance", json!({ "uuid": vm })).await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    let long_ago = |tx: &mut dyn cairn_store::Tx| tx.execute("UPDATE vm_instance SET destroyed_ms = 1", &[]);
    cloud.app().store.write(long_ago).await.unwrap();
    cloud.inside(|app| async move { cairn_server::compute::expunge::due(&app).await }).await.unwrap();
    assert!(cloud.converged().await);
    assert!(cloud.admin.list("QueryVmInstance", &[]).await.is_empty());
    assert!(cloud.machines.host(&host).volumes().is_empty());
    cloud.assert_sane("an expunged VM").await;
}

#[tokio::test]
async fn vm_21_direct_expunges_at_once_and_never_waits_for_the_admin() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (vm, host) = running(&cloud, &world).await;
    policy(&cloud, "deletionPolicy", "Direct").await;
    cloud.admin.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    assert!(cloud.admin.list("QueryVmInstance", &[]).await.is_empty());
    assert!(cloud.machines.host(&host).volumes().is_empty());

    policy(&cloud, "deletionPolicy", "Never").await;
    let tenant = cloud.account("tenant").await;
    world.share_with(&cloud.admin, &tenant.account).await;
    let vm = text(&world.create_vm(&tenant, "vm").await, "uuid");
    tenant.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
    let long_ago = |tx: &mut dyn cairn_store::Tx| tx.execute("UPDATE vm_instance SET destroyed_ms = 1", &[]);
    cloud.app().store.write(long_ago).await.unwrap();
    cloud.inside(|app| async move { cairn_server::compute::expunge::due(&app).await }).await.unwrap();
    assert!(cloud.converged().await);
    assert_eq!(state(&cloud.admin, &vm).await, "Destroyed");
    assert_eq!(tenant.fails("ExpungeVmInstance", json!({ "uuid": vm })).await.code(), "ID.1002");
    cloud.admin.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    cloud.assert_sane("policies").await;
}

#[tokio::test]
async fn vm_24_vms_are_found_by_what_is_known_of_them() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    let tenant = cloud.account("tenant").await;
    world.share_with(&cloud.admin, &tenant.account).await;
    let mut params = world.vm("web-1");
    params["systemTags"] = json!(["hostname::web-one"]);
    params["userTags"] = json!(["blue"]);
    let vm = tenant.make("CreateVmInstance", params).await;
    world.create_vm(&cloud.admin, "other").await;
    let host = cloud.admin.one("QueryHost", &text(&vm, "hostUuid")).await;
    let offering = text(&vm, "instanceOfferingUuid");
    for condition in [
        "name=web-1".to_owned(),
        "name~=web%".to_owned(),
        format!("uuid={}", text(&vm, "uuid")),
        format!("vmNics.ip={}", text(&vm["vmNics"][0], "ip")),
        "__systemTag__=hostname::web-one".to_owned(),
        "__userTag__=blue".to_owned(),
    ] {
        let found = cloud.admin.list("QueryVmInstance", &[&condition]).await;
        assert_eq!(found.len(), 1, "{condition}");
        assert_eq!(found[0]["uuid"], vm["uuid"], "{condition}");
    }
    let by_host = format!("host.managementIp={}", text(&host, "managementIp"));
    let found = cloud.admin.list("QueryVmInstance", &[&by_host]).await;
    assert!(
        found.iter().any(|v| v["uuid"] == vm["uuid"])
            && found.iter().all(|v| v["hostUuid"] == vm["hostUuid"])
    );
    let by_offering = format!("instanceOfferingUuid={offering}");
    assert_eq!(cloud.admin.list("QueryVmInstance", &[&by_offering]).await.len(), 2);
    assert_eq!(tenant.list("QueryVmInstance", &[]).await.len(), 1, "an owner sees what is his own");
}

#[tokio::test]
async fn vm_35_vms_of_a_lost_host_are_unknown_until_it_is_back() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (stays, host) = running(&cloud, &world).await;
    let (goes, _) = running(&cloud, &world).await;
    let machine = cloud.machines.host(&host);
    machine.disconnect();
    becomes(&cloud.admin, &stays, "Unknown").await;
    becomes(&cloud.admin, &goes, "Unknown").await;
    let refused = cloud.admin.fails("StartVmInstance", json!({ "uuid": stays })).await;
    assert!(refused.has_code("VM.1010"), "a start could open the disk twice: {refused}");
    machine.lose_vm(&goes);
    machine.reconnect();
    becomes(&cloud.admin, &stays, "Running").await;
    becomes(&cloud.admin, &goes, "Stopped").await;
    machine.power_off(&stays);
    becomes(&cloud.admin, &stays, "Stopped").await;
    cloud.assert_sane("a host that came back").await;
}

#[tokio::test]
async fn con_01_a_console_token_is_given_to_who_may_and_works_once() {
    let cloud = Cloud::start().await;
    let world = cloud.world().await;
    let (vm, _) = running(&cloud, &world).await;
    let access = cloud.admin.make("RequestConsoleAccess", json!({ "vmInstanceUuid": vm })).await;
    let token = text(&access, "token");
    assert!(!token.is_empty(), "{access}");
    assert!(cloud.app().consoles.take(&token).is_some_and(|a| a.vm.to_string() == vm));
    assert!(cloud.app().consoles.take(&token).is_none(), "it works once");
    let stranger = cloud.account("stranger").await;
    assert_eq!(
        stranger.fails("RequestConsoleAccess", json!({ "vmInstanceUuid": vm })).await.code(),
        "ID.1002"
    );
}

#[tokio::test]
async fn bey_03_every_rejected_host_has_a_reason() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(3).await;
    cloud.admin.ok("ChangeHostState", json!({ "uuid": world.hosts[0], "stateEvent": "disable" })).await;
    cloud.machines.host(&world.hosts[1]).disconnect();
    let end = Instant::now() + Duration::from_secs(10);
    while cloud.admin.one("QueryHost", &world.hosts[1]).await["status"] == "Connected" && Instant::now() < end
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ask = json!({
        "instanceOfferingUuid": world.instance_offering, "imageUuid": world.image, "l3NetworkUuids": [world.l3],
    });
    let answer = cloud.admin.ok("ExplainAllocation", ask).await;
    let candidates = answer["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3, "{answer}");
    let told = candidates
        .iter()
        .filter(|c| c.to_string().contains(&world.hosts[0]) || c.to_string().contains(&world.hosts[1]));
    for candidate in told {
        let reasons = candidate["reasons"].as_array().map_or(0, Vec::len);
        assert!(reasons > 0 || candidate["reason"].is_string(), "{candidate}");
    }
    assert!(answer["chosen"].to_string().contains(&world.hosts[2]), "{answer}");
}

#[tokio::test]
async fn bey_01_create_plan_equals_deed() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(2).await;
    for n in 0..4 {
        let mut params = world.vm(&format!("vm-{n}"));
        params["resourceUuid"] = json!(cairn_types::new_uuid());
        // Which free address a NIC gets is a matter of chance; one that is asked for is planned.
        let free =
            cloud.admin.ok("GetFreeIpOfL3Network", json!({ "l3NetworkUuid": world.l3, "limit": 50 })).await;
        let ip = text(&free["inventories"][usize::try_from(20 + n).unwrap()], "ip");
        params["systemTags"] = json!([format!("staticIp::{}::{ip}", world.l3)]);
        cloud.assert_sane("before a plan").await;
        let before = cloud.rows().await;
        let plan = cloud.admin.plan("CreateVmInstance", params.clone()).await.unwrap();
        assert_eq!(before.differences(&cloud.rows().await), Vec::<String>::new(), "a plan changes nothing");
        let vm = cloud.admin.make("CreateVmInstance", params).await;
        assert_eq!(plan["facts"]["hostUuid"], vm["hostUuid"], "{plan}");
        assert_eq!(
            (&plan["facts"]["addresses"], text(&vm["vmNics"][0], "ip")),
            (&json!([ip]), ip.clone()),
            "{plan}"
        );
        assert!(plan["creates"].to_string().contains(&text(&vm, "uuid")), "{plan}");
    }
}
