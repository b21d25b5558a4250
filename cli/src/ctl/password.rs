//! `cairn-ctl reset-password`: for whoever is root on the management node.

use std::io::Read as _;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use cairn_store::{Store, Tx, params};
use cairn_types::Fault;
use cairn_types::time::now_ms;
use clap::ArgMatches;
use serde_json::json;

use super::home::{Home, local};
use super::status::{self, Api};
use super::{database, say};
use crate::client::{Auth, Client};
use crate::{Failure, Result, arguments, session, terminal};

/// Sets the password of an account and ends its sessions.
pub fn reset(home: &Home, matches: &ArgMatches) -> Result<()> {
    let account = matches.get_one::<String>("account").cloned().unwrap_or_default();
    // Checked before the store would make a new database in an empty folder.
    if home.store.is_none() {
        database::check(&home.database())?;
    }
    let password = new_password(matches, &account)?;
    match write(home, &account, &stored_form(&password)?) {
        Ok(None) => {
            let file = || home.database().display().to_string();
            let place = home.store.as_ref().map_or_else(file, ToString::to_string);
            Err(Failure::Failed(format!("there is no account {account:?} in {place}")))
        }
        Ok(Some(sessions)) => {
            end_in_memory(home, &sessions)?;
            say(&format!("The password of {account} is set; its sessions have ended."))
        }
        Err(fault) => Err(database::told(fault)),
    }
}

/// Writes the hash and removes the sessions; which ones they were. `None` if there is no such account.
fn write(home: &Home, account: &str, hash: &str) -> cairn_types::Result<Option<Vec<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| Fault::internal(format!("cannot begin: {e}")))?;
    let (name, hash) = (account.to_owned(), hash.to_owned());
    let write = move |tx: &mut dyn Tx| {
        let sql = "UPDATE account SET password_hash = ?, last_op_ms = ? WHERE name = ?";
        if tx.execute(sql, params![&hash, now_ms(), &name])? == 0 {
            return Ok(None);
        }
        let of_account = "FROM session WHERE account_uuid IN (SELECT uuid FROM account WHERE name = ?)";
        let rows = tx.query(&format!("SELECT uuid {of_account}"), params![&name])?;
        tx.execute(&format!("DELETE {of_account}"), params![&name])?;
        Ok(Some(rows.iter().filter_map(|r| r.value_at(0).as_text().map(str::to_owned)).collect()))
    };
    runtime.block_on(async {
        let store = match &home.store {
            Some(url) => Store::connect(url, 1)?,
            None => Store::open(&home.database(), 1)?,
        };
        store.write(write).await
    })
}

/// A running server remembers sessions that it has seen; it forgets those that log out.
fn end_in_memory(home: &Home, sessions: &[String]) -> Result<()> {
    if status::api(home) == Api::Stopped {
        return Ok(());
    }
    let client = Client::new(&format!("http://{}", local(home.api)), Auth::None);
    for session in sessions {
        session::simple(&client, "LogOut", json!({"sessionUuid": session})).map_err(|failure| {
            let why = failure.render();
            Failure::Failed(format!(
                "the password is set, but the running server may still know old sessions; restart it. {why}"
            ))
        })?;
    }
    Ok(())
}

fn new_password(matches: &ArgMatches, account: &str) -> Result<String> {
    let password = if matches.get_flag("password-stdin") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Failure::Failed(format!("cannot read the password: {e}")))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if let Ok(password) = std::env::var("CAIRN_PASSWORD") {
        password
    } else {
        ask_twice(account)?
    };
    if password.is_empty() {
        Err(Failure::Usage("the new password is empty".to_owned()))
    } else {
        Ok(password)
    }
}

fn ask_twice(account: &str) -> Result<String> {
    let ask = |prompt: &str| {
        terminal::ask_secret(prompt).unwrap_or_else(|| {
            let text = "there is no terminal to ask for the password: use --password-stdin or CAIRN_PASSWORD";
            Err(Failure::Usage(text.to_owned()))
        })
    };
    let first = ask(&format!("New password of {account}: "))?;
    let second = ask("The same again: ")?;
    if first == second { Ok(first) } else { Err(Failure::Usage("the two are not the same".to_owned())) }
}

/// As the server keeps it: argon2id over what clients send, which is the SHA-512 of the password.
fn stored_form(password: &str) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(format!("cannot hash the password: {e}"));
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| failed(&e))?;
    let salt = SaltString::encode_b64(&bytes).map_err(|e| failed(&e))?;
    let hash = Argon2::default().hash_password(arguments::hash(password).as_bytes(), &salt);
    hash.map(|h| h.to_string()).map_err(|e| failed(&e))
}
