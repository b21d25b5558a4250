//! All rows of a database, to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_server::app::App;
use cairn_store::{Dialect, Tx, params};

/// Tables that grow with every call and hold no resources.
const HISTORY: &[&str] = &["audit", "event", "job", "run", "session", "management_node", "cleanup"];

/// The keys of all rows by table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables(BTreeMap<String, BTreeSet<String>>);

impl Tables {
    pub(crate) async fn read(app: &Arc<App>) -> Self {
        app.store.read(Self::all).await.expect("all tables")
    }

    fn all(tx: &mut dyn Tx) -> cairn_types::Result<Self> {
        let mut tables = BTreeMap::new();
        for name in names(tx)? {
            if HISTORY.contains(&name.as_str()) {
                continue;
            }
            let rows = tx.query(&format!("SELECT * FROM {name}"), params![])?;
            // Whole rows change with every touch; what makes a row this row is in its first columns.
            let key = |r: &cairn_store::Row| {
                let columns = r.values().iter().take(4);
                columns.filter_map(|v| v.as_text().map(str::to_owned)).collect::<Vec<_>>().join(" ")
            };
            tables.insert(name, rows.iter().map(key).collect());
        }
        Ok(Self(tables))
    }

    /// One line for each row that came or went.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (table, rows) in &later.0 {
            let before = self.0.get(table).cloned().unwrap_or_default();
            lines.extend(rows.difference(&before).map(|r| format!("{table}: + {r}")));
            lines.extend(before.difference(rows).map(|r| format!("{table}: - {r}")));
        }
        lines
    }
}

/// All tables but those in which the database itself keeps account.
pub(crate) fn names(tx: &mut dyn Tx) -> cairn_types::Result<Vec<String>> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        }
        Dialect::Postgres => {
            "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY name"
        }
    };
    let all = tx
        .query(sql, params![])?
        .iter()
        .map(|row| row.text("name"))
        .collect::<cairn_types::Result<Vec<_>>>()?;
    Ok(all
        .into_iter()
        .filter(|name| !["schema_migration", "store_writer"].contains(&name.as_str()))
        .collect())
}
