//! `cairn-ctl backup` and `restore`.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cairn_store::MIGRATIONS;
use cairn_types::{Fault, time};
use rusqlite::{Connection, OpenFlags};

use super::home::Home;
use super::{cannot, process, say};
use crate::{Failure, Result};

/// Copies the database as it is at this moment. The schema is left alone, so a new release can save the old one's data.
pub fn backup(home: &Home, target: &Path) -> Result<()> {
    if target.exists() {
        return Err(Failure::Usage(format!("{} exists already; choose another name", target.display())));
    }
    let draft = beside(target, "partial");
    let _ = fs::remove_file(&draft);
    let written = write_draft(home, &draft).and_then(|()| settle(&draft, target));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written?;
    let size = fs::metadata(target).map_or(0, |m| m.len());
    say(&format!("Backed up the database to {} ({}).", target.display(), crate::output::binary_size(size)))?;
    eprintln!(
        "Not in it: secret.key and pki/ in {}. Without them stored passwords and the trust of hosts are lost; keep a copy apart.",
        home.dir.display()
    );
    Ok(())
}

/// From the beginning the file is nobody else's to read.
fn write_draft(home: &Home, draft: &Path) -> Result<()> {
    if let Some(url) = &home.store {
        return cairn_store::dump(url, draft).map_err(told);
    }
    let source = open(&home.database())?;
    File::create_new(draft).map_err(|e| cannot("write", draft, &e))?;
    private(draft)?;
    copy(&source, draft)
}

/// A fault of the database, with its detail: whoever uses this program is an operator.
pub fn told(fault: Fault) -> Failure {
    let detail = fault.operator.as_ref().map_or_else(String::new, |o| format!(" ({o})"));
    Failure::Failed(format!("{fault}{detail}"))
}

fn copy(source: &Connection, draft: &Path) -> Result<()> {
    let failed = |e: rusqlite::Error| Failure::Failed(format!("cannot copy the database: {e}"));
    source.execute("VACUUM INTO ?", [draft.to_string_lossy()]).map_err(failed)?;
    check(draft).map(|_| ())
}

fn settle(draft: &Path, target: &Path) -> Result<()> {
    File::open(draft).and_then(|f| f.sync_all()).map_err(|e| cannot("write", draft, &e))?;
    // Unlike a rename this never replaces a file that came up meanwhile.
    fs::hard_link(draft, target).map_err(|e| cannot("write", target, &e))?;
    fs::remove_file(draft).map_err(|e| cannot("remove", draft, &e))
}

/// Puts a backup in the place of the database and keeps the old one aside.
pub fn restore(home: &Home, source: &Path) -> Result<()> {
    if let Some(pid) = process::find(home) {
        return Err(Failure::Failed(format!("the server runs, PID {pid}; stop it first: cairn-ctl stop")));
    }
    if let Some(url) = &home.store {
        let text = format!(
            "the data is in {url}: stop every server on it, then run pg_restore --clean --if-exists --no-owner --dbname=… {} \
             and start them again",
            source.display()
        );
        return Err(Failure::Failed(text));
    }
    let schema = check(source)?;
    let known = MIGRATIONS.last().map_or(0, |m| m.0);
    if schema > known {
        let text = format!(
            "{} has schema {schema}, this release knows up to {known}; install the newer one",
            source.display()
        );
        return Err(Failure::Failed(text));
    }
    fs::create_dir_all(&home.dir).map_err(|e| cannot("make", &home.dir, &e))?;
    let draft = home.dir.join("cairn.db.restoring");
    fs::copy(source, &draft).map_err(|e| cannot("copy", source, &e))?;
    private(&draft)?;
    own(&draft, home)?;
    check(&draft)?;
    File::open(&draft).and_then(|f| f.sync_all()).map_err(|e| cannot("write", &draft, &e))?;
    let aside = set_aside(home)?;
    fs::rename(&draft, home.database()).map_err(|e| cannot("write", &home.database(), &e))?;
    File::open(&home.dir).and_then(|f| f.sync_all()).map_err(|e| cannot("write", &home.dir, &e))?;
    let kept = aside.map_or_else(String::new, |path| format!(" The old one is kept as {}.", path.display()));
    say(&format!("Restored the database from {}.{kept} Start the server: cairn-ctl start", source.display()))
}

/// Moves the present database away with the files that belong to it.
fn set_aside(home: &Home) -> Result<Option<PathBuf>> {
    let database = home.database();
    if !database.exists() {
        return Ok(None);
    }
    let stamp: String = time::rfc3339(time::now_ms()).chars().filter(char::is_ascii_digit).take(17).collect();
    let aside = beside(&database, &format!("before-{stamp}"));
    // The log and its index belong to the file by name; left behind they would be replayed into the restored one.
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (append(&database, suffix), append(&aside, suffix));
        if from.exists() {
            fs::rename(&from, &to).map_err(|e| cannot("move", &from, &e))?;
        }
    }
    Ok(Some(aside))
}

/// Refuses what is not an intact Cairn database; its schema number.
pub fn check(path: &Path) -> Result<i64> {
    let connection = open(path)?;
    let bad = |what: &str| Failure::Failed(format!("{} is not a Cairn database: {what}", path.display()));
    let intact: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))
        .map_err(|e| bad(&e.to_string()))?;
    if intact != "ok" {
        return Err(Failure::Failed(format!("{} is damaged: {intact}", path.display())));
    }
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('schema_migration', 'account', 'vm_instance')";
    let found: i64 = connection.query_row(tables, [], |r| r.get(0)).map_err(|e| bad(&e.to_string()))?;
    if found != 3 {
        return Err(bad("its tables are missing"));
    }
    let schema = "SELECT coalesce(max(number), 0) FROM schema_migration";
    connection.query_row(schema, [], |r| r.get(0)).map_err(|e| bad(&e.to_string()))
}

fn open(path: &Path) -> Result<Connection> {
    fs::metadata(path).map_err(|e| cannot("read", path, &e))?;
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection =
        connection.map_err(|e| Failure::Failed(format!("cannot open {}: {e}", path.display())))?;
    let waits = connection.busy_timeout(std::time::Duration::from_secs(10));
    waits.map_err(|e| Failure::Failed(format!("cannot open {}: {e}", path.display())))?;
    Ok(connection)
}

/// A backup holds password hashes: nobody but its owner may read it.
fn private(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| cannot("protect", path, &e))
}

/// The server may run as a user of its own; what root puts into its folder must be that user's.
fn own(path: &Path, home: &Home) -> Result<()> {
    let folder = fs::metadata(&home.dir).map_err(|e| cannot("read", &home.dir, &e))?;
    std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))
        .map_err(|e| cannot("hand over", path, &e))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    append(path, &format!(".{suffix}"))
}

fn append(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
