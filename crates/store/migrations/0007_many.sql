-- Queries from few rows to many: whether a zone or a cluster has a VM in some state is one look into an index.
CREATE INDEX vm_instance_zone_state ON vm_instance (zone_uuid, state);
CREATE INDEX vm_instance_cluster_state ON vm_instance (cluster_uuid, state);
DROP INDEX vm_instance_zone;
DROP INDEX vm_instance_cluster;
-- Pages of hosts by the time they were added.
CREATE INDEX host_create ON host (create_ms);
