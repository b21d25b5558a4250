//! Deleting a backup storage. Records of images that lie only there go with it; the files stay on its machine.

use cairn_api::ops::storage::DeleteBackupStorage as DeleteOp;
use cairn_store::Tx;
use cairn_types::{Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};

use super::add::store_id;
use super::{ENTITY, Store, assign, deploy, remove_rows};
use crate::app::App;
use crate::call::Call;
use crate::handlers::{Handlers, Launch};
use crate::storage::{image, simulator};
use crate::{cascade, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<DeleteOp, _>(start);
}

async fn start(_call: Call, op: DeleteOp) -> Result<Launch> {
    Ok(Launch::run(DeleteBackupStorage::new(store_id(&op.uuid)?)))
}

/// Deletes a backup storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteBackupStorage {
    uuid: Id<kind::BackupStorage>,
}

impl DeleteBackupStorage {
    /// The deletion of this storage.
    pub fn new(uuid: Id<kind::BackupStorage>) -> Self {
        Self { uuid }
    }
}

/// See [`DeleteBackupStorage`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// No new reference from here on.
    Mark,
    /// Downloads into it end.
    StopDownloads,
    /// What depends on it goes.
    DeleteDependents,
    /// Its agent no longer serves it.
    Release,
    /// Its rows go, and those of images that lie only there.
    Remove,
}
use Step::{DeleteDependents, Mark, Release, Remove, StopDownloads};

impl Workflow for DeleteBackupStorage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "backup-storage.delete/1";
    const STEPS: &'static [Step] = &[Mark, StopDownloads, DeleteDependents, Release, Remove];

    fn about(&self) -> About {
        About::resource(self.uuid, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (Mark, Dir::Undo) => cx.tx(self, move |w, tx| rows::end_delete(tx, ENTITY, w.uuid, run)).await,

            (StopDownloads, Dir::Do) => {
                cx.effect().await?;
                image::stop_downloads_to(cx.env(), self.uuid).await
            }
            // A download that was stopped has been taken back by its own run.
            (StopDownloads, Dir::Undo | Dir::Plan) => Ok(()),

            (DeleteDependents, Dir::Do | Dir::Plan) => {
                cascade::dependents(cx, ENTITY, &self.uuid.to_string()).await
            }
            // What was deleted is gone.
            (DeleteDependents, Dir::Undo) => Ok(()),

            (Release, Dir::Do) => self.release(cx, true).await,
            (Release, Dir::Undo) => self.release(cx, false).await,
            (Release, Dir::Plan) => Ok(()),

            (Remove, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| remove_rows(tx, w.uuid)).await,
            // One write, committed with the end of the run: nothing to take back.
            (Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl DeleteBackupStorage {
    fn mark(&self, tx: &mut dyn Tx, run: Id<kind::Run>) -> Result<()> {
        if rows::exists(tx, ENTITY, &self.uuid.to_string())? {
            rows::begin_delete(tx, ENTITY, self.uuid, run)
        } else {
            Ok(())
        }
    }

    async fn release(&self, cx: &mut Cx<App>, is_going: bool) -> Result<()> {
        let (app, uuid) = (cx.env().clone(), self.uuid);
        let Some(store) = cx.read(move |tx| Store::find_opt(tx, uuid)).await? else { return Ok(()) };
        cx.effect().await?;
        match store.agent {
            _ if store.is_simulated() && is_going => simulator::stop(&app, uuid),
            _ if store.is_simulated() => simulator::start(&app, uuid, store.free_bytes),
            Some(agent) => {
                assign(&app, &agent, is_going.then_some(uuid)).await?;
                if is_going {
                    deploy::dismiss(&app, uuid).await?;
                }
            }
            None => {}
        }
        Ok(())
    }
}
