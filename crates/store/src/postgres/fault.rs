//! What a fault of PostgreSQL means here.

use cairn_types::{Fault, code};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// How a statement failed.
pub(super) enum Trouble {
    /// The server refused the statement.
    Refused(Fault),
    /// The server gave the transaction up; it may succeed when it is run again.
    Repeat(Fault),
    /// The connection is of no use any more.
    Lost(Fault),
}

impl Trouble {
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Refused(fault) | Self::Repeat(fault) | Self::Lost(fault) => fault,
        }
    }
}

/// What to do about an error.
pub(super) fn trouble(error: &Error, sql: &str) -> Trouble {
    let Some(refusal) = error.as_db_error() else {
        // An answer that cannot be read, or a value that cannot be sent: the connection is as good as before.
        let ours =
            !error.is_closed() && std::error::Error::source(error).is_some_and(|s| !s.is::<std::io::Error>());
        return if ours {
            Trouble::Refused(
                Fault::new(code::STORE, "the database failed").for_operator(operator(error, sql)),
            )
        } else {
            Trouble::Lost(unreachable(&operator(error, sql)))
        };
    };
    let state = refusal.code();
    let class = state.code().get(..2).unwrap_or_default();
    let detail = operator(error, sql);
    match class {
        // Shut down by an operator, crashed, starting, or ended by a time limit on connections.
        _ if [
            &SqlState::ADMIN_SHUTDOWN,
            &SqlState::CRASH_SHUTDOWN,
            &SqlState::CANNOT_CONNECT_NOW,
            &SqlState::DATABASE_DROPPED,
            &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // "cached plan must not change result type": a newer server changed a table. A new connection parses anew.
            &SqlState::FEATURE_NOT_SUPPORTED,
        ]
        .contains(&state)
            || state.code() == "57P05"
            || class == "08" =>
        {
            Trouble::Lost(unreachable(&detail))
        }
        "40" => Trouble::Repeat(
            Fault::new(code::STORE, "the database was too busy with others; try again")
                .for_operator(detail)
                .retry(),
        ),
        "23" => Trouble::Refused(constraint(state).for_operator(detail)),
        "53" if *state == SqlState::TOO_MANY_CONNECTIONS => Trouble::Lost(unreachable(&detail)),
        "53" => Trouble::Refused(
            Fault::new(code::STORE_FULL, "the database's machine has no room left; make room and try again")
                .for_operator(detail)
                .retry(),
        ),
        "55" if *state == SqlState::LOCK_NOT_AVAILABLE => Trouble::Refused(
            Fault::new(
                code::STORE_UNREACHABLE,
                "another server holds the database; nothing was changed, try again",
            )
            .for_operator(detail)
            .retry(),
        ),
        "22" if *state == SqlState::CHARACTER_NOT_IN_REPERTOIRE => Trouble::Refused(
            Fault::argument("a text holds a character that can't be kept").for_operator(detail),
        ),
        _ => Trouble::Refused(Fault::new(code::STORE, "the database failed").for_operator(detail)),
    }
}

/// Told apart as on SQLite: a taken unique key, and everything else about references.
fn constraint(state: &SqlState) -> Fault {
    if *state == SqlState::UNIQUE_VIOLATION {
        return Fault::new(code::STORE, "a row with this unique key exists already")
            .with("constraint", "unique");
    }
    Fault::new(code::IN_USE, "another resource still refers to this one, or one referred to is gone")
        .with("constraint", "reference")
}

/// The database cannot be reached.
pub(super) fn unreachable(detail: &str) -> Fault {
    let text = "the database can't be reached; nothing was changed, try again in a moment";
    Fault::new(code::STORE_UNREACHABLE, text).for_operator(detail).retry()
}

/// Whether a change stands is not known.
pub(super) fn uncertain(detail: &str) -> Fault {
    let text = "the connection to the database broke while a change was being kept, and the database could not be asked \
                since: look whether it was made before you repeat it";
    Fault::new(code::STORE_UNCERTAIN, text).for_operator(detail)
}

/// For logs. The error's own text names no values of parameters.
fn operator(error: &Error, sql: &str) -> String {
    let mut text = error.to_string();
    if let Some(refusal) = error.as_db_error() {
        text = format!("{} ({})", refusal.message(), refusal.code().code());
        if let Some(name) = refusal.constraint() {
            text.push_str(", constraint ");
            text.push_str(name);
        }
    } else if let Some(source) = std::error::Error::source(error) {
        text = format!("{text}: {source}");
    }
    if sql.is_empty() { text } else { format!("{text} in {sql}") }
}
