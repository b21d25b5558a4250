//! `cairn-ctl reset-password`: for whoever is root on the management node.

use std::io::Read as _;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use cairn_store::{Store, params};
use cairn_types::time::now_ms;
use clap::ArgMatches;

use super::home::Home;
use super::{database, say};
use crate::{Failure, Result, arguments, terminal};

/// Sets the password of an account and ends its sessions.
pub fn reset(home: &Home, matches: &ArgMatches) -> Result<()> {
    let account = matches.get_one::<String>("account").cloned().unwrap_or_default();
    // Checked before the store would make a new database in an empty folder.
    database::check(&home.database())?;
    let password = new_password(matches, &account)?;
    let hash = stored_form(&password)?;
    let (database, name) = (home.database(), account.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| Failure::Failed(format!("cannot begin: {e}")))?;
    let changed = runtime.block_on(async move {
        let store = Store::open(&database, 1)?;
        let write = move |tx: &mut dyn cairn_store::Tx| {
            let sql = "UPDATE account SET password_hash = ?, last_op_ms = ? WHERE name = ?";
            let changed = tx.execute(sql, params![&hash, now_ms(), &name])?;
            tx.execute(
                "DELETE FROM session WHERE account_uuid IN (SELECT uuid FROM account WHERE name = ?)",
                params![&name],
            )?;
            Ok(changed)
        };
        store.write(write).await
    });
    match changed {
        Ok(0) => {
            Err(Failure::Failed(format!("there is no account {account:?} in {}", home.database().display())))
        }
        Ok(_) => say(&format!("The password of {account} is set; its sessions have ended.")),
        Err(fault) => Err(Failure::Failed(format!(
            "{fault}{}",
            fault.operator.as_ref().map_or_else(String::new, |o| format!(" ({o})"))
        ))),
    }
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
