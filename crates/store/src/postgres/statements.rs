//! Statements that the server has parsed already, and running them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use cairn_types::Fault;
use futures_util::future::join;
use futures_util::{TryStreamExt as _, pin_mut};
use tokio_postgres::{Client, Error, Statement};

use super::fault::Trouble;
use super::session::limited;
use super::text::{key, numbered, types};
use crate::{Row, Value};

/// Most statements that a connection keeps.
const KEPT: usize = 512;

/// What a statement answered.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// How many rows it changed, or answered if it only reads.
    pub(super) count: u64,
}

struct Known {
    statement: Statement,
    names: Arc<[String]>,
    used: u64,
}

/// Statements by their text and the kinds of their values. Those not used for longest go first.
#[derive(Default)]
pub(super) struct Statements {
    known: HashMap<String, Known>,
    clock: u64,
}

impl Statements {
    /// Sends `ahead`, then runs a statement; parses it before if it is new. All that needs no answer in between is sent at
    /// once.
    pub(super) async fn run(
        &mut self,
        client: &Client,
        ahead: &str,
        sql: &str,
        params: &[Value],
    ) -> Result<Answer, Trouble> {
        let key = key(sql, params);
        self.clock += 1;
        let mut ahead = ahead;
        if !self.known.contains_key(&key) {
            let Some(text) = numbered(sql, params) else {
                let text = "a statement has more or fewer parameters than values";
                return Err(Trouble::Refused(Fault::internal(text).for_operator(sql)));
            };
            let types = types(params);
            let statement = after(client, ahead, limited(client.prepare_typed(&text, &types), sql)).await?;
            ahead = "";
            let names = statement.columns().iter().map(|c| c.name().to_owned()).collect();
            self.keep(key.clone(), Known { statement, names, used: 0 });
        }
        let Some(known) = self.known.get_mut(&key) else {
            return Err(Trouble::Refused(Fault::internal("a statement was parsed and is not there")));
        };
        known.used = self.clock;
        let answer = limited(answer(client, &known.statement, &known.names, params), sql);
        after(client, ahead, answer).await
    }

    fn keep(&mut self, key: String, known: Known) {
        if self.known.len() >= KEPT {
            let mut used: Vec<u64> = self.known.values().map(|k| k.used).collect();
            used.sort_unstable();
            let oldest = used[KEPT / 4];
            self.known.retain(|_, k| k.used > oldest);
        }
        self.known.insert(key, known);
    }
}

/// Sends SQL and something else without waiting in between. What came first failed first.
async fn after<T>(
    client: &Client,
    ahead: &str,
    then: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    if ahead.is_empty() {
        return then.await;
    }
    // The first one is polled, and so sent, first.
    let (before, after) = join(limited(client.batch_execute(ahead), ahead), then).await;
    before.and(after)
}

async fn answer(
    client: &Client,
    statement: &Statement,
    names: &Arc<[String]>,
    params: &[Value],
) -> Result<Answer, Error> {
    let given: Vec<&Value> = params.iter().filter(|value| **value != Value::Null).collect();
    let stream = client.query_raw(statement, given).await?;
    pin_mut!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        let values = (0..names.len()).map(|n| row.try_get(n)).collect::<Result<Vec<Value>, _>>()?;
        rows.push(Row::new(names.clone(), values));
    }
    Ok(Answer { rows, count: stream.rows_affected().unwrap_or(0) })
}
