-- Hosts of a cluster in the order of their uuids, page by page, without sorting all of them each time.
DROP INDEX host_cluster;
CREATE INDEX host_cluster ON host (cluster_uuid, uuid);
-- Whether a storage has a volume of an image, however many others have.
DROP INDEX volume_image;
CREATE INDEX volume_image ON volume (root_image_uuid, primary_storage_uuid);
