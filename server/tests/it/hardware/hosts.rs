use std::time::Duration;

use cairn_store::{Tx, params};
use cairn_testkit::Cloud;
use cairn_types::{Fault, code};
use serde_json::{Value, json};

use super::site::{Site, host_params};

async fn with_cluster() -> (Site, String, String) {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let cluster = site.cluster(&zone, "c").await;
    (site, zone, cluster)
}

fn tags(list: &Value) -> Vec<String> {
    list["inventories"].as_array().unwrap().iter().map(|t| t["tag"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_added_host_is_connected_and_read() {
    let (site, zone, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let shown = site.one("/v1/hosts", &host).await;
    assert_eq!((shown["status"].as_str(), shown["state"].as_str()), (Some("Connected"), Some("Enabled")));
    assert_eq!(shown["zoneUuid"], zone);
    assert_eq!(shown["cpuNum"], 32);
    assert_eq!(shown["totalCpuCapacity"], 320, "ten virtual processors for each");
    assert_eq!(shown["totalMemoryCapacity"], 64_i64 << 30);
    let found = tags(&site.get(&format!("/v1/system-tags?q=resourceUuid={host}")).await.unwrap());
    for tag in ["os::distribution::debian", "os::version::12", "os::release::bookworm", "hvm::vmx"] {
        assert!(found.iter().any(|t| t == tag), "{tag} in {found:?}");
    }
    let types = site.get("/v1/hosts/hypervisor-types").await.unwrap();
    assert_eq!(types, json!({ "hypervisorTypes": ["KVM", "Simulator"] }));
    let strategies = site.get("/v1/hosts/allocators/strategies").await.unwrap();
    assert!(strategies["strategies"].as_array().unwrap().contains(&json!("DefaultHostAllocatorStrategy")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_several_hosts_are_added_at_once() {
    let (site, _, cluster) = with_cluster().await;
    let ips: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}")).collect();
    let all = futures_util::future::join_all(ips.iter().map(|ip| site.host(&cluster, ip))).await;
    for host in all {
        assert_eq!(site.one("/v1/hosts", &host).await["status"], "Connected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_same_address_and_wrong_cluster_are_refused() {
    let (site, zone, cluster) = with_cluster().await;
    site.host(&cluster, "10.0.0.1").await;
    let twice = site.post("/v1/hosts/simulators", host_params(&cluster, "10.0.0.1")).await.unwrap_err();
    assert_eq!(twice.codes(), ["HOST.1000", "HOST.8007"]);
    let kvm = json!({ "zoneUuid": zone, "name": "kvm", "hypervisorType": "KVM" });
    let kvm = super::site::uuid(site.post("/v1/clusters", kvm).await);
    let wrong = site.post("/v1/hosts/simulators", host_params(&kvm, "10.0.0.2")).await.unwrap_err();
    assert_eq!(wrong.code(), "SYS.1007");
    assert_eq!(site.count("host").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_bad_input_is_refused_before_anything_happens() {
    let (site, zone, _) = with_cluster().await;
    let kvm = json!({ "zoneUuid": zone, "name": "kvm", "hypervisorType": "KVM" });
    let cluster = super::site::uuid(site.post("/v1/clusters", kvm).await);
    let good = json!({ "name": "h", "clusterUuid": cluster, "managementIp": "192.0.2.1", "username": "root", "password": "x" });
    for (key, bad) in [
        ("managementIp", "$(reboot)"),
        ("managementIp", "-oProxyCommand=reboot"),
        ("managementIp", "../etc"),
        ("username", "root; reboot"),
        ("username", "-oProxyCommand=reboot"),
        ("sshPort", "70000"),
    ] {
        let mut params = good.clone();
        params[key] = bad.parse::<i64>().map_or_else(|_| json!(bad), |n| json!(n));
        let refused = site.post("/v1/hosts/kvm", params).await.unwrap_err();
        assert_eq!(refused.code(), "SYS.1007", "{key}={bad}: {refused:?}");
    }
    let mut without = good;
    without.as_object_mut().unwrap().remove("password");
    assert_eq!(site.post("/v1/hosts/kvm", without).await.unwrap_err().code(), "SYS.1007");
    assert_eq!(site.count("host").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_01_failed_addition_leaves_nothing() {
    let (site, _, cluster) = with_cluster().await;
    site.machines.all().fail("host.facts", 1, Fault::new(code::AGENT_HYPERVISOR, "QEMU is broken"));
    let failed = site.post("/v1/hosts/simulators", host_params(&cluster, "10.0.0.1")).await.unwrap_err();
    assert_eq!(failed.codes(), ["HOST.1000", "AGENT.8002"]);
    for table in ["host", "agent", "system_tag"] {
        assert_eq!(site.count(table).await, 0, "{table}");
    }
    site.host(&cluster, "10.0.0.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_02_disable_enable_and_maintenance_is_refused_honestly() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let change = async |event: &str| {
        site.put(&format!("/v1/hosts/{host}/actions"), json!({ "changeHostState": { "stateEvent": event } }))
            .await
    };
    assert_eq!(change("disable").await.unwrap()["inventory"]["state"], "Disabled");
    assert_eq!(change("disable").await.unwrap()["inventory"]["state"], "Disabled");
    assert_eq!(change("enable").await.unwrap()["inventory"]["state"], "Enabled");
    assert_eq!(change("maintain").await.unwrap_err().code(), "SYS.1006");
    assert_eq!(site.one("/v1/hosts", &host).await["state"], "Enabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_02_update_and_reconnect() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    site.host(&cluster, "10.0.0.2").await;
    let path = format!("/v1/hosts/{host}/actions");
    let change = json!({ "updateHost": { "name": "new", "description": "d", "managementIp": "10.0.0.3" } });
    site.put(&path, change).await.unwrap();
    let shown = site.one("/v1/hosts", &host).await;
    assert_eq!((shown["name"].as_str(), shown["managementIp"].as_str()), (Some("new"), Some("10.0.0.3")));
    let taken = site.put(&path, json!({ "updateHost": { "managementIp": "10.0.0.2" } })).await.unwrap_err();
    assert_eq!(taken.code(), "HOST.8007");
    let no_ssh = json!({ "updateKVMHost": { "password": "x" } });
    assert_eq!(
        site.put(&format!("/v1/hosts/kvm/{host}/actions"), no_ssh).await.unwrap_err().code(),
        "SYS.1007"
    );
    let before = site.machine(&host).commands();
    let answer = site.put(&path, json!({ "reconnectHost": {} })).await.unwrap();
    assert_eq!(answer["inventory"]["status"], "Connected");
    assert!(site.machine(&host).commands() > before, "it was read again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_05_lost_host_is_disconnected_with_a_reason_and_comes_back() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let machine = site.machine(&host);
    machine.disconnect();
    let shown = site.wait_status(&host, "Disconnected").await;
    assert!(shown["statusReason"].as_str().unwrap().contains("connection"), "{shown}");
    machine.reconnect();
    let shown = site.wait_status(&host, "Connected").await;
    assert_eq!(shown.get("statusReason"), None);
    machine.restart_agent();
    tokio::time::sleep(Duration::from_millis(300)).await;
    site.wait_status(&host, "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_05_dead_hypervisor_is_seen_in_the_heartbeat_and_so_is_its_recovery() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    site.machine(&host).fail_hypervisor();
    let shown = site.wait_status(&host, "Disconnected").await;
    assert!(shown["statusReason"].as_str().unwrap().starts_with("AGENT.8006"), "{shown}");
    site.machine(&host).recover();
    site.wait_status(&host, "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_05_automatic_reconnect_can_be_switched_off() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let off = json!({ "updateGlobalConfig": { "value": "false" } });
    site.put("/v1/global-configurations/host/connection.autoReconnectOnError/actions", off).await.unwrap();
    site.machine(&host).disconnect();
    site.wait_status(&host, "Disconnected").await;
    site.machine(&host).reconnect();
    assert!(site.app.agents.wait_for(&host, Duration::from_secs(5)).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(site.one("/v1/hosts", &host).await["status"], "Disconnected");
    site.put(&format!("/v1/hosts/{host}/actions"), json!({ "reconnectHost": {} })).await.unwrap();
    assert_eq!(site.one("/v1/hosts", &host).await["status"], "Connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_05_hosts_come_back_after_a_restart_of_the_server() {
    let (mut site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    site.restart().await;
    assert!(site.app.agents.wait_for(&host, Duration::from_secs(10)).await);
    site.wait_status(&host, "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_06_overcommit_and_reserve_change_capacity() {
    let (site, zone, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let capacity =
        async || site.get(&format!("/v1/hosts/capacities/cpu-memory?hostUuids={host}")).await.unwrap();
    let gib = 1_i64 << 30;
    assert_eq!(
        capacity().await,
        json!({ "totalCpu": 320, "availableCpu": 320, "totalMemory": 64 * gib, "availableMemory": 64 * gib })
    );
    let tag =
        json!({ "resourceType": "ClusterVO", "resourceUuid": cluster, "tag": "host::reservedMemory::4G" });
    let tag = super::site::uuid(site.post("/v1/system-tags", tag).await);
    assert_eq!(capacity().await["availableMemory"], 60 * gib);
    let own = json!({ "resourceType": "HostVO", "resourceUuid": host, "tag": "reservedMemory::8G" });
    let own = super::site::uuid(site.post("/v1/system-tags", own).await);
    assert_eq!(capacity().await["availableMemory"], 56 * gib, "the nearest word counts");
    site.delete(&format!("/v1/tags/{own}")).await.unwrap();
    assert_eq!(capacity().await["availableMemory"], 60 * gib);
    site.put(&format!("/v1/hosts/{host}/actions"), json!({ "reconnectHost": {} })).await.unwrap();
    assert_eq!(capacity().await["availableMemory"], 60 * gib);
    site.delete(&format!("/v1/tags/{tag}")).await.unwrap();
    assert_eq!(capacity().await["availableMemory"], 64 * gib);
    for (category, name, value) in
        [("host", "cpu.overProvisioning.ratio", "2"), ("mevoco", "overProvisioning.memory", "1.5")]
    {
        let change = json!({ "updateGlobalConfig": { "value": value } });
        site.put(&format!("/v1/global-configurations/{category}/{name}/actions"), change).await.unwrap();
    }
    let now = capacity().await;
    assert_eq!((now["totalCpu"].as_i64(), now["totalMemory"].as_i64()), (Some(64), Some(96 * gib)));
    let all = site.get(&format!("/v1/hosts/capacities/cpu-memory?zoneUuids={zone}")).await.unwrap();
    assert_eq!(all, now);
    site.put(&format!("/v1/hosts/{host}/actions"), json!({ "changeHostState": { "stateEvent": "disable" } }))
        .await
        .unwrap();
    let none = site.get("/v1/hosts/capacities/cpu-memory?all=true").await.unwrap();
    assert_eq!(none["totalCpu"], 0, "a disabled host offers nothing");
    assert_eq!(site.get("/v1/hosts/capacities/cpu-memory").await.unwrap_err().code(), "SYS.1007");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_02_delete_leaves_nothing() {
    let (site, _, cluster) = with_cluster().await;
    let host = site.host(&cluster, "10.0.0.1").await;
    let gone = site.host(&cluster, "10.0.0.2").await;
    site.machine(&gone).disconnect();
    site.wait_status(&gone, "Disconnected").await;
    for host in [&host, &gone] {
        site.delete(&format!("/v1/hosts/{host}")).await.unwrap();
    }
    for table in ["host", "agent", "local_storage_host_ref", "system_tag"] {
        assert_eq!(site.count(table).await, 0, "{table}");
    }
    // The address is free again.
    site.host(&cluster, "10.0.0.1").await;
}

#[tokio::test]
async fn ops_10_a_database_from_a_backup_is_obeyed_by_hosts_that_saw_a_later_server() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world().await;
    // What a backup from long ago says.
    let old = |tx: &mut dyn Tx| tx.execute("UPDATE management_node SET epoch = 1", params![]);
    cloud.app().store.write(old).await.unwrap();
    cloud.restart().await;
    for host in &world.hosts {
        becomes_connected(&cloud, host).await;
    }
    world.create_vm(&cloud.admin, "after").await;
}

async fn becomes_connected(cloud: &Cloud, host: &str) {
    for _ in 0..500 {
        if cloud.admin.one("QueryHost", host).await["status"] == "Connected" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{}", cloud.admin.one("QueryHost", host).await);
}
