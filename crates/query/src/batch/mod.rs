//! Query scripts: several queries and a little arithmetic on their results in one request.
//!
//! The original runs these as Groovy. This is an interpreter of the part of Groovy that such scripts use; it has no way
//! to reach anything but queries, and it ends: steps, memory, queries and time are limited.
//!
//! ```groovy
//! def hosts = query("QueryHost status=Connected fields=uuid,name limit=50 replyWithCount=true")
//! put("hosts", hosts.result)
//! put("total", hosts.total)
//! def busy = []
//! hosts.result.each { h ->
//!     def n = query("QueryVmInstance count=true hostUuid=${h.uuid}").total
//!     if (n > 10) { busy.add([name: h.name, vms: n]) }
//! }
//! put("busy", busy.sort { it.vms })
//! ```
//!
//! - Functions: `query(text)` gives `[total, result]`; `zql(text)` gives the list of results; `call(action, json)` makes a
//!   reading call of the API and gives `[result]`; `put(key, value)` adds to the answer.
//! - The text of a query is its name, then conditions and `fields=`, `limit=`, `start=`, `sortBy=`, `sortDirection=`,
//!   `groupBy=`, `count=`, `replyWithCount=`, separated by blanks. `field=null` and `field!=null` ask for no value and a value.
//! - Statements: `def`, assignment (also to `a.b` and `a["b"]`, and `+=`, `-=`), `if`/`else`, `for (x in list)`, `return`.
//! - Values: texts with `${…}`, numbers, `true`, `false`, `null`, lists, maps, and closures as the last argument of a method.
//! - Operators: `+ - * / %`, comparisons, `in`, `&& || !`, `? :`, `?:`, `?.`, `<<`.
//! - Methods of lists, maps and texts: see `methods.rs`.

mod eval;
mod lenient;
mod lexer;
mod methods;
mod parser;
mod value;

use cairn_store::Tx;
use cairn_types::Result;
use serde_json::{Value, json};

use crate::{Caller, Options, Viewer};

/// Limits of one script.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest script in bytes.
    pub script_bytes: usize,
    /// Expressions that may be evaluated.
    pub steps: u64,
    /// List elements, map entries and bytes of text that may be made.
    pub memory: usize,
    /// Queries and calls.
    pub queries: u32,
    /// Milliseconds.
    pub time_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { script_bytes: 256 << 10, steps: 1_000_000, memory: 64 << 20, queries: 500, time_ms: 10_000 }
    }
}

/// Runs a script: `{"result": {…}}`.
pub fn answer(
    tx: &mut dyn Tx,
    script: &str,
    viewer: &Viewer,
    caller: &dyn Caller,
    options: &Options,
    limits: Limits,
) -> Result<Value> {
    if script.len() > limits.script_bytes {
        return Err(crate::fault::too_much(format!("a script may have {} bytes", limits.script_bytes)));
    }
    let program = parser::parse(script)?;
    let mut machine = eval::Machine::new(tx, viewer, caller, options, limits);
    machine.run(&program)?;
    Ok(json!({ "result": machine.into_output()? }))
}
