//! Accounts, sessions, quotas, sharing, ownership, access keys.

mod access_keys;
mod accounts;
mod login;
mod ownership;
mod quotas;
mod sessions;
mod sharing;
