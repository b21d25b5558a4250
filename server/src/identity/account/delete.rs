//! Deletes an account with everything that it owns.
//!
//! Nothing new can come to the account once it is marked: every resource is registered through [`rows::register`], which
//! refuses an owner that is being deleted. Its sessions end and its access keys stop to work at the same moment.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, RunId, Workflow};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::{cascade, rows};

/// Deletes an account.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeleteAccount {
    account: Id<kind::Account>,
    /// Running VMs refuse.
    is_permissive: bool,
    /// Somebody else deleted it before this run had its turn.
    is_gone: bool,
}

impl DeleteAccount {
    /// Deletes without asking.
    pub fn new(account: Id<kind::Account>) -> Self {
        Self { account, is_permissive: false, is_gone: false }
    }

    /// In the mode of a call: `Permissive` lets running VMs refuse.
    #[must_use]
    pub fn in_mode(mut self, delete_mode: &str) -> Self {
        self.is_permissive = !delete_mode.eq_ignore_ascii_case("Enforcing");
        self
    }
}

/// Steps of the deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From now on nothing new belongs to it, and its sessions are over.
    MarkDeleting,
    /// This server forgets the sessions that it keeps in memory.
    EndSessions,
    /// What it owns goes.
    Dependents,
    /// It goes.
    Remove,
}

impl Workflow for DeleteAccount {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "account.delete/1";
    const STEPS: &'static [Step] = &[Step::MarkDeleting, Step::EndSessions, Step::Dependents, Step::Remove];

    fn about(&self) -> About {
        About::resource(self.account, "AccountVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (Step::MarkDeleting, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (Step::MarkDeleting, Dir::Undo) => {
                cx.tx(self, move |w, tx| rows::end_delete(tx, "AccountVO", w.account, run)).await
            }

            (Step::EndSessions, Dir::Do) => {
                cx.effect().await?;
                cx.env().identity.forget_account(self.account);
                Ok(())
            }
            (Step::EndSessions, Dir::Plan) => Ok(()),
            // Who was logged in logs in again.
            (Step::EndSessions, Dir::Undo) => Ok(()),

            (Step::Dependents, Dir::Do | Dir::Plan) if self.is_gone => Ok(()),
            (Step::Dependents, Dir::Do | Dir::Plan) => {
                let uuid = self.account.to_string();
                cascade::dependents(cx, "AccountVO", &uuid).await
            }
            // What is gone is gone: the plan had said so. The rest stays, and the deletion can be repeated.
            (Step::Dependents, Dir::Undo) => Ok(()),

            (Step::Remove, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.remove(tx)).await,
            // One write, committed with the end of the run: nothing to take back.
            (Step::Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl DeleteAccount {
    fn mark(&mut self, tx: &mut dyn Tx, run: RunId) -> Result<()> {
        self.is_gone = !rows::exists(tx, "AccountVO", &self.account.to_string())?;
        if self.is_gone {
            return Ok(());
        }
        if self.is_permissive {
            cascade::refuse_while_used(tx, "AccountVO", self.account)?;
        }
        tx.execute("DELETE FROM session WHERE account_uuid = ?", params![self.account])?;
        rows::begin_delete(tx, "AccountVO", self.account, run)
    }

    fn remove(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if self.is_gone {
            return Ok(());
        }
        let keys = tx.query("SELECT uuid FROM access_key WHERE account_uuid = ?", params![self.account])?;
        for key in keys {
            rows::remove::<kind::AnyResource>(tx, "AccessKeyVO", key.id("uuid")?)?;
        }
        cascade::unlink(tx, "AccountVO", self.account)?;
        // The account is the owner of its own row in the registry; the row must not point at what goes first.
        tx.execute("UPDATE resource SET account_uuid = NULL WHERE uuid = ?", params![self.account])?;
        rows::remove(tx, "AccountVO", self.account)
    }
}
