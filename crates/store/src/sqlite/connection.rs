//! SQLite behind [`Tx`].

use std::path::Path;
use std::sync::Arc;

use cairn_types::{Fault, Result, code, time};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::migrate::Schema;
use crate::reader::Snapshots;
use crate::{Dialect, Row, Tx, Value, row};

/// Opens the file with the settings every connection uses.
pub(crate) fn open(path: &Path, read_only: bool) -> Result<Connection> {
    let flags = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    let connection = Connection::open_with_flags(path, flags).map_err(|e| fault(&e))?;
    // A commit is made durable by `sync`, which syncs the log; NORMAL keeps the syncs of the log's header and of checkpoints.
    // The log is moved into the database by a thread of its own; a commit does it only when that falls far behind.
    let settings =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;
                    PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384; PRAGMA case_sensitive_like=ON;
                    PRAGMA wal_autocheckpoint=16384;";
    let readers = "PRAGMA busy_timeout=5000; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192;
                   PRAGMA case_sensitive_like=ON; PRAGMA query_only=OFF;";
    connection.execute_batch(if read_only { readers } else { settings }).map_err(|e| fault(&e))?;
    // A cached statement keeps its plan whatever is bound to it; else a bound LIMIT has it compiled anew at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|e| fault(&e))?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}

/// Runs a statement without parameters or rows, such as `SAVEPOINT t`, compiled once.
pub(crate) fn run(connection: &Connection, sql: &str) -> Result<()> {
    let done = connection.prepare_cached(sql).and_then(|mut s| s.execute([]));
    done.map(|_| ()).map_err(|e| fault(&e))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Text(s) => ValueRef::Text(s.as_bytes()),
        }))
    }
}

impl Tx for Connection {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<usize> {
        row::without_nul(params)?;
        let mut statement = self.prepare_cached(sql).map_err(|e| sql_fault(&e, sql))?;
        statement.execute(rusqlite::params_from_iter(params)).map_err(|e| sql_fault(&e, sql))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.prepare_cached(sql).map_err(|e| sql_fault(&e, sql))?;
        let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(|e| sql_fault(&e, sql))?;
        let (mut out, mut names) = (Vec::new(), None::<Arc<[String]>>);
        while let Some(row) = rows.next().map_err(|e| sql_fault(&e, sql))? {
            let names = names.get_or_insert_with(|| {
                let names = row.as_ref().column_names();
                names.into_iter().map(str::to_owned).collect()
            });
            let values = (0..names.len()).map(|i| row.get_ref(i).map(value)).collect::<rusqlite::Result<_>>();
            out.push(Row::new(names.clone(), values.map_err(|e| sql_fault(&e, sql))?));
        }
        Ok(out)
    }

    fn now_ms(&mut self) -> Result<i64> {
        Ok(time::now_ms())
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

fn value(v: ValueRef<'_>) -> Value {
    match v {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Text(t) | ValueRef::Blob(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
    }
}

fn sql_fault(error: &rusqlite::Error, sql: &str) -> Fault {
    fault(error).for_operator(format!("{error} in {sql}"))
}

/// A database error as a fault: a full disk and a taken unique key are told apart from the rest.
pub(crate) fn fault(error: &rusqlite::Error) -> Fault {
    let Some(kind) = error.sqlite_error() else {
        return Fault::new(code::STORE, "the database refused a statement").for_operator(error);
    };
    match kind.code {
        ErrorCode::DiskFull => {
            Fault::new(code::STORE_FULL, "the disk that holds the database is full; make room and try again")
                .for_operator(error)
                .retry()
        }
        ErrorCode::ConstraintViolation
            if matches!(
                kind.extended_code,
                rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            ) =>
        {
            Fault::new(code::STORE, "a row with this unique key exists already")
                .with("constraint", "unique")
                .for_operator(error)
        }
        ErrorCode::ConstraintViolation => {
            Fault::new(code::IN_USE, "another resource still refers to this one, or one referred to is gone")
                .with("constraint", "reference")
                .for_operator(error)
        }
        _ => Fault::new(code::STORE, "the database failed").for_operator(error),
    }
}

impl Snapshots for Connection {
    fn tx(&mut self) -> &mut dyn Tx {
        self
    }

    fn begin_read(&mut self) -> Result<()> {
        run(self, "BEGIN DEFERRED")
    }

    fn end_read(&mut self) {
        if let Err(f) = run(self, "COMMIT") {
            tracing::warn!(error = %f, "a read transaction did not end cleanly");
            let _ = self.execute_batch("ROLLBACK");
        }
    }
}

impl Schema for Connection {
    fn script(&mut self, sql: &str) -> Result<()> {
        self.execute_batch(sql).map_err(|e| fault(&e))
    }

    fn keep(&mut self) -> Result<()> {
        run(self, "COMMIT")
    }
}
