//! Backups of PostgreSQL are made by its own program.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_types::{Fault, Result};
use tokio_postgres::config::Host;

use super::url::PostgresUrl;

/// Writes an archive of a PostgreSQL database for `pg_restore` into a new file, readable for the owner only. Blocks. It is one consistent state; servers go on meanwhile.
pub fn dump(url: &PostgresUrl, target: &Path) -> Result<()> {
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(target);
    let file = file.map_err(|e| Fault::operation("the backup file can't be made").for_operator(e))?;
    let done = run(url, file);
    if done.is_err() {
        let _ = std::fs::remove_file(target);
    }
    done
}

fn run(url: &PostgresUrl, file: std::fs::File) -> Result<()> {
    let config = url.config()?;
    let mut command = Command::new("pg_dump");
    command.args(["--format=custom", "--no-owner", "--no-password"]).stdin(Stdio::null()).stdout(file);
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) => command.env("PGHOST", name),
        Some(Host::Unix(path)) => command.env("PGHOST", path),
        None => &mut command,
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    command.env("PGPORT", port.to_string()).env("PGDATABASE", config.get_dbname().unwrap_or_default());
    if let Some(user) = config.get_user() {
        command.env("PGUSER", user);
    }
    // The environment of a process is its owner's secret; its arguments are not.
    if let Some(password) = config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).as_ref());
    }
    let output = command.stderr(Stdio::piped()).output().map_err(|e| {
        let text = "pg_dump can't be run: install the package postgresql-client on the management node";
        Fault::operation(text).for_operator(e)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::operation("pg_dump failed; the server's log has the reason").for_operator(reason))
}
