//! Global settings: the table of `cairn_api::settings` over the values that differ from their default. Effective at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use cairn_api::settings;
use cairn_store::{Store, Tx, params};
use cairn_types::{Result, size};

use super::secrets::Secrets;

/// What stands in place of a secret value.
pub const MASK: &str = "*****";

/// All settings, read without touching the database.
#[derive(Default)]
pub struct Settings {
    changed: RwLock<HashMap<(String, String), Changed>>,
    order: AtomicU64,
}

struct Changed {
    /// None: the default again.
    value: Option<String>,
    /// Position of its transaction among all changes of settings.
    order: u64,
}

impl Settings {
    /// Reads the changed values.
    pub async fn load(store: &Store, secrets: &Secrets) -> Result<Self> {
        let rows =
            store.read(|tx| tx.query("SELECT category, name, value FROM global_config", params![])).await?;
        let mut changed = HashMap::new();
        for row in &rows {
            let (category, name, mut value) = (row.text("category")?, row.text("name")?, row.text("value")?);
            let Some(setting) = settings::find(&category, &name) else { continue };
            if setting.is_secret() {
                value = secrets.open_sealed(&value)?;
            }
            // An older version may have taken what would do harm.
            if let Err(f) = setting.accept(&value) {
                tracing::warn!(error = %f, "{category}/{name} has a value that it no longer takes; its default holds");
                continue;
            }
            changed.insert((category, name), Changed { value: Some(value), order: 0 });
        }
        Ok(Self { changed: RwLock::new(changed), order: AtomicU64::new(0) })
    }

    /// The value as text; the default if it was never changed, empty if there is no such setting.
    pub fn text(&self, category: &str, name: &str) -> String {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        match changed.get(&(category.to_owned(), name.to_owned())).and_then(|c| c.value.as_ref()) {
            Some(value) => value.clone(),
            None => settings::find(category, name).map_or_else(String::new, |s| s.default_value().to_owned()),
        }
    }

    /// The value as a number; 0 if it is none.
    pub fn int(&self, category: &str, name: &str) -> i64 {
        self.text(category, name).parse().unwrap_or(0)
    }

    /// Seconds that a session is open. None at all would lock everybody out, so 0 counts as the default.
    pub fn session_seconds(&self) -> i64 {
        match self.int("identity", "session.timeout") {
            ..=0 => settings::find("identity", "session.timeout")
                .and_then(|s| s.default_value().parse().ok())
                .unwrap_or(7200),
            seconds => seconds,
        }
    }

    /// The value as a truth value.
    pub fn bool(&self, category: &str, name: &str) -> bool {
        self.text(category, name).eq_ignore_ascii_case("true")
    }

    /// The value of a size-string in bytes.
    pub fn bytes(&self, category: &str, name: &str) -> u64 {
        size::parse_size(&self.text(category, name)).unwrap_or(0)
    }

    /// The place of a change in the order of all changes; taken inside its transaction, and transactions are one after the
    /// other.
    pub fn next_order(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a value that was committed into effect; `None` is the default. What happens after commits comes in any order, so
    /// an older change never wins over a newer one.
    pub fn apply(&self, category: &str, name: &str, value: Option<String>, order: u64) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        let key = (category.to_owned(), name.to_owned());
        if changed.get(&key).is_none_or(|c| c.order < order) {
            changed.insert(key, Changed { value, order });
        }
    }

    /// Minutes east of UTC in which dates are written.
    pub fn offset_minutes(&self) -> i64 {
        self.int("cairn", "api.timeZone")
    }
}

/// Forgets the value in the database: the default holds again.
pub fn forget_value(tx: &mut dyn Tx, category: &str, name: &str) -> Result<usize> {
    tx.execute("DELETE FROM global_config WHERE category = ? AND name = ?", params![category, name])
}

/// Writes a value into the database.
pub fn store_value(tx: &mut dyn Tx, category: &str, name: &str, value: &str, now_ms: i64) -> Result<()> {
    forget_value(tx, category, name)?;
    let sql = "INSERT INTO global_config (category, name, value, last_op_ms) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![category, name, value, now_ms])?;
    Ok(())
}
