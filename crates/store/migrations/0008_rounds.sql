-- Hosts of a cluster in the order of their uuids, page by page, without sorting all of them each time.
DROP INDEX host_cluster;
CREATE INDEX host_cluster ON host (cluster_uuid, uuid);
