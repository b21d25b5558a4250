//! All rows with their content, to be compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_server::app::App;
use cairn_store::{Row, Tx, params};

use crate::tables::names;

/// Tables that grow with every call, and the image cache, which has a clean-up of its own.
const LEFT_OUT: &[&str] =
    &["audit", "event", "job", "run", "session", "management_node", "cleanup", "agent", "image_cache"];
/// Columns that say how it went or what was measured.
const VOLATILE: &[&str] = &[
    "state_reason",
    "status_reason",
    "available_physical",
    "total_physical",
    "available_capacity",
    "actual_size",
    "last_host_uuid",
    "facts",
    "internal_id",
];

/// One line for each row, with its content but for dates and measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows(BTreeSet<String>);

impl Rows {
    pub(crate) async fn read(app: &Arc<App>) -> Self {
        app.store.read(Self::all).await.expect("all rows")
    }

    /// All rows of this database.
    pub fn all(tx: &mut dyn Tx) -> cairn_types::Result<Self> {
        let mut lines = BTreeSet::new();
        for table in names(tx)? {
            if !LEFT_OUT.contains(&table.as_str()) {
                let rows = tx.query(&format!("SELECT * FROM {table}"), params![])?;
                lines.extend(rows.iter().map(|r| line(&table, r, |n| !is_passing(n))));
            }
        }
        Ok(Self(lines))
    }

    /// One line for each row that came or went; a changed one gives two.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let came = later.0.difference(&self.0).map(|l| format!("+ {l}"));
        came.chain(self.0.difference(&later.0).map(|l| format!("- {l}"))).collect()
    }
}

/// Every row of every table with all that it holds: to see what is nowhere.
pub(crate) fn everything(tx: &mut dyn Tx) -> cairn_types::Result<Vec<String>> {
    let mut lines = Vec::new();
    for table in names(tx)? {
        let rows = tx.query(&format!("SELECT * FROM {table}"), params![])?;
        lines.extend(rows.iter().map(|r| line(&table, r, |_| true)));
    }
    Ok(lines)
}

/// Dates, measures, and how it went.
fn is_passing(column: &str) -> bool {
    column.ends_with("_ms") || VOLATILE.contains(&column)
}

fn line(table: &str, row: &Row, wants: impl Fn(&str) -> bool) -> String {
    let mut line = format!("{table}:");
    for (name, value) in row.names().iter().zip(row.values()) {
        if wants(name) {
            match (value.as_text(), value.as_int()) {
                (Some(text), _) => line.push_str(&format!(" {name}={text}")),
                (None, Some(number)) => line.push_str(&format!(" {name}={number}")),
                (None, None) => {}
            }
        }
    }
    line
}
