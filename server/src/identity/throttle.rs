//! Wrong passwords slow the next tries down (LOG-03): for an account from one address, for an account from anywhere, and for
//! an address whatever account it names. Nobody is locked out for good, and who logged in from an address before is not
//! held up there by what others try elsewhere.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use cairn_types::{Fault, Result, code};

/// Longest wait of an account at one address.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest wait over several accounts or addresses: it also meets those who did nothing wrong.
const LONGEST_SHARED: Duration = Duration::from_secs(30);
/// Most entries that are kept; what waits longest for its end goes last.
const MOST: usize = 65_536;
/// What an entry is worth after its wait: a later wrong try still counts on.
const REMEMBERED: Duration = Duration::from_secs(300);

/// What tries are counted by.
#[derive(Hash, Clone, Copy)]
enum By<'a> {
    Both(&'a str, &'a str),
    Account(&'a str),
    Source(&'a str),
}

impl By<'_> {
    /// Wrong tries that cost nothing; each one after doubles the wait.
    const fn free(self) -> u32 {
        match self {
            Self::Both(..) => 5,
            Self::Account(_) => 20,
            Self::Source(_) => 50,
        }
    }

    const fn longest(self) -> Duration {
        match self {
            Self::Both(..) => LONGEST,
            Self::Account(_) | Self::Source(_) => LONGEST_SHARED,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Both(..) | Self::Account(_) => "this account",
            Self::Source(_) => "your address",
        }
    }
}

struct Wrong {
    tries: u32,
    until: Instant,
}

/// Wrong tries of late. Names are kept as numbers, so nobody fills the memory with them.
#[derive(Default)]
pub(super) struct Throttle {
    hasher: RandomState,
    wrong: HashMap<u64, Wrong>,
    /// Accounts with addresses from which the right password came.
    known: HashSet<u64>,
}

impl Throttle {
    fn key(&self, by: By<'_>) -> u64 {
        self.hasher.hash_one(by)
    }

    /// Refuses while a wait is not over.
    pub(super) fn may_try(&self, account: &str, source: &str) -> Result<()> {
        let now = Instant::now();
        for by in [By::Both(account, source), By::Account(account), By::Source(source)] {
            // What others try, elsewhere or behind the same address, does not hold up who is known there.
            let shared = matches!(by, By::Account(_) | By::Source(_));
            if shared && self.known.contains(&self.key(By::Both(account, source))) {
                continue;
            }
            if let Some(w) = self.wrong.get(&self.key(by)).filter(|w| w.tries >= by.free() && w.until > now) {
                let left = w.until.duration_since(now).as_secs() + 1;
                let text = format!("too many wrong passwords for {}; try again in {left} s", by.what());
                return Err(Fault::new(code::TOO_MANY_TRIES, text).with("seconds", left).retry());
            }
        }
        Ok(())
    }

    /// Counts a wrong try.
    pub(super) fn was_wrong(&mut self, account: &str, source: &str) {
        let now = Instant::now();
        self.make_room(now);
        for by in [By::Both(account, source), By::Account(account), By::Source(source)] {
            let key = self.key(by);
            let w = self.wrong.entry(key).or_insert(Wrong { tries: 0, until: now });
            w.tries = if w.until + REMEMBERED < now { 1 } else { w.tries + 1 };
            let wait = match w.tries.checked_sub(by.free()) {
                None => Duration::ZERO,
                Some(doublings) => Duration::from_secs(1 << doublings.min(9)).min(by.longest()),
            };
            w.until = now + wait;
        }
    }

    /// Forgets the wrong tries of an account at an address after a right one.
    pub(super) fn was_right(&mut self, account: &str, source: &str) {
        let key = self.key(By::Both(account, source));
        self.wrong.remove(&key);
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(key);
    }

    fn make_room(&mut self, now: Instant) {
        if self.wrong.len() < MOST {
            return;
        }
        self.wrong.retain(|_, w| w.until + REMEMBERED > now);
        if self.wrong.len() >= MOST {
            let mut ends: Vec<Instant> = self.wrong.values().map(|w| w.until).collect();
            let (_, middle, _) = ends.select_nth_unstable(MOST / 2);
            let middle = *middle;
            self.wrong.retain(|_, w| w.until > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(t: &mut Throttle, account: &str, source: &str, times: u32) -> bool {
        for _ in 0..times {
            if t.may_try(account, source).is_err() {
                return false;
            }
            t.was_wrong(account, source);
        }
        t.may_try(account, source).is_ok()
    }

    #[test]
    fn log_03_wrong_tries_are_slowed_down_for_an_account_at_an_address() {
        let mut t = Throttle::default();
        assert!(!wrong(&mut t, "admin", "a", By::Both("", "").free()));
        assert!(t.may_try("other", "a").is_ok() && t.may_try("admin", "b").is_ok());
        t.was_right("admin", "a");
        assert!(t.may_try("admin", "a").is_ok());
    }

    #[test]
    fn log_03_many_addresses_are_no_way_around_and_the_owner_is_not_locked_out() {
        let mut t = Throttle::default();
        t.was_right("admin", "home");
        for n in 0..By::Account("").free() {
            wrong(&mut t, "admin", &n.to_string(), 1);
        }
        assert_eq!(t.may_try("admin", "new").unwrap_err().code, code::TOO_MANY_TRIES);
        assert!(t.may_try("admin", "home").is_ok());
    }

    #[test]
    fn log_03_one_password_over_many_accounts_is_slowed_down() {
        let mut t = Throttle::default();
        for n in 0..By::Source("").free() {
            wrong(&mut t, &n.to_string(), "a", 1);
        }
        assert!(t.may_try("any", "a").unwrap_err().details.contains("your address"));
    }

    #[test]
    fn log_03_there_is_an_end_to_what_is_remembered() {
        let mut t = Throttle::default();
        for n in 0..MOST {
            t.was_wrong(&n.to_string(), &n.to_string());
        }
        assert!(t.wrong.len() <= MOST + 3, "{}", t.wrong.len());
    }
}
