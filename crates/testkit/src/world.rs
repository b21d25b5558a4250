//! A zone with everything that a VM needs, made through the API.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::api::Api;
use crate::cloud::Cloud;

/// Uuids of what [`Cloud::world`] made.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Zone.
    pub zone: String,
    /// Cluster of simulated hosts.
    pub cluster: String,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Local primary storage, attached to the cluster.
    pub primary_storage: String,
    /// Backup storage, attached to the zone.
    pub backup_storage: String,
    /// A small root-volume image, Ready.
    pub image: String,
    /// L2 network, attached to the cluster.
    pub l2: String,
    /// Flat L3 network 10.7.0.0/24 with DHCP.
    pub l3: String,
    /// Its address range, 10.7.0.10 to 10.7.0.250.
    pub ip_range: String,
    /// One vCPU, 64 MiB.
    pub instance_offering: String,
    /// 1 GiB.
    pub disk_offering: String,
}

/// Hosts made so far: each has a management address of its own.
static HOSTS: AtomicUsize = AtomicUsize::new(0);

fn uuid(inventory: &Value) -> String {
    inventory["uuid"].as_str().expect("a uuid").to_owned()
}

impl Cloud {
    /// A world with one host.
    pub async fn world(&self) -> World {
        self.world_of(1).await
    }

    /// A world with several hosts.
    pub async fn world_of(&self, hosts: usize) -> World {
        World::make(&self.admin, hosts).await
    }
}

impl World {
    /// A world with several hosts, made by an administrator.
    pub async fn make(api: &Api, hosts: usize) -> World {
        let mut w = World {
            zone: uuid(&api.make("CreateZone", json!({ "name": "zone" })).await),
            ..World::default()
        };
        let cluster = json!({ "zoneUuid": w.zone, "name": "cluster", "hypervisorType": "Simulator" });
        w.cluster = uuid(&api.make("CreateCluster", cluster).await);
        w.storage(api).await;
        for n in 1..=hosts {
            w.add_host(api, n).await;
        }
        w.network(api).await;
        let offering = json!({ "name": "small", "cpuNum": 1, "memorySize": 64 << 20 });
        w.instance_offering = uuid(&api.make("CreateInstanceOffering", offering).await);
        w.disk_offering =
            uuid(&api.make("CreateDiskOffering", json!({ "name": "disk", "diskSize": 1 << 30 })).await);
        w
    }

    /// Adds a host to the cluster.
    pub async fn add_host(&mut self, api: &Api, number: usize) -> String {
        let host = uuid(&api.make("AddSimulatorHost", self.host(number)).await);
        self.hosts.push(host.clone());
        host
    }

    /// Parameters of one more host.
    pub fn host(&self, number: usize) -> Value {
        let nth = HOSTS.fetch_add(1, Ordering::Relaxed);
        json!({
            "name": format!("host-{number}"), "managementIp": format!("127.7.{}.{}", nth / 250, nth % 250 + 1),
            "clusterUuid": self.cluster, "memoryCapacity": 16_i64 << 30, "cpuCapacity": 16,
        })
    }

    /// Removes all of it through the API, VMs first.
    pub async fn delete(&self, api: &Api) {
        let enforcing = |uuid: &str| json!({ "uuid": uuid, "deleteMode": "Enforcing" });
        for vm in api.list("QueryVmInstance", &[&format!("zoneUuid={}", self.zone)]).await {
            let vm = uuid(&vm);
            // A destroyed one only has to be expunged.
            let _ = api.call("DestroyVmInstance", enforcing(&vm)).await;
            let _ = api.call("ExpungeVmInstance", json!({ "uuid": vm })).await;
        }
        api.ok("DeleteZone", enforcing(&self.zone)).await;
        for image in api
            .list("QueryImage", &[&format!("backupStorageRefs.backupStorageUuid={}", self.backup_storage)])
            .await
        {
            let image = uuid(&image);
            let _ = api.call("DeleteImage", enforcing(&image)).await;
            let _ = api.call("ExpungeImage", json!({ "imageUuid": image })).await;
        }
        api.ok("DeleteBackupStorage", enforcing(&self.backup_storage)).await;
        api.ok("DeleteInstanceOffering", enforcing(&self.instance_offering)).await;
        api.ok("DeleteDiskOffering", enforcing(&self.disk_offering)).await;
    }

    async fn storage(&mut self, api: &Api) {
        let storage = json!({ "name": "local", "url": "/cairn_ps", "zoneUuid": self.zone });
        self.primary_storage = uuid(&api.make("AddLocalPrimaryStorage", storage).await);
        let attach = json!({ "primaryStorageUuid": self.primary_storage, "clusterUuid": self.cluster });
        api.ok("AttachPrimaryStorageToCluster", attach).await;
        let store = json!({
            "name": "images", "url": "/cairn_bs", "totalCapacity": 1_i64 << 40, "availableCapacity": 1_i64 << 40,
        });
        self.backup_storage = uuid(&api.make("AddSimulatorBackupStorage", store).await);
        let attach = json!({ "backupStorageUuid": self.backup_storage, "zoneUuid": self.zone });
        api.ok("AttachBackupStorageToZone", attach).await;
        let image = json!({
            "name": "tiny", "url": "http://images.example.org/tiny.qcow2", "mediaType": "RootVolumeTemplate", "format": "qcow2",
            "platform": "Linux", "backupStorageUuids": [self.backup_storage],
        });
        self.image = uuid(&api.make("AddImage", image).await);
    }

    async fn network(&mut self, api: &Api) {
        let l2 = json!({ "name": "l2", "zoneUuid": self.zone, "physicalInterface": "eth0" });
        self.l2 = uuid(&api.make("CreateL2NoVlanNetwork", l2).await);
        let attach = json!({ "l2NetworkUuid": self.l2, "clusterUuid": self.cluster });
        api.ok("AttachL2NetworkToCluster", attach).await;
        let l3 = json!({ "name": "flat", "l2NetworkUuid": self.l2, "type": "L3BasicNetwork", "category": "Private" });
        self.l3 = uuid(&api.make("CreateL3Network", l3).await);
        let range = json!({
            "l3NetworkUuid": self.l3, "name": "range", "startIp": "10.7.0.10", "endIp": "10.7.0.250",
            "netmask": "255.255.255.0", "gateway": "10.7.0.1",
        });
        self.ip_range = uuid(&api.make("AddIpRange", range).await);
        let flat = api.list("QueryNetworkServiceProvider", &["type=Flat"]).await;
        let services = json!({ uuid(&flat[0]): ["DHCP", "Userdata"] });
        let attach = json!({ "l3NetworkUuid": self.l3, "networkServices": services });
        api.ok("AttachNetworkServiceToL3Network", attach).await;
    }

    /// Lets an account use offerings, image and network.
    pub async fn share_with(&self, api: &Api, account: &str) {
        let resources = [&self.instance_offering, &self.disk_offering, &self.image, &self.l3];
        api.ok("ShareResource", json!({ "resourceUuids": resources, "accountUuids": [account] })).await;
    }

    /// Parameters of a VM with everything that it needs.
    pub fn vm(&self, name: &str) -> Value {
        json!({
            "name": name, "instanceOfferingUuid": self.instance_offering, "imageUuid": self.image,
            "l3NetworkUuids": [self.l3],
        })
    }

    /// Makes and expunges a VM, so that caches and the address of the DHCP server, which stay, are there.
    pub async fn warm_up(&self, api: &Api) {
        let vm = uuid(&self.create_vm(api, "first").await);
        api.ok("DestroyVmInstance", json!({ "uuid": vm })).await;
        api.ok("ExpungeVmInstance", json!({ "uuid": vm })).await;
    }

    /// Makes a VM; its inventory.
    pub async fn create_vm(&self, api: &Api, name: &str) -> Value {
        api.make("CreateVmInstance", self.vm(name)).await
    }
}
