//! Login, sessions and signed requests: from the `Authorization` header to a [`Caller`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cairn_api::ops::identity::{LogInByAccount, LogOut, ValidateSession};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind, time};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use super::password::Passwords;
use crate::app::App;
use crate::call::{Call, Caller};
use crate::dispatch::{Answer, Request};
use crate::handlers::Handlers;

/// Largest difference between a signed request's date and this server's clock.
const SKEW_MS: i64 = 15 * 60 * 1000;

#[derive(Clone)]
struct Session {
    account: Id<kind::Account>,
    user: String,
    expired_ms: i64,
    is_admin: bool,
}

/// Passwords, and the sessions that are in use.
pub struct Identity {
    /// Hashes and wrong tries.
    pub passwords: Passwords,
    sessions: RwLock<Sessions>,
}

/// Sessions that were used since the start.
#[derive(Default)]
struct Sessions {
    by_token: HashMap<String, Session>,
    /// How often sessions were forgotten. What was read from the database before is not kept after.
    forgotten: u64,
}

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<LogInByAccount, _>(log_in);
    h.read::<LogOut, _>(log_out);
    h.read::<ValidateSession, _>(validate);
}

impl Identity {
    /// `fast_hash`: cheap password hashes, for tests only.
    pub fn new(fast_hash: bool) -> Self {
        Self { passwords: Passwords::new(fast_hash), sessions: RwLock::default() }
    }

    /// Hashes a password; blocks.
    pub fn hash_blocking(&self, sent: &str) -> Result<String> {
        self.passwords.hash_blocking(sent)
    }

    /// Finds out who sent a request.
    pub async fn authenticate(&self, app: &Arc<App>, request: &Request) -> Result<Caller, Answer> {
        let header = request.authorization.as_deref();
        let header = header.ok_or_else(|| Answer::Text(400, "the Authorization header is missing".into()))?;
        match header.split_once(' ') {
            Some(("OAuth", token)) => Ok(self.session(app, token.trim()).await?),
            Some(("ZStack", signed)) => self.signed(app, request, signed.trim()).await,
            _ => Err(Answer::Text(
                400,
                "the Authorization header must be `OAuth <session>` or `ZStack <key>:<signature>`".into(),
            )),
        }
    }

    /// Who has a session; an error if it is unknown or has expired.
    pub async fn session(&self, app: &Arc<App>, token: &str) -> Result<Caller> {
        let known = self.read_sessions().by_token.get(token).cloned();
        let session = match known {
            Some(session) => session,
            None => self.load(app, token).await?,
        };
        if session.expired_ms <= time::now_ms() {
            self.forget(&[token.to_owned()]);
            return Err(invalid());
        }
        let Session { account, user, is_admin, .. } = session;
        Ok(Caller { account, user, session: token.to_owned(), is_admin })
    }

    async fn load(&self, app: &Arc<App>, token: &str) -> Result<Session> {
        let forgotten = self.read_sessions().forgotten;
        let wanted = token.to_owned();
        let sql = "SELECT s.account_uuid, s.user_uuid, s.expired_ms, a.type FROM session s JOIN account a ON a.uuid = s.account_uuid
                   WHERE s.uuid = ?";
        let row = app.store.read(move |tx| tx.query_opt(sql, params![&wanted])).await?.ok_or_else(invalid)?;
        let session = Session {
            account: row.id("account_uuid")?,
            user: row.text("user_uuid")?,
            expired_ms: row.int("expired_ms")?,
            is_admin: row.text("type")? == "SystemAdmin",
        };
        let mut all = self.write_sessions();
        if all.forgotten == forgotten {
            all.by_token.insert(token.to_owned(), session.clone());
        }
        Ok(session)
    }

    fn read_sessions(&self) -> RwLockReadGuard<'_, Sessions> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_sessions(&self) -> RwLockWriteGuard<'_, Sessions> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets sessions that were ended in the database.
    pub fn forget(&self, tokens: &[String]) {
        let mut all = self.write_sessions();
        all.forgotten += 1;
        for token in tokens {
            all.by_token.remove(token);
        }
    }

    /// Forgets all sessions of an account that were ended in the database.
    pub fn forget_account(&self, account: Id<kind::Account>) {
        let mut all = self.write_sessions();
        all.forgotten += 1;
        all.by_token.retain(|_, s| s.account != account);
    }

    /// Forgets sessions that have expired.
    pub fn forget_expired(&self) {
        let now = time::now_ms();
        self.write_sessions().by_token.retain(|_, s| s.expired_ms > now);
    }

    /// Rest-conventions section 11.
    async fn signed(&self, app: &Arc<App>, request: &Request, signed: &str) -> Result<Caller, Answer> {
        let parts: Vec<&str> = signed.split(':').collect();
        let [key_id, signature] = parts.as_slice() else {
            return Err(Answer::Text(
                400,
                "exactly one colon must stand between access key id and signature".into(),
            ));
        };
        let date = request.date.as_deref();
        let date = date.ok_or_else(|| Answer::Text(400, "a signed request needs the Date header".into()))?;
        let sent = time::parse_http_date(date)
            .ok_or_else(|| Answer::Text(400, "the Date header can't be read".into()))?;
        let now = time::now_ms();
        let fresh = match time::http_date_offset_minutes(date) {
            Some(minutes) => (sent - minutes * 60_000 - now).abs() <= SKEW_MS,
            None => (sent - now).abs() <= SKEW_MS || within_a_zone(sent, now),
        };
        if !fresh {
            return Err(Answer::Text(403, "requestTimeTooSkewed".into()));
        }
        let wanted = (*key_id).to_owned();
        let sql = "SELECT k.account_uuid, k.user_uuid, k.secret_sealed, k.state, a.type FROM access_key k
                   JOIN account a ON a.uuid = k.account_uuid WHERE k.access_key_id = ? AND a.deleting_run IS NULL";
        let row = app.store.read(move |tx| tx.query_opt(sql, params![&wanted])).await?;
        let bad_id =
            || Fault::new(code::ACCESS_KEY, format!("access key id {key_id} is unknown or disabled"));
        let row = row.ok_or_else(bad_id)?;
        if row.text("state")? != "Enabled" {
            return Err(bad_id().into());
        }
        let secret = app.secrets.open_sealed(&row.text("secret_sealed")?)?;
        if !signature_is_right(&secret, &request.method, date, &request.path, signature) {
            return Err(Fault::new(code::ACCESS_KEY, "wrong accessKey signature").into());
        }
        Ok(Caller {
            account: row.id("account_uuid")?,
            user: row.text("user_uuid")?,
            session: String::new(),
            is_admin: row.text("type")? == "SystemAdmin",
        })
    }
}

/// Clients send their local wall clock with zone names that no table knows; like newer servers we accept any whole
/// quarter of an hour of offset unless it can't be a time zone.
fn within_a_zone(sent: i64, now: i64) -> bool {
    let offset = sent - now;
    let quarter = 15 * 60 * 1000;
    let off_grid = (offset.rem_euclid(quarter)).min(quarter - offset.rem_euclid(quarter));
    offset.abs() <= 14 * 3600 * 1000 + SKEW_MS && off_grid <= 5 * 60 * 1000
}

/// base64( HMAC-SHA1( secret, method \n date \n uri ) ), compared in constant time.
fn signature_is_right(secret: &str, method: &str, date: &str, path: &str, signature: &str) -> bool {
    let uri = path.strip_prefix("/zstack").unwrap_or(path);
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(format!("{method}\n{date}\n{uri}").as_bytes());
    STANDARD.decode(signature).is_ok_and(|given| mac.verify_slice(&given).is_ok())
}

fn invalid() -> Fault {
    Fault::new(code::INVALID_SESSION, "the session is unknown or has expired; log in again")
}

fn wrong_login() -> Fault {
    Fault::new(code::AUTHENTICATION, "wrong account name or password")
}

async fn log_in(call: Call, op: LogInByAccount) -> Result<Value> {
    let app = call.app.clone();
    let name = op.account_name.clone();
    let sql = "SELECT uuid, password_hash FROM account WHERE name = ? AND deleting_run IS NULL";
    let row = app.store.read(move |tx| tx.query_opt(sql, params![&name])).await?;
    let (account, stored) = match &row {
        Some(row) => (Some(row.id::<kind::Account>("uuid")?), row.text("password_hash")?),
        // An unknown name takes as long as a wrong password.
        None => (None, app.identity.hash_of_nothing(&app).await?),
    };
    let (passwords, name) = (&app.identity.passwords, op.account_name.as_str());
    let right = passwords.log_in(name, &call.source, &op.password.to_lowercase(), &stored).await?;
    let Some(account) = account.filter(|_| right) else {
        if right {
            passwords.was_wrong(name, &call.source);
        }
        return Err(wrong_login());
    };
    passwords.was_right(name, &call.source);
    open(&app, account, stored, call.dates).await
}

impl Identity {
    async fn hash_of_nothing(&self, app: &Arc<App>) -> Result<String> {
        let sql = "SELECT password_hash FROM account ORDER BY uuid LIMIT 1";
        app.store
            .read(move |tx| tx.query_opt(sql, params![])?.ok_or_else(wrong_login)?.text("password_hash"))
            .await
    }
}

/// Opens a session for `identity.session.timeout` seconds; it is not extended by use. `checked` is the hash that the password
/// was compared with: if it was changed meanwhile, the old password opens nothing any more.
async fn open(
    app: &Arc<App>,
    account: Id<kind::Account>,
    checked: String,
    dates: cairn_query::DateStyle,
) -> Result<Value> {
    let timeout = app.settings.session_seconds();
    let most = app.settings.int("identity", "session.maxConcurrent").max(1);
    let (uuid, now) = (cairn_types::random_uuid(), time::now_ms());
    let (token, expired) = (uuid.clone(), now + timeout * 1000);
    let insert = move |tx: &mut dyn Tx| {
        let same = "SELECT type FROM account WHERE uuid = ? AND password_hash = ? AND deleting_run IS NULL";
        let row = tx.query_opt(same, params![account, &checked])?.ok_or_else(wrong_login)?;
        let ended = make_room(tx, account, row.text("type")? == "SystemAdmin", most, now)?;
        let sql = "INSERT INTO session (uuid, account_uuid, user_uuid, create_ms, expired_ms) VALUES (?, ?, ?, ?, ?)";
        tx.execute(sql, params![&token, account, account, now, expired])?;
        Ok(ended)
    };
    let ended = app.store.write(insert).await?;
    if !ended.is_empty() {
        app.identity.forget(&ended);
    }
    Ok(json!({ "inventory": {
        "uuid": uuid, "accountUuid": account, "userUuid": account,
        "createDate": crate::inventory::date(dates, now), "expiredDate": crate::inventory::date(dates, expired),
    } }))
}

/// Refuses one session more than the setting allows. An administrator is never locked out: his oldest sessions end instead,
/// and their tokens are the answer.
fn make_room(
    tx: &mut dyn Tx,
    account: Id<kind::Account>,
    is_admin: bool,
    most: i64,
    now: i64,
) -> Result<Vec<String>> {
    let count = "SELECT count(*) FROM session WHERE account_uuid = ? AND expired_ms > ?";
    let open = tx.query_int(count, params![account, now])?;
    if open < most {
        return Ok(Vec::new());
    }
    if !is_admin {
        let text = format!(
            "the account has {open} open sessions, and identity/session.maxConcurrent allows {most}; log one out"
        );
        return Err(Fault::new(code::AUTHENTICATION, text));
    }
    let oldest =
        "SELECT uuid FROM session WHERE account_uuid = ? AND expired_ms > ? ORDER BY create_ms, uuid LIMIT ?";
    let rows = tx.query(oldest, params![account, now, open - most + 1])?;
    let tokens: Vec<String> = rows.iter().map(|r| r.text("uuid")).collect::<Result<_>>()?;
    for token in &tokens {
        tx.execute("DELETE FROM session WHERE uuid = ?", params![token])?;
    }
    Ok(tokens)
}

async fn log_out(call: Call, op: LogOut) -> Result<Value> {
    let (token, ended) = (op.session_uuid.clone(), op.session_uuid);
    call.app.store.write(move |tx| tx.execute("DELETE FROM session WHERE uuid = ?", params![&token])).await?;
    call.app.identity.forget(&[ended]);
    Ok(json!({}))
}

async fn validate(call: Call, op: ValidateSession) -> Result<Value> {
    let valid = call.app.identity.session(&call.app, &op.session_uuid).await.is_ok();
    Ok(json!({ "valid": valid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bey_09_signature_of_the_conventions_example() {
        let date = "Tue, 02 Jan 2018 08:00:00 UTC";
        let right = "exJaJceOsfqJ+esLkMfdYKeQHbk=";
        assert!(signature_is_right("example-secret", "GET", date, "/zstack/v1/zones", right));
        assert!(signature_is_right("example-secret", "GET", date, "/v1/zones", right));
        assert!(!signature_is_right("example-secret", "POST", date, "/v1/zones", right));
    }
}
