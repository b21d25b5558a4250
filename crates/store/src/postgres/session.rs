//! One connection to PostgreSQL on a thread of its own, made anew when it is lost.
//!
//! Statements that answer nothing of interest (BEGIN, SAVEPOINT, RELEASE) are sent together with the next one, so that they
//! cost no round trip.

use std::future::Future;
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::fault::{Trouble, trouble, unreachable};
use super::statements::{Answer, Statements};
use super::url::PostgresUrl;
use crate::Value;

/// A server that answers nothing for this long is as good as gone.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the first calls after a loss wait for the database to come back. Later ones fail at once until it is there.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pauses between tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What every connection that writes is told. A server that stands still in the midst of a batch loses its turn after five
/// seconds; one that waits for its turn gives up after eight.
pub(super) const WRITES: &str = "SET idle_in_transaction_session_timeout = 5000; SET lock_timeout = 8000; SET client_min_messages = warning; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";
/// What every connection that reads is told.
pub(super) const READS: &str = "SET default_transaction_read_only = on; SET idle_in_transaction_session_timeout = 60000; \
     SET client_min_messages = warning";

struct Link {
    client: Client,
    statements: Statements,
}

/// What became of the transaction.
#[derive(Default)]
struct State {
    /// A statement was refused, so PostgreSQL refuses what follows.
    failed: bool,
    /// Something followed.
    went_on: bool,
    /// It is gone as a whole.
    lost: Option<Fault>,
}

pub(crate) struct Session {
    url: PostgresUrl,
    settings: &'static str,
    runtime: Runtime,
    link: Option<Link>,
    /// Since when the database can't be reached, and when to try again.
    down: Option<(Instant, Instant)>,
    /// SQL that goes out before the next statement.
    ahead: String,
    state: State,
    /// Nothing of this transaction was sent yet, so it can begin on another connection.
    fresh: bool,
    /// Each statement has a savepoint.
    pub(super) careful: bool,
    pub(super) changes: u64,
}

impl Session {
    /// Connects. Must not be called on a thread of an async runtime.
    pub(super) fn connect(url: &PostgresUrl, settings: &'static str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Fault::internal(format!("a connection can't be made: {e}")))?;
        let mut session = Self {
            url: url.clone(),
            settings,
            runtime,
            link: None,
            down: None,
            ahead: String::new(),
            state: State::default(),
            fresh: false,
            careful: false,
            changes: 0,
        };
        session.ready()?;
        Ok(session)
    }

    /// Makes sure that there is a connection, as far as can be known without asking.
    pub(super) fn ready(&mut self) -> Result<()> {
        if self.link.as_ref().is_some_and(|link| !link.client.is_closed()) {
            return Ok(());
        }
        self.link = None;
        let now = Instant::now();
        let (since, next) = *self.down.get_or_insert((now, now));
        let mut pause = PAUSES.0;
        if now < next {
            return Err(unreachable("not tried again yet"));
        }
        loop {
            match self.dial() {
                Ok(link) => {
                    if since.elapsed() > PAUSES.1 {
                        tracing::info!(
                            after_ms = since.elapsed().as_millis(),
                            "the database can be reached again"
                        );
                    }
                    (self.link, self.down) = (Some(link), None);
                    return Ok(());
                }
                Err(Trouble::Lost(_)) if since.elapsed() < PATIENCE => {
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(PAUSES.1);
                }
                Err(other) => {
                    let fault = other.fault();
                    tracing::warn!(detail = ?fault.operator, database = %self.url, "the database can't be reached");
                    self.down = Some((since, Instant::now() + PAUSES.1));
                    return Err(fault);
                }
            }
        }
    }

    fn dial(&self) -> std::result::Result<Link, Trouble> {
        let config = self.url.config().map_err(Trouble::Refused)?;
        let settings = self.settings;
        self.runtime.block_on(async {
            let (client, connection) = limited(config.connect(NoTls), "connecting").await?;
            // It ends with the client, and its end is seen there.
            tokio::spawn(connection);
            limited(client.batch_execute(settings), "the settings of a connection").await?;
            Ok(Link { client, statements: Statements::default() })
        })
    }

    /// Forgets the transaction, which has ended or is to be begun.
    pub(super) fn reset(&mut self) {
        self.ahead.clear();
        self.state = State::default();
        self.fresh = false;
        self.careful = false;
    }

    /// Has a transaction begin with the next statement.
    pub(super) fn begin_with_next(&mut self, sql: &str) {
        self.reset();
        self.fresh = true;
        self.push_ahead(sql);
    }

    /// Whether anything was sent since [`Session::begin_with_next`].
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn push_ahead(&mut self, sql: &str) {
        self.ahead.push_str(sql);
        self.ahead.push(';');
        // What follows a savepoint, or the return to one, has a clean start.
        if sql.starts_with("SAVEPOINT") || sql.starts_with("ROLLBACK TO") {
            (self.state.failed, self.state.went_on) = (false, false);
        }
    }

    pub(super) fn lost(&self) -> Option<Fault> {
        self.state.lost.clone()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.state.failed
    }

    pub(super) fn went_on(&self) -> bool {
        self.state.went_on
    }

    /// Statements without parameters; the texts of the rows they answer.
    pub(super) fn simple(&mut self, sql: &str) -> std::result::Result<Vec<String>, Trouble> {
        let sql = format!("{}{sql}", self.ahead);
        self.ahead.clear();
        let Some(link) = &self.link else { return Err(Trouble::Lost(unreachable("not connected"))) };
        let done = self.runtime.block_on(limited(link.client.simple_query(&sql), &sql));
        if matches!(done, Err(Trouble::Lost(_))) {
            self.link = None;
        }
        let first = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(done?.iter().filter_map(first).collect())
    }

    /// Gives the connection up; the next transaction makes a new one.
    pub(super) fn hang_up(&mut self) {
        self.link = None;
    }

    /// Runs a statement in the transaction and keeps account of what became of that.
    pub(super) fn statement(&mut self, sql: &str, params: &[Value]) -> Result<Answer> {
        if let Some(fault) = &self.state.lost {
            return Err(fault.clone());
        }
        self.state.went_on |= self.state.failed;
        if self.careful {
            self.push_ahead("SAVEPOINT s");
        }
        let mut done = self.send(sql, params);
        if self.fresh && matches!(done, Err(Trouble::Lost(_))) && self.ready().is_ok() {
            done = self.send(sql, params);
        }
        self.fresh = false;
        self.ahead.clear();
        match done {
            Ok(answer) => {
                if self.careful {
                    self.push_ahead("RELEASE s");
                }
                Ok(answer)
            }
            Err(Trouble::Refused(fault)) if self.careful => {
                self.push_ahead("ROLLBACK TO s");
                self.push_ahead("RELEASE s");
                Err(fault)
            }
            Err(Trouble::Refused(fault)) => {
                self.state.failed = true;
                Err(fault)
            }
            Err(Trouble::Repeat(fault)) => Err(self.state.lost.insert(fault).clone()),
            Err(Trouble::Lost(fault)) => {
                self.link = None;
                Err(self.state.lost.insert(fault).clone())
            }
        }
    }

    fn send(&mut self, sql: &str, params: &[Value]) -> std::result::Result<Answer, Trouble> {
        let Some(Link { client, statements }) = &mut self.link else {
            return Err(Trouble::Lost(unreachable("not connected")));
        };
        self.runtime.block_on(statements.run(client, &self.ahead, sql, params))
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn limited<T>(
    answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    sql: &str,
) -> std::result::Result<T, Trouble> {
    match tokio::time::timeout(SILENCE, answer).await {
        Ok(answer) => answer.map_err(|e| trouble(&e, sql)),
        Err(_) => Err(Trouble::Lost(
            Fault::new(
                code::STORE_UNREACHABLE,
                "the database does not answer; nothing was changed, try again",
            )
            .for_operator(format!("no answer to {sql}"))
            .retry(),
        )),
    }
}
