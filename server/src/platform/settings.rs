//! Global settings: the table of `cairn_api::settings` over the values that differ from their default. Effective at once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use cairn_api::settings;
use cairn_store::{Store, Tx, params};
use cairn_types::{Result, size};

/// All settings, read without touching the database.
#[derive(Default)]
pub struct Settings {
    changed: RwLock<HashMap<(String, String), String>>,
}

impl Settings {
    /// Reads the changed values.
    pub async fn load(store: &Store) -> Result<Self> {
        let rows = store.read(|tx| tx.query("SELECT category, name, value FROM global_config", params![])).await?;
        let mut changed = HashMap::new();
        for row in &rows {
            changed.insert((row.text("category")?, row.text("name")?), row.text("value")?);
        }
        Ok(Self { changed: RwLock::new(changed) })
    }

    /// The value as text; the default if it was never changed, empty if there is no such setting.
    pub fn text(&self, category: &str, name: &str) -> String {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        match changed.get(&(category.to_owned(), name.to_owned())) {
            Some(value) => value.clone(),
            None => settings::find(category, name).map_or_else(String::new, |s| s.default_value().to_owned()),
        }
    }

    /// The value as a number; 0 if it is none.
    pub fn int(&self, category: &str, name: &str) -> i64 {
        self.text(category, name).parse().unwrap_or(0)
    }

    /// The value as a truth value.
    pub fn bool(&self, category: &str, name: &str) -> bool {
        self.text(category, name).eq_ignore_ascii_case("true")
    }

    /// The value of a size-string in bytes.
    pub fn bytes(&self, category: &str, name: &str) -> u64 {
        size::parse_size(&self.text(category, name)).unwrap_or(0)
    }

    /// Puts a value that was committed into effect.
    pub fn apply(&self, category: &str, name: &str, value: Option<String>) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let key = (category.to_owned(), name.to_owned());
        match value {
            Some(value) => changed.insert(key, value),
            None => changed.remove(&key),
        };
    }

    /// Minutes east of UTC in which dates are written.
    pub fn offset_minutes(&self) -> i64 {
        self.int("cairn", "api.timeZone")
    }
}

/// Writes a value into the database.
pub fn store_value(tx: &mut dyn Tx, category: &str, name: &str, value: &str, now_ms: i64) -> Result<()> {
    tx.execute("DELETE FROM global_config WHERE category = ? AND name = ?", params![category, name])?;
    let sql = "INSERT INTO global_config (category, name, value, last_op_ms) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![category, name, value, now_ms])?;
    Ok(())
}
