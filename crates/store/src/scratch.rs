//! Databases for tests: each is empty at first and goes with its [`Scratch`].
//!
//! They are files, unless `CAIRN_TEST_STORE` names a database of a PostgreSQL server, in which others may be made
//! (`postgres://user@host/postgres`): then each is a database of that server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use cairn_types::{Fault, Result};

use crate::postgres::{PostgresUrl, command};
use crate::{Dialect, Store};

/// The variable that names the server.
pub const VARIABLE: &str = "CAIRN_TEST_STORE";

/// How text is kept and ordered.
const FORM: &str = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";

/// A database for one test.
pub struct Scratch {
    folder: tempfile::TempDir,
    made: Option<Made>,
}

struct Made {
    server: PostgresUrl,
    name: String,
}

impl Scratch {
    /// A new database where the environment says.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new() -> Self {
        let server = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        let server = server.map(|text| text.parse().expect(VARIABLE));
        Self::on(server).expect("a database for a test")
    }

    fn on(server: Option<PostgresUrl>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().map_err(|e| Fault::internal("no folder").for_operator(e))?;
        let Some(server) = server else { return Ok(Self { folder, made: None }) };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cairn_test_{}_{number}", std::process::id());
        // One that another process of the same number left behind when it was killed.
        drop_database(&server, &name)?;
        command(&server, &format!("CREATE DATABASE {name} {FORM}"))?;
        Ok(Self { folder, made: Some(Made { server, name }) })
    }

    /// A new one with what a backup holds.
    ///
    /// # Panics
    ///
    /// When it cannot be restored.
    #[cfg(test)]
    pub(crate) fn restored(&self, backup: &std::path::Path) -> Self {
        let other =
            Self::on(self.made.as_ref().map(|made| made.server.clone())).expect("a database for a test");
        match other.url() {
            None => {
                std::fs::copy(backup, other.path()).expect("a copy");
            }
            Some(url) => {
                let mut restore = std::process::Command::new("pg_restore");
                let done = restore.arg("--dbname").arg(url.secret_text()).arg(backup).status();
                assert!(done.expect("pg_restore").success(), "the archive is whole");
            }
        }
        other
    }

    /// Which kind it is.
    pub fn dialect(&self) -> Dialect {
        if self.made.is_some() { Dialect::Postgres } else { Dialect::Sqlite }
    }

    /// Where the file is, if it is one.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("cairn.db")
    }

    /// Where the database is, if it is on a server.
    pub fn url(&self) -> Option<PostgresUrl> {
        self.made.as_ref().map(|made| made.server.with_database(&made.name))
    }

    /// Opens it, once more if it is open already.
    pub fn open(&self, readers: usize) -> Result<Store> {
        match self.url() {
            Some(url) => Store::connect(&url, readers),
            None => Store::open(&self.path(), readers),
        }
    }
}

/// The database of this name on a server, which is made if it is not there. It stays until [`drop_database`].
pub fn database(server: &PostgresUrl, name: &str) -> Result<PostgresUrl> {
    let known =
        command(server, &format!("SELECT 1 FROM pg_database WHERE datname = '{}'", doubled(name, '\'')))?;
    if known.is_empty() {
        command(server, &format!("CREATE DATABASE \"{}\" {FORM}", doubled(name, '"')))?;
    }
    Ok(server.with_database(name))
}

/// Takes the database of this name away, if it is there, whoever uses it.
pub fn drop_database(server: &PostgresUrl, name: &str) -> Result<()> {
    command(server, &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", doubled(name, '"'))).map(|_| ())
}

/// A name between these signs.
fn doubled(name: &str, sign: char) -> String {
    name.replace(sign, &format!("{sign}{sign}"))
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && let Err(fault) = drop_database(&made.server, &made.name)
        {
            eprintln!("the database {} of a test was left behind: {fault}", made.name);
        }
    }
}
