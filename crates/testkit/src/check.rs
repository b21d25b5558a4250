//! What must hold whenever nothing is at work: no row belongs to a run that has ended, nothing is half done, and what is on
//! the machines is what the rows say.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cairn_api::agent::vm::PowerState;
use cairn_simhost::{CloudSnapshot, HostSnapshot};
use cairn_store::{Dialect, Store, Tx, params};
use cairn_types::Result;
use cairn_types::state::VmState;

use crate::cloud::Cloud;

/// How long things may take to settle.
const PATIENCE: Duration = Duration::from_secs(4);

/// One line of text for every row of a query.
const ROWS: &[(&str, &str)] = &[
    ("a run that has not ended", "SELECT uuid || ' ' || workflow || ' ' || state || ' ' || coalesce(error, '') AS line FROM run WHERE state NOT IN ('Done', 'Failed')"),
    ("a job that has not ended", "SELECT uuid || ' ' || action AS line FROM job WHERE state = 'processing'"),
    ("a host in between", "SELECT uuid || ' ' || status AS line FROM host WHERE status = 'Connecting'"),
    ("an image in between", "SELECT i.uuid || ' ' || i.status || ' ' || coalesce(i.url, '') AS line FROM image i
        WHERE i.status IN ('Creating', 'Migrating') OR (i.status = 'Downloading' AND coalesce(i.url, '') NOT LIKE 'upload:%')"),
    ("a volume in between", "SELECT uuid || ' ' || status AS line FROM volume WHERE status IN ('Creating', 'Migrating')"),
    ("an address without a NIC", "SELECT uuid || ' ' || ip AS line FROM used_ip WHERE purpose = 'nic' AND vm_nic_uuid IS NULL"),
    ("a NIC whose address is gone", "SELECT n.uuid || ' ' || coalesce(n.ip, '') AS line FROM vm_nic n WHERE n.used_ip_uuid IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM used_ip u WHERE u.uuid = n.used_ip_uuid AND u.vm_nic_uuid = n.uuid AND u.ip = n.ip)"),
    ("a volume placed that is not there", "SELECT resource_uuid AS line FROM local_storage_resource_ref r
        WHERE NOT EXISTS (SELECT 1 FROM volume v WHERE v.uuid = r.resource_uuid)"),
    ("a volume without its VM", "SELECT uuid AS line FROM volume WHERE type = 'Root' AND vm_instance_uuid IS NULL"),
    ("a VM that is off and on a host", "SELECT uuid || ' ' || state AS line FROM vm_instance
        WHERE state IN ('Stopped', 'Created', 'Destroyed') AND host_uuid IS NOT NULL"),
    ("a VM that is on and on no host", "SELECT uuid || ' ' || state AS line FROM vm_instance
        WHERE state IN ('Running', 'Paused') AND host_uuid IS NULL"),
    ("an image copy half made", "SELECT uuid || ' ' || state AS line FROM image_cache WHERE state = 'deleting'"),
];

impl Cloud {
    /// Waits until no run is at work and nothing is kept for a machine that can be reached. False if that takes too long.
    pub async fn converged(&self) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut calm = 0;
        while Instant::now() < end {
            self.hurry().await;
            let is_calm = self.app().engine.live_count() == 0 && self.kept().await == 0;
            calm = if is_calm { calm + 1 } else { 0 };
            if calm == 2 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        false
    }

    /// Does what is kept for machines that are connected, whenever it was to be tried again.
    async fn hurry(&self) {
        if self.kept().await > 0 {
            let now = |tx: &mut dyn Tx| {
                tx.execute("UPDATE cleanup SET next_ms = 0 WHERE kind = 'agent'", params![])
            };
            self.app().store.write(now).await.expect("clean-ups come sooner");
            self.inside(|app| async move { cairn_server::platform::cleanup::due(&app).await }).await;
        }
    }

    /// Commands that are kept for machines that can be reached.
    async fn kept(&self) -> usize {
        let app = self.app().clone();
        cairn_server::platform::cleanup::count_ready(&app).await.expect("what is kept")
    }

    /// One line for each thing that must not be, now.
    pub async fn violations(&self) -> Vec<String> {
        let mut lines = violations(&self.app().store, self.machines.snapshot()).await;
        self.app().placement.ready().await.expect("the index of hosts is built");
        let differences = cairn_server::platform::compare::all(self.app()).await;
        lines.extend(differences.expect("memory can be compared with rows"));
        lines
    }

    /// Waits until everything has settled, and fails if it does not or if anything is wrong then.
    pub async fn assert_sane(&self, what: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let is_calm = self.converged().await;
            let lines = self.violations().await;
            if is_calm && lines.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{what}: converged {is_calm}\n{}", lines.join("\n"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// One line for each thing that must not be, in these rows and on these machines, while nothing is at work.
pub async fn violations(store: &Store, machines: CloudSnapshot) -> Vec<String> {
    let mut lines = machines.violations();
    let rows = store.read(move |tx| row_violations(tx, &machines)).await;
    lines.extend(rows.expect("the rows can be read"));
    lines
}

/// One line for each row that must not be, and for each difference between rows and machines. Holds when nothing is at work.
pub fn row_violations(tx: &mut dyn Tx, snapshot: &CloudSnapshot) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (what, sql) in ROWS {
        for row in tx.query(sql, params![])? {
            lines.push(format!("{what}: {}", row.text("line")?));
        }
    }
    held_rows(tx, &mut lines)?;
    registry(tx, &mut lines)?;
    vms(tx, snapshot, &mut lines)?;
    files(tx, snapshot, &mut lines)?;
    Ok(lines)
}

/// Rows that an ended run still holds.
fn held_rows(tx: &mut dyn Tx, lines: &mut Vec<String>) -> Result<()> {
    for (table, column) in holders(tx)? {
        let sql = format!(
            "SELECT t.uuid, t.{column} AS run FROM {table} t WHERE t.{column} IS NOT NULL AND NOT EXISTS
             (SELECT 1 FROM run r WHERE r.uuid = t.{column} AND r.state IN ('Running', 'Undoing'))"
        );
        for row in tx.query(&sql, params![])? {
            lines.push(format!(
                "{table} {} is held by {column} {} which has ended",
                row.text("uuid")?,
                row.text("run")?
            ));
        }
    }
    let transitional: Vec<&str> =
        VmState::ALL.iter().filter(|s| s.is_transitional()).map(|s| s.as_str()).collect();
    for row in tx.query("SELECT uuid, state, run_uuid FROM vm_instance", params![])? {
        if transitional.contains(&row.text("state")?.as_str()) && row.opt_text("run_uuid")?.is_none() {
            lines.push(format!("VM {} is {} and no run holds it", row.text("uuid")?, row.text("state")?));
        }
    }
    Ok(())
}

/// Tables with a column that names the run that holds a row.
fn holders(tx: &mut dyn Tx) -> Result<Vec<(String, &'static str)>> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "SELECT m.name AS t, p.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table' AND p.name IN ('deleting_run', 'run_uuid') AND m.name <> 'job'"
        }
        Dialect::Postgres => {
            "SELECT table_name AS t, column_name AS c FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name IN ('deleting_run', 'run_uuid') AND table_name <> 'job'"
        }
    };
    let rows = tx.query(sql, params![])?;
    let column = |c: &str| if c == "deleting_run" { "deleting_run" } else { "run_uuid" };
    rows.iter().map(|r| Ok((r.text("t")?, column(&r.text("c")?)))).collect()
}

/// The registry names what exists, and only that.
fn registry(tx: &mut dyn Tx, lines: &mut Vec<String>) -> Result<()> {
    for row in tx.query("SELECT uuid, resource_type FROM resource", params![])? {
        let (uuid, entity) = (row.text("uuid")?, row.text("resource_type")?);
        if cairn_server::rows::table_of(&entity).is_some() && !cairn_server::rows::exists(tx, &entity, &uuid)?
        {
            lines.push(format!("the registry names {entity} {uuid}, which has no row"));
        }
    }
    for (table, entity) in
        [("vm_instance", "VmInstanceVO"), ("image", "ImageVO"), ("volume", "VolumeVO"), ("host", "HostVO")]
    {
        let sql = format!(
            "SELECT uuid FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM resource r WHERE r.uuid = t.uuid)"
        );
        for row in tx.query(&sql, params![])? {
            lines.push(format!("{entity} {} is not in the registry", row.text("uuid")?));
        }
    }
    Ok(())
}

/// What runs is what the rows say, and every lease belongs to a VM that runs there.
fn vms(tx: &mut dyn Tx, snapshot: &CloudSnapshot, lines: &mut Vec<String>) -> Result<()> {
    let none = HostSnapshot::default();
    let of = |host: &str| snapshot.hosts.get(host).unwrap_or(&none);
    let mut wanted = BTreeSet::new();
    for row in tx.query("SELECT uuid, state, host_uuid FROM vm_instance", params![])? {
        let (vm, state) = (row.text("uuid")?, row.text("state")?);
        let host = row.opt_text("host_uuid")?.unwrap_or_default();
        let there = of(&host).vms.get(&vm).map(|v| v.state);
        let is_right = match state.as_str() {
            "Running" => there == Some(PowerState::Running),
            "Paused" => there == Some(PowerState::Paused),
            _ => true,
        };
        if !is_right {
            lines.push(format!("VM {vm} is {state} by its row and {there:?} on host {host}"));
        }
        wanted.insert((
            vm,
            if matches!(state.as_str(), "Running" | "Paused" | "Unknown") { host } else { String::new() },
        ));
    }
    let known: BTreeSet<&String> = wanted.iter().map(|(vm, _)| vm).collect();
    for (host, held) in &snapshot.hosts {
        let is_host = cairn_server::rows::exists(tx, "HostVO", host)?;
        for (uuid, vm) in &held.vms {
            // What is off on a machine that is no host any more is nobody's.
            let is_stray = is_host && !known.contains(uuid);
            if is_stray || (vm.is_on() && !wanted.contains(&(uuid.clone(), host.clone()))) {
                lines.push(format!("host {host} has VM {uuid} ({:?}), which should not be there", vm.state));
            }
        }
        // A machine that is no host any more may still name guests that it has not.
        for lease in held.l3_networks.values().flat_map(|n| &n.leases) {
            if is_host && !wanted.contains(&(lease.vm.clone(), host.clone())) {
                lines.push(format!("host {host} has a lease of VM {}, which is not there", lease.vm));
            }
        }
    }
    Ok(())
}

fn column(tx: &mut dyn Tx, sql: &str) -> Result<BTreeSet<String>> {
    tx.query(sql, params![])?.iter().map(|r| r.text("line")).collect()
}

/// Volumes on shared storage whose removal waits for a host that reaches the storage. While one does, nothing waits when
/// nothing is at work.
fn awaited(tx: &mut dyn Tx) -> Result<BTreeSet<String>> {
    let sql = "SELECT c.data AS line FROM cleanup c JOIN primary_storage p ON p.uuid = c.target_uuid WHERE c.kind = 'agent'";
    let volume = |data: &String| -> Option<String> {
        let data: serde_json::Value = serde_json::from_str(data).ok()?;
        data["args"]["volume"].as_str().map(str::to_owned)
    };
    Ok(column(tx, sql)?.iter().filter_map(volume).collect())
}

/// Hosts with the folders of the images that they have in their caches.
const CACHED: &str =
    "SELECT c.host_uuid || ' ' || p.url || '/imageCache/' || c.image_uuid AS line FROM image_cache c
    JOIN primary_storage p ON p.uuid = c.primary_storage_uuid";

/// Every file has a row and every row its file.
fn files(tx: &mut dyn Tx, snapshot: &CloudSnapshot, lines: &mut Vec<String>) -> Result<()> {
    let volumes = column(tx, "SELECT uuid AS line FROM volume")?;
    let made = column(
        tx,
        "SELECT uuid AS line FROM volume WHERE status IN ('Ready', 'Deleted') AND install_path IS NOT NULL",
    )?;
    let cached = column(tx, &format!("{CACHED} WHERE c.host_uuid IS NOT NULL"))?;
    let in_use = column(tx, &format!("{CACHED} WHERE c.host_uuid IS NOT NULL AND c.state = 'ready'"))?;
    let copies =
        column(tx, "SELECT backup_storage_uuid || ' ' || image_uuid AS line FROM image_backup_storage_ref")?;
    let ready = column(
        tx,
        "SELECT backup_storage_uuid || ' ' || image_uuid AS line FROM image_backup_storage_ref WHERE status = 'Ready'",
    )?;
    let hosts = column(tx, "SELECT uuid AS line FROM host")?;
    let (mut held, mut kept, mut stored) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (host, content) in snapshot.hosts.iter().filter(|(h, _)| hosts.contains(*h)) {
        held.extend(content.volumes.keys().cloned());
        kept.extend(content.cached_images.keys().map(|folder| format!("{host} {folder}")));
    }
    let awaited = awaited(tx)?;
    let shared =
        column(tx, "SELECT url AS line FROM primary_storage WHERE type = 'SimulatorPrimaryStorage'")?;
    for (_, volumes) in snapshot.shared_volumes.iter().filter(|(folder, _)| shared.contains(*folder)) {
        held.extend(volumes.keys().filter(|v| !awaited.contains(*v)).cloned());
    }
    // Files of a store that was deleted stay on its machine.
    let stores = column(tx, "SELECT uuid AS line FROM backup_storage")?;
    for (store, images) in snapshot.image_stores.iter().filter(|(s, _)| stores.contains(*s)) {
        stored.extend(images.keys().map(|i| format!("{store} {i}")));
    }
    lines.extend(held.difference(&volumes).map(|v| format!("volume {v} has a file and no row")));
    lines.extend(made.difference(&held).map(|v| format!("volume {v} has a row and no file")));
    lines.extend(kept.difference(&cached).map(|i| format!("cached image {i} has a file and no row")));
    lines.extend(in_use.difference(&kept).map(|i| format!("cached image {i} has a row and no file")));
    lines.extend(stored.difference(&copies).map(|i| format!("image copy {i} has a file and no row")));
    lines.extend(ready.difference(&stored).map(|i| format!("image copy {i} is Ready and has no file")));
    Ok(())
}
