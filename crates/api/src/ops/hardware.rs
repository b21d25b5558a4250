//! Zones, clusters and hosts.

crate::operations! {
    /// Create a zone: a room or site that clusters, storage and networks belong to.
    CreateZone: POST "/zones" => "params", cli "zone create" {
        /// Name of the zone; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Uuid that the new zone shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job ZoneInventory, admin, tags("ZoneVO");

    /// Change name or description of a zone.
    UpdateZone: PUT "/zones/{uuid}/actions" => "updateZone", cli "zone update" {
        /// Zone to change.
        uuid: String => [path, refers("ZoneVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job ZoneInventory, admin;

    /// Enable or disable a zone. Nothing new is placed in a disabled zone.
    ChangeZoneState: PUT "/zones/{uuid}/actions" => "changeZoneState", cli "zone change-state" {
        /// Zone to change.
        uuid: String => [path, refers("ZoneVO")];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job ZoneInventory, admin;

    /// Delete a zone with everything in it: clusters, hosts, VMs, primary storage and networks.
    DeleteZone: DELETE "/zones/{uuid}", cli "zone delete" {
        /// Zone to delete.
        uuid: String => [path, refers("ZoneVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List zones.
    QueryZone: GET "/zones", cli "zone list" {
    } -> query ZoneInventory, also(&["/zones/{uuid}"]), read("zone");

    /// Create a cluster: hosts of one hypervisor that share primary storage and L2 networks.
    CreateCluster: POST "/clusters" => "params", cli "cluster create" {
        /// Zone that the cluster belongs to.
        zone_uuid: String => [refers("ZoneVO")];
        /// Name of the cluster; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Hypervisor of all hosts of the cluster.
        hypervisor_type: String => [values(&["KVM", "Simulator"])];
        /// Kind of cluster. There is one kind.
        r#type: Option<String> => [values(&["zstack"])];
        /// Uuid that the new cluster shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job ClusterInventory, admin, tags("ClusterVO");

    /// Change name or description of a cluster.
    UpdateCluster: PUT "/clusters/{uuid}/actions" => "updateCluster", cli "cluster update" {
        /// Cluster to change.
        uuid: String => [path, refers("ClusterVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
    } -> job ClusterInventory, admin;

    /// Enable or disable a cluster. No VM starts in a disabled cluster.
    ChangeClusterState: PUT "/clusters/{uuid}/actions" => "changeClusterState", cli "cluster change-state" {
        /// Cluster to change.
        uuid: String => [path, refers("ClusterVO")];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job ClusterInventory, admin;

    /// Delete a cluster with its hosts. VMs that run there are stopped.
    DeleteCluster: DELETE "/clusters/{uuid}", cli "cluster delete" {
        /// Cluster to delete.
        uuid: String => [path, refers("ClusterVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List clusters.
    QueryCluster: GET "/clusters", cli "cluster list" {
    } -> query ClusterInventory, also(&["/clusters/{uuid}"]), admin;

    /// Add a KVM host by SSH: deploys agent and packages, connects it and reads what it can do.
    AddKVMHost: POST "/hosts/kvm" => "params", cli "host add-kvm" {
        /// User to log in with; must be root or may become root.
        username: String => [max_len(255)];
        /// SSH password. Not needed with `privateKey`.
        password: Option<String> => [once_required, max_len(255), secret];
        /// SSH private key (OpenSSH format, without a passphrase) to log in with instead of a password, which is then only
        /// for sudo. It is kept sealed, to reach the host again.
        private_key: Option<String> => [max_len(16384), secret, ours];
        /// SSH port.
        ssh_port: i64 => [int, range(1, 65535), default("22")];
        /// Name of the host; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Address or name of the host.
        management_ip: String => [no_empty_strings];
        /// Cluster that the host joins.
        cluster_uuid: String => [refers("ClusterVO")];
        /// Uuid that the new host shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job HostInventory, admin, tags("HostVO"), class("AddHostResult");

    /// Add the machine that the server runs on as a KVM host. Its agent must be connected.
    AddLocalHost: POST "/cairn/hosts/local" => "params", cli "host add-local" {
        /// Name of the host; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Cluster that the host joins.
        cluster_uuid: String => [refers("ClusterVO")];
        /// Address under which other hosts and clients reach this machine. Found out if absent.
        management_ip: Option<String> => [max_len(255)];
        /// Uuid that the new host shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job HostInventory, admin, tags("HostVO"), ours;

    /// Add a simulated host.
    AddSimulatorHost: POST "/hosts/simulators" => "params", cli "host add-simulator" {
        /// Memory of the host in bytes.
        memory_capacity: i64 => [default("1000000000"), once_required];
        /// CPU capacity of the host.
        cpu_capacity: i64 => [default("1000000000"), once_required];
        /// Name of the host; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Address that the host pretends to have.
        management_ip: String => [no_empty_strings];
        /// Cluster that the host joins.
        cluster_uuid: String => [refers("ClusterVO")];
        /// Uuid that the new host shall have.
        resource_uuid: Option<String> => [new_uuid];
    } -> job HostInventory, admin, tags("HostVO"), class("AddHostResult");

    /// Add many simulated hosts at once. `cairn-agent --simulate` serves them with the credentials of the answer, which are told
    /// only here: each agent serves up to `hostsPerAgent` of the hosts over one connection. The hosts connect when it dials in.
    AddSimulatorHosts: POST "/cairn/hosts/simulators" => "params", cli "host add-simulators" {
        /// Cluster that the hosts join.
        cluster_uuid: String => [refers("ClusterVO")];
        /// How many hosts.
        count: i64 => [int, range(1, 10000), required];
        /// Name of the hosts. `{n}` in it stands for the number of each; without one the number is put behind it.
        name: String => [max_len(230), default("sim-{n}")];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Number of the first host.
        first_number: i64 => [range(0, 1000000000), default("1")];
        /// Address that the first host pretends to have; the others follow it. Without one each host has a unique local address
        /// made of its uuid.
        management_ip: Option<String> => [max_len(255)];
        /// Processors of each host.
        cpu_num: i64 => [int, range(1, 100000), default("64")];
        /// Memory of each host in bytes.
        memory_size: i64 => [range(1048576, 9007199254740992), default("274877906944")];
        /// Most hosts that one agent serves.
        hosts_per_agent: i64 => [int, range(1, 1000), default("1000")];
    } -> sync {
        hostUuids: "List<String>",
        agents: "List<SimulatorAgent>",
        ca: "String",
        server: "String",
        serverName: "String"
    }, admin, ours;

    /// Change name, description or management address of a host.
    UpdateHost: PUT "/hosts/{uuid}/actions" => "updateHost", cli "host update" {
        /// Host to change.
        uuid: String => [path, refers("HostVO")];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New address of the host; takes effect at the next reconnect.
        management_ip: Option<String> => [max_len(255), no_empty_strings];
    } -> job HostInventory, admin;

    /// Change what a KVM host is called and how it is logged in to. Takes effect at the next reconnect.
    UpdateKVMHost: PUT "/hosts/kvm/{uuid}/actions" => "updateKVMHost", cli "host update-kvm" {
        /// Host to change.
        uuid: String => [path, refers("HostVO")];
        /// New SSH user.
        username: Option<String> => [max_len(255), no_empty_strings];
        /// New SSH password. Given without `privateKey` it replaces a key that was kept.
        password: Option<String> => [max_len(255), secret];
        /// New SSH private key (OpenSSH format, without a passphrase) to log in with instead of a password.
        private_key: Option<String> => [max_len(16384), secret, ours];
        /// New SSH port.
        ssh_port: Option<i64> => [int, range(1, 65535)];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New address of the host.
        management_ip: Option<String> => [max_len(255), no_empty_strings];
    } -> job HostInventory, admin, class("UpdateHostResult");

    /// Enable or disable a host, or put it into maintenance. No VM starts on a disabled host.
    ChangeHostState: PUT "/hosts/{uuid}/actions" => "changeHostState", cli "host change-state" {
        /// Host to change.
        uuid: String => [path, refers("HostVO")];
        /// What to do.
        state_event: String => [values(&["enable", "disable", "maintain"])];
    } -> job HostInventory, admin;

    /// Connect a host again: deploys the agent if it changed, and compares what runs with what should.
    ReconnectHost: PUT "/hosts/{uuid}/actions" => "reconnectHost", cli "host reconnect" {
        /// Host to connect.
        uuid: String => [path, refers("HostVO")];
    } -> job HostInventory, admin;

    /// Delete a host. VMs that run there are stopped, volumes on its local storage are lost.
    DeleteHost: DELETE "/hosts/{uuid}", cli "host delete" {
        /// Host to delete.
        uuid: String => [path, refers("HostVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, admin, missing_ok;

    /// List hosts.
    QueryHost: GET "/hosts", cli "host list" {
    } -> query HostInventory, also(&["/hosts/{uuid}"]), read("host");

    /// Show CPU and memory capacity of zones, clusters or hosts.
    GetCpuMemoryCapacity: GET "/hosts/capacities/cpu-memory", cli "host show-capacity" {
        /// Zones to add up.
        zone_uuids: Vec<String> => [refers("ZoneVO")];
        /// Clusters to add up.
        cluster_uuids: Vec<String> => [refers("ClusterVO")];
        /// Hosts to add up.
        host_uuids: Vec<String> => [refers("HostVO")];
        /// Add up everything.
        all: bool;
    } -> sync {
        totalCpu: "long",
        availableCpu: "long",
        totalMemory: "long",
        availableMemory: "long"
    }, admin;

    /// List the hypervisors that a cluster can have.
    GetHypervisorTypes: GET "/hosts/hypervisor-types", cli "host list-hypervisor-types" {
    } -> sync { hypervisorTypes: "List<String>" }, admin;

    /// List the strategies by which a host can be chosen for a VM.
    GetHostAllocatorStrategies: GET "/hosts/allocators/strategies", cli "host list-allocator-strategies" {
    } -> sync { strategies: "List<String>" }, admin;
}
