//! Passwords. Clients send the lower-case hex SHA-512 of the plain text (rest-conventions section 4); the database keeps
//! an argon2id hash of that. Hashing is slow on purpose, so few run at once. Wrong tries slow the next ones down (LOG-03).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use cairn_types::{Fault, Result, code};
use sha2::{Digest, Sha512};
use tokio::sync::Semaphore;

/// What a client sends for a plain password.
pub fn client_digest(plain: &str) -> String {
    Sha512::digest(plain.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Hashes and checks passwords, and remembers wrong tries.
pub struct Passwords {
    argon: Argon2<'static>,
    room: Semaphore,
    wrong: Mutex<HashMap<String, Wrong>>,
}

struct Wrong {
    tries: u32,
    until: Instant,
}

/// Wrong tries that cost nothing; each one after doubles the wait.
const FREE_TRIES: u32 = 5;
/// Names that are remembered at most.
const MOST: usize = 10_000;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(300);

impl Passwords {
    /// `fast`: cheap hashes, for tests only.
    pub fn new(fast: bool) -> Self {
        let params = if fast { Params::new(8, 1, 1, None) } else { Params::new(19 * 1024, 2, 1, None) };
        let params = params.unwrap_or_default();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Self { argon, room: Semaphore::new(2), wrong: Mutex::default() }
    }

    /// Hashes what a client sent. Blocks for tens of milliseconds.
    pub fn hash_blocking(&self, sent: &str) -> Result<String> {
        let mut salt = [0u8; 16];
        getrandom::fill(&mut salt).map_err(|e| Fault::internal("no random bytes").for_operator(e))?;
        let failed = |e: argon2::password_hash::Error| {
            Fault::internal("a password could not be hashed").for_operator(e)
        };
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        Ok(self.argon.hash_password(sent.as_bytes(), &salt).map_err(failed)?.to_string())
    }

    /// Hashes what a client sent, off the event loop.
    pub async fn hash(&self, sent: &str) -> Result<String> {
        let _permit = self.room.acquire().await.map_err(|_| Fault::internal("stopping"))?;
        tokio::task::block_in_place(|| self.hash_blocking(sent))
    }

    /// Compares with a stored hash, off the event loop.
    pub async fn verify(&self, sent: &str, stored: &str) -> Result<bool> {
        let _permit = self.room.acquire().await.map_err(|_| Fault::internal("stopping"))?;
        let parsed = PasswordHash::new(stored)
            .map_err(|e| Fault::internal("a stored password hash is damaged").for_operator(e))?;
        Ok(tokio::task::block_in_place(|| self.argon.verify_password(sent.as_bytes(), &parsed).is_ok()))
    }

    /// Refuses while a name has to wait after wrong tries.
    pub fn may_try(&self, who: &str) -> Result<()> {
        let mut all = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, w| w.until + LONGEST > Instant::now());
        match all.get(who) {
            Some(w) if w.tries >= FREE_TRIES && w.until > Instant::now() => {
                let left = w.until.duration_since(Instant::now()).as_secs() + 1;
                let text = format!("too many wrong passwords for this account; try again in {left} s");
                Err(Fault::new(code::TOO_MANY_TRIES, text).with("seconds", left).retry())
            }
            _ => Ok(()),
        }
    }

    /// Counts a wrong try.
    pub fn was_wrong(&self, who: &str) {
        let mut all = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(who) {
            // Names that are made up one after the other push each other out, not one that is really tried.
            all.retain(|_, w| w.tries >= FREE_TRIES);
            if all.len() >= MOST {
                return;
            }
        }
        let w = all.entry(who.to_owned()).or_insert(Wrong { tries: 0, until: Instant::now() });
        w.tries += 1;
        let doublings = w.tries.saturating_sub(FREE_TRIES).min(9);
        let wait = if w.tries < FREE_TRIES {
            Duration::ZERO
        } else {
            Duration::from_secs(1 << doublings).min(LONGEST)
        };
        w.until = Instant::now() + wait;
    }

    /// Forgets wrong tries after a right one.
    pub fn was_right(&self, who: &str) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_03_hashes_are_salted_argon2id_and_verify() {
        let p = Passwords::new(true);
        let (a, b) = (p.hash_blocking("x").unwrap(), p.hash_blocking("x").unwrap());
        assert_ne!(a, b);
        assert!(a.starts_with("$argon2id$"));
    }

    #[test]
    fn log_03_wrong_tries_are_slowed_down() {
        let p = Passwords::new(true);
        for _ in 0..FREE_TRIES {
            assert!(p.may_try("admin").is_ok());
            p.was_wrong("admin");
        }
        assert_eq!(p.may_try("admin").unwrap_err().code, code::TOO_MANY_TRIES);
        assert!(p.may_try("other").is_ok());
        p.was_right("admin");
        assert!(p.may_try("admin").is_ok());
    }

    #[test]
    fn log_03_made_up_names_fill_no_memory_and_push_no_real_one_out() {
        let p = Passwords::new(true);
        (0..FREE_TRIES).for_each(|_| p.was_wrong("admin"));
        for n in 0..3 * MOST {
            p.was_wrong(&format!("nobody {n}"));
        }
        assert!(p.wrong.lock().unwrap().len() <= MOST);
        assert_eq!(p.may_try("admin").unwrap_err().code, code::TOO_MANY_TRIES);
    }

    #[test]
    fn client_digest_is_the_sample_of_the_conventions() {
        let sample = "3bb12eda3c298db5de25597f54d924f2e17e78a26ad8953ed8218ee682f0bbbe9021e2f3009d152c911bf1f25ec683a902714166767afbd8e5bd0fb0124ecb8a";
        assert_eq!(client_digest("example"), sample);
    }
}
