//! PostgreSQL: several servers may share it. One writer and a few readers per server, each with a connection of its own.
//!
//! The batches of all servers go one after another: each begins with a lock that lasts until its COMMIT is through
//! (`docs/decisions/0007`). So no statement of one meets a half made change of another, and entries of the event log become
//! visible in the order of their numbers.

mod dump;
mod fault;
mod listen;
mod session;
mod statements;
#[cfg(test)]
mod tests;
mod text;
mod url;
mod value;
mod writer;

use cairn_types::{Fault, Result, code};
use tokio::sync::watch;

use crate::logical::Guard;
use crate::migrate::{self, Schema};
use crate::reader::{Read, Readers, Snapshots};
use crate::{Dialect, Row, Tx, Value, row};
use fault::Trouble;
use session::{READS, Session, WRITES};

pub use dump::dump;
pub use url::PostgresUrl;
pub(crate) use writer::Request;

/// Key of the lock that the batches of all servers on a database take in turn: "cairn" in ASCII.
const TURN: i64 = 0x63_61_69_72_6e;

/// A connected database.
pub(crate) struct Database {
    writer: writer::Writer,
    readers: Readers,
    _listener: listen::Listener,
    commits: watch::Receiver<u64>,
    url: PostgresUrl,
}

impl Database {
    pub(crate) fn connect(url: &PostgresUrl, readers: usize, guard: Guard) -> Result<Self> {
        // A connection has a runtime of its own, which must not be made or used on a thread of another one.
        let connect = || -> Result<_> {
            let mut session = Session::connect(url, WRITES)?;
            check(&mut session)?;
            migrate::run(&mut session)?;
            let name = writer::register(&mut session)?;
            let readers = (0..readers.max(1)).map(|_| Session::connect(url, READS));
            Ok((session, name, readers.collect::<Result<Vec<_>>>()?))
        };
        let connected = std::thread::scope(|scope| scope.spawn(connect).join());
        let (session, name, sessions) =
            connected.map_err(|_| Fault::internal("connecting to the database panicked"))??;
        let (progress, commits) = watch::channel(0);
        let listener = listen::Listener::start(url, &name, progress.clone())?;
        let writer = writer::Writer::start(session, name, progress, guard)?;
        let readers = Readers::start(sessions)?;
        Ok(Self { writer, readers, _listener: listener, commits, url: url.clone() })
    }

    pub(crate) fn submit(&self, request: Request) {
        self.writer.submit(request);
    }

    pub(crate) fn submit_read(&self, read: Read) {
        self.readers.submit(read);
    }

    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    pub(crate) fn url(&self) -> &PostgresUrl {
        &self.url
    }
}

/// Both databases must order and compare text alike, by its bytes.
fn check(session: &mut Session) -> Result<()> {
    let sql = "SELECT current_setting('server_encoding') || ' ' || datcollate || ' ' || datctype AS form,
                      CAST(current_setting('server_version_num') AS BIGINT) AS version
               FROM pg_database WHERE datname = current_database()";
    session.reset();
    let row = (session as &mut dyn Tx)
        .query_opt(sql, &[])?
        .ok_or_else(|| Fault::internal("the database knows no database"))?;
    let form = row.text("form")?;
    let same = ["UTF8 C C", "UTF8 POSIX POSIX", "UTF8 C.UTF-8 C.UTF-8", "UTF8 C.utf8 C.utf8"];
    if !same.contains(&form.as_str()) {
        let text = format!(
            "the database has encoding and collation {form}; make it with CREATE DATABASE … TEMPLATE template0 \
             ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        return Err(Fault::new(code::STORE, text));
    }
    let version = row.int("version")?;
    if version < 130_000 {
        return Err(Fault::new(code::STORE, format!("PostgreSQL 13 or later is needed, this is {version}")));
    }
    Ok(())
}

impl Tx for Session {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize> {
        row::without_nul(params)?;
        let answer = self.statement(sql, params)?;
        self.changes += answer.count;
        usize::try_from(answer.count).map_err(|_| Fault::internal("too many rows"))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let answer = self.statement(sql, params)?;
        if !sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")) {
            self.changes += answer.count;
        }
        Ok(answer.rows)
    }

    fn now_ms(&mut self) -> Result<i64> {
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
        (self as &mut dyn Tx).query_int(sql, &[])
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

impl Snapshots for Session {
    fn tx(&mut self) -> &mut dyn Tx {
        self
    }

    fn begin_read(&mut self) -> Result<()> {
        self.ready()?;
        self.begin_with_next("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        Ok(())
    }

    fn end_read(&mut self) {
        let was_sent = !self.is_fresh();
        self.reset();
        if was_sent && let Err(trouble) = self.simple("ROLLBACK") {
            tracing::warn!(detail = ?trouble.fault().operator, "a read did not end cleanly");
            self.hang_up();
        }
    }
}

impl Schema for Session {
    fn script(&mut self, sql: &str) -> Result<()> {
        self.simple(sql).map(|_| ()).map_err(Trouble::fault)
    }

    fn keep(&mut self) -> Result<()> {
        self.simple("COMMIT").map(|_| ()).map_err(Trouble::fault)
    }
}

/// Runs one statement on a connection of its own. For making and dropping databases.
#[cfg(any(test, feature = "scratch"))]
pub(crate) fn command(url: &PostgresUrl, sql: &str) -> Result<Vec<String>> {
    let run =
        || Session::connect(url, "SET client_min_messages = warning")?.simple(sql).map_err(Trouble::fault);
    let done = std::thread::scope(|scope| scope.spawn(run).join());
    done.map_err(|_| Fault::internal("a statement panicked"))?
}
