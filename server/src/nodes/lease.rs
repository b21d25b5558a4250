//! What a server knows of its own right without asking the database.
//!
//! The row in the database decides: every write of the server is refused there once the lease is another one's. This clock is for
//! what does not go through the database, commands to agents and answers from memory. It is set from before the renewal was
//! sent, so it ends no later than the lease in the database does, and it goes on while the process is stopped.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};

/// The right to lead, as far as this process knows.
#[derive(Debug)]
pub struct Lease {
    /// Grows with every change of the leader; agents refuse older ones.
    pub epoch: i64,
    until: Mutex<Instant>,
}

impl Lease {
    /// A lease that was taken or renewed with a transaction begun at `asked`.
    pub fn new(epoch: i64, asked: Instant, length: Duration) -> Self {
        Self { epoch, until: Mutex::new(asked + length) }
    }

    /// It was renewed.
    pub fn renew(&self, asked: Instant, length: Duration) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(asked + length);
    }

    /// It was given back.
    pub fn end(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it holds for sure now.
    pub fn holds(&self) -> bool {
        Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error unless it holds.
    pub fn check(&self) -> Result<()> {
        if self.holds() { Ok(()) } else { Err(lost()) }
    }
}

/// `SYS.1010`: another server leads, or will soon.
pub fn lost() -> Fault {
    Fault::new(code::NOT_READY, "this server does not lead any more; try again, another one takes over")
        .retry()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_14_a_lease_ends_by_itself_and_an_older_renewal_does_not_shorten_it() {
        let (now, long) = (Instant::now(), Duration::from_secs(60));
        let lease = Lease::new(7, now, long);
        assert!(lease.holds() && lease.check().is_ok());
        lease.renew(now - Duration::from_secs(100), long);
        assert!(lease.holds());
        let over = Lease::new(7, now - long, Duration::from_secs(59));
        assert_eq!(over.check().unwrap_err().code, code::NOT_READY);
        over.renew(now, long);
        assert!(over.holds());
        over.end();
        assert!(!over.holds(), "one that was given back does not hold");
    }
}
