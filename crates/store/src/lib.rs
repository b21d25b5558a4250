//! The database. A [`Store`] runs short synchronous closures over `&mut dyn Tx`: writes on one thread with group commit
//! (many logical transactions share one COMMIT), made durable on a second one, reads on a few others.
//!
//! A closure may run more than once (a second database server repeats it on conflict), so it must have no effect but
//! through its [`Tx`]. An answer, of a write or of a read, leaves only when all that it tells of is on disk.

mod batch;
mod checkpoint;
mod logical;
mod migrate;
mod reader;
mod row;
mod sqlite;
mod sync;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_types::{Fault, Result, code};
use tokio::sync::{oneshot, watch};

use logical::Guard;

pub use batch::Rehearsal;
pub use migrate::MIGRATIONS;
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

/// As long as the log gets before a commit moves it into the database: 16,384 pages with a header each (`sqlite.rs`).
const LOG_BYTES: u64 = 16_384 * (4096 + 24) + 32;

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: writer::Writer,
    readers: reader::Readers,
    durable: sync::Durable,
    guard: Guard,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the database file and brings its schema up to date. Blocks; call before serving.
    pub fn open(path: &Path, readers: usize) -> Result<Self> {
        Self::open_with(path, readers, sync::of_log(path))
    }

    fn open_with(path: &Path, readers: usize, sync: sync::Sync) -> Result<Self> {
        let mut connection = sqlite::open(path, false)?;
        migrate::run(&mut connection)?;
        let (sender, requests) = std::sync::mpsc::channel();
        let (commits, durable) = sync::start(sync, sender.clone())?;
        let guard = Guard::default();
        let writer = writer::Writer::start(connection, (sender, requests), commits, guard.clone())?;
        let readers = reader::Readers::start(path, readers)?;
        checkpoint::start(path, durable.syncs())?;
        Ok(Self { inner: Arc::new(Inner { writer, readers, durable, guard, path: path.to_owned() }) })
    }

    /// Makes the log as long as it gets, once: then a commit changes no size of a file, and a sync costs half. Does not wait.
    pub fn reserve_log(&self) -> Result<()> {
        let log = std::fs::File::options().append(true).open(sync::log_of(&self.inner.path));
        let log =
            log.map_err(|e| Fault::internal("the log of the database can't be opened").for_operator(e))?;
        self.inner.writer.reserve(log, LOG_BYTES);
        Ok(())
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
        self.inner.writer.submit(logical::pending(f, guarded, sender));
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
        Dialect::Sqlite
    }

    /// Runs a read. It sees one consistent state that includes every write finished before the call.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.inner.readers.submit(f, sender);
        let found = receiver.await.map_err(|_| stopped())?;
        self.inner.durable.wait(self.inner.writer.newest()).await?;
        found
    }

    /// Opens a transaction that will be taken back: statements run, nothing stays. Plans are made on it. It holds up
    /// writers, so it ends by itself after two seconds.
    pub async fn rehearse(&self) -> Result<Rehearsal> {
        self.inner.writer.rehearse().await
    }

    /// Changes when commits have become durable; tells followers of tables that they should look again.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.durable.syncs()
    }

    /// Copies the whole database into a new file while it is in use. Fails if the file exists.
    pub async fn backup(&self, target: &Path) -> Result<()> {
        if target.exists() {
            return Err(Fault::operation("the backup file exists already; choose another name"));
        }
        let target = target.to_string_lossy().into_owned();
        let source = self.inner.path.clone();
        let copy = move || {
            Tx::execute(&mut sqlite::open(&source, true)?, "VACUUM INTO ?", params![target]).map(|_| ())
        };
        tokio::task::spawn_blocking(copy).await.map_err(|_| stopped())?
    }
}

fn stopped() -> Fault {
    Fault::new(code::NOT_READY, "the server is stopping").retry()
}

/// True when a fault says that a row with this unique key exists already.
pub fn is_duplicate(fault: &Fault) -> bool {
    fault.params.get("constraint").and_then(|v| v.as_str()) == Some("unique")
}

#[cfg(test)]
mod tests;
