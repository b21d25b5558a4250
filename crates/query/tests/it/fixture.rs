//! A small cloud: two zones, three clusters, three hosts, five VMs of two accounts, images, networks, storage, tags.

use cairn_api::request::parse_query;
use cairn_api::resource::{self, Resource};
use cairn_query::{Options, Query, QueryResult, Viewer, run};
use cairn_store::scratch::Scratch;
use cairn_store::{Store, Tx};
use cairn_types::{Fault, Result};

pub const ADMIN: &str = resource::ADMIN_ACCOUNT;

/// A uuid that a test can read: `id("vm", 1)`.
pub fn id(kind: &str, n: u32) -> String {
    let head: String = kind.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{head:0<24}{n:08x}")
}

/// A query as a client would send it.
pub fn query(pairs: &[(&str, &str)]) -> Query {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    parse_query(&text.join("&"), None).unwrap_or_else(|e| panic!("{pairs:?}: {e:?}")).into()
}

pub struct Db {
    runtime: tokio::runtime::Runtime,
    store: Store,
    _scratch: Scratch,
}

impl Db {
    pub fn empty() -> Self {
        let scratch = Scratch::new();
        let store = scratch.open(1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, store, _scratch: scratch }
    }

    pub fn new() -> Self {
        let db = Self::empty();
        db.write(fill);
        db
    }

    pub fn write(&self, f: fn(&mut dyn Tx) -> Result<()>) {
        self.runtime.block_on(self.store.write(f)).unwrap();
    }

    pub fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.runtime.block_on(self.store.read(f))
    }

    pub fn run(
        &self,
        resource: &'static Resource,
        query: Query,
        viewer: Viewer,
        options: Options,
    ) -> Result<QueryResult> {
        self.read(move |tx| run(tx, resource, &query, &viewer, &options))
    }

    /// The names (or uuids) of what the admin finds with these conditions, in order.
    pub fn names(&self, resource: &'static Resource, conditions: &[&str]) -> Vec<String> {
        self.names_as(resource, conditions, Viewer::EVERYTHING)
    }

    pub fn names_as(&self, resource: &'static Resource, conditions: &[&str], viewer: Viewer) -> Vec<String> {
        let pairs: Vec<(&str, &str)> = conditions.iter().map(|c| ("q", *c)).collect();
        let query = query(&pairs);
        let found = self
            .run(resource, query, viewer, Options::default())
            .unwrap_or_else(|e| panic!("{conditions:?}: {e}"));
        found.inventories.iter().map(name).collect()
    }

    pub fn fault(&self, resource: &'static Resource, pairs: &[(&str, &str)]) -> Fault {
        let query = query(pairs);
        self.run(resource, query, Viewer::EVERYTHING, Options::default()).unwrap_err()
    }

    pub fn ask(&self, resource: &'static Resource, pairs: &[(&str, &str)]) -> QueryResult {
        let query = query(pairs);
        self.run(resource, query, Viewer::EVERYTHING, Options::default()).unwrap()
    }
}

pub fn name(inventory: &serde_json::Value) -> String {
    let text = |key: &str| inventory.get(key).and_then(|v| v.as_str()).map(str::to_owned);
    text("name").or_else(|| text("tag")).or_else(|| text("uuid")).unwrap_or_default()
}

fn account(tx: &mut dyn Tx, uuid: &str, name: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO account (uuid, name, type, password_hash, create_ms, last_op_ms) VALUES (?, ?, 'Normal', 'x', 1, 1)",
        cairn_store::params![uuid, name],
    )?;
    register(tx, uuid, "AccountVO", Some(uuid))
}

pub fn register(tx: &mut dyn Tx, uuid: &str, kind: &str, owner: Option<&str>) -> Result<()> {
    tx.execute(
        "INSERT INTO resource (uuid, resource_type, account_uuid, create_ms) VALUES (?, ?, ?, 1)",
        cairn_store::params![uuid, kind, owner],
    )?;
    Ok(())
}

pub struct Vm<'a> {
    pub n: u32,
    pub name: &'a str,
    pub state: &'a str,
    pub host: Option<u32>,
    pub cpu: i64,
    pub owner: &'a str,
    pub created: i64,
}

pub fn vm(tx: &mut dyn Tx, vm: &Vm) -> Result<()> {
    let uuid = id("vm", vm.n);
    register(tx, &uuid, "VmInstanceVO", Some(vm.owner))?;
    tx.execute(
        "INSERT INTO vm_instance (uuid, name, zone_uuid, cluster_uuid, host_uuid, image_uuid, root_volume_uuid, memory_size, \
         cpu_num, state, hypervisor_type, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'KVM', ?, ?)",
        cairn_store::params![
            &uuid,
            vm.name,
            id("zone", 1),
            id("cluster", 1),
            vm.host.map(|h| id("host", h)),
            id("image", 1),
            id("vol", vm.n),
            vm.cpu << 30,
            vm.cpu,
            vm.state,
            vm.created,
            vm.created
        ],
    )?;
    let volume = id("vol", vm.n);
    register(tx, &volume, "VolumeVO", Some(vm.owner))?;
    tx.execute(
        "INSERT INTO volume (uuid, name, primary_storage_uuid, vm_instance_uuid, root_image_uuid, type, size, actual_size, \
         device_id, status, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, 'Root', 1000, 100, 0, 'Ready', 1, 1)",
        cairn_store::params![&volume, format!("root-{}", vm.name), id("ps", 1), &uuid, id("image", 1)],
    )?;
    Ok(())
}

fn nic(tx: &mut dyn Tx, vm: u32, device: i64, l3: u32, ip: &str) -> Result<()> {
    let last: u32 = ip.rsplit('.').next().unwrap().parse().unwrap();
    tx.execute(
        "INSERT INTO vm_nic (uuid, vm_instance_uuid, l3_network_uuid, ip, ip_sort, netmask, gateway, mac, device_id, create_ms, \
         last_op_ms) VALUES (?, ?, ?, ?, ?, '255.255.255.0', '10.0.0.1', ?, ?, 1, 1)",
        cairn_store::params![
            id("nic", vm * 10 + u32::try_from(device).unwrap()),
            id("vm", vm),
            id("l3", l3),
            ip,
            format!("{last:032x}"),
            format!("fa:00:00:00:{vm:02x}:{device:02x}"),
            device
        ],
    )?;
    Ok(())
}

fn fill(tx: &mut dyn Tx) -> Result<()> {
    account(tx, ADMIN, "admin")?;
    account(tx, &id("acc", 1), "alice")?;
    account(tx, &id("acc", 2), "bob")?;
    hardware(tx)?;
    storage(tx)?;
    networks(tx)?;
    let (alice, bob) = (id("acc", 1), id("acc", 2));
    let day = 86_400_000;
    for (n, name, state, host, cpu, owner) in [
        (1, "web-1", "Running", Some(1), 1, &alice),
        (2, "web-2", "Running", Some(1), 2, &alice),
        (3, "Web-3", "Stopped", None, 4, &bob),
        (4, "db-1", "Running", Some(2), 8, &bob),
        (5, "100%_sure", "Destroyed", None, 1, &bob),
    ] {
        vm(tx, &Vm { n, name, state, host, cpu, owner, created: i64::from(n) * day + 250 })?;
    }
    for (vm, device, l3, ip) in [
        (1, 0, 1, "10.0.0.9"),
        (1, 1, 2, "10.1.0.5"),
        (2, 0, 1, "10.0.0.10"),
        (3, 0, 2, "10.1.0.9"),
        (4, 0, 1, "10.0.0.100"),
    ] {
        nic(tx, vm, device, l3, ip)?;
    }
    tags(tx)
}

fn hardware(tx: &mut dyn Tx) -> Result<()> {
    for (n, name) in [(1, "zone-1"), (2, "zone-2")] {
        register(tx, &id("zone", n), "ZoneVO", None)?;
        tx.execute(
            "INSERT INTO zone (uuid, name, description, create_ms, last_op_ms) VALUES (?, ?, ?, 1, 1)",
            cairn_store::params![id("zone", n), name, (n == 1).then_some("a>=b")],
        )?;
    }
    for (n, zone, name) in [(1, 1, "rack-1"), (2, 1, "rack-2"), (3, 2, "other")] {
        register(tx, &id("cluster", n), "ClusterVO", None)?;
        tx.execute(
            "INSERT INTO cluster (uuid, zone_uuid, name, hypervisor_type, create_ms, last_op_ms) VALUES (?, ?, ?, 'KVM', 1, 1)",
            cairn_store::params![id("cluster", n), id("zone", zone), name],
        )?;
    }
    for (n, cluster, name, kind) in
        [(1, 1, "host-1", "KVM"), (2, 1, "host-2", "KVM"), (3, 2, "sim-1", "Simulator")]
    {
        register(tx, &id("host", n), "HostVO", None)?;
        tx.execute(
            "INSERT INTO host (uuid, zone_uuid, cluster_uuid, name, management_ip, hypervisor_type, status, username, ssh_port, \
             cpu_num, cpu_sockets, total_cpu, total_memory, reserved_memory, create_ms, last_op_ms) \
             VALUES (?, ?, ?, ?, ?, ?, 'Connected', ?, ?, 4, 1, 4, ?, ?, 1, 1)",
            cairn_store::params![
                id("host", n),
                id("zone", 1),
                id("cluster", cluster),
                name,
                format!("192.168.0.{n}"),
                kind,
                (kind == "KVM").then_some("root"),
                (kind == "KVM").then_some(22_i64),
                16_i64 << 30,
                1_i64 << 30
            ],
        )?;
    }
    Ok(())
}

fn storage(tx: &mut dyn Tx) -> Result<()> {
    register(tx, &id("ps", 1), "PrimaryStorageVO", None)?;
    tx.execute(
        "INSERT INTO primary_storage (uuid, zone_uuid, name, url, type, create_ms, last_op_ms) VALUES (?, ?, 'local', '/ps', 'LocalStorage', 1, 1)",
        cairn_store::params![id("ps", 1), id("zone", 1)],
    )?;
    tx.execute(
        "INSERT INTO primary_storage_cluster_ref VALUES (?, ?, 1, 1)",
        cairn_store::params![id("ps", 1), id("cluster", 1)],
    )?;
    for host in [1, 2] {
        tx.execute(
            "INSERT INTO local_storage_host_ref (primary_storage_uuid, host_uuid, total_physical, available_physical, status, \
             create_ms, last_op_ms) VALUES (?, ?, 100000, 90000, 'Connected', 1, 1)",
            cairn_store::params![id("ps", 1), id("host", host)],
        )?;
    }
    for (n, name, kind, zones) in
        [(1, "store", "ImageStoreBackupStorage", 2), (2, "sim-store", "SimulatorBackupStorage", 0)]
    {
        register(tx, &id("bs", n), "BackupStorageVO", None)?;
        tx.execute(
            "INSERT INTO backup_storage (uuid, name, url, type, hostname, username, ssh_port, total_capacity, available_capacity, \
             create_ms, last_op_ms) VALUES (?, ?, '/bs', ?, '192.168.0.1', 'root', 22, 500, 400, 1, 1)",
            cairn_store::params![id("bs", n), name, kind],
        )?;
        for zone in 1..=zones {
            tx.execute(
                "INSERT INTO backup_storage_zone_ref VALUES (?, ?, 1, 1)",
                cairn_store::params![id("bs", n), id("zone", zone)],
            )?;
        }
    }
    for (n, name, owner) in
        [(1, "debian", ADMIN.to_owned()), (2, "private", id("acc", 2)), (3, "for-alice", ADMIN.to_owned())]
    {
        register(tx, &id("image", n), "ImageVO", Some(&owner))?;
        tx.execute(
            "INSERT INTO image (uuid, name, status, media_type, format, create_ms, last_op_ms) VALUES (?, ?, 'Ready', \
             'RootVolumeTemplate', 'qcow2', 1, 1)",
            cairn_store::params![id("image", n), name],
        )?;
        tx.execute(
            "INSERT INTO image_backup_storage_ref (image_uuid, backup_storage_uuid, install_path, status, create_ms, last_op_ms) \
             VALUES (?, ?, 'zstore://x', 'Ready', 1, 1)",
            cairn_store::params![id("image", n), id("bs", 1)],
        )?;
    }
    for (n, image, receiver) in [(1, 1, None), (2, 3, Some(id("acc", 1)))] {
        let public = receiver.is_none();
        tx.execute(
            "INSERT INTO shared_resource (uuid, resource_uuid, receiver_account_uuid, to_public, create_ms, last_op_ms) \
             VALUES (?, ?, ?, ?, 1, 1)",
            cairn_store::params![id("share", n), id("image", image), receiver, public],
        )?;
    }
    Ok(())
}

fn networks(tx: &mut dyn Tx) -> Result<()> {
    register(tx, &id("l2", 1), "L2NetworkVO", None)?;
    tx.execute(
        "INSERT INTO l2_network (uuid, zone_uuid, name, physical_interface, type, create_ms, last_op_ms) VALUES (?, ?, 'l2', 'eth1', \
         'L2NoVlanNetwork', 1, 1)",
        cairn_store::params![id("l2", 1), id("zone", 1)],
    )?;
    tx.execute(
        "INSERT INTO l2_network_cluster_ref VALUES (?, ?, 1, 1)",
        cairn_store::params![id("l2", 1), id("cluster", 1)],
    )?;
    tx.execute(
        "INSERT INTO network_service_provider (uuid, name, type, create_ms, last_op_ms) VALUES (?, 'Flat', 'Flat', 1, 1)",
        cairn_store::params![id("nsp", 1)],
    )?;
    for service in ["DHCP", "Userdata"] {
        tx.execute(
            "INSERT INTO network_service_type VALUES (?, ?)",
            cairn_store::params![id("nsp", 1), service],
        )?;
    }
    for (n, name, owner) in [(1, "flat-1", id("acc", 1)), (2, "flat-2", id("acc", 2))] {
        register(tx, &id("l3", n), "L3NetworkVO", Some(&owner))?;
        tx.execute(
            "INSERT INTO l3_network (uuid, zone_uuid, l2_network_uuid, name, type, create_ms, last_op_ms) VALUES (?, ?, ?, ?, \
             'L3BasicNetwork', 1, 1)",
            cairn_store::params![id("l3", n), id("zone", 1), id("l2", 1), name],
        )?;
        tx.execute(
            "INSERT INTO network_service_l3_network_ref VALUES (?, ?, 'DHCP')",
            cairn_store::params![id("l3", n), id("nsp", 1)],
        )?;
        tx.execute(
            "INSERT INTO ip_range (uuid, l3_network_uuid, name, start_ip, end_ip, start_ip_sort, end_ip_sort, netmask, prefix_len, \
             gateway, network_cidr, create_ms, last_op_ms) VALUES (?, ?, ?, '10.0.0.2', '10.0.0.200', '02', 'c8', '255.255.255.0', \
             24, '10.0.0.1', '10.0.0.0/24', 1, 1)",
            cairn_store::params![id("ipr", n), id("l3", n), format!("range-{n}")],
        )?;
    }
    for (dns, position) in [("9.9.9.9", 0_i64), ("1.1.1.1", 1)] {
        tx.execute(
            "INSERT INTO l3_network_dns VALUES (?, ?, ?, 1, 1)",
            cairn_store::params![id("l3", 1), dns, position],
        )?;
    }
    Ok(())
}

fn tags(tx: &mut dyn Tx) -> Result<()> {
    for (n, kind, resource, tag) in [
        (1, "vm", 1, "fast"),
        (2, "vm", 1, "prod"),
        (3, "vm", 2, "slow"),
        (4, "host", 1, "fast"),
        (5, "image", 1, "applianceType::vrouter"),
    ] {
        let entity = match kind {
            "vm" => "VmInstanceVO",
            "host" => "HostVO",
            _ => "ImageVO",
        };
        let table = if kind == "image" { "system_tag" } else { "user_tag" };
        tx.execute(
            &format!("INSERT INTO {table} (uuid, resource_uuid, resource_type, tag, create_ms, last_op_ms) VALUES (?, ?, ?, ?, 1, 1)"),
            cairn_store::params![id("tag", n), id(kind, resource), entity, tag],
        )?;
    }
    Ok(())
}
