//! All rows of a database, to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_server::app::App;
use cairn_store::{Tx, params};

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
        let sql =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let mut tables = BTreeMap::new();
        for row in tx.query(sql, params![])? {
            let name = row.text("name")?;
            if HISTORY.contains(&name.as_str()) || name.contains("migration") {
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
