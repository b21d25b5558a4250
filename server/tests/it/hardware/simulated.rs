//! Simulated hosts in number, served from outside over mutual TLS (BEY-07, OPS-15).

use std::time::Duration;

use cairn_server::agents::Patience;
use cairn_testkit::{Cloud, Simulation};
use serde_json::{Value, json};

/// A cluster of simulated hosts without any.
pub(super) async fn cluster(cloud: &Cloud) -> String {
    let zone = cloud.admin.make("CreateZone", json!({ "name": "z" })).await;
    let cluster = json!({ "zoneUuid": zone["uuid"], "name": "c", "hypervisorType": "Simulator" });
    cloud.admin.make("CreateCluster", cluster).await["uuid"].as_str().unwrap().to_owned()
}

pub(super) async fn add(cloud: &Cloud, cluster: &str, count: usize, per_agent: usize) -> Value {
    let params = json!({ "clusterUuid": cluster, "count": count, "hostsPerAgent": per_agent, "cpuNum": 8 });
    cloud.admin.ok("AddSimulatorHosts", params).await
}

pub(super) fn uuids(answer: &Value) -> Vec<String> {
    answer["hostUuids"].as_array().unwrap().iter().map(|u| u.as_str().unwrap().to_owned()).collect()
}

pub(super) fn simulate(cloud: &Cloud, answer: &Value) -> Simulation {
    Simulation::start(cloud.served().agents, answer, &cloud.machines)
}

/// Waits until that many hosts have a status.
pub(super) async fn wait_count(cloud: &Cloud, status: &str, wanted: u64) {
    let condition = format!("status={status}");
    let mut seen = 0;
    for _ in 0..1200 {
        let found = json!({ "q": [condition], "count": "true" });
        seen = cloud.admin.ok("QueryHost", found).await["total"].as_u64().unwrap();
        if seen == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{seen} hosts are {status}, not {wanted}");
}

pub(super) async fn count(cloud: &Cloud, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    cloud.app().store.read(move |tx| tx.query_int(&sql, &[])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_hosts_added_in_one_call_connect_when_their_agents_dial_in() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let answer = add(&cloud, &cluster, 50, 20).await;
    let hosts = uuids(&answer);
    let per_agent: Vec<u64> =
        answer["agents"].as_array().unwrap().iter().map(|a| a["hosts"].as_u64().unwrap()).collect();
    assert_eq!((hosts.len(), per_agent), (50, vec![20, 20, 10]));
    let host = cloud.admin.one("QueryHost", &hosts[6]).await;
    assert_eq!(
        (&host["name"], &host["status"], &host["state"]),
        (&json!("sim-7"), &json!("Disconnected"), &json!("Enabled"))
    );
    assert!(host["statusReason"].as_str().unwrap().contains("--simulate"), "{host}");
    let simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 50).await;
    let host = cloud.admin.one("QueryHost", &hosts[49]).await;
    assert_eq!((&host["totalCpuCapacity"], host.get("statusReason")), (&json!(80), None));
    assert_eq!(cloud.app().agents.count(), 3);
    cloud.assert_sane("fifty hosts").await;
    simulation.kill().await;
    wait_count(&cloud, "Disconnected", 50).await;
}

#[tokio::test]
async fn bey_07_a_bulk_that_cannot_be_added_leaves_nothing() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let zone = cloud.admin.list("QueryZone", &[]).await[0]["uuid"].clone();
    let other = json!({ "zoneUuid": zone, "name": "kvm", "hypervisorType": "KVM" });
    let kvm = cloud.admin.make("CreateCluster", other).await["uuid"].clone();
    let gone = json!({ "zoneUuid": zone, "name": "gone", "hypervisorType": "Simulator" });
    let gone = cloud.admin.make("CreateCluster", gone).await["uuid"].clone();
    cloud.admin.ok("DeleteCluster", json!({ "uuid": gone })).await;
    cloud
        .admin
        .ok("AddSimulatorHosts", json!({ "clusterUuid": cluster, "count": 1, "managementIp": "10.1.0.5" }))
        .await;
    let before = cloud.tables().await;
    for (params, code) in [
        (json!({ "clusterUuid": cluster, "count": 10, "managementIp": "10.1.0.1" }), "HOST.8007"),
        (json!({ "clusterUuid": cluster, "count": 10, "managementIp": "255.255.255.250" }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 10, "managementIp": "rack one" }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 0 }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 10001 }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 10, "hostsPerAgent": 1001 }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 10, "hostsPerAgent": 0 }), "SYS.1007"),
        (json!({ "clusterUuid": cluster, "count": 10, "cpuNum": -1 }), "SYS.1007"),
        (json!({ "clusterUuid": kvm, "count": 10 }), "SYS.1007"),
        (json!({ "clusterUuid": gone, "count": 10 }), "SYS.1003"),
    ] {
        let failure = cloud.admin.fails("AddSimulatorHosts", params.clone()).await;
        assert!(failure.has_code(code), "{params}: {failure}");
    }
    cloud.assert_nothing_left(&before).await;
    assert_eq!(count(&cloud, "agent").await, 1);
}

#[tokio::test]
async fn bey_07_only_administrators_add_hosts_and_a_plan_adds_none_and_tells_no_secret() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let tenant = cloud.account("tenant").await;
    let params = json!({ "clusterUuid": cluster, "count": 3 });
    assert!(tenant.fails("AddSimulatorHosts", params.clone()).await.has_code("ID.1002"));
    let plan = cloud.admin.plan("AddSimulatorHosts", params.clone()).await.unwrap();
    assert_eq!(plan["creates"].as_array().map(Vec::len), Some(3), "{plan}");
    assert!(!plan.to_string().contains("PRIVATE KEY"));
    assert_eq!((count(&cloud, "host").await, count(&cloud, "agent").await), (0, 0));
    let answer = cloud.admin.ok("AddSimulatorHosts", params).await;
    let key = answer["agents"][0]["key"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    for _ in 0..100 {
        if cloud.admin.list("QueryAudit", &["action=AddSimulatorHosts", "success=true"]).await.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let audits = cloud.admin.list("QueryAudit", &["action=AddSimulatorHosts"]).await;
    assert_eq!(audits.len(), 3, "the refused call, the plan, and the call: {audits:?}");
    // Neither job, audit, event nor row keeps the key.
    let rows = cloud.everything().await;
    let has = |text: &str| rows.iter().any(|row| row.contains(text));
    let (agent, host) = (answer["agents"][0]["uuid"].as_str().unwrap(), &uuids(&answer)[0]);
    assert!(has(agent) && has(host) && has("AddSimulatorHosts"), "agent, host and audit are in the rows");
    assert!(!has(&key), "the key of agent {agent} is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_deleting_a_host_takes_only_its_own_place_at_the_agent() {
    let cloud = Cloud::start().await;
    let cluster = cluster(&cloud).await;
    let answer = add(&cloud, &cluster, 4, 1000).await;
    let hosts = uuids(&answer);
    let _simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 4).await;
    let others = hosts[1..].to_vec();
    let commands = cloud.machines.host(&others[0]).commands();
    cloud.admin.ok("DeleteHost", json!({ "uuid": hosts[0], "deleteMode": "Enforcing" })).await;
    assert_eq!((count(&cloud, "host").await, count(&cloud, "agent").await), (3, 1));
    assert!(!cloud.app().agents.is_connected(&hosts[0]));
    wait_count(&cloud, "Connected", 3).await;
    cloud.admin.ok("ReconnectHost", json!({ "uuid": others[1] })).await;
    assert_eq!(cloud.machines.host(&others[0]).commands(), commands, "the others were left alone");
    for host in &others {
        cloud.admin.ok("DeleteHost", json!({ "uuid": host, "deleteMode": "Enforcing" })).await;
    }
    assert_eq!((count(&cloud, "host").await, count(&cloud, "agent").await), (0, 0));
    // Its certificate counts no more.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cloud.app().agents.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_vms_outlive_the_server_and_a_connection_and_not_the_simulation() {
    let patience = Patience { come_back: Duration::from_secs(2), first_dial: Duration::from_secs(2) };
    let mut cloud = Cloud::with(|t| t.patience = Some(patience)).await;
    let world = cloud.world_of(0).await;
    let answer = add(&cloud, &world.cluster, 2, 2).await;
    let simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 2).await;
    let vm = world.create_vm(&cloud.admin, "vm").await;
    let uuid = vm["uuid"].as_str().unwrap().to_owned();
    cloud.restart().await;
    simulation.move_to(cloud.served().agents);
    wait_count(&cloud, "Connected", 2).await;
    assert_eq!(cloud.admin.one("QueryVmInstance", &uuid).await["state"], "Running");
    cloud.assert_sane("after a restart of the server").await;
    simulation.kill().await;
    wait_count(&cloud, "Disconnected", 2).await;
    let state = async |wanted: &str| {
        for _ in 0..400 {
            if cloud.admin.one("QueryVmInstance", &uuid).await["state"] == *wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the VM is {} and not {wanted}", cloud.admin.one("QueryVmInstance", &uuid).await);
    };
    state("Unknown").await;
    // Another process of the same agents: nothing is on its hosts.
    cloud.machines.host(vm["hostUuid"].as_str().unwrap()).lose_vm(&uuid);
    let _simulation = simulate(&cloud, &answer);
    wait_count(&cloud, "Connected", 2).await;
    state("Stopped").await;
}
