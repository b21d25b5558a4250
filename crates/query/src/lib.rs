//! Queries over resources: conditions in, one SQL statement out, rows back as inventories.
//!
//! What a query means is in the conventions of the API; the points they leave open are decided here:
//!
//! - A row without a value in a field matches no comparison with it, not even `!=`; only `is null` finds it.
//! - Behind a join every condition, also a negative one, means "there is a related row for which this holds":
//!   `vmNics.ip!=10.0.0.5` finds VMs that have a NIC with another address. Conditions through the same join speak of one
//!   row. `host is null` finds rows that are related to nothing.
//! - On a list of values and on tags a negative operator means "none of them": `attachedZoneUuids!=a`.
//! - `~=` ignores case; `\` takes the meaning from `%` and `_`.
//! - A date in a condition stands for the whole second.
//! - Whoever may not see a row does not find others through it either.
//! - Rows come in the order of `sort`, then of their uuid, which is the order in which they were made.

pub mod batch;
mod compile;
mod dialect;
mod fault;
mod path;
mod query;
mod rows;
mod sql;
mod tree;
mod value;
mod visible;
pub mod zql;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_api::resource::Resource;
use cairn_store::{Dialect, Tx, Value};
use cairn_types::Result;
use serde_json::Map;

pub use compile::{Compiled, compile};
pub use query::{Condition, Filter, Op, Query, Sort};
pub use rows::{Extra, QueryResult};
pub use visible::Viewer;

/// How times are written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateStyle {
    /// `Jan 2, 2018 3:04:05 PM` in a zone this many minutes east of UTC.
    Legacy {
        /// Minutes east of UTC.
        offset_minutes: i64,
    },
    /// `2018-01-02T15:04:05.000Z`; conditions are in UTC.
    Rfc3339,
}

impl DateStyle {
    pub(crate) fn offset(self) -> i64 {
        match self {
            Self::Legacy { offset_minutes } => offset_minutes,
            Self::Rfc3339 => 0,
        }
    }
}

/// Adds to a row what no column holds, such as `allowedActions`.
pub type Decorate = Arc<dyn Fn(&'static Resource, &Extra, &mut Map<String, serde_json::Value>) + Send + Sync>;

/// Makes the rows of a table that lives in memory.
pub type Given = Arc<dyn Fn() -> String + Send + Sync>;

/// How many rows of a resource a viewer may see, as of this read; `None`: they have to be counted.
pub type Total = Arc<dyn Fn(&mut dyn Tx, &'static Resource, &Viewer) -> Result<Option<i64>> + Send + Sync>;

/// What does not depend on the question.
#[derive(Clone)]
pub struct Options {
    /// How times are written and read.
    pub dates: DateStyle,
    /// The database that [`compile`] compiles for; [`run`] and [`one`] ask their transaction.
    pub dialect: Dialect,
    /// Rows returned when the query names no limit.
    pub default_limit: i64,
    /// Most rows that any query returns; a larger limit is lowered to it.
    pub max_limit: i64,
    /// Rows that live in memory, by table name: a JSON list of objects with column names, made when a query needs it.
    pub given: BTreeMap<&'static str, Given>,
    /// Knows how many rows there are without counting them.
    pub total: Option<Total>,
    /// Completes each row.
    pub decorate: Option<Decorate>,
    /// Names of the fields that `decorate` adds; `fields` may ask for them.
    pub decorated: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dates: DateStyle::Legacy { offset_minutes: 0 },
            dialect: Dialect::Sqlite,
            default_limit: 1000,
            max_limit: 100_000,
            given: BTreeMap::new(),
            total: None,
            decorate: None,
            decorated: &[],
        }
    }
}

/// What whoever sends a text with several queries may do.
pub trait Caller {
    /// Whether the account may call the query of this resource. Where it may not, the result is empty.
    fn may_query(&self, resource: &'static Resource) -> bool;

    /// Makes another call of the API that only reads, by its action name (`GetCpuMemoryCapacity`). The answer is the
    /// body of the call.
    fn call(&self, tx: &mut dyn Tx, action: &str, params: &serde_json::Value) -> Result<serde_json::Value> {
        let _ = (tx, params);
        Err(cairn_types::Fault::argument(format!("{action} cannot be called from a script")))
    }
}

/// A caller that may query everything: the platform itself.
pub struct Anyone;

impl Caller for Anyone {
    fn may_query(&self, _: &'static Resource) -> bool {
        true
    }
}

/// Compiles and runs a query.
pub fn run(
    tx: &mut dyn Tx,
    resource: &'static Resource,
    query: &Query,
    viewer: &Viewer,
    options: &Options,
) -> Result<QueryResult> {
    let options = &*for_database(tx, options);
    let Some(total) = known_total(tx, resource, query, viewer, options)? else {
        return find(tx, resource, query, viewer, options);
    };
    if query.count {
        return Ok(QueryResult { total: Some(total), count_only: true, ..QueryResult::default() });
    }
    let rows_only = Query { with_total: false, ..query.clone() };
    let found = find(tx, resource, &rows_only, viewer, options)?;
    Ok(QueryResult { total: Some(total), ..found })
}

fn find(
    tx: &mut dyn Tx,
    resource: &'static Resource,
    query: &Query,
    viewer: &Viewer,
    options: &Options,
) -> Result<QueryResult> {
    let owns_many = query.filters.is_empty() && visible::owns_many(tx, resource, viewer)?;
    let compiled = compile::compile_for(resource, query, (viewer, owns_many), options)?;
    let found = tx.query(&compiled.sql, &compiled.params)?;
    rows::read(&compiled, found, options)
}

/// The number of matches of a query without conditions, if it is wanted and known.
fn known_total(
    tx: &mut dyn Tx,
    resource: &'static Resource,
    query: &Query,
    viewer: &Viewer,
    options: &Options,
) -> Result<Option<i64>> {
    let is_wanted = query.count || query.with_total;
    match &options.total {
        Some(total) if is_wanted && query.filters.is_empty() && query.group_by.is_none() => {
            total(tx, resource, viewer)
        }
        _ => Ok(None),
    }
}

/// The inventory of one resource as its owner sees it; what most calls answer with. `None` if it does not exist.
pub fn one(
    tx: &mut dyn Tx,
    resource: &'static Resource,
    uuid: &str,
    options: &Options,
) -> Result<Option<serde_json::Value>> {
    let options = &*for_database(tx, options);
    let compiled = compiled_one(resource, options)?;
    let mine = Value::from(UUID);
    let param = |p: &Value| if *p == mine { Value::from(uuid) } else { p.clone() };
    let params: Vec<Value> = compiled.params.iter().map(param).collect();
    let found = tx.query(&compiled.sql, &params)?;
    Ok(rows::read(&compiled, found, options)?.inventories.into_iter().next())
}

/// The options with the database of the transaction.
fn for_database<'a>(tx: &dyn Tx, options: &'a Options) -> Cow<'a, Options> {
    let dialect = tx.dialect();
    if options.dialect == dialect {
        return Cow::Borrowed(options);
    }
    Cow::Owned(Options { dialect, ..options.clone() })
}

/// Stands for the uuid in a statement that was compiled before it was known.
const UUID: &str = "{uuid}";

/// The statement that reads one resource is the same every time, so it is compiled once.
fn compiled_one(resource: &'static Resource, options: &Options) -> Result<Arc<Compiled>> {
    static KNOWN: Mutex<BTreeMap<(&str, bool), Arc<Compiled>>> = Mutex::new(BTreeMap::new());
    let compile = || {
        let query = Query { limit: Some(1), ..Query::by_uuid(UUID) };
        compile(resource, &query, &Viewer::EVERYTHING, options).map(Arc::new)
    };
    // Rows that live in memory are part of the statement.
    if !options.given.is_empty() {
        return compile();
    }
    let key = (resource.inventory, options.dialect == Dialect::Sqlite);
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(known.clone());
    }
    let made = compile()?;
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made.clone());
    Ok(made)
}
