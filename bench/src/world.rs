//! A simulated zone made through the API: one cluster of hosts with local storage, an image, an offering and a flat network
//! with DHCP and metadata, as an installation for real guests has them.

use std::path::Path;

use anyhow::{Context, Result};
use cairn_lab::Api;
use serde_json::{Value, json};

use crate::simulation::{Crowd, Shape, Simulation};

/// Memory of a VM.
const MEMORY: i64 = 128 << 20;
/// Room for some 120 VMs.
const HOST: Shape = Shape { cpus: 16, memory: 16 << 30 };
/// Hosts that share a connection.
const PER_AGENT: usize = 1000;

/// First and last address of a range, its netmask, and its gateway.
pub type Network<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Room for 65,000 VMs.
pub const RANGE: Network = ("10.8.0.2", "10.8.255.250", "255.255.0.0", "10.8.0.1");

/// What a VM is made from.
pub struct World {
    /// Parameters of a VM but for its name.
    pub vm: Value,
    /// The hosts.
    pub simulation: Simulation,
    /// Uuid of the image store, which other zones may use too.
    store: String,
}

impl World {
    /// A zone with this many simulated hosts, all Connected. Their process keeps files in `dir`.
    pub fn build(api: &Api, dir: &Path, hosts: usize) -> Result<Self> {
        Self::with_network(api, dir, hosts, RANGE)
    }

    /// The same with a network of these addresses.
    pub fn with_network(api: &Api, dir: &Path, hosts: usize, range: Network) -> Result<Self> {
        let room: i64 = 1 << 50;
        let store = json!({ "name": "images", "url": "sim://images", "totalCapacity": room, "availableCapacity": room });
        let store = uuid(&api.post("/backup-storage/simulators", store)?)?;
        let (cluster, l3) = zone(api, &store, range)?;
        let image = json!({ "name": "image", "url": "sim://size=1G&actual=20M&format=qcow2", "format": "qcow2",
            "mediaType": "RootVolumeTemplate", "platform": "Linux", "backupStorageUuids": [store] });
        let image = uuid(&api.post("/images", image)?)?;
        let offering = json!({ "name": "tiny", "cpuNum": 1, "memorySize": MEMORY });
        let offering = uuid(&api.post("/instance-offerings", offering)?)?;
        let simulation = simulate(api, dir, &cluster, hosts)?;
        let vm = json!({ "name": "", "instanceOfferingUuid": offering, "imageUuid": image, "l3NetworkUuids": [l3] });
        Ok(Self { vm, simulation, store })
    }

    /// Another zone with hosts of its own, for the same image and offering; those of this one end.
    pub fn move_on(self, api: &Api, dir: &Path, hosts: usize, range: Network) -> Result<Self> {
        let Self { mut vm, simulation, store } = self;
        drop(simulation);
        let (cluster, l3) = zone(api, &store, range)?;
        vm["l3NetworkUuids"] = json!([l3]);
        let simulation = simulate(api, dir, &cluster, hosts)?;
        Ok(Self { vm, simulation, store })
    }

    /// The body of a creation.
    pub fn creation(&self, name: &str) -> String {
        let mut params = self.vm.clone();
        params["name"] = name.into();
        json!({ "params": params }).to_string()
    }
}

fn simulate(api: &Api, dir: &Path, cluster: &str, hosts: usize) -> Result<Simulation> {
    let crowd = Crowd { cluster, hosts, per_agent: PER_AGENT, shape: Some(HOST) };
    Simulation::of(api, &crowd, &dir.join("agents"))
}

/// The uuid of an inventory.
pub fn uuid(inventory: &Value) -> Result<String> {
    Ok(inventory["uuid"].as_str().with_context(|| format!("no uuid in {inventory}"))?.to_owned())
}

/// A new zone with an empty cluster of simulated hosts; the uuids of both.
fn empty_zone(api: &Api) -> Result<(String, String)> {
    let zone = uuid(&api.post("/zones", json!({ "name": "zone" }))?)?;
    let cluster = json!({ "name": "cluster", "zoneUuid": zone, "hypervisorType": "Simulator" });
    let cluster = uuid(&api.post("/clusters", cluster)?)?;
    Ok((zone, cluster))
}

/// A zone with a cluster and a network, whose images are in a store; the uuids of cluster and network.
fn zone(api: &Api, store: &str, range: Network) -> Result<(String, String)> {
    let (zone, cluster, l3) = furnished_zone(api, range)?;
    api.post(&format!("/zones/{zone}/backup-storage/{store}"), json!({}))?;
    Ok((cluster, l3))
}

/// A zone with a cluster of simulated hosts that have local storage and a flat network, so that they can take VMs; the uuids of
/// zone, cluster and L3 network.
pub fn furnished_zone(api: &Api, range: Network) -> Result<(String, String, String)> {
    let (zone, cluster) = empty_zone(api)?;
    let storage = json!({ "name": "local", "zoneUuid": zone, "url": "/cairn_ps" });
    let storage = uuid(&api.post("/primary-storage/local-storage", storage)?)?;
    api.post(&format!("/clusters/{cluster}/primary-storage/{storage}"), json!({}))?;
    let l3 = network(api, &zone, &cluster, range)?;
    Ok((zone, cluster, l3))
}

fn network(api: &Api, zone: &str, cluster: &str, (first, last, netmask, gateway): Network) -> Result<String> {
    let l2 = json!({ "name": "l2", "zoneUuid": zone, "physicalInterface": "eth0" });
    let l2 = uuid(&api.post("/l2-networks/no-vlan", l2)?)?;
    api.post(&format!("/l2-networks/{l2}/clusters/{cluster}"), json!({}))?;
    let l3 = uuid(&api.post("/l3-networks", json!({ "name": "flat", "l2NetworkUuid": l2 }))?)?;
    let range =
        json!({ "name": "range", "startIp": first, "endIp": last, "netmask": netmask, "gateway": gateway });
    api.post(&format!("/l3-networks/{l3}/ip-ranges"), range)?;
    let flat = api.list("/network-services/providers", "q=type=Flat")?;
    let flat = uuid(flat.first().context("the provider Flat")?)?;
    let services = json!({ "networkServices": { flat: ["DHCP", "Userdata"] } });
    api.post(&format!("/l3-networks/{l3}/network-services"), services)?;
    Ok(l3)
}
