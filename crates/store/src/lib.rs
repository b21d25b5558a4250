//! The database, SQLite or PostgreSQL. A [`Store`] runs short synchronous closures over `&mut dyn Tx`: writes on one thread
//! with group commit (many logical transactions share one COMMIT), reads on a few others.
//!
//! A closure may run more than once (after a failed neighbour, after a lost connection), so it must have no effect but
//! through its [`Tx`]. An answer, of a write or of a read, leaves only when all that it tells of is on disk.

mod batch;
mod logical;
mod migrate;
mod postgres;
mod reader;
mod row;
#[cfg(any(test, feature = "scratch"))]
pub mod scratch;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use cairn_types::{Fault, Result, code};
use tokio::sync::{oneshot, watch};

use logical::Guard;

pub use batch::Rehearsal;
pub use migrate::MIGRATIONS;
pub use postgres::{PostgresUrl, dump};
pub use row::{Row, Value};

/// One logical transaction. Parameters are positional and written `?`.
pub trait Tx {
    /// Runs a statement; tells how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize>;
    /// Runs a query.
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    /// UTC milliseconds by the clock that all servers on this database share: that of the database server, on SQLite that of
    /// this machine. Leases are written and judged by it.
    fn now_ms(&mut self) -> Result<i64>;
    /// Which database this is, where one SQL text does not do for both.
    fn dialect(&self) -> Dialect;
}

/// The databases there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite: one file, one server.
    Sqlite,
    /// PostgreSQL: several servers may share it.
    Postgres,
}

impl Dialect {
    /// A subquery with the elements of a JSON list of texts, or of numbers, that is bound as one parameter: a list of any
    /// length.
    pub fn listed(self, numbers: bool) -> &'static str {
        match (self, numbers) {
            (Self::Sqlite, _) => "(SELECT value FROM json_each(?))",
            (Self::Postgres, true) => {
                "(SELECT CAST(e AS BIGINT) FROM json_array_elements_text(CAST(? AS json)) e)"
            }
            (Self::Postgres, false) => "(SELECT e FROM json_array_elements_text(CAST(? AS json)) e)",
        }
    }
}

impl dyn Tx + '_ {
    /// The only row of a query, if there is one.
    pub fn query_opt(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// The first column of the only row as a number; 0 if there is none.
    pub fn query_int(&mut self, sql: &str, params: &[Value]) -> Result<i64> {
        Ok(self.query_opt(sql, params)?.and_then(|r| r.value_at(0).as_int()).unwrap_or(0))
    }

    /// Whether a query finds any row.
    pub fn exists(&mut self, sql: &str, params: &[Value]) -> Result<bool> {
        Ok(!self.query(sql, params)?.is_empty())
    }
}

/// Builds the parameter slice of a statement: `params![uuid, name, 5]`.
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::Value] };
    ($($value:expr),+ $(,)?) => { &[$($crate::Value::from($value)),+] as &[$crate::Value] };
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    guard: Guard,
}

enum Database {
    Sqlite(sqlite::Database),
    Postgres(postgres::Database),
}

impl Store {
    /// Opens or creates the database file and brings its schema up to date. Blocks; call before serving.
    pub fn open(path: &Path, readers: usize) -> Result<Self> {
        Self::open_with(path, readers, sqlite::sync::of_log(path))
    }

    fn open_with(path: &Path, readers: usize, sync: sqlite::sync::Sync) -> Result<Self> {
        let guard = Guard::default();
        let database = Database::Sqlite(sqlite::Database::open(path, readers, sync, guard.clone())?);
        Ok(Self { inner: Arc::new(Inner { database, guard }) })
    }

    /// Connects to a PostgreSQL database, which must exist, and brings its schema up to date. Other servers may be connected
    /// to it. Blocks; call before serving.
    pub fn connect(url: &PostgresUrl, readers: usize) -> Result<Self> {
        let guard = Guard::default();
        let database = Database::Postgres(postgres::Database::connect(url, readers, guard.clone())?);
        Ok(Self { inner: Arc::new(Inner { database, guard }) })
    }

    /// Makes the log as long as it gets, once: then a commit changes no size of a file, and a sync costs half. Does not wait.
    /// PostgreSQL does so by itself.
    pub fn reserve_log(&self) -> Result<()> {
        match &self.inner.database {
            Database::Sqlite(database) => database.reserve_log(),
            Database::Postgres(_) => Ok(()),
        }
    }

    /// Runs a write transaction. An error takes all of it back. Durable when this returns `Ok`.
    pub async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        self.submit(f, true).await
    }

    /// Like [`Store::write`], but runs whatever the guard says. For what the guard judges itself: taking, renewing and giving
    /// up the lease of this server.
    pub async fn write_unguarded<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        self.submit(f, false).await
    }

    async fn submit<T, F>(&self, f: F, guarded: bool) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work = logical::pending(f, guarded, sender);
        match &self.inner.database {
            Database::Sqlite(database) => database.submit(sqlite::Request::Write(work)),
            Database::Postgres(database) => database.submit(postgres::Request::Write(work)),
        }
        receiver.await.map_err(|_| stopped())?
    }

    /// Sets what must hold for this server to write, such as "my lease is still mine, by the clock of the database". It runs
    /// in the transaction of every batch, before the first [`Store::write`] in it and again after each
    /// [`Store::write_unguarded`] in between, and should only read. While it fails, writes are refused with its fault and
    /// leave nothing. No other server can write between its word and the COMMIT. A later call replaces the guard.
    pub fn set_guard(&self, guard: impl Fn(&mut dyn Tx) -> Result<()> + Send + Sync + 'static) {
        self.inner.guard.set(Arc::new(guard));
    }

    /// Which database this is. Several servers may share PostgreSQL only.
    pub fn dialect(&self) -> Dialect {
        match &self.inner.database {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a read. It sees one consistent state that includes every write finished before the call, also those of other
    /// servers.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let read = reader::pending(f, sender);
        match &self.inner.database {
            Database::Sqlite(database) => {
                database.submit_read(read);
                let found = receiver.await.map_err(|_| stopped())?;
                database.kept().await?;
                found
            }
            // What can be seen there is on disk.
            Database::Postgres(database) => {
                database.submit_read(read);
                receiver.await.map_err(|_| stopped())?
            }
        }
    }

    /// Opens a transaction that will be taken back: statements run, nothing stays. Plans are made on it. It holds up
    /// writers, so it ends by itself after two seconds.
    pub async fn rehearse(&self) -> Result<Rehearsal> {
        let (sender, requests) = std::sync::mpsc::channel();
        let (ready, is_ready) = oneshot::channel();
        match &self.inner.database {
            Database::Sqlite(database) => database.submit(sqlite::Request::Rehearse(requests, ready)),
            Database::Postgres(database) => database.submit(postgres::Request::Rehearse(requests, ready)),
        }
        is_ready.await.map_err(|_| stopped())??;
        Ok(Rehearsal { sender })
    }

    /// Changes when commits have become durable, of this server and of others on the same database; tells followers of
    /// tables that they should look again. While others can't be heard it changes every second.
    pub fn commits(&self) -> watch::Receiver<u64> {
        match &self.inner.database {
            Database::Sqlite(database) => database.commits(),
            Database::Postgres(database) => database.commits(),
        }
    }

    /// Copies the whole database into a new file while it is in use: a database file of SQLite, an archive for `pg_restore` of
    /// PostgreSQL. Fails if the file exists.
    pub async fn backup(&self, target: &Path) -> Result<()> {
        if target.exists() {
            return Err(Fault::operation("the backup file exists already; choose another name"));
        }
        let target = target.to_owned();
        let copy: Box<dyn FnOnce() -> Result<()> + Send> = match &self.inner.database {
            Database::Sqlite(database) => {
                let source = database.path().to_owned();
                Box::new(move || sqlite::Database::copy_to(&source, &target))
            }
            Database::Postgres(database) => {
                let url = database.url().clone();
                Box::new(move || postgres::dump(&url, &target))
            }
        };
        tokio::task::spawn_blocking(copy).await.map_err(|_| stopped())?
    }
}

fn stopped() -> Fault {
    Fault::new(code::NOT_READY, "the server is stopping").retry()
}

/// A look at a database that another process writes: one connection that can change nothing. It sees what is committed,
/// whether it is durable yet or not.
pub fn look(path: &Path) -> Result<Box<dyn Tx + Send>> {
    sqlite::look(path)
}

/// True when a fault says that a row with this unique key exists already.
pub fn is_duplicate(fault: &Fault) -> bool {
    fault.params.get("constraint").and_then(|v| v.as_str()) == Some("unique")
}

#[cfg(test)]
pub(crate) mod tests;
