//! Clones go into the database a few hundred at a time, each lot one transaction of the store.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_store::{Store, Tx, Value};
use cairn_types::{Fault, Result};
use tokio::task::JoinHandle;

use crate::make::Plan;
use crate::template::Level;

/// Clones of one statement. The parameters of a statement must stay below 32,766.
const LOT: usize = 200;
/// Transactions that wait while the next ones are made.
const WAITING: usize = 8;

/// Writes everything, the outer levels first. Tells how many rows there were.
pub(crate) async fn all(store: &Store, plan: Plan, progress: impl Fn(&str, usize)) -> Result<usize> {
    let (plan, mut rows) = (Arc::new(plan), 0);
    for level in Level::ALL {
        let name = match level {
            Level::Zone => "zones",
            Level::Cluster => "clusters",
            Level::Host => "hosts",
            Level::Vm => "VMs",
        };
        let (count, mut waiting, mut written) = (plan.count(level), VecDeque::new(), 0);
        let mut from = 0;
        while from < count {
            let to = (from + LOT).min(count);
            waiting.push_back(lot(store, &plan, level, from..to));
            if waiting.len() > WAITING {
                written += finish(&mut waiting).await?;
            }
            from = to;
            if from % 100_000 == 0 {
                progress(name, from);
            }
        }
        while !waiting.is_empty() {
            written += finish(&mut waiting).await?;
        }
        progress(name, count);
        rows += written;
    }
    Ok(rows)
}

async fn finish(waiting: &mut VecDeque<JoinHandle<Result<usize>>>) -> Result<usize> {
    let Some(first) = waiting.pop_front() else { return Ok(0) };
    first.await.map_err(|e| Fault::internal("a lot of clones was given up").for_operator(e))?
}

fn lot(
    store: &Store,
    plan: &Arc<Plan>,
    level: Level,
    clones: std::ops::Range<usize>,
) -> JoinHandle<Result<usize>> {
    let (store, plan) = (store.clone(), plan.clone());
    tokio::spawn(async move {
        let mut statements: Vec<(String, Vec<Value>)> = Vec::new();
        for row in plan.rows(level) {
            statements.push((row.sql(clones.len()), row.params(&plan, level, clones.clone())?));
        }
        let write = move |tx: &mut dyn Tx| {
            let mut rows = 0;
            for (sql, values) in &statements {
                rows += tx.execute(sql, values)?;
            }
            Ok(rows)
        };
        store.write(write).await
    })
}
