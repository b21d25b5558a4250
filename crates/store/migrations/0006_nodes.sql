-- Several servers on one database: where each is found and how long its lease lasts, who leads, and what all must have in common.
ALTER TABLE management_node ADD COLUMN lease_until_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE management_node ADD COLUMN api_address TEXT;
ALTER TABLE management_node ADD COLUMN page_address TEXT;
ALTER TABLE management_node ADD COLUMN agent_address TEXT;
ALTER TABLE management_node ADD COLUMN peer_address TEXT;

CREATE TABLE leadership (
    name TEXT PRIMARY KEY,
    node_uuid TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL
);

CREATE TABLE installation (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
