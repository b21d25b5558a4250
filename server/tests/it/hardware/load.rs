//! Clouds filled by `cairn-load`: its rows cannot be told from those that calls of the API made (BEY-07).

use std::time::Duration;

use cairn_load::{Size, check, load};
use cairn_simhost::CloudSnapshot;
use cairn_store::params;
use cairn_testkit::{Cloud, Simulation, World, violations};
use serde_json::{Value, json};

/// A zone with a host and a VM that is off, whose agent is gone.
struct Made {
    zone: String,
    host: String,
    vm: String,
}

fn uuid(inventory: &Value) -> String {
    inventory["uuid"].as_str().expect("a uuid").to_owned()
}

async fn make(cloud: &Cloud, world: &World, net: &str) -> Made {
    let api = &cloud.admin;
    let zone = uuid(&api.make("CreateZone", json!({ "name": "one" })).await);
    let cluster = json!({ "zoneUuid": zone, "name": "cluster", "hypervisorType": "Simulator" });
    let cluster = uuid(&api.make("CreateCluster", cluster).await);
    let storage = json!({ "name": "local", "url": "/cairn_ps", "zoneUuid": zone });
    let storage = uuid(&api.make("AddLocalPrimaryStorage", storage).await);
    let attach = json!({ "primaryStorageUuid": storage, "clusterUuid": cluster });
    api.ok("AttachPrimaryStorageToCluster", attach).await;
    let attach = json!({ "backupStorageUuid": world.backup_storage, "zoneUuid": zone });
    api.ok("AttachBackupStorageToZone", attach).await;
    let l3 = network(cloud, &zone, &cluster, net).await;
    let hosts = json!({ "clusterUuid": cluster, "count": 1, "name": "host-{n}" });
    let answer = api.ok("AddSimulatorHosts", hosts).await;
    let host = answer["hostUuids"][0].as_str().unwrap().to_owned();
    let simulation = Simulation::start(cloud.served().agents, &answer, &cloud.machines);
    wait_status(cloud, &host, "Connected").await;
    let mut vm = world.vm(&format!("web-{net}"));
    vm["l3NetworkUuids"] = json!([l3]);
    vm["systemTags"] = json!(["hostname::web"]);
    let vm = uuid(&api.make("CreateVmInstance", vm).await);
    api.ok("StopVmInstance", json!({ "uuid": vm })).await;
    cloud.assert_sane("a zone with a VM that is off").await;
    simulation.kill().await;
    wait_status(cloud, &host, "Disconnected").await;
    Made { zone, host, vm }
}

async fn network(cloud: &Cloud, zone: &str, cluster: &str, net: &str) -> String {
    let api = &cloud.admin;
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": "eth0" });
    let l2 = uuid(&api.make("CreateL2NoVlanNetwork", l2).await);
    api.ok("AttachL2NetworkToCluster", json!({ "l2NetworkUuid": l2, "clusterUuid": cluster })).await;
    let l3 = json!({ "name": "flat", "l2NetworkUuid": l2, "type": "L3BasicNetwork", "category": "Private" });
    let l3 = uuid(&api.make("CreateL3Network", l3).await);
    api.ok("AddDnsToL3Network", json!({ "l3NetworkUuid": l3, "dns": "192.0.2.53" })).await;
    let range = json!({
        "l3NetworkUuid": l3, "name": "range", "startIp": format!("10.{net}.0.2"), "endIp": format!("10.{net}.0.250"),
        "netmask": "255.255.255.0", "gateway": format!("10.{net}.0.1"),
    });
    api.ok("AddIpRange", range).await;
    let flat = api.list("QueryNetworkServiceProvider", &["type=Flat"]).await;
    let services = json!({ uuid(&flat[0]): ["DHCP", "Userdata"] });
    api.ok("AttachNetworkServiceToL3Network", json!({ "l3NetworkUuid": l3, "networkServices": services }))
        .await;
    l3
}

async fn wait_status(cloud: &Cloud, host: &str, status: &str) {
    for _ in 0..600 {
        if cloud.admin.one("QueryHost", host).await["status"] == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("host {host} does not become {status}");
}

/// Fills the database while no server is at work on it.
async fn fill(cloud: &mut Cloud, vm: &str, size: Size) -> usize {
    cloud.crash().await;
    let store = cloud.open_store();
    let rows = load(&store, vm, size, |_, _| ()).await.unwrap();
    drop(store);
    cloud.restart().await;
    rows
}

async fn lines(cloud: &Cloud, zone: &str) -> Vec<String> {
    let zone = zone.to_owned();
    cloud.app().store.read(move |tx| check::zone(tx, &zone)).await.unwrap()
}

/// Fails with the lines that only one of two zones has.
fn assert_same(one: &[String], other: &[String], what: &str) {
    let only = |a: &[String], b: &[String]| a.iter().filter(|l| !b.contains(l)).cloned().collect::<Vec<_>>();
    assert_eq!(only(one, other), only(other, one), "{what}");
    assert_eq!(one.len(), other.len(), "{what}: a line is there more than once");
}

async fn texts(cloud: &Cloud, sql: &'static str) -> Vec<String> {
    let rows = cloud.app().store.read(move |tx| tx.query(sql, params![])).await.unwrap();
    rows.iter().map(|r| r.text("uuid").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_loaded_rows_cannot_be_told_from_those_of_the_api() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world().await;
    let template = make(&cloud, &world, "64").await;
    let other = make(&cloud, &world, "80").await;
    let by_api = lines(&cloud, &other.zone).await;
    assert_same(&by_api, &lines(&cloud, &template.zone).await, "two zones by the API");
    for table in [
        "vm_instance",
        "vm_nic",
        "used_ip",
        "volume",
        "local_storage_resource_ref",
        "image_cache",
        "host",
        "local_storage_host_ref",
        "resource",
        "system_tag",
        "agent",
        "ip_range",
        "l3_network_dns",
    ] {
        assert!(
            by_api.iter().any(|l| l.starts_with(&format!("{table}: "))),
            "nothing is compared of {table}"
        );
    }
    let before = texts(&cloud, "SELECT uuid FROM zone").await;
    let size = Size { hosts: 3, vms: 3, hosts_per_cluster: 1, clusters_per_zone: 1 };
    fill(&mut cloud, &template.vm, size).await;
    let mut zones = texts(&cloud, "SELECT uuid FROM zone").await;
    zones.retain(|z| !before.contains(z));
    assert_eq!(zones.len(), 3);
    for zone in zones {
        assert_same(&lines(&cloud, &zone).await, &by_api, "a zone of the loader beside one of the API");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_07_a_loaded_cloud_is_sound_and_counts_right() {
    let mut cloud = Cloud::start().await;
    let world = cloud.world().await;
    let template = make(&cloud, &world, "64").await;
    let size = Size { hosts: 230, vms: 500, hosts_per_cluster: 100, clusters_per_zone: 2 };
    let rows = fill(&mut cloud, &template.vm, size).await;
    assert!(rows > 230 * 3 + 500 * 8, "{rows} rows");
    assert!(cloud.converged().await, "the restarted server comes to rest");
    let mut machines = cloud.machines.snapshot();
    with_loaded(&cloud, &template, &mut machines).await;
    assert_eq!(violations(&cloud.app().store, machines).await, Vec::<String>::new());
    let placement = &cloud.app().placement;
    placement.ready().await.unwrap();
    let differences = cairn_server::platform::compare::hosts(placement, &cloud.app().store).await.unwrap();
    assert_eq!(differences, Vec::<String>::new());
    for (action, extra, total) in [
        ("QueryVmInstance", json!(["state=Stopped"]), 501),
        ("QueryHost", json!([]), 232),
        ("QueryCluster", json!([]), 5),
        ("QueryZone", json!([]), 4),
        ("QueryVmNic", json!(["vmInstance.state=Stopped"]), 501),
        ("QueryVolume", json!(["vmInstance.name~=vm-%"]), 500),
    ] {
        let found = cloud.admin.ok(action, json!({ "q": extra, "replyWithCount": "true", "limit": 1 })).await;
        assert_eq!(found["total"], json!(total), "{action} {extra}");
    }
    // Each cluster has its own network, and no address is there twice.
    let addresses: Vec<String> = texts(&cloud, "SELECT DISTINCT ip AS uuid FROM vm_nic").await;
    assert_eq!(addresses.len(), 501);
    let name = json!({ "q": ["name=vm-0000500"] });
    let found = &cloud.admin.ok("QueryVmInstance", name).await["inventories"][0];
    assert_eq!(found["vmNics"][0]["gateway"], "10.64.3.1", "{found}");
    assert_eq!(found["allVolumes"][0]["name"], "ROOT-for-vm-0000500");
}

/// The machines as they would be: on each loaded host the files that its rows tell of, like those of the template.
async fn with_loaded(cloud: &Cloud, template: &Made, machines: &mut CloudSnapshot) {
    let of = machines.hosts.get(&template.host).cloned().expect("the template's machine");
    let file = of.volumes.values().next().cloned().expect("a file");
    let sql = "SELECT r.resource_uuid, r.host_uuid FROM local_storage_resource_ref r";
    let rows = cloud.app().store.read(move |tx| tx.query(sql, params![])).await.unwrap();
    for row in rows {
        let host = machines.hosts.entry(row.text("host_uuid").unwrap()).or_default();
        host.volumes.entry(row.text("resource_uuid").unwrap()).or_insert_with(|| file.clone());
    }
    for host in texts(cloud, "SELECT host_uuid AS uuid FROM image_cache").await {
        let images = of.cached_images.clone();
        machines.hosts.entry(host).or_default().cached_images.extend(images);
    }
}
