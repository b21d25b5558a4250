//! The hosts of one connection are connected together (OPS-15), with what each of them would have been told alone (HOST-05).

use std::time::{Duration, Instant};

use cairn_testkit::Cloud;
use cairn_types::{Fault, code};
use serde_json::{Value, json};

use super::simulated::{add, cluster, count, simulate, uuids, wait_count};

async fn events(cloud: &Cloud) -> i64 {
    cloud.app().store.read(|tx| tx.query_int("SELECT coalesce(max(seq), 0) FROM event", &[])).await.unwrap()
}

/// How often a run was needed to connect a host.
async fn runs(cloud: &Cloud) -> i64 {
    count(cloud, "run WHERE name = 'host.connect'").await
}

async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_the_hosts_of_a_connection_are_connected_without_a_run_for_each() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(0).await;
    let answer = add(&cloud, &world.cluster, 300, 300).await;
    let _simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 300).await;
    assert_eq!(runs(&cloud).await, 0);
    let hosts = uuids(&answer);
    let host = cloud.admin.one("QueryHost", &hosts[123]).await;
    assert_eq!((&host["totalCpuCapacity"], host.get("statusReason")), (&json!(80), None), "{host}");
    for tag in ["os::distribution::debian", "libvirt::version::9.0.0", "hvm::vmx"] {
        let found = format!("system_tag WHERE resource_type = 'HostVO' AND tag = '{tag}'");
        assert_eq!(count(&cloud, &found).await, 300, "{tag}");
    }
    assert_eq!(count(&cloud, "local_storage_host_ref WHERE status = 'Connected'").await, 300);
    let machine = cloud.machines.host(&hosts[299]);
    assert_eq!((machine.bridges().len(), machine.is_strict().is_some()), (1, true));
    // A VM finds a place on them, with network and storage.
    let vm = world.create_vm(&cloud.admin, "vm").await;
    assert_eq!(vm["state"], "Running");
    cloud.assert_sane("three hundred hosts").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_a_host_that_fails_or_is_slow_holds_up_nobody_and_connects_by_itself() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let answer = add(&cloud, &cluster, 60, 60).await;
    let hosts = uuids(&answer);
    let fault = Fault::new(code::OPERATION_ERROR, "not now");
    cloud.machines.host(&hosts[3]).fail("host.facts", 1, fault);
    cloud.machines.host(&hosts[4]).hang_nth("host.facts", 1);
    cloud.machines.host(&hosts[5]).delay("host.facts", Duration::from_secs(7));
    let began = Instant::now();
    let _simulation = simulate(&cloud, &answer);
    wait_until("the others' connection", async || {
        let sql = "SELECT count(*) FROM host WHERE status = 'Connected'";
        cloud.app().store.read(move |tx| tx.query_int(sql, &[])).await.unwrap() >= 57
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    wait_count(&cloud, "Connected", 60).await;
    assert!((1..=6).contains(&runs(&cloud).await), "{} runs", runs(&cloud).await);
    cloud.assert_sane("the slow ones too").await;
}

/// However often a connection comes and goes while its hosts are slow, each host has one run at work and one behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_a_connection_that_comes_and_goes_piles_up_no_runs() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let answer = add(&cloud, &cluster, 20, 20).await;
    let hosts = uuids(&answer);
    cloud.machines.all().delay("host.facts", Duration::from_millis(700));
    let _simulation = simulate(&cloud, &answer);
    for _ in 0..12 {
        wait_until("the agent", async || cloud.app().agents.is_connected(&hosts[0])).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        cloud.machines.host(&hosts[0]).drop_connection();
        wait_until("its end", async || !cloud.app().agents.is_connected(&hosts[0])).await;
    }
    let sql = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM run WHERE name = 'host.connect'
               AND state IN ('Running', 'Undoing') GROUP BY resource_uuid) AS counted";
    let most = cloud.app().store.read(move |tx| tx.query_int(sql, &[])).await.unwrap();
    assert!(most <= 2, "{most} runs of one host");
    assert!(runs(&cloud).await > 0, "none was needed: the test shows nothing");
    cloud.machines.all().clear();
    wait_count(&cloud, "Connected", 20).await;
    cloud.assert_sane("a connection that came and went").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_hosts_that_come_back_unchanged_after_a_restart_of_the_server_write_nothing() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world_of(0).await;
    let answer = add(&cloud, &world.cluster, 40, 20).await;
    let simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 40).await;
    let before = events(&cloud).await;
    let hosts = uuids(&answer);
    let (still, told) = (cloud.machines.host(&hosts[7]), cloud.machines.host(&hosts[8]));
    let commands = still.commands();
    // One of them has less room now.
    told.fill_disk(1 << 30);
    cloud.restart().await;
    simulation.move_to(cloud.served().agents);
    let are_here = || hosts.iter().all(|h| cloud.app().agents.is_connected(h));
    wait_until("the connection", async || are_here() && still.commands() > commands).await;
    wait_until("the event", async || events(&cloud).await > before).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let about = format!("event WHERE seq > {before} AND resource_type = 'HostVO'");
    assert_eq!(count(&cloud, &format!("{about} AND resource_uuid = '{}'", hosts[8])).await, 1);
    assert_eq!(count(&cloud, &about).await, 1);
    assert_eq!(runs(&cloud).await, 0);
    wait_count(&cloud, "Connected", 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_hosts_that_are_deleted_or_reconnected_while_they_connect_end_cleanly() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(0).await;
    let answer = add(&cloud, &world.cluster, 120, 60).await;
    let hosts = uuids(&answer);
    cloud.machines.all().delay("host.facts", Duration::from_millis(60));
    let _simulation = simulate(&cloud, &answer);
    let calls = hosts[..40].iter().enumerate().map(|(n, host)| {
        let (api, host) = (cloud.admin.clone(), host.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(n as u64 * 5)).await;
            if n % 2 == 0 {
                api.ok("DeleteHost", json!({ "uuid": host, "deleteMode": "Enforcing" })).await;
            } else {
                api.ok("ReconnectHost", json!({ "uuid": host })).await;
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    wait_count(&cloud, "Connected", 100).await;
    assert_eq!(count(&cloud, "host").await, 100);
    let served = hosts.iter().filter(|h| cloud.app().agents.is_connected(h)).count();
    assert_eq!(served, 100, "agents serve what there is");
    cloud.assert_sane("deleted meanwhile").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_15_a_server_that_is_gone_while_hosts_connect_leaves_none_half_connected() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world_of(0).await;
    let answer = add(&cloud, &world.cluster, 100, 50).await;
    cloud.machines.all().delay("host.facts", Duration::from_millis(30));
    let (simulation, hosts) = (simulate(&cloud, &answer), uuids(&answer));
    for pause in [5, 40, 80, 160] {
        wait_until("an agent", async || hosts.iter().any(|h| cloud.app().agents.is_connected(h))).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        cloud.restart().await;
        let sql = "SELECT count(*) FROM host WHERE status = 'Connecting'";
        assert_eq!(cloud.app().store.read(move |tx| tx.query_int(sql, &[])).await.unwrap(), 0);
        simulation.move_to(cloud.served().agents);
    }
    wait_count(&cloud, "Connected", 100).await;
    wait_until("both agents", async || hosts.iter().all(|h| cloud.app().agents.is_connected(h))).await;
    cloud.assert_sane("after four restarts").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_heartbeats_of_many_hosts_name_those_that_fail_and_their_return_is_seen() {
    let cloud = Cloud::start().await;
    let world = cloud.world_of(0).await;
    let beat = json!({ "category": "cairn", "name": "agent.heartbeatInterval", "value": "1" });
    cloud.admin.ok("UpdateGlobalConfig", beat).await;
    let answer = add(&cloud, &world.cluster, 30, 30).await;
    let hosts = uuids(&answer);
    let _simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 30).await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    let on = vm["hostUuid"].as_str().unwrap().to_owned();
    let other = hosts.iter().find(|h| **h != on).unwrap().clone();
    for host in [&on, &other] {
        cloud.machines.host(host).fail_hypervisor();
    }
    wait_count(&cloud, "Disconnected", 2).await;
    let row = cloud.admin.one("QueryHost", &other).await;
    assert!(row["statusReason"].as_str().unwrap().starts_with("AGENT."), "{row}");
    let uuid = vm["uuid"].as_str().unwrap();
    let state = async || cloud.admin.one("QueryVmInstance", uuid).await["state"].clone();
    wait_until("Unknown", async || state().await == json!("Unknown")).await;
    for host in [&on, &other] {
        cloud.machines.host(host).recover();
    }
    wait_count(&cloud, "Connected", 30).await;
    wait_until("the VM's return", async || state().await == json!("Running")).await;
    // A host that comes back without its VM.
    let machine = cloud.machines.host(&on);
    machine.vanish();
    machine.lose_vm(uuid);
    wait_count(&cloud, "Disconnected", 1).await;
    machine.recover();
    wait_count(&cloud, "Connected", 30).await;
    wait_until("Stopped", async || state().await == json!("Stopped")).await;
    cloud.assert_sane("back again").await;
}

#[tokio::test]
async fn bey_07_an_agent_serves_a_thousand_hosts_and_no_more() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let params = json!({ "clusterUuid": cluster, "count": 1001, "hostsPerAgent": 1000 });
    let answer: Value = cloud.admin.ok("AddSimulatorHosts", params).await;
    let per_agent: Vec<u64> =
        answer["agents"].as_array().unwrap().iter().map(|a| a["hosts"].as_u64().unwrap()).collect();
    assert_eq!(per_agent, vec![1000, 1]);
    let more = json!({ "clusterUuid": cluster, "count": 1001, "hostsPerAgent": 1001 });
    assert!(cloud.admin.fails("AddSimulatorHosts", more).await.has_code("SYS.1007"));
    let _simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 1001).await;
    assert_eq!(runs(&cloud).await, 1, "one that has a connection for itself");
}
