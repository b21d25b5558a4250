//! Passwords. Clients send the lower-case hex SHA-512 of the plain text (rest-conventions section 4); the database keeps
//! an argon2id hash of that. Hashing is slow on purpose, so few run at once. Wrong tries slow the next ones down (LOG-03).

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use cairn_types::{Fault, Result};
use sha2::{Digest, Sha512};
use tokio::sync::Semaphore;

use super::throttle::Throttle;

/// What a client sends for a plain password.
pub fn client_digest(plain: &str) -> String {
    Sha512::digest(plain.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Hashes and checks passwords, and remembers wrong tries.
pub struct Passwords {
    argon: Argon2<'static>,
    room: Semaphore,
    throttle: Mutex<Throttle>,
}

impl Passwords {
    /// `fast`: cheap hashes, for tests only.
    pub fn new(fast: bool) -> Self {
        let params = if fast { Params::new(8, 1, 1, None) } else { Params::new(19 * 1024, 2, 1, None) };
        let params = params.unwrap_or_default();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Self { argon, room: Semaphore::new(2), throttle: Mutex::default() }
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

    fn compare(&self, sent: &str, stored: &str) -> Result<bool> {
        let parsed = PasswordHash::new(stored)
            .map_err(|e| Fault::internal("a stored password hash is damaged").for_operator(e))?;
        Ok(tokio::task::block_in_place(|| self.argon.verify_password(sent.as_bytes(), &parsed).is_ok()))
    }

    /// Compares what somebody sent to log in, and counts if it is wrong. Who came in the meantime waits for the outcome, so that
    /// many tries at once are no way around the count.
    pub async fn log_in(&self, who: &str, source: &str, sent: &str, stored: &str) -> Result<bool> {
        let _permit = self.room.acquire().await.map_err(|_| Fault::internal("stopping"))?;
        self.throttle().may_try(who, source)?;
        let right = self.compare(sent, stored)?;
        if !right {
            self.throttle().was_wrong(who, source);
        }
        Ok(right)
    }

    /// Forgets wrong tries after a log-in.
    pub fn was_right(&self, who: &str, source: &str) {
        self.throttle().was_right(who, source);
    }

    /// Counts a log-in with the right password of an account that is not there as wrong.
    pub fn was_wrong(&self, who: &str, source: &str) {
        self.throttle().was_wrong(who, source);
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn client_digest_is_the_sample_of_the_conventions() {
        let sample = "3bb12eda3c298db5de25597f54d924f2e17e78a26ad8953ed8218ee682f0bbbe9021e2f3009d152c911bf1f25ec683a902714166767afbd8e5bd0fb0124ecb8a";
        assert_eq!(client_digest("example"), sample);
    }
}
