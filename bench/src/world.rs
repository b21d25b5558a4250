//! A simulated zone made through the API: one cluster of hosts with local storage, an image, an offering and a flat network
//! with DHCP and metadata, as an installation for real guests has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::http::Client;
use crate::interrupt;
use crate::server::Server;

/// Clients that add hosts at the same time.
const ADDERS: usize = 16;

/// Memory of a VM.
const MEMORY: i64 = 128 << 20;
/// Memory and processors of a host: room for some 120 VMs.
const HOST_MEMORY: i64 = 16 << 30;
const HOST_CPUS: i64 = 16;

/// What a VM is made from.
pub struct World {
    /// Parameters of a VM but for its name.
    pub vm: Value,
}

impl World {
    /// A zone with this many simulated hosts, all Connected.
    pub fn build(server: &Server, api: &Api, hosts: usize) -> Result<Self> {
        let zone = uuid(&api.post("/zones", json!({ "name": "zone" }))?)?;
        let cluster = json!({ "name": "cluster", "zoneUuid": zone, "hypervisorType": "Simulator" });
        let cluster = uuid(&api.post("/clusters", cluster)?)?;
        let storage = json!({ "name": "local", "zoneUuid": zone, "url": "/cairn_ps" });
        let storage = uuid(&api.post("/primary-storage/local-storage", storage)?)?;
        api.post(&format!("/clusters/{cluster}/primary-storage/{storage}"), json!({}))?;
        let l3 = network(api, &zone, &cluster)?;
        let image = image(api, &zone)?;
        let offering = json!({ "name": "tiny", "cpuNum": 1, "memorySize": MEMORY });
        let offering = uuid(&api.post("/instance-offerings", offering)?)?;
        add_hosts(server, api, &cluster, hosts)?;
        let vm = json!({ "name": "", "instanceOfferingUuid": offering, "imageUuid": image, "l3NetworkUuids": [l3] });
        Ok(Self { vm })
    }

    /// The body of a creation.
    pub fn creation(&self, name: &str) -> String {
        let mut params = self.vm.clone();
        params["name"] = name.into();
        json!({ "params": params }).to_string()
    }
}

/// The uuid of an inventory.
pub fn uuid(inventory: &Value) -> Result<String> {
    Ok(inventory["uuid"].as_str().with_context(|| format!("no uuid in {inventory}"))?.to_owned())
}

fn image(api: &Api, zone: &str) -> Result<String> {
    let room: i64 = 1 << 50;
    let store =
        json!({ "name": "images", "url": "sim://images", "totalCapacity": room, "availableCapacity": room });
    let store = uuid(&api.post("/backup-storage/simulators", store)?)?;
    api.post(&format!("/zones/{zone}/backup-storage/{store}"), json!({}))?;
    let image = json!({ "name": "image", "url": "sim://size=1G&actual=20M&format=qcow2", "format": "qcow2",
        "mediaType": "RootVolumeTemplate", "platform": "Linux", "backupStorageUuids": [store] });
    uuid(&api.post("/images", image)?)
}

fn network(api: &Api, zone: &str, cluster: &str) -> Result<String> {
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": "eth0" });
    let l2 = uuid(&api.post("/l2-networks/no-vlan", l2)?)?;
    api.post(&format!("/l2-networks/{l2}/clusters/{cluster}"), json!({}))?;
    let l3 = uuid(&api.post("/l3-networks", json!({ "name": "flat", "l2NetworkUuid": l2 }))?)?;
    let range = json!({ "name": "range", "startIp": "10.8.0.2", "endIp": "10.8.255.250", "netmask": "255.255.0.0",
        "gateway": "10.8.0.1" });
    api.post(&format!("/l3-networks/{l3}/ip-ranges"), range)?;
    let flat = api.list("/network-services/providers", "q=type=Flat")?;
    let flat = uuid(flat.first().context("the provider Flat")?)?;
    let services = json!({ "networkServices": { flat: ["DHCP", "Userdata"] } });
    api.post(&format!("/l3-networks/{l3}/network-services"), services)?;
    Ok(l3)
}

fn add_hosts(server: &Server, api: &Api, cluster: &str, hosts: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (next, cluster) = (Arc::new(AtomicUsize::new(0)), Arc::<str>::from(cluster));
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..ADDERS.min(hosts) {
            let mut client = Client::connect(server.address, api.session()).await?;
            let (next, cluster) = (next.clone(), cluster.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    interrupt::check()?;
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= hosts {
                        return anyhow::Ok(());
                    }
                    let address = format!("127.{}.{}.{}", 1 + n / 62_500, n / 250 % 250, n % 250 + 1);
                    let host = json!({ "params": { "name": format!("host-{n}"), "clusterUuid": &*cluster,
                        "managementIp": address, "memoryCapacity": HOST_MEMORY, "cpuCapacity": HOST_CPUS } });
                    client
                        .finish(
                            "POST",
                            "/zstack/v1/hosts/simulators",
                            &host.to_string(),
                            Duration::from_millis(5),
                        )
                        .await?;
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}
