-- A guest whose VM was destroyed while its host could not be told to switch it off: it may still run. It keeps its processors,
-- memory, hardware addresses and (in used_ip) addresses until the kept commands for it were carried out or its host is deleted.
CREATE TABLE departed_guest (
    vm_uuid TEXT PRIMARY KEY,
    host_uuid TEXT NOT NULL REFERENCES host (uuid),
    name TEXT NOT NULL,
    cpu_num BIGINT NOT NULL,
    memory_size BIGINT NOT NULL,
    create_ms BIGINT NOT NULL
);
CREATE INDEX departed_guest_host ON departed_guest (host_uuid);

CREATE TABLE departed_nic (
    mac TEXT PRIMARY KEY,
    vm_uuid TEXT NOT NULL REFERENCES departed_guest (vm_uuid)
);
CREATE INDEX departed_nic_vm ON departed_nic (vm_uuid);

-- Set instead of vm_nic_uuid, with purpose 'departed'.
ALTER TABLE used_ip ADD COLUMN departed_vm_uuid TEXT;
CREATE INDEX used_ip_departed ON used_ip (departed_vm_uuid);

-- The guest that a kept command ends.
ALTER TABLE cleanup ADD COLUMN vm_uuid TEXT;
CREATE INDEX cleanup_vm ON cleanup (vm_uuid);
