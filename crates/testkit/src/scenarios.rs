//! How each workflow comes to run: what must be there, and the call. The fault harness and the crash sweep play them.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::api::{Api, digest};
use crate::cloud::TEST_PASSWORD;
use crate::world::World;

/// Which sweep a scenario belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// VMs.
    Vm,
    /// Networks and accounts.
    Network,
    /// Primary and backup storage, images.
    Storage,
    /// Zones, clusters, hosts.
    Hardware,
}

/// One way in which a workflow runs.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The sweep.
    pub group: Group,
    /// Its name.
    pub title: &'static str,
    /// The workflow that it is about; others may run beside it.
    pub workflow: &'static str,
    /// When it fails, every row is as it was. Deletions can't promise that, and a guest that went off stays off.
    pub is_atomic: bool,
    /// Another scenario plays the same workflow with every kind of trouble.
    pub is_brief: bool,
}

impl Scenario {
    const fn brief(self) -> Self {
        Self { is_brief: true, ..self }
    }
}

const fn whole(group: Group, title: &'static str, workflow: &'static str) -> Scenario {
    Scenario { group, title, workflow, is_atomic: true, is_brief: false }
}

const fn partial(group: Group, title: &'static str, workflow: &'static str) -> Scenario {
    Scenario { group, title, workflow, is_atomic: false, is_brief: false }
}

use Group::{Hardware, Network, Storage, Vm as Vms};

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    whole(Vms, "create a VM", "vm.start/1").brief(),
    whole(Vms, "create a VM that stays off", "vm.start/1").brief(),
    whole(Vms, "create a VM from a fresh image", "vm.start/1"),
    whole(Vms, "record a VM", "vm.start/1").brief(),
    whole(Vms, "start a VM", "vm.start/1"),
    partial(Vms, "stop a VM", "vm.stop/1"),
    partial(Vms, "stop a VM at once", "vm.stop/1").brief(),
    partial(Vms, "reboot a VM", "vm.reboot/1"),
    partial(Vms, "pause a VM", "vm.pause/1"),
    partial(Vms, "resume a VM", "vm.pause/1").brief(),
    partial(Vms, "destroy a running VM", "vm.delete/1"),
    partial(Vms, "destroy a VM that is off", "vm.delete/1").brief(),
    partial(Vms, "expunge a VM", "vm.delete/1"),
    whole(Network, "attach an L2 network", "l2.attach/1"),
    partial(Network, "detach an L2 network", "l2.detach/1"),
    partial(Network, "delete an L2 network", "l2.delete/1"),
    partial(Network, "delete an L3 network", "l3.delete/1").brief(),
    partial(Network, "delete an L3 network in use", "l3.delete/1"),
    partial(Network, "delete an address range", "ip-range.delete/1"),
    partial(Network, "delete an account", "account.delete/1"),
    whole(Storage, "attach a primary storage", "primary-storage.attach/1"),
    whole(Storage, "detach a primary storage", "primary-storage.detach/1"),
    whole(Storage, "measure a primary storage", "primary-storage.measure/1"),
    partial(Storage, "delete a primary storage", "primary-storage.delete/1"),
    whole(Storage, "add a backup storage", "backup-storage.add/1"),
    whole(Storage, "reconnect a backup storage", "backup-storage.reconnect/1"),
    partial(Storage, "delete a backup storage", "backup-storage.delete/1"),
    whole(Storage, "add an image", "image.add/1"),
    whole(Storage, "open an upload", "image.open-upload/1"),
    whole(Storage, "delete an image", "image.delete/1"),
    partial(Storage, "expunge an image", "image.expunge/1"),
    whole(Storage, "sync the size of an image", "image.sync-size/1"),
    whole(Hardware, "add a host", "host.add/1"),
    whole(Hardware, "a host connects while it is added", "host.connect/1").brief(),
    partial(Hardware, "a host comes back", "host.connect/1"),
    partial(Hardware, "reconnect a host", "host.reconnect/1"),
    whole(Hardware, "update a host", "host.update/1"),
    partial(Hardware, "delete a host", "host.delete/1"),
    partial(Hardware, "delete a cluster", "cluster.delete/1"),
    partial(Hardware, "delete a zone", "zone.delete/1"),
];

/// What sets a workflow off.
pub enum Call {
    /// A call of the API.
    Api(&'static str, Value),
    /// The connection to a host's agent drops.
    DropConnection(String),
}

/// What a scenario begins with.
pub struct Given {
    /// The call.
    pub call: Call,
    /// Calls that remove what was made; they may fail.
    pub after: Vec<(&'static str, Value)>,
}

/// Where scenarios play.
pub struct Scene {
    /// The admin account, logged in.
    pub admin: Api,
    /// What is there; two hosts at least.
    pub world: World,
    count: usize,
}

impl Scene {
    /// A scene in this world.
    pub fn new(admin: Api, world: World) -> Self {
        Self { admin, world, count: 0 }
    }

    /// A name that nothing else has.
    pub fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}-{}", self.count)
    }

    async fn account(&self, name: &str) -> Api {
        self.admin.ok("CreateAccount", json!({ "name": name, "password": digest(TEST_PASSWORD) })).await;
        let in_again = self.admin.log_in(name, TEST_PASSWORD).await;
        in_again.unwrap_or_else(|f| panic!("{name} can't log in: {f}"))
    }
}

fn uuid(inventory: &Value) -> String {
    inventory["uuid"].as_str().expect("a uuid").to_owned()
}

fn enforcing(uuid: &str) -> Value {
    json!({ "uuid": uuid, "deleteMode": "Enforcing" })
}

fn given(action: &'static str, params: Value, after: Vec<(&'static str, Value)>) -> Given {
    Given { call: Call::Api(action, params), after }
}

/// Makes what a scenario needs.
pub async fn begin(scene: &mut Scene, title: &str) -> Given {
    match SCENARIOS.iter().find(|s| s.title == title).map(|s| s.group) {
        Some(Vms) => vm(scene, title).await,
        Some(Network) => network(scene, title).await,
        Some(Storage) => storage(scene, title).await,
        Some(Hardware) => hardware(scene, title).await,
        None => panic!("there is no scenario {title}"),
    }
}

fn vm_goes(vm: &str) -> Vec<(&'static str, Value)> {
    vec![("DestroyVmInstance", enforcing(vm)), ("ExpungeVmInstance", json!({ "uuid": vm }))]
}

async fn vm(scene: &mut Scene, title: &str) -> Given {
    let name = scene.name("vm");
    let (api, world) = (scene.admin.clone(), scene.world.clone());
    let new = cairn_types::new_uuid();
    let mut params = world.vm(&name);
    params["resourceUuid"] = json!(new);
    match title {
        "create a VM" => return given("CreateVmInstance", params, vm_goes(&new)),
        "create a VM that stays off" => {
            params["strategy"] = json!("CreateStopped");
            return given("CreateVmInstance", params, vm_goes(&new));
        }
        "record a VM" => {
            params["strategy"] = json!("JustCreate");
            return given("CreateVmInstance", params, vm_goes(&new));
        }
        "create a VM from a fresh image" => {
            let image = add_image(scene).await;
            params["imageUuid"] = json!(image);
            let mut after = vm_goes(&new);
            after.extend(image_goes(&image));
            return given("CreateVmInstance", params, after);
        }
        _ => {}
    }
    let vm = uuid(&api.make("CreateVmInstance", params).await);
    let it = json!({ "uuid": vm });
    let after = vm_goes(&vm);
    match title {
        "start a VM" => {
            api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
            given("StartVmInstance", it, after)
        }
        "stop a VM" => given("StopVmInstance", json!({ "uuid": vm, "type": "grace" }), after),
        "stop a VM at once" => given("StopVmInstance", json!({ "uuid": vm, "type": "cold" }), after),
        "reboot a VM" => given("RebootVmInstance", it, after),
        "pause a VM" => given("PauseVmInstance", it, after),
        "resume a VM" => {
            api.ok("PauseVmInstance", it.clone()).await;
            given("ResumeVmInstance", it, after)
        }
        "destroy a running VM" => given("DestroyVmInstance", enforcing(&vm), after),
        "destroy a VM that is off" => {
            api.ok("StopVmInstance", json!({ "uuid": vm, "type": "cold" })).await;
            given("DestroyVmInstance", enforcing(&vm), after)
        }
        "expunge a VM" => {
            api.ok("DestroyVmInstance", enforcing(&vm)).await;
            given("ExpungeVmInstance", it, after)
        }
        _ => panic!("{title} is no scenario of VMs"),
    }
}

async fn add_l2(scene: &mut Scene) -> String {
    let (name, world) = (scene.name("l2"), scene.world.clone());
    let l2 = json!({ "name": name, "zoneUuid": world.zone, "physicalInterface": "eth1" });
    uuid(&scene.admin.make("CreateL2NoVlanNetwork", l2).await)
}

static SUBNETS: AtomicU32 = AtomicU32::new(0);

async fn add_l3(scene: &mut Scene, l2: &str) -> (String, String) {
    let (name, api) = (scene.name("l3"), scene.admin.clone());
    // Networks of one segment keep their addresses apart.
    let net = format!("10.9.{}", SUBNETS.fetch_add(1, Ordering::Relaxed) % 256);
    let l3 = json!({ "name": name, "l2NetworkUuid": l2, "type": "L3BasicNetwork" });
    let l3 = uuid(&api.make("CreateL3Network", l3).await);
    let range = json!({
        "l3NetworkUuid": l3, "name": "r", "startIp": format!("{net}.10"), "endIp": format!("{net}.250"),
        "netmask": "255.255.255.0", "gateway": format!("{net}.1"),
    });
    let range = uuid(&api.make("AddIpRange", range).await);
    let flat = api.list("QueryNetworkServiceProvider", &["type=Flat"]).await;
    let services = json!({ uuid(&flat[0]): ["DHCP", "Userdata"] });
    api.ok("AttachNetworkServiceToL3Network", json!({ "l3NetworkUuid": l3, "networkServices": services }))
        .await;
    (l3, range)
}

async fn network(scene: &mut Scene, title: &str) -> Given {
    let (api, world) = (scene.admin.clone(), scene.world.clone());
    if title == "delete an account" {
        let name = scene.name("account");
        let tenant = scene.account(&name).await;
        world.share_with(&api, &tenant.account).await;
        let vm = world.create_vm(&tenant, &name).await;
        let mut after = vm_goes(&uuid(&vm));
        after.push(("DeleteAccount", enforcing(&tenant.account)));
        return given("DeleteAccount", enforcing(&tenant.account), after);
    }
    let l2 = add_l2(scene).await;
    let attach = json!({ "l2NetworkUuid": l2, "clusterUuid": world.cluster });
    let mut after = vec![("DeleteL2Network", enforcing(&l2))];
    if title == "attach an L2 network" {
        return given("AttachL2NetworkToCluster", attach, after);
    }
    api.ok("AttachL2NetworkToCluster", attach.clone()).await;
    if title == "detach an L2 network" {
        return given("DetachL2NetworkFromCluster", attach, after);
    }
    let (l3, range) = add_l3(scene, &l2).await;
    match title {
        "delete an L2 network" => given("DeleteL2Network", enforcing(&l2), after),
        "delete an L3 network" => given("DeleteL3Network", enforcing(&l3), after),
        "delete an address range" => given("DeleteIpRange", enforcing(&range), after),
        "delete an L3 network in use" => {
            let mut params = world.vm(&scene.name("vm"));
            params["l3NetworkUuids"] = json!([world.l3, l3]);
            params["defaultL3NetworkUuid"] = json!(world.l3);
            let vm = uuid(&api.make("CreateVmInstance", params).await);
            after.extend(vm_goes(&vm));
            given("DeleteL3Network", enforcing(&l3), after)
        }
        _ => panic!("{title} is no scenario of networks"),
    }
}

fn image_goes(image: &str) -> Vec<(&'static str, Value)> {
    vec![("DeleteImage", enforcing(image)), ("ExpungeImage", json!({ "imageUuid": image }))]
}

fn image_params(scene: &mut Scene, url: &str) -> (String, Value) {
    let (name, image) = (scene.name("image"), cairn_types::new_uuid());
    let params = json!({
        "name": name, "url": url, "mediaType": "RootVolumeTemplate", "format": "qcow2", "platform": "Linux",
        "backupStorageUuids": [scene.world.backup_storage], "resourceUuid": image,
    });
    (image, params)
}

async fn add_image(scene: &mut Scene) -> String {
    let (image, params) = image_params(scene, "http://images.example.org/tiny.qcow2");
    scene.admin.ok("AddImage", params).await;
    image
}

async fn storage(scene: &mut Scene, title: &str) -> Given {
    if title.contains("image") || title.contains("upload") {
        return image(scene, title).await;
    }
    if title.contains("backup") {
        backup_storage(scene, title).await
    } else {
        primary_storage(scene, title).await
    }
}

async fn image(scene: &mut Scene, title: &str) -> Given {
    let api = scene.admin.clone();
    match title {
        "add an image" => {
            let (image, params) = image_params(scene, "http://images.example.org/tiny.qcow2");
            return given("AddImage", params, image_goes(&image));
        }
        "open an upload" => {
            let (image, params) = image_params(scene, "upload://");
            let named = format!("upload://{image}");
            let params = {
                let mut p = params;
                p["url"] = json!(named);
                p
            };
            return given("AddImage", params, image_goes(&image));
        }
        _ => {}
    }
    let image = add_image(scene).await;
    let after = image_goes(&image);
    match title {
        "delete an image" => given("DeleteImage", enforcing(&image), after),
        "expunge an image" => {
            api.ok("DeleteImage", enforcing(&image)).await;
            given("ExpungeImage", json!({ "imageUuid": image }), after)
        }
        "sync the size of an image" => given("SyncImageSize", json!({ "uuid": image }), after),
        _ => panic!("{title} is no scenario of images"),
    }
}

async fn backup_storage(scene: &mut Scene, title: &str) -> Given {
    let (api, name) = (scene.admin.clone(), scene.name("store"));
    let uuid = cairn_types::new_uuid();
    let params = json!({
        "name": name, "url": format!("/{name}"), "totalCapacity": 1_i64 << 40, "availableCapacity": 1_i64 << 40,
        "resourceUuid": uuid,
    });
    let after = vec![("DeleteBackupStorage", enforcing(&uuid))];
    if title == "add a backup storage" {
        return given("AddSimulatorBackupStorage", params, after);
    }
    api.ok("AddSimulatorBackupStorage", params).await;
    api.ok("AttachBackupStorageToZone", json!({ "backupStorageUuid": uuid, "zoneUuid": scene.world.zone }))
        .await;
    match title {
        "reconnect a backup storage" => given("ReconnectBackupStorage", json!({ "uuid": uuid }), after),
        "delete a backup storage" => {
            let (_, mut image) = image_params(scene, "http://images.example.org/tiny.qcow2");
            image["backupStorageUuids"] = json!([uuid]);
            api.ok("AddImage", image).await;
            given("DeleteBackupStorage", enforcing(&uuid), after)
        }
        _ => panic!("{title} is no scenario of backup storage"),
    }
}

async fn primary_storage(scene: &mut Scene, title: &str) -> Given {
    let (api, name, world) = (scene.admin.clone(), scene.name("ps"), scene.world.clone());
    if title == "measure a primary storage" {
        return given(
            "SyncPrimaryStorageCapacity",
            json!({ "primaryStorageUuid": world.primary_storage }),
            Vec::new(),
        );
    }
    // A cluster has one local storage, so a second one needs a cluster of its own.
    let cluster = json!({ "zoneUuid": world.zone, "name": name, "hypervisorType": "Simulator" });
    let cluster = uuid(&api.make("CreateCluster", cluster).await);
    let mut host = world.host(1);
    host["clusterUuid"] = json!(cluster);
    api.ok("AddSimulatorHost", host).await;
    let storage = json!({ "name": name, "url": format!("/{name}"), "zoneUuid": world.zone });
    let storage = uuid(&api.make("AddLocalPrimaryStorage", storage).await);
    let link = json!({ "primaryStorageUuid": storage, "clusterUuid": cluster });
    let after = vec![
        ("DetachPrimaryStorageFromCluster", link.clone()),
        ("DeletePrimaryStorage", enforcing(&storage)),
        ("DeleteCluster", enforcing(&cluster)),
    ];
    match title {
        "attach a primary storage" => return given("AttachPrimaryStorageToCluster", link, after),
        "delete a primary storage" => return given("DeletePrimaryStorage", enforcing(&storage), after),
        _ => {}
    }
    api.ok("AttachPrimaryStorageToCluster", link.clone()).await;
    given("DetachPrimaryStorageFromCluster", link, after)
}

async fn hardware(scene: &mut Scene, title: &str) -> Given {
    let (api, world) = (scene.admin.clone(), scene.world.clone());
    let mut host = world.host(9);
    let new = cairn_types::new_uuid();
    host["resourceUuid"] = json!(new);
    match title {
        "add a host" | "a host connects while it is added" => {
            return given("AddSimulatorHost", host, vec![("DeleteHost", enforcing(&new))]);
        }
        "a host comes back" => {
            let host = world.hosts[0].clone();
            return Given {
                after: vec![("ReconnectHost", json!({ "uuid": host }))],
                call: Call::DropConnection(host),
            };
        }
        "reconnect a host" => {
            let it = json!({ "uuid": world.hosts[0] });
            return given("ReconnectHost", it.clone(), vec![("ReconnectHost", it)]);
        }
        "update a host" => {
            let host = json!({ "uuid": world.hosts[0], "name": scene.name("host"), "managementIp": host["managementIp"] });
            return given("UpdateHost", host, Vec::new());
        }
        _ => {}
    }
    match title {
        "delete a host" => {
            api.ok("AddSimulatorHost", host).await;
            let mut vm = world.vm(&scene.name("vm"));
            vm["hostUuid"] = json!(new);
            let vm = uuid(&api.make("CreateVmInstance", vm).await);
            let mut after = vm_goes(&vm);
            after.push(("DeleteHost", enforcing(&new)));
            given("DeleteHost", enforcing(&new), after)
        }
        "delete a cluster" | "delete a zone" => {
            let name = scene.name("site");
            let zone = uuid(&api.make("CreateZone", json!({ "name": name })).await);
            let cluster = json!({ "zoneUuid": zone, "name": name, "hypervisorType": "Simulator" });
            let cluster = uuid(&api.make("CreateCluster", cluster).await);
            let storage = json!({ "name": name, "url": "/ps", "zoneUuid": zone });
            let storage = uuid(&api.make("AddLocalPrimaryStorage", storage).await);
            api.ok(
                "AttachPrimaryStorageToCluster",
                json!({ "primaryStorageUuid": storage, "clusterUuid": cluster }),
            )
            .await;
            host["clusterUuid"] = json!(cluster);
            api.ok("AddSimulatorHost", host).await;
            let l2 = json!({ "name": name, "zoneUuid": zone, "physicalInterface": "eth0" });
            let l2 = uuid(&api.make("CreateL2NoVlanNetwork", l2).await);
            api.ok("AttachL2NetworkToCluster", json!({ "l2NetworkUuid": l2, "clusterUuid": cluster })).await;
            let after = vec![("DeleteZone", enforcing(&zone))];
            match title {
                "delete a cluster" => given("DeleteCluster", enforcing(&cluster), after),
                _ => given("DeleteZone", enforcing(&zone), after),
            }
        }
        _ => panic!("{title} is no scenario of hardware"),
    }
}
