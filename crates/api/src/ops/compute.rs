//! VM instances, instance offerings and consoles.

use std::collections::BTreeMap;

use serde_json::Value;

crate::operations! {
    /// Create a VM instance from an offering and an image, and start it unless `strategy` says otherwise.
    CreateVmInstance: POST "/vm-instances" => "params", cli "vm create" {
        /// Name of the VM instance; need not be unique.
        name: String => [max_len(255)];
        /// Offering with CPU and memory. Not needed with `cpuNum` and `memorySize`.
        instance_offering_uuid: Option<String> => [once_required, refers("InstanceOfferingVO"), owned];
        /// Image of the root volume, or ISO to install from.
        image_uuid: Option<String> => [once_required, refers("ImageVO"), owned];
        /// L3 networks; the VM gets one NIC on each, in this order.
        l3_network_uuids: Vec<String> => [once_required, non_empty, refers("L3NetworkVO"), owned];
        /// Kind of VM. `UserVm` if absent.
        r#type: Option<String> => [values(&["UserVm", "ApplianceVm"])];
        /// Disk offering with the size of an empty root volume (ISO), or of a larger one.
        root_disk_offering_uuid: Option<String> => [refers("DiskOfferingVO"), owned];
        /// Disk offerings; the VM gets one data volume of each.
        data_disk_offering_uuids: Vec<String> => [refers("DiskOfferingVO"), owned];
        /// Zone to run in.
        zone_uuid: Option<String> => [refers("ZoneVO")];
        /// Cluster to run in.
        cluster_uuid: Option<String> => [refers("ClusterVO")];
        /// Host to run on.
        host_uuid: Option<String> => [refers("HostVO")];
        /// Primary storage of the root volume.
        primary_storage_uuid_for_root_volume: Option<String> => [refers("PrimaryStorageVO")];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// L3 network whose gateway is the default route; needed with several networks.
        default_l3_network_uuid: Option<String> => [refers("L3NetworkVO"), owned];
        /// `InstantStart` starts the VM; `CreateStopped` prepares and leaves it stopped; `JustCreate` only records it.
        strategy: String => [values(&["InstantStart", "JustCreate", "CreateStopped"]), default("InstantStart")];
        /// Virtual CPUs, instead of those of an offering.
        cpu_num: Option<i64> => [int, range(1, 1024)];
        /// Memory in bytes, instead of that of an offering.
        memory_size: Option<i64> => [range(1, i64::MAX)];
        /// Memory in bytes that overcommitment never touches.
        reserved_memory_size: Option<i64> => [range(0, i64::MAX)];
        /// Settings of NICs, as JSON text.
        vm_nic_params: Option<String> => [ignored];
        /// Size of the root volume in bytes, instead of a disk offering.
        root_disk_size: Option<i64> => [range(1, i64::MAX)];
        /// Sizes of data volumes in bytes, instead of disk offerings.
        data_disk_sizes: Vec<i64> => [range(1, i64::MAX)];
        /// System tags of the root volume.
        root_volume_system_tags: Vec<String>;
        /// System tags of every data volume.
        data_volume_system_tags: Vec<String>;
        /// System tags of data volumes by their index.
        data_volume_system_tags_on_index: BTreeMap<String, Vec<String>>;
        /// SSH keys for the guest.
        ssh_key_pair_uuids: Vec<String> => [ignored];
        /// Sort of operating system, instead of that of the image.
        platform: Option<String> => [values(&["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"])];
        /// Operating system, instead of that of the image.
        guest_os_type: Option<String> => [max_len(255)];
        /// CPU architecture, instead of that of the image.
        architecture: Option<String> => [max_len(32), values(&["x86_64", "aarch64", "mips64el", "loongarch64"])];
        /// The guest has virtio drivers, whatever the image says.
        virtio: Option<bool>;
        /// Disks in the form of newer servers.
        disk_a_os: Value => [ignored];
        /// Uuid that the new VM instance shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job VmInstanceInventory, rbac("instance"), tags("VmInstanceVO");

    /// Change what is known about a VM. CPU and memory take effect at the next start.
    UpdateVmInstance: PUT "/vm-instances/{uuid}/actions" => "updateVmInstance", cli "vm update" {
        /// VM instance to change.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// State to record, when it is known better than the platform does.
        state: Option<String> => [values(&["Stopped", "Running"])];
        /// L3 network whose gateway is the default route from the next start.
        default_l3_network_uuid: Option<String> => [refers("L3NetworkVO")];
        /// New sort of operating system.
        platform: Option<String> => [values(&["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"])];
        /// New number of virtual CPUs.
        cpu_num: Option<i64> => [int, range(1, 1024)];
        /// New memory in bytes.
        memory_size: Option<i64> => [range(1, i64::MAX)];
        /// Memory in bytes that overcommitment never touches.
        reserved_memory_size: Option<i64> => [range(0, i64::MAX)];
        /// New operating system inside, in your own words.
        guest_os_type: Option<String> => [max_len(255)];
    } -> job VmInstanceInventory, rbac("instance");

    /// Start a stopped VM instance.
    StartVmInstance: PUT "/vm-instances/{uuid}/actions" => "startVmInstance", cli "vm start" {
        /// VM instance to start.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// Cluster to start in.
        cluster_uuid: Option<String> => [refers("ClusterVO")];
        /// Host to start on.
        host_uuid: Option<String> => [refers("HostVO")];
    } -> job VmInstanceInventory, rbac("instance");

    /// Stop a running VM instance. Done when the guest is off.
    StopVmInstance: PUT "/vm-instances/{uuid}/actions" => "stopVmInstance", cli "vm stop" {
        /// VM instance to stop.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// `grace` asks the guest and powers off after setting `vm.stopTimeout`; `cold` powers off at once.
        r#type: String => [values(&["grace", "cold"]), default("grace")];
        /// Keep the VM stopped although high availability would start it again.
        stop_ha as "stopHA": Option<String> => [values(&["true"])];
    } -> job VmInstanceInventory, rbac("instance");

    /// Stop a running VM instance and start it again on the same host.
    RebootVmInstance: PUT "/vm-instances/{uuid}/actions" => "rebootVmInstance", cli "vm reboot" {
        /// VM instance to reboot.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job VmInstanceInventory, rbac("instance");

    /// Halt the CPUs of a running VM instance; its memory stays.
    PauseVmInstance: PUT "/vm-instances/{uuid}/actions" => "pauseVmInstance", cli "vm pause" {
        /// VM instance to pause.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job VmInstanceInventory, rbac("instance");

    /// Let a paused VM instance go on.
    ResumeVmInstance: PUT "/vm-instances/{uuid}/actions" => "resumeVmInstance", cli "vm resume" {
        /// VM instance to resume.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job VmInstanceInventory, rbac("instance");

    /// Destroy a VM instance. It can be recovered as `vm.deletionPolicy` says.
    DestroyVmInstance: DELETE "/vm-instances/{uuid}", cli "vm destroy" {
        /// VM instance to destroy.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("instance"), missing_ok;

    /// Take back the destruction of a VM instance. It is stopped then.
    RecoverVmInstance: PUT "/vm-instances/{uuid}/actions" => "recoverVmInstance", cli "vm recover" {
        /// VM instance to recover.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job VmInstanceInventory, rbac("instance");

    /// Remove a destroyed VM instance with its root volume for good.
    ExpungeVmInstance: PUT "/vm-instances/{uuid}/actions" => "expungeVmInstance", cli "vm expunge" {
        /// VM instance to remove.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job {}, rbac("instance");

    /// List VM instances.
    QueryVmInstance: GET "/vm-instances", cli "vm list" {
    } -> query VmInstanceInventory, also(&["/vm-instances/{uuid}"]), read("instance");

    /// List the NICs of VM instances.
    QueryVmNic: GET "/vm-instances/nics", cli "vm list-nics" {
    } -> query VmNicInventory, also(&["/vm-instances/nics/{uuid}"]), read("instance");

    /// Show what can be done with a VM instance, such as live migration.
    GetVmCapabilities: GET "/vm-instances/{uuid}/capabilities", cli "vm show-capabilities" {
        /// VM instance to look at.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> sync { capabilities: "Map<String, Object>" }, read("instance");

    /// Show where the hypervisor serves the console of a VM instance.
    GetVmConsoleAddress: GET "/vm-instances/{uuid}/console-addresses", cli "vm show-console-address" {
        /// VM instance to look at.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> sync { hostIp: "String", port: "int", protocol: "String" }, rbac("instance");

    /// List clusters and hosts that a stopped VM instance could start on.
    GetVmStartingCandidateClustersHosts: GET "/vm-instances/{uuid}/starting-target-hosts",
    cli "vm list-starting-hosts" {
        /// VM instance to look at.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> sync {
        hosts: "List<HostInventory>",
        clusters: "List<ClusterInventory>",
        totalHosts: "long"
    }, read("instance");

    /// List zones, clusters and hosts on which a VM instance could be created.
    GetCandidateZonesClustersHostsForCreatingVm: GET "/vm-instances/candidate-destinations",
    cli "vm list-create-destinations" {
        /// Offering with CPU and memory.
        instance_offering_uuid: String => [refers("InstanceOfferingVO"), owned];
        /// Image of the root volume.
        image_uuid: String => [refers("ImageVO"), owned];
        /// L3 networks of the NICs.
        l3_network_uuids: Vec<String> => [required, non_empty, refers("L3NetworkVO"), owned];
        /// Disk offering of the root volume.
        root_disk_offering_uuid: Option<String> => [refers("DiskOfferingVO"), owned];
        /// Disk offerings of the data volumes.
        data_disk_offering_uuids: Vec<String> => [non_empty, refers("DiskOfferingVO"), owned];
        /// Only this zone.
        zone_uuid: Option<String> => [refers("ZoneVO")];
        /// Only this cluster.
        cluster_uuid: Option<String> => [refers("ClusterVO")];
        /// L3 network whose gateway is the default route.
        default_l3_network_uuid: Option<String> => [refers("L3NetworkVO"), owned];
    } -> sync {
        zones: "List<ZoneInventory>",
        clusters: "List<ClusterInventory>",
        hosts: "List<HostInventory>",
        totalHosts: "long"
    }, read("instance");

    /// List primary storages that could hold the volumes of a new VM instance.
    GetCandidatePrimaryStoragesForCreatingVm: GET "/vm-instances/candidate-storages",
    cli "vm list-create-storages" {
        /// Image of the root volume.
        image_uuid: String => [refers("ImageVO"), owned];
        /// Backup storage to take the image from.
        backup_storage_uuid: Option<String> => [refers("BackupStorageVO"), owned];
        /// L3 networks of the NICs.
        l3_network_uuids: Vec<String> => [required, non_empty, refers("L3NetworkVO"), owned];
        /// Disk offering of the root volume.
        root_disk_offering_uuid: Option<String> => [refers("DiskOfferingVO"), owned];
        /// Disk offerings of the data volumes.
        data_disk_offering_uuids: Vec<String> => [non_empty, refers("DiskOfferingVO"), owned];
        /// Only this zone.
        zone_uuid: Option<String> => [refers("ZoneVO")];
        /// Only this cluster.
        cluster_uuid: Option<String> => [refers("ClusterVO")];
        /// L3 network whose gateway is the default route.
        default_l3_network_uuid: Option<String> => [refers("L3NetworkVO"), owned];
        /// Size of the root volume in bytes, instead of a disk offering.
        root_disk_size: Option<i64> => [range(1, i64::MAX)];
        /// Sizes of data volumes in bytes, instead of disk offerings.
        data_disk_sizes: Vec<i64> => [range(1, i64::MAX)];
    } -> sync {
        rootVolumePrimaryStorages: "List<PrimaryStorageInventory>",
        dataVolumePrimaryStorages: "Map"
    }, read("instance");

    /// List the images that go with L3 networks, or the L3 networks that go with an image.
    GetInterdependentL3NetworksImages: GET "/images-l3networks/dependencies", cli "vm list-networks-or-images" {
        /// Zone to look in.
        zone_uuid: String => [refers("ZoneVO")];
        /// L3 networks to find images for.
        l3_network_uuids: Vec<String> => [non_empty, refers("L3NetworkVO")];
        /// Image to find L3 networks for.
        image_uuid: Option<String> => [refers("ImageVO")];
    } -> sync { inventories: "List" }, read("instance"), class("GetInterdependentL3NetworkImageResult");

    /// Show for every host whether a VM instance could run there, and if not, why. Of more than 1000 hosts, examples are
    /// named and all are counted by reason.
    ExplainAllocation: GET "/cairn/allocations/explain", cli "vm explain-allocation" {
        /// An existing VM instance to place, instead of a new one.
        vm_instance_uuid: Option<String> => [refers("VmInstanceVO"), owned];
        /// Offering with CPU and memory.
        instance_offering_uuid: Option<String> => [refers("InstanceOfferingVO"), owned];
        /// Image of the root volume.
        image_uuid: Option<String> => [refers("ImageVO"), owned];
        /// L3 networks of the NICs.
        l3_network_uuids: Vec<String> => [refers("L3NetworkVO"), owned];
        /// Disk offering of the root volume.
        root_disk_offering_uuid: Option<String> => [refers("DiskOfferingVO"), owned];
        /// Disk offerings of the data volumes.
        data_disk_offering_uuids: Vec<String> => [refers("DiskOfferingVO"), owned];
        /// Only this zone.
        zone_uuid: Option<String> => [refers("ZoneVO")];
        /// Only this cluster.
        cluster_uuid: Option<String> => [refers("ClusterVO")];
        /// Only this host.
        host_uuid: Option<String> => [refers("HostVO")];
        /// Primary storage of the root volume.
        primary_storage_uuid_for_root_volume: Option<String> => [refers("PrimaryStorageVO")];
        /// Virtual CPUs, instead of those of an offering.
        cpu_num: Option<i64> => [int, range(1, 1024)];
        /// Memory in bytes, instead of that of an offering.
        memory_size: Option<i64> => [range(1, i64::MAX)];
    } -> sync {
        chosen: "AllocationCandidate",
        candidates: "List<AllocationCandidate>",
        total: "long",
        accepted: "long",
        rejectedBy: "Map"
    }, read("instance"), ours;

    /// Compare what is kept in memory with the rows that it is made of: the index of hosts, the sums of VM instances and volumes,
    /// the numbers of resources, and the free addresses of IP ranges. One line for each difference, and for each part that could
    /// not be compared because it was being built or changed all the time. Takes seconds with a million hosts.
    GetIndexDifferences: GET "/cairn/indexes/differences", cli "management-node check-indexes" {
    } -> sync { hosts: "long", differences: "List<String>" }, admin, ours;

    /// Set the host name that a guest is given at its next start.
    SetVmHostname: PUT "/vm-instances/{uuid}/actions" => "setVmHostname", cli "vm set-hostname" {
        /// VM instance to change.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// Host name, with or without domain.
        hostname: String;
    } -> job {}, rbac("instance");

    /// Show the host name of a guest.
    GetVmHostname: GET "/vm-instances/{uuid}/hostnames", cli "vm show-hostname" {
        /// VM instance to look at.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> sync { hostname: "String" }, rbac("instance");

    /// Take the host name from a guest.
    DeleteVmHostname: DELETE "/vm-instances/{uuid}/hostnames", cli "vm delete-hostname" {
        /// VM instance to change.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("instance");

    /// Set the SSH public key that a guest is given at its next start.
    SetVmSshKey: PUT "/vm-instances/{uuid}/actions" => "setVmSshKey", cli "vm set-ssh-key" {
        /// VM instance to change.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// Public key, as in `ssh-ed25519 AAAA...`.
        ssh_key as "SshKey": String;
    } -> job VmInstanceInventory, rbac("instance");

    /// Show the SSH public key of a guest.
    GetVmSshKey: GET "/vm-instances/{uuid}/ssh-keys", cli "vm show-ssh-key" {
        /// VM instance to look at.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> sync { sshKey: "String" }, read("instance");

    /// Take the SSH public key from a guest.
    DeleteVmSshKey: DELETE "/vm-instances/{uuid}/ssh-keys", cli "vm delete-ssh-key" {
        /// VM instance to change.
        uuid: String => [path, refers("VmInstanceVO"), owned, target];
    } -> job {}, rbac("instance");

    /// Give a VM instance a fixed address on a network. Takes effect at the next start.
    SetVmStaticIp: PUT "/vm-instances/{vmInstanceUuid}/actions" => "setVmStaticIp", cli "vm set-static-ip" {
        /// VM instance to change.
        vm_instance_uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// L3 network of the NIC.
        l3_network_uuid: String => [refers("L3NetworkVO"), owned];
        /// IPv4 address.
        ip: Option<String> => [once_required];
        /// IPv6 address.
        ip6: Option<String>;
        /// Netmask, where the network has none.
        netmask: Option<String>;
        /// Gateway, where the network has none.
        gateway: Option<String>;
        /// IPv6 gateway, where the network has none.
        ipv6_gateway: Option<String>;
        /// IPv6 prefix length, where the network has none.
        ipv6_prefix: Option<String>;
    } -> job {}, rbac("instance");

    /// Free a VM instance from its fixed address on a network. It keeps the address until its NIC gets a new one.
    DeleteVmStaticIp: DELETE "/vm-instances/{vmInstanceUuid}/static-ips", cli "vm delete-static-ip" {
        /// VM instance to change.
        vm_instance_uuid: String => [path, refers("VmInstanceVO"), owned, target];
        /// L3 network of the NIC.
        l3_network_uuid: String => [refers("L3NetworkVO"), owned];
        /// Only this address.
        static_ip: Option<String>;
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("instance");

    /// Create an instance offering: CPU and memory that VMs made from it have.
    CreateInstanceOffering: POST "/instance-offerings" => "params", cli "instance-offering create" {
        /// Name of the instance offering; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Virtual CPUs.
        cpu_num: i64 => [int, range(1, 1024)];
        /// Memory in bytes.
        memory_size: i64 => [range(1, i64::MAX)];
        /// How a host is chosen; see `host list-allocator-strategies`.
        allocator_strategy: Option<String>;
        /// Place in lists that are sorted by hand.
        sort_key: i64 => [int, default("0")];
        /// Kind of offering.
        r#type: Option<String>;
        /// Memory in bytes that overcommitment never touches.
        reserved_memory_size: i64 => [range(0, i64::MAX), default("0")];
        /// Uuid that the new instance offering shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job InstanceOfferingInventory, rbac("configuration"), tags("InstanceOfferingVO");

    /// Change name or description of an instance offering.
    UpdateInstanceOffering: PUT "/instance-offerings/{uuid}/actions" => "updateInstanceOffering",
    cli "instance-offering update" {
        /// Instance offering to change.
        uuid: String => [path, refers("InstanceOfferingVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job InstanceOfferingInventory, rbac("configuration");

    /// Enable or disable an instance offering. No VM is made from a disabled one.
    ChangeInstanceOfferingState: PUT "/instance-offerings/{uuid}/actions" => "changeInstanceOfferingState",
    cli "instance-offering change-state" {
        /// Instance offering to change.
        uuid: String => [path, refers("InstanceOfferingVO"), owned, target];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job InstanceOfferingInventory, rbac("configuration");

    /// Delete an instance offering. VMs made from it stay.
    DeleteInstanceOffering: DELETE "/instance-offerings/{uuid}", cli "instance-offering delete" {
        /// Instance offering to delete.
        uuid: String => [path, refers("InstanceOfferingVO"), owned, target];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("configuration"), missing_ok;

    /// List instance offerings.
    QueryInstanceOffering: GET "/instance-offerings", cli "instance-offering list" {
    } -> query InstanceOfferingInventory, also(&["/instance-offerings/{uuid}"]), read("configuration");

    /// Open the console of a running VM instance: an address with a token that works once.
    RequestConsoleAccess: POST "/consoles" => "params", cli "vm open-console" {
        /// VM instance whose console to open.
        vm_instance_uuid: String => [refers("VmInstanceVO"), owned, target];
    } -> job ConsoleInventory, rbac("console");

    /// List the agents that serve consoles.
    QueryConsoleProxyAgent: GET "/consoles/agents", cli "console list-agents" {
    } -> query ConsoleProxyAgentInventory, also(&["/consoles/agents/{uuid}"]), admin;

    /// Connect agents that serve consoles again.
    ReconnectConsoleProxyAgent: PUT "/consoles/agents" => "reconnectConsoleProxyAgent",
    cli "console reconnect-agents" {
        /// Agents to connect; all if absent.
        agent_uuids: Vec<String> => [non_empty];
    } -> job { inventory: "Map<String, Object>" }, admin;
}
