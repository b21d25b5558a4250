//! What a deletion says that it takes, against what it takes (BEY-01).

use std::collections::{BTreeMap, BTreeSet};

use cairn_store::params;
use cairn_types::{new_uuid, time};
use serde_json::{Value, json};

use super::site::{Site, uuid};

type Gone = BTreeSet<(String, String)>;

/// Small random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn upto(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.upto(all.len())) }
    }
}

/// What was built, by kind.
#[derive(Default)]
struct Town {
    zones: Vec<String>,
    clusters: Vec<String>,
    /// Host and its cluster.
    hosts: Vec<(String, String)>,
    /// Storage and the clusters it is attached to.
    storages: Vec<(String, Vec<String>)>,
    /// L3 network with L2, zone and ranges.
    l2_networks: Vec<String>,
    l3_networks: Vec<(String, String)>,
    ranges: Vec<String>,
    next_ip: u32,
}

impl Town {
    async fn build(site: &Site, dice: &mut Dice) -> Self {
        let mut town = Self::default();
        for z in 0..=dice.upto(2) {
            let zone = site.zone(&format!("z{z}")).await;
            let first = town.clusters.len();
            for c in 0..dice.upto(4) {
                town.clusters.push(site.cluster(&zone, &format!("z{z}c{c}")).await);
            }
            let clusters: Vec<String> = town.clusters[first..].to_vec();
            town.networks(site, dice, &zone, &clusters).await;
            for s in 0..dice.upto(3) {
                let new =
                    json!({ "name": format!("z{z}s{s}"), "zoneUuid": zone, "url": format!("/s{z}{s}") });
                let storage = uuid(site.post("/v1/primary-storage/local-storage", new).await);
                let attached: Vec<String> = clusters.iter().filter(|_| dice.upto(2) == 0).cloned().collect();
                for cluster in &attached {
                    site.post(&format!("/v1/clusters/{cluster}/primary-storage/{storage}"), json!({}))
                        .await
                        .unwrap();
                }
                town.storages.push((storage, attached));
            }
            for cluster in &clusters {
                for _ in 0..dice.upto(3) {
                    town.next_ip += 1;
                    let host = site.host(cluster, &format!("10.1.0.{}", town.next_ip)).await;
                    town.hosts.push((host, cluster.clone()));
                }
            }
            town.vms(site, dice, &zone, &clusters).await;
            town.zones.push(zone);
        }
        town
    }

    async fn networks(&mut self, site: &Site, dice: &mut Dice, zone: &str, clusters: &[String]) {
        for n in 0..dice.upto(3) {
            let new = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": format!("eth{n}") });
            let l2 = uuid(site.post("/v1/l2-networks/no-vlan", new).await);
            for cluster in clusters.iter().filter(|_| dice.upto(2) == 0) {
                site.post(&format!("/v1/l2-networks/{l2}/clusters/{cluster}"), json!({})).await.unwrap();
            }
            for net in 0..dice.upto(3) {
                let l3 =
                    uuid(site.post("/v1/l3-networks", json!({ "name": "l3", "l2NetworkUuid": l2 })).await);
                let path = format!("/v1/l3-networks/{l3}/ip-ranges");
                for part in 0..=dice.upto(2) {
                    let base = 10 + part * 50;
                    let range = json!({
                        "name": "r", "startIp": format!("10.9.{net}.{base}"),
                        "endIp": format!("10.9.{net}.{}", base + 40), "netmask": "255.255.255.0",
                        "gateway": format!("10.9.{net}.1"),
                    });
                    self.ranges.push(uuid(site.post(&path, range).await));
                }
                self.l3_networks.push((l3, zone.to_owned()));
            }
            self.l2_networks.push(l2);
        }
    }

    /// VMs, by their rows: on local storage of a host, some with NICs, a few that run.
    async fn vms(&mut self, site: &Site, dice: &mut Dice, zone: &str, clusters: &[String]) {
        let places: Vec<(String, String, String)> = self
            .hosts
            .iter()
            .flat_map(|(host, cluster)| {
                let here = self.storages.iter().filter(move |(_, a)| a.contains(cluster));
                here.map(move |(s, _)| (host.clone(), cluster.clone(), s.clone()))
            })
            .filter(|(_, cluster, _)| clusters.contains(cluster))
            .collect();
        let networks: Vec<String> =
            self.l3_networks.iter().filter(|(_, z)| z == zone).map(|(l3, _)| l3.clone()).collect();
        for _ in 0..dice.upto(6) {
            let Some((host, cluster, storage)) = dice.pick(&places).cloned() else { return };
            let nic = dice.pick(&networks).cloned();
            let runs = dice.upto(2) == 0;
            insert_vm(site, zone, &cluster, &host, &storage, nic, runs).await;
        }
    }

    /// Something to delete: its path and uuid.
    fn victim(&self, dice: &mut Dice) -> Option<(&'static str, String)> {
        let hosts: Vec<String> = self.hosts.iter().map(|(h, _)| h.clone()).collect();
        let l3: Vec<String> = self.l3_networks.iter().map(|(n, _)| n.clone()).collect();
        let (path, all) = match dice.upto(6) {
            0 => ("/v1/zones", &self.zones),
            1 => ("/v1/clusters", &self.clusters),
            2 => ("/v1/hosts", &hosts),
            3 => ("/v1/l2-networks", &self.l2_networks),
            4 => ("/v1/l3-networks", &l3),
            _ => ("/v1/l3-networks/ip-ranges", &self.ranges),
        };
        dice.pick(all).map(|u| (path, u.clone()))
    }
}

async fn insert_vm(
    site: &Site,
    zone: &str,
    cluster: &str,
    host: &str,
    storage: &str,
    l3: Option<String>,
    runs: bool,
) {
    let (zone, cluster, host, storage) =
        (zone.to_owned(), cluster.to_owned(), host.to_owned(), storage.to_owned());
    let (vm, volume, nic, now) = (new_uuid(), new_uuid(), new_uuid(), time::now_ms());
    site.app
        .store
        .write(move |tx| {
            for (uuid, entity) in [(&vm, "VmInstanceVO"), (&volume, "VolumeVO")] {
                let sql = "INSERT INTO resource (uuid, resource_type, account_uuid, create_ms) VALUES (?, ?, '36c27e8ff05c4780bf6d2fa65700f22e', ?)";
                tx.execute(sql, params![uuid, entity, now])?;
            }
            let sql = "INSERT INTO vm_instance (uuid, name, zone_uuid, cluster_uuid, last_host_uuid, root_volume_uuid, default_l3_network_uuid,
                         memory_size, cpu_num, state, create_ms, last_op_ms) VALUES (?, 'vm', ?, ?, ?, ?, ?, 1, 1, 'Stopped', ?, ?)";
            tx.execute(sql, params![&vm, &zone, &cluster, &host, &volume, l3.clone(), now, now])?;
            if runs {
                tx.execute("UPDATE vm_instance SET state = 'Running', host_uuid = ? WHERE uuid = ?", params![&host, &vm])?;
            }
            let sql = "INSERT INTO volume (uuid, name, primary_storage_uuid, vm_instance_uuid, type, status, size, device_id, create_ms, last_op_ms)
                       VALUES (?, 'root', ?, ?, 'Root', 'Ready', 1, 0, ?, ?)";
            tx.execute(sql, params![&volume, &storage, &vm, now, now])?;
            let sql = "INSERT INTO local_storage_resource_ref (resource_uuid, primary_storage_uuid, host_uuid, resource_type, create_ms, last_op_ms)
                       VALUES (?, ?, ?, 'VolumeVO', ?, ?)";
            tx.execute(sql, params![&volume, &storage, &host, now, now])?;
            if let Some(l3) = &l3 {
                let sql = "INSERT INTO vm_nic (uuid, vm_instance_uuid, l3_network_uuid, mac, device_id, create_ms, last_op_ms) VALUES (?, ?, ?, ?, 0, ?, ?)";
                tx.execute(sql, params![&nic, &vm, l3, &nic, now, now])?;
                let sql = "INSERT INTO used_ip (uuid, l3_network_uuid, ip_range_uuid, ip, ip_sort, vm_nic_uuid, create_ms, last_op_ms)
                           VALUES (?, ?, (SELECT uuid FROM ip_range WHERE l3_network_uuid = ? ORDER BY uuid LIMIT 1), ?, ?, ?, ?, ?)";
                tx.execute(sql, params![new_uuid(), l3, l3, &nic, &nic, &nic, now, now])?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// Everything that there is: type and uuid.
async fn everything(site: &Site) -> Gone {
    let sql = "SELECT resource_type AS t, uuid FROM resource UNION SELECT 'VmNicVO', uuid FROM vm_nic
               UNION SELECT 'VolumeVO', uuid FROM volume UNION SELECT 'VmInstanceVO', uuid FROM vm_instance";
    let rows = site.app.store.read(move |tx| tx.query(sql, params![])).await.unwrap();
    rows.iter().map(|r| (r.text("t").unwrap(), r.text("uuid").unwrap())).collect()
}

/// What a deletion may change of what stays.
const LINKS: &[&str] = &["attachedClusterUuids", "attachedZoneUuids", "state", "hostUuid", "clusterUuid"];
/// Fields by uuid and name.
type Links = BTreeMap<(String, String), Value>;

/// What everything that may stay is linked to.
async fn links(site: &Site) -> Links {
    let mut links = Links::new();
    for path in ["vm-instances", "primary-storage", "backup-storage", "l2-networks", "l3-networks"] {
        let rows = site.get(&format!("/v1/{path}")).await.unwrap();
        for row in rows["inventories"].as_array().unwrap() {
            for name in LINKS {
                let key = (row["uuid"].as_str().unwrap().to_owned(), (*name).to_owned());
                links.insert(key, row[*name].clone());
            }
        }
    }
    links
}

/// What a plan says that becomes of links.
fn told_links(plan: &Value) -> Links {
    let mut links = Links::new();
    for change in plan["changes"].as_array().unwrap() {
        for field in change["fields"].as_array().unwrap() {
            let name = field["field"].as_str().unwrap();
            if LINKS.contains(&name) {
                links.insert((change["uuid"].as_str().unwrap().into(), name.into()), field["to"].clone());
            }
        }
    }
    links
}

async fn broken_references(site: &Site) -> usize {
    site.app.store.read(|tx| tx.query("PRAGMA foreign_key_check", params![])).await.unwrap().len()
}

fn told(plan: &Value) -> Gone {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    plan["deletes"].as_array().unwrap().iter().map(|d| (text(&d["type"]), text(&d["uuid"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_01_plan_equals_deed_over_random_topologies() {
    let mut counts = (0, 0, 0);
    for seed in 0..24 {
        let mut dice = Dice(seed * 7919 + 1);
        let site = Site::new().await;
        let town = Town::build(&site, &mut dice).await;
        for _ in 0..4 {
            let Some((path, victim)) = town.victim(&mut dice) else { continue };
            let mode = if dice.upto(2) == 0 { "Permissive" } else { "Enforcing" };
            let call = format!("{path}/{victim}?deleteMode={mode}");
            let before = everything(&site).await;
            let linked = links(&site).await;
            let plan = site.plan("DELETE", &call, Value::Null).await;
            assert_eq!(everything(&site).await, before, "seed {seed}: the plan of {call} changed something");
            let plan = match plan {
                Ok(plan) => plan,
                Err(refused) => {
                    assert_eq!(
                        (refused.code(), mode),
                        ("RES.8001", "Permissive"),
                        "seed {seed}: {call}: {refused:?}"
                    );
                    assert_eq!(site.delete(&call).await.unwrap_err().code(), "RES.8001");
                    assert_eq!(
                        everything(&site).await,
                        before,
                        "seed {seed}: a refusal of {call} changed something"
                    );
                    counts.1 += 1;
                    continue;
                }
            };
            counts.0 += 1;
            site.delete(&call).await.unwrap();
            let after = everything(&site).await;
            let gone: Gone = before.difference(&after).cloned().collect();
            assert_eq!(told(&plan), gone, "seed {seed}: {call}");
            assert_eq!(plan["creates"], json!([]));
            let mut changed = links(&site).await;
            changed.retain(|key, value| linked.get(key) != Some(value));
            assert_eq!(told_links(&plan), changed, "seed {seed}: {call}");
            counts.2 += changed.len();
            assert_eq!(after.difference(&before).count(), 0, "seed {seed}: {call} made something");
            assert_eq!(broken_references(&site).await, 0, "seed {seed}: {call}");
        }
        for zone in &town.zones {
            site.delete(&format!("/v1/zones/{zone}?deleteMode=Enforcing")).await.unwrap();
        }
        for table in [
            "zone",
            "cluster",
            "host",
            "primary_storage",
            "l2_network",
            "l3_network",
            "ip_range",
            "vm_instance",
            "vm_nic",
            "used_ip",
            "volume",
            "local_storage_host_ref",
            "local_storage_resource_ref",
            "image_cache",
        ] {
            assert_eq!(site.count(table).await, 0, "seed {seed}: {table}");
        }
    }
    assert!(counts.0 > 10 && counts.1 > 3, "too few deletions {} or refusals {}", counts.0, counts.1);
    assert!(counts.2 > 5, "too few changes {}", counts.2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_02_adding_a_host_and_deleting_its_cluster_end_in_one_of_two_clean_outcomes() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    for n in 0..12_u64 {
        let cluster = site.cluster(&zone, "c").await;
        let ip = format!("10.2.0.{n}");
        let params = super::site::host_params(&cluster, &ip);
        let later = async {
            tokio::time::sleep(std::time::Duration::from_millis(n)).await;
            site.delete(&format!("/v1/clusters/{cluster}")).await
        };
        let (added, deleted) = tokio::join!(site.post("/v1/hosts/simulators", params), later);
        deleted.unwrap();
        // Added and gone with the cluster, or refused.
        if let Err(refused) = added {
            let codes = refused.codes();
            assert!(codes.iter().any(|c| c == "RES.8000" || c == "SYS.1003"), "{codes:?}");
        }
        assert_eq!((site.count("host").await, site.count("cluster").await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bey_02_deleting_twice_at_once_is_one_deletion() {
    let site = Site::new().await;
    let zone = site.zone("z").await;
    let cluster = site.cluster(&zone, "c").await;
    let host = site.host(&cluster, "10.3.0.1").await;
    let paths = [
        format!("/v1/zones/{zone}"),
        format!("/v1/clusters/{cluster}"),
        format!("/v1/hosts/{host}"),
        format!("/v1/zones/{zone}"),
    ];
    for ended in futures_util::future::join_all(paths.iter().map(|p| site.delete(p))).await {
        ended.unwrap();
    }
    assert_eq!((site.count("host").await, site.count("cluster").await, site.count("zone").await), (0, 0, 0));
}
