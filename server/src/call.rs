//! One call of an operation: who calls, and what came with it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use cairn_api::Operation;
use cairn_query::{DateStyle, Viewer};
use cairn_types::{Fault, Id, Result, kind};

use crate::app::App;

/// The admin account's uuid, which clients know.
pub const ADMIN: Id<kind::Account> = Id::from_u128(0x36c2_7e8f_f05c_4780_bf6d_2fa6_5700_f22e);

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that acts.
    pub account: Id<kind::Account>,
    /// The user; the account's own uuid when the account itself logged in.
    pub user: String,
    /// The session, if the call came with one.
    pub session: String,
    /// The account has the rights of an administrator.
    pub is_admin: bool,
}

impl Caller {
    /// The system itself.
    pub fn system() -> Self {
        Self { account: ADMIN, user: ADMIN.to_string(), session: String::new(), is_admin: true }
    }

    /// A caller without a session.
    pub fn nobody() -> Self {
        Self { account: Id::from_u128(0), user: String::new(), session: String::new(), is_admin: false }
    }

    /// Whether this is the admin account, or another account of type SystemAdmin.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }
}

/// What came with a call besides its parameters.
#[derive(Clone)]
pub struct Call {
    /// The server.
    pub app: Arc<App>,
    /// The operation.
    pub op: &'static Operation,
    /// Who calls.
    pub caller: Caller,
    /// Job id: our own, which can't be guessed, or chosen by `X-Job-UUID`.
    pub job: String,
    /// System tags of the request, checked.
    pub system_tags: Vec<String>,
    /// User tags of the request.
    pub user_tags: Vec<String>,
    /// How dates are written.
    pub dates: DateStyle,
    /// `host:port` that the client used.
    pub host: String,
    /// Address of the client.
    pub source: String,
    /// `X-Web-Hook`.
    pub web_hook: Option<String>,
    /// Only a plan is asked for: nothing may change.
    pub is_plan: bool,
    /// Deadline given by `X-API-Timeout`, in seconds.
    pub timeout_s: Option<u64>,
    /// What happens once the change is committed.
    pub(crate) after: Arc<Mutex<Vec<AfterCommit>>>,
    /// Uuid of what a change made or changed, for the audit.
    pub(crate) made: Arc<OnceLock<String>>,
    /// When the call came.
    pub(crate) began: Instant,
    /// Its audit row is written, in the transaction of what it did.
    pub(crate) audited: Arc<AtomicBool>,
}

/// Something to do once a change is committed.
pub(crate) type AfterCommit = Box<dyn FnOnce(&Arc<App>) + Send>;

impl Call {
    /// What this caller may see in queries.
    pub fn viewer(&self) -> Viewer {
        if self.caller.is_admin() {
            Viewer::Admin { show_all: self.app.settings.bool("identity", "admin.showAllResource") }
        } else {
            Viewer::Account(self.caller.account.to_string())
        }
    }

    /// Refuses everybody but the admin account.
    pub fn require_admin(&self) -> Result<()> {
        if self.caller.is_admin() {
            return Ok(());
        }
        Err(Fault::denied(format!("only the admin account may call {}", self.op.name)))
    }

    /// Refuses everybody but the admin account one use of an operation that is open otherwise.
    pub fn require_admin_for(&self, what: &str) -> Result<()> {
        if self.caller.is_admin() {
            Ok(())
        } else {
            Err(Fault::denied(format!("only the admin account may make {what}")))
        }
    }

    /// Lets something happen in memory once this change is committed; nothing if it is not.
    pub fn after_commit(&self, f: impl FnOnce(&Arc<App>) + Send + 'static) {
        self.after.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(f));
    }

    /// Forgets what an earlier attempt at the transaction wanted.
    pub(crate) fn begin_attempt(&self) {
        self.after.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn committed(&self) {
        let all = std::mem::take(&mut *self.after.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().for_each(|f| f(&self.app));
    }

    /// The first system tag with this prefix, without it: `tag("hostname::")`.
    pub fn system_tag(&self, prefix: &str) -> Option<&str> {
        self.system_tags.iter().find_map(|t| t.strip_prefix(prefix))
    }
}

/// Reads the uuid of a parameter.
pub fn id<T>(name: &str, text: &str) -> Result<Id<T>> {
    text.parse().map_err(|_| {
        Fault::argument(format!("parameter {name} must be a uuid of 32 lower-case hexadecimal digits"))
            .with("parameter", name)
    })
}

/// Reads an optional uuid.
pub fn opt_id<T>(name: &str, text: Option<&str>) -> Result<Option<Id<T>>> {
    text.filter(|t| !t.is_empty()).map(|t| id(name, t)).transpose()
}
