//! Numbered SQL files, forward only. Each runs in its own transaction and is recorded with it.

use cairn_types::{Fault, Result, code, time};
use rusqlite::Connection;

use crate::sqlite::fault;

/// Every migration: number, name, SQL. Append only; never change one that was released.
pub const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "resources", include_str!("../migrations/0001_resources.sql")),
    (2, "platform", include_str!("../migrations/0002_platform.sql")),
    (3, "l2_owner", include_str!("../migrations/0003_l2_owner.sql")),
    (4, "audit_running", include_str!("../migrations/0004_audit_running.sql")),
    (5, "departed_guest", include_str!("../migrations/0005_departed_guest.sql")),
];

pub(crate) fn run(connection: &mut Connection) -> Result<()> {
    let table = "CREATE TABLE IF NOT EXISTS schema_migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_ms BIGINT NOT NULL)";
    connection.execute_batch(table).map_err(|e| fault(&e))?;
    let done: i64 = connection
        .query_row("SELECT coalesce(max(number), 0) FROM schema_migration", [], |r| r.get(0))
        .map_err(|e| fault(&e))?;
    let known = MIGRATIONS.last().map_or(0, |m| m.0);
    if done > known {
        let text = format!(
            "the database has schema {done}, this program knows only up to {known}; start the newer one"
        );
        return Err(Fault::new(code::STORE, text));
    }
    for (number, name, sql) in MIGRATIONS.iter().filter(|m| m.0 > done) {
        let tx = connection.transaction().map_err(|e| fault(&e))?;
        tx.execute_batch(sql)
            .map_err(|e| fault(&e).for_operator(format!("migration {number} {name}: {e}")))?;
        tx.execute("INSERT INTO schema_migration VALUES (?, ?, ?)", (number, name, time::now_ms()))
            .map_err(|e| fault(&e))?;
        tx.commit().map_err(|e| fault(&e))?;
        tracing::info!(number, name, "applied migration {number} {name}");
    }
    Ok(())
}
