//! A generated database with many hosts, written by SQL alone: what counts here is how a host is found, not how it was added.

use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;

/// One zone, one storage on the disks of the hosts, one network and one image; a tenth of the hosts have the image.
const SITE: &str = "
    INSERT INTO zone (uuid, name, create_ms, last_op_ms) VALUES ('{zone}', 'zone', 0, 0);
    INSERT INTO primary_storage (uuid, zone_uuid, name, url, type, status, create_ms, last_op_ms)
      VALUES ('{storage}', '{zone}', 'storage', '/srv', 'LocalStorage', 'Connected', 0, 0);
    INSERT INTO backup_storage (uuid, name, url, type, status, create_ms, last_op_ms)
      VALUES ('{backup}', 'images', '/images', 'ImageStoreBackupStorage', 'Connected', 0, 0);
    INSERT INTO backup_storage_zone_ref VALUES ('{backup}', '{zone}', 0, 0);
    INSERT INTO image (uuid, name, status, size, actual_size, media_type, format, create_ms, last_op_ms)
      VALUES ('{image}', 'image', 'Ready', 1073741824, 1073741824, 'RootVolumeTemplate', 'qcow2', 0, 0);
    INSERT INTO image_backup_storage_ref (image_uuid, backup_storage_uuid, status, create_ms, last_op_ms)
      VALUES ('{image}', '{backup}', 'Ready', 0, 0);
    INSERT INTO l2_network (uuid, zone_uuid, name, physical_interface, type, create_ms, last_op_ms)
      VALUES ('{l2}', '{zone}', 'l2', 'eth0', 'L2NoVlanNetwork', 0, 0);
    INSERT INTO l3_network (uuid, zone_uuid, l2_network_uuid, name, type, create_ms, last_op_ms)
      VALUES ('{l3}', '{zone}', '{l2}', 'l3', 'L3BasicNetwork', 0, 0);";

/// Clusters with the storage and the network attached.
const CLUSTERS: &str = "
    CREATE TEMP TABLE wanted AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {clusters})
      SELECT i, printf('{cluster}', i) AS uuid FROM n;
    INSERT OR IGNORE INTO cluster (uuid, zone_uuid, name, hypervisor_type, create_ms, last_op_ms)
      SELECT uuid, '{zone}', 'cluster-' || i, 'KVM', 0, 0 FROM wanted;
    INSERT OR IGNORE INTO primary_storage_cluster_ref SELECT '{storage}', uuid, 0, 0 FROM wanted;
    INSERT OR IGNORE INTO l2_network_cluster_ref SELECT '{l2}', uuid, 0, 0 FROM wanted;
    DROP TABLE wanted;";

/// Hosts of 16 to 63 processors and 128 to 383 GiB, so that a question for much of one of them divides every cluster.
const HOSTS: &str = "
    CREATE TEMP TABLE new AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {hosts})
      SELECT i, printf('{host}', i) AS uuid FROM n;
    INSERT INTO host (uuid, zone_uuid, cluster_uuid, name, management_ip, hypervisor_type, status, cpu_num, total_cpu, total_memory,
        create_ms, last_op_ms)
      SELECT uuid, '{zone}', printf('{cluster}', i % {clusters}), 'host-' || i, 'h' || i, 'KVM', 'Connected', 16 + i * 7919 % 48,
        16 + i * 7919 % 48, (128 + i * 104729 % 256) << 30, 0, 0 FROM new;
    INSERT INTO local_storage_host_ref (primary_storage_uuid, host_uuid, total_physical, available_physical, status, create_ms,
        last_op_ms)
      SELECT '{storage}', uuid, 1 << 42, 1 << 42, 'Connected', 0, 0 FROM new;
    INSERT INTO image_cache (uuid, image_uuid, primary_storage_uuid, host_uuid, install_path, size, create_ms, last_op_ms)
      SELECT 'c' || uuid, '{image}', '{storage}', uuid, '/srv/image', 1073741824, 0, 0 FROM new WHERE i % 10 = 3;
    DROP TABLE new;";

/// All but one in a thousand keep their memory for themselves; those that don't are spread over all clusters.
const FILL: &str =
    "UPDATE host SET reserved_memory = total_memory WHERE CAST(substr(name, 6) AS INTEGER) % 1000 <> 501;";

/// The uuids of a kind: a number in the place of the last digits, or the first of them.
pub fn uuid(kind: u8, n: u64) -> String {
    format!("01900000{kind:04x}70008000{n:012x}")
}

fn with_names(sql: &str, hosts: usize, clusters: usize) -> String {
    let number = |kind: u8| uuid(kind, 0).replace("8000000000000000", "8000%012x");
    let names = [("zone", 1), ("storage", 2), ("backup", 3), ("image", 4), ("l2", 5), ("l3", 6)];
    let named = names
        .iter()
        .fold(sql.to_owned(), |sql, (name, kind)| sql.replace(&format!("{{{name}}}"), &uuid(*kind, 0)));
    named
        .replace("{cluster}", &number(7))
        .replace("{host}", &number(8))
        .replace("{hosts}", &hosts.to_string())
        .replace("{clusters}", &clusters.to_string())
}

/// The file, while nothing else writes it.
pub struct Rows {
    db: Connection,
    hosts: usize,
}

impl Rows {
    /// Opens a database that has its tables.
    pub fn open(path: &Path, hosts: usize) -> Result<Self> {
        let db = Connection::open(path)?;
        db.execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;",
        )?;
        Ok(Self { db, hosts })
    }

    fn run(&self, sql: &str, clusters: usize) -> Result<()> {
        let sql = with_names(sql, self.hosts, clusters);
        Ok(self
            .db
            .execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"))?)
    }

    /// Writes all hosts, in so many clusters.
    pub fn write(&self, clusters: usize) -> Result<()> {
        self.run(&format!("{SITE}{CLUSTERS}{HOSTS}"), clusters)
    }

    /// Distributes the hosts over so many clusters.
    pub fn regroup(&self, clusters: usize) -> Result<()> {
        let sql = "UPDATE host SET cluster_uuid = printf('{cluster}', CAST(substr(name, 6) AS INTEGER) % {clusters});
                   DELETE FROM cluster WHERE CAST(substr(name, 9) AS INTEGER) >= {clusters};";
        self.run(&format!("{CLUSTERS}{sql}"), clusters)
    }

    /// Leaves room on one host in a thousand.
    pub fn fill(&self) -> Result<()> {
        self.run(FILL, 1)
    }
}
