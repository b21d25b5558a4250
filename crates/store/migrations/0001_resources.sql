-- Resources and the links between them, in the SQL that SQLite and PostgreSQL share.
--
-- Columns are the snake_case of the API's field names. Times are UTC milliseconds (`…_ms`), booleans 0 or 1, amounts bytes.
-- `deleting_run`: the workflow run that is deleting the row; while it is set, no new reference to the row may be inserted.
-- Foreign keys have no action on delete, so that a forgotten cascade fails loudly. A row may outlive its image, offering,
-- last host or default network; those columns are plain.

CREATE TABLE account (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    type TEXT NOT NULL DEFAULT 'Normal',
    password_hash TEXT NOT NULL,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);

-- The registry of everything that has an owner or tags. The owner of a resource stands here and nowhere else.
-- Infrastructure (zones, hosts, storage) has no owner.
CREATE TABLE resource (
    uuid TEXT PRIMARY KEY,
    resource_type TEXT NOT NULL,
    account_uuid TEXT REFERENCES account (uuid),
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX resource_account ON resource (account_uuid, resource_type, uuid);
CREATE INDEX resource_by_type ON resource (resource_type);

-- One row per receiver; to_public = 1 has no receiver and reaches every account.
CREATE TABLE shared_resource (
    uuid TEXT PRIMARY KEY,
    resource_uuid TEXT NOT NULL REFERENCES resource (uuid),
    receiver_account_uuid TEXT REFERENCES account (uuid),
    to_public BIGINT NOT NULL DEFAULT 0,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX shared_resource_once ON shared_resource (resource_uuid, receiver_account_uuid)
    WHERE receiver_account_uuid IS NOT NULL;
CREATE UNIQUE INDEX shared_resource_public_once ON shared_resource (resource_uuid) WHERE to_public = 1;
CREATE INDEX shared_resource_resource ON shared_resource (resource_uuid);
CREATE INDEX shared_resource_receiver ON shared_resource (receiver_account_uuid);

CREATE TABLE quota (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    identity_uuid TEXT NOT NULL REFERENCES account (uuid),
    identity_type TEXT NOT NULL DEFAULT 'AccountVO',
    value BIGINT NOT NULL,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    UNIQUE (identity_uuid, name)
);

CREATE TABLE access_key (
    uuid TEXT PRIMARY KEY,
    account_uuid TEXT NOT NULL REFERENCES account (uuid),
    user_uuid TEXT NOT NULL,
    description TEXT,
    access_key_id TEXT NOT NULL UNIQUE,
    secret_sealed TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX access_key_account ON access_key (account_uuid);

CREATE TABLE system_tag (
    uuid TEXT PRIMARY KEY,
    resource_uuid TEXT NOT NULL REFERENCES resource (uuid),
    resource_type TEXT NOT NULL,
    tag TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT 'System',
    inherent BIGINT NOT NULL DEFAULT 0,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    UNIQUE (resource_uuid, tag)
);
CREATE INDEX system_tag_tag ON system_tag (tag, resource_type);

CREATE TABLE user_tag (
    uuid TEXT PRIMARY KEY,
    resource_uuid TEXT NOT NULL REFERENCES resource (uuid),
    resource_type TEXT NOT NULL,
    tag TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT 'User',
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    UNIQUE (resource_uuid, tag)
);
CREATE INDEX user_tag_tag ON user_tag (tag, resource_type);

CREATE TABLE webhook (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    type TEXT NOT NULL,
    opaque TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX webhook_name ON webhook (name);

CREATE TABLE management_node (
    uuid TEXT PRIMARY KEY,
    host_name TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'RUNNING',
    epoch BIGINT NOT NULL DEFAULT 0,
    join_ms BIGINT NOT NULL,
    heart_beat_ms BIGINT NOT NULL
);

CREATE TABLE console_proxy_agent (
    uuid TEXT PRIMARY KEY,
    description TEXT,
    management_ip TEXT NOT NULL,
    console_proxy_overridden_ip TEXT,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);

-- Hardware ---------------------------------------------------------------------------------------------------------

CREATE TABLE zone (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    state TEXT NOT NULL DEFAULT 'Enabled',
    type TEXT NOT NULL DEFAULT 'zstack',
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX zone_name ON zone (name);

CREATE TABLE cluster (
    uuid TEXT PRIMARY KEY,
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    name TEXT NOT NULL,
    description TEXT,
    state TEXT NOT NULL DEFAULT 'Enabled',
    hypervisor_type TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT 'zstack',
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX cluster_zone ON cluster (zone_uuid);
CREATE INDEX cluster_name ON cluster (name);

-- KVM and simulated hosts. total_cpu and total_memory are what the agent reported when it last connected, before
-- overcommit; reserved_* is kept back for the host itself. What is used is a sum over vm_instance.
CREATE TABLE host (
    uuid TEXT PRIMARY KEY,
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    cluster_uuid TEXT NOT NULL REFERENCES cluster (uuid),
    name TEXT NOT NULL,
    description TEXT,
    management_ip TEXT NOT NULL UNIQUE,
    hypervisor_type TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    status TEXT NOT NULL DEFAULT 'Connecting',
    status_reason TEXT,
    status_ms BIGINT,
    username TEXT,
    ssh_port BIGINT,
    password_sealed TEXT,
    private_key_sealed TEXT,
    agent_uuid TEXT,
    facts TEXT,
    cpu_num BIGINT NOT NULL DEFAULT 0,
    cpu_sockets BIGINT NOT NULL DEFAULT 0,
    total_cpu BIGINT NOT NULL DEFAULT 0,
    total_memory BIGINT NOT NULL DEFAULT 0,
    reserved_cpu BIGINT NOT NULL DEFAULT 0,
    reserved_memory BIGINT NOT NULL DEFAULT 0,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX host_zone ON host (zone_uuid);
CREATE INDEX host_cluster ON host (cluster_uuid);
CREATE INDEX host_name ON host (name);
CREATE INDEX host_agent ON host (agent_uuid);

-- Primary storage --------------------------------------------------------------------------------------------------

CREATE TABLE primary_storage (
    uuid TEXT PRIMARY KEY,
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    name TEXT NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    mount_path TEXT,
    type TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    status TEXT NOT NULL DEFAULT 'Connecting',
    status_reason TEXT,
    -- Set for storage whose size does not come from its hosts (simulated storage); NULL for local storage.
    total_capacity BIGINT,
    available_capacity BIGINT,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX primary_storage_zone ON primary_storage (zone_uuid);
CREATE INDEX primary_storage_name ON primary_storage (name);

CREATE TABLE primary_storage_cluster_ref (
    primary_storage_uuid TEXT NOT NULL REFERENCES primary_storage (uuid),
    cluster_uuid TEXT NOT NULL REFERENCES cluster (uuid),
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (primary_storage_uuid, cluster_uuid)
);
CREATE INDEX primary_storage_cluster_ref_cluster ON primary_storage_cluster_ref (cluster_uuid);

CREATE TABLE local_storage_host_ref (
    primary_storage_uuid TEXT NOT NULL REFERENCES primary_storage (uuid),
    host_uuid TEXT NOT NULL REFERENCES host (uuid),
    total_physical BIGINT NOT NULL DEFAULT 0,
    available_physical BIGINT NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'Disconnected',
    status_reason TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (primary_storage_uuid, host_uuid)
);
CREATE INDEX local_storage_host_ref_host ON local_storage_host_ref (host_uuid);

-- Which host holds a volume (later also a snapshot) of a local storage.
CREATE TABLE local_storage_resource_ref (
    resource_uuid TEXT PRIMARY KEY,
    primary_storage_uuid TEXT NOT NULL REFERENCES primary_storage (uuid),
    host_uuid TEXT NOT NULL REFERENCES host (uuid),
    resource_type TEXT NOT NULL,
    size BIGINT NOT NULL DEFAULT 0,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX local_storage_resource_ref_storage ON local_storage_resource_ref (primary_storage_uuid, host_uuid);
CREATE INDEX local_storage_resource_ref_host ON local_storage_resource_ref (host_uuid);

-- Backup storage and images ----------------------------------------------------------------------------------------

CREATE TABLE backup_storage (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    status TEXT NOT NULL DEFAULT 'Connecting',
    status_reason TEXT,
    hostname TEXT,
    username TEXT,
    ssh_port BIGINT,
    password_sealed TEXT,
    private_key_sealed TEXT,
    http_port BIGINT,
    agent_uuid TEXT,
    host_uuid TEXT,
    total_capacity BIGINT NOT NULL DEFAULT 0,
    available_capacity BIGINT NOT NULL DEFAULT 0,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX backup_storage_name ON backup_storage (name);
CREATE INDEX backup_storage_agent ON backup_storage (agent_uuid);

CREATE TABLE backup_storage_zone_ref (
    backup_storage_uuid TEXT NOT NULL REFERENCES backup_storage (uuid),
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (backup_storage_uuid, zone_uuid)
);
CREATE INDEX backup_storage_zone_ref_zone ON backup_storage_zone_ref (zone_uuid);

CREATE TABLE image (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    state TEXT NOT NULL DEFAULT 'Enabled',
    status TEXT NOT NULL,
    status_reason TEXT,
    size BIGINT NOT NULL DEFAULT 0,
    actual_size BIGINT NOT NULL DEFAULT 0,
    md5_sum TEXT,
    url TEXT,
    media_type TEXT NOT NULL,
    guest_os_type TEXT,
    type TEXT NOT NULL DEFAULT 'zstack',
    platform TEXT,
    format TEXT NOT NULL,
    system BIGINT NOT NULL DEFAULT 0,
    deleted_ms BIGINT,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX image_name ON image (name);
CREATE INDEX image_status ON image (status);

CREATE TABLE image_backup_storage_ref (
    image_uuid TEXT NOT NULL REFERENCES image (uuid),
    backup_storage_uuid TEXT NOT NULL REFERENCES backup_storage (uuid),
    install_path TEXT,
    status TEXT NOT NULL,
    sha256 TEXT,
    export_url TEXT,
    export_md5_sum TEXT,
    deleted_ms BIGINT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (image_uuid, backup_storage_uuid)
);
CREATE INDEX image_backup_storage_ref_storage ON image_backup_storage_ref (backup_storage_uuid);

-- Copies of images on primary storage. host_uuid is NULL on storage that hosts share.
CREATE TABLE image_cache (
    uuid TEXT PRIMARY KEY,
    image_uuid TEXT NOT NULL,
    primary_storage_uuid TEXT NOT NULL REFERENCES primary_storage (uuid),
    host_uuid TEXT REFERENCES host (uuid),
    install_path TEXT NOT NULL,
    size BIGINT NOT NULL DEFAULT 0,
    sha256 TEXT,
    media_type TEXT,
    state TEXT NOT NULL DEFAULT 'ready',
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX image_cache_once ON image_cache (image_uuid, primary_storage_uuid, host_uuid)
    WHERE host_uuid IS NOT NULL;
CREATE UNIQUE INDEX image_cache_shared_once ON image_cache (image_uuid, primary_storage_uuid) WHERE host_uuid IS NULL;
CREATE INDEX image_cache_storage ON image_cache (primary_storage_uuid, host_uuid);
CREATE INDEX image_cache_host ON image_cache (host_uuid);

-- Offerings --------------------------------------------------------------------------------------------------------

CREATE TABLE instance_offering (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    cpu_num BIGINT NOT NULL,
    cpu_speed BIGINT NOT NULL DEFAULT 0,
    memory_size BIGINT NOT NULL,
    type TEXT NOT NULL DEFAULT 'UserVm',
    allocator_strategy TEXT NOT NULL,
    sort_key BIGINT NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'Enabled',
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX instance_offering_name ON instance_offering (name);

CREATE TABLE disk_offering (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    disk_size BIGINT NOT NULL,
    sort_key BIGINT NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'Enabled',
    type TEXT NOT NULL DEFAULT 'zstack',
    allocator_strategy TEXT,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX disk_offering_name ON disk_offering (name);

-- Networks ---------------------------------------------------------------------------------------------------------

CREATE TABLE l2_network (
    uuid TEXT PRIMARY KEY,
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    name TEXT NOT NULL,
    description TEXT,
    physical_interface TEXT NOT NULL,
    type TEXT NOT NULL,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX l2_network_zone ON l2_network (zone_uuid);
CREATE INDEX l2_network_name ON l2_network (name);

CREATE TABLE l2_network_cluster_ref (
    l2_network_uuid TEXT NOT NULL REFERENCES l2_network (uuid),
    cluster_uuid TEXT NOT NULL REFERENCES cluster (uuid),
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (l2_network_uuid, cluster_uuid)
);
CREATE INDEX l2_network_cluster_ref_cluster ON l2_network_cluster_ref (cluster_uuid);

CREATE TABLE l3_network (
    uuid TEXT PRIMARY KEY,
    zone_uuid TEXT NOT NULL REFERENCES zone (uuid),
    l2_network_uuid TEXT NOT NULL REFERENCES l2_network (uuid),
    name TEXT NOT NULL,
    description TEXT,
    type TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'Enabled',
    dns_domain TEXT,
    system BIGINT NOT NULL DEFAULT 0,
    category TEXT NOT NULL DEFAULT 'Private',
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX l3_network_zone ON l3_network (zone_uuid);
CREATE INDEX l3_network_l2 ON l3_network (l2_network_uuid);
CREATE INDEX l3_network_name ON l3_network (name);

-- position keeps the order in which servers were added; guests ask the first one first.
CREATE TABLE l3_network_dns (
    l3_network_uuid TEXT NOT NULL REFERENCES l3_network (uuid),
    dns TEXT NOT NULL,
    position BIGINT NOT NULL DEFAULT 0,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    PRIMARY KEY (l3_network_uuid, dns)
);

-- *_sort: 32 hexadecimal digits of the address, IPv4 as ::ffff:a.b.c.d, so that text order is address order.
CREATE TABLE ip_range (
    uuid TEXT PRIMARY KEY,
    l3_network_uuid TEXT NOT NULL REFERENCES l3_network (uuid),
    name TEXT NOT NULL,
    description TEXT,
    start_ip TEXT NOT NULL,
    end_ip TEXT NOT NULL,
    start_ip_sort TEXT NOT NULL,
    end_ip_sort TEXT NOT NULL,
    netmask TEXT NOT NULL,
    prefix_len BIGINT NOT NULL,
    gateway TEXT NOT NULL,
    network_cidr TEXT NOT NULL,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX ip_range_l3 ON ip_range (l3_network_uuid, start_ip_sort);
CREATE INDEX ip_range_name ON ip_range (name);

CREATE TABLE network_service_provider (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    type TEXT NOT NULL,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX network_service_provider_type ON network_service_provider (type);

CREATE TABLE network_service_type (
    network_service_provider_uuid TEXT NOT NULL REFERENCES network_service_provider (uuid),
    type TEXT NOT NULL,
    PRIMARY KEY (network_service_provider_uuid, type)
);

CREATE TABLE network_service_provider_l2_network_ref (
    network_service_provider_uuid TEXT NOT NULL REFERENCES network_service_provider (uuid),
    l2_network_uuid TEXT NOT NULL REFERENCES l2_network (uuid),
    PRIMARY KEY (network_service_provider_uuid, l2_network_uuid)
);
CREATE INDEX network_service_provider_l2_network_ref_l2 ON network_service_provider_l2_network_ref (l2_network_uuid);

-- A service of an L3 network comes from one provider.
CREATE TABLE network_service_l3_network_ref (
    l3_network_uuid TEXT NOT NULL REFERENCES l3_network (uuid),
    network_service_provider_uuid TEXT NOT NULL REFERENCES network_service_provider (uuid),
    network_service_type TEXT NOT NULL,
    PRIMARY KEY (l3_network_uuid, network_service_type)
);
CREATE INDEX network_service_l3_network_ref_provider ON network_service_l3_network_ref (network_service_provider_uuid);

-- VM instances -----------------------------------------------------------------------------------------------------

-- run_uuid: the workflow run that owns a transitional state. internal_id numbers VMs for names of devices.
CREATE TABLE vm_instance (
    uuid TEXT PRIMARY KEY,
    internal_id BIGINT UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    zone_uuid TEXT REFERENCES zone (uuid),
    cluster_uuid TEXT REFERENCES cluster (uuid),
    host_uuid TEXT REFERENCES host (uuid),
    last_host_uuid TEXT,
    image_uuid TEXT,
    instance_offering_uuid TEXT,
    root_volume_uuid TEXT,
    default_l3_network_uuid TEXT,
    platform TEXT,
    type TEXT NOT NULL DEFAULT 'UserVm',
    hypervisor_type TEXT,
    memory_size BIGINT NOT NULL,
    cpu_num BIGINT NOT NULL,
    cpu_speed BIGINT NOT NULL DEFAULT 0,
    allocator_strategy TEXT,
    state TEXT NOT NULL DEFAULT 'Created',
    state_reason TEXT,
    state_ms BIGINT,
    run_uuid TEXT,
    vnc_port BIGINT,
    destroyed_ms BIGINT,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE INDEX vm_instance_zone ON vm_instance (zone_uuid);
CREATE INDEX vm_instance_cluster ON vm_instance (cluster_uuid);
CREATE INDEX vm_instance_host ON vm_instance (host_uuid, state, cpu_num, memory_size);
CREATE INDEX vm_instance_last_host ON vm_instance (last_host_uuid);
CREATE INDEX vm_instance_image ON vm_instance (image_uuid);
CREATE INDEX vm_instance_offering ON vm_instance (instance_offering_uuid);
CREATE INDEX vm_instance_default_l3 ON vm_instance (default_l3_network_uuid);
CREATE INDEX vm_instance_root_volume ON vm_instance (root_volume_uuid);
CREATE INDEX vm_instance_name ON vm_instance (name);
CREATE INDEX vm_instance_state ON vm_instance (state, create_ms);
CREATE INDEX vm_instance_create ON vm_instance (create_ms);

-- ip, netmask and gateway repeat the first address of the NIC; all of its addresses are in used_ip.
CREATE TABLE vm_nic (
    uuid TEXT PRIMARY KEY,
    vm_instance_uuid TEXT NOT NULL REFERENCES vm_instance (uuid),
    l3_network_uuid TEXT NOT NULL REFERENCES l3_network (uuid),
    used_ip_uuid TEXT,
    ip TEXT,
    ip_sort TEXT,
    netmask TEXT,
    gateway TEXT,
    mac TEXT NOT NULL UNIQUE,
    meta_data TEXT,
    device_id BIGINT NOT NULL,
    internal_name TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    UNIQUE (vm_instance_uuid, device_id)
);
CREATE INDEX vm_nic_l3 ON vm_nic (l3_network_uuid);
CREATE INDEX vm_nic_ip ON vm_nic (ip);

-- An address is taken by inserting its row. purpose: nic, dhcp, gateway, reserved, later vip.
CREATE TABLE used_ip (
    uuid TEXT PRIMARY KEY,
    l3_network_uuid TEXT NOT NULL REFERENCES l3_network (uuid),
    ip_range_uuid TEXT REFERENCES ip_range (uuid),
    ip TEXT NOT NULL,
    ip_sort TEXT NOT NULL,
    netmask TEXT,
    gateway TEXT,
    vm_nic_uuid TEXT REFERENCES vm_nic (uuid),
    purpose TEXT NOT NULL DEFAULT 'nic',
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    UNIQUE (l3_network_uuid, ip_sort)
);
CREATE INDEX used_ip_range ON used_ip (ip_range_uuid, ip_sort);
CREATE INDEX used_ip_nic ON used_ip (vm_nic_uuid);

CREATE TABLE volume (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    primary_storage_uuid TEXT REFERENCES primary_storage (uuid),
    vm_instance_uuid TEXT REFERENCES vm_instance (uuid),
    disk_offering_uuid TEXT,
    root_image_uuid TEXT,
    install_path TEXT,
    type TEXT NOT NULL,
    format TEXT,
    size BIGINT NOT NULL DEFAULT 0,
    actual_size BIGINT,
    device_id BIGINT,
    state TEXT NOT NULL DEFAULT 'Enabled',
    status TEXT NOT NULL DEFAULT 'NotInstantiated',
    is_shareable BIGINT NOT NULL DEFAULT 0,
    deleted_ms BIGINT,
    deleting_run TEXT,
    create_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX volume_one_root ON volume (vm_instance_uuid) WHERE type = 'Root' AND vm_instance_uuid IS NOT NULL;
CREATE INDEX volume_vm ON volume (vm_instance_uuid);
CREATE INDEX volume_storage ON volume (primary_storage_uuid, status, size);
CREATE INDEX volume_offering ON volume (disk_offering_uuid);
CREATE INDEX volume_image ON volume (root_image_uuid);
CREATE INDEX volume_name ON volume (name);
CREATE INDEX volume_create ON volume (create_ms);
