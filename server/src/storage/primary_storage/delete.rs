//! Deleting a primary storage: what lies on it goes first. Files of volumes stay on their hosts.

use cairn_api::agent::storage::UncacheImage;
use cairn_api::ops::storage::DeletePrimaryStorage as DeleteOp;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};

use super::ENTITY;
use crate::agents::CallOptions;
use crate::app::App;
use crate::call::{Call, id};
use crate::handlers::{Handlers, Launch};
use crate::{cascade, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.run::<DeleteOp, _>(start);
}

async fn start(_call: Call, op: DeleteOp) -> Result<Launch> {
    Ok(Launch::run(DeletePrimaryStorage::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}

/// Deletes a primary storage that no cluster uses, with the VMs whose volumes lie on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeletePrimaryStorage {
    storage: Id<kind::PrimaryStorage>,
    /// Running VMs refuse.
    is_permissive: bool,
    /// Somebody else deleted it before this run had its turn.
    is_gone: bool,
}

impl DeletePrimaryStorage {
    /// Deletes without asking: as part of a larger deletion, or in mode `Enforcing`.
    pub fn new(storage: Id<kind::PrimaryStorage>) -> Self {
        Self { storage, is_permissive: false, is_gone: false }
    }

    /// In the mode of a call: `Permissive` lets running VMs refuse.
    #[must_use]
    pub fn in_mode(mut self, delete_mode: &str) -> Self {
        self.is_permissive = !delete_mode.eq_ignore_ascii_case("Enforcing");
        self
    }
}

/// See [`DeletePrimaryStorage`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// No new reference from here on.
    Mark,
    /// What depends on it goes.
    DeleteDependents,
    /// Cached images go from hosts that can be reached.
    ClearCache,
    /// Its rows go.
    Remove,
}
use Step::{ClearCache, DeleteDependents, Mark, Remove};

impl Workflow for DeletePrimaryStorage {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "primary-storage.delete/1";
    const STEPS: &'static [Step] = &[Mark, DeleteDependents, ClearCache, Remove];

    fn about(&self) -> About {
        About::resource(self.storage, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (Mark, Dir::Undo) => cx.tx(self, move |w, tx| rows::end_delete(tx, ENTITY, w.storage, run)).await,

            (DeleteDependents | ClearCache | Remove, Dir::Do | Dir::Plan) if self.is_gone => Ok(()),
            (DeleteDependents, Dir::Do | Dir::Plan) => {
                cascade::dependents(cx, ENTITY, &self.storage.to_string()).await
            }
            // What was deleted is gone.
            (DeleteDependents, Dir::Undo) => Ok(()),

            (ClearCache, Dir::Do) => self.clear_cache(cx).await,
            // An image that is missing in the cache is fetched again when it is needed.
            (ClearCache, Dir::Undo) | (ClearCache, Dir::Plan) => Ok(()),

            (Remove, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.remove(tx)).await,
            // One write, committed with the end of the run: nothing to take back.
            (Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl DeletePrimaryStorage {
    fn mark(&mut self, tx: &mut dyn Tx, run: Id<kind::Run>) -> Result<()> {
        self.is_gone = !rows::exists(tx, ENTITY, &self.storage.to_string())?;
        if self.is_gone {
            return Ok(());
        }
        if self.is_permissive {
            cascade::refuse_while_used(tx, ENTITY, self.storage)?;
        }
        rows::begin_delete(tx, ENTITY, self.storage, run)?;
        let sql = "SELECT cluster_uuid FROM primary_storage_cluster_ref WHERE primary_storage_uuid = ? ORDER BY cluster_uuid";
        let clusters: Vec<String> = tx
            .query(sql, params![self.storage])?
            .iter()
            .map(|r| r.text("cluster_uuid"))
            .collect::<Result<_>>()?;
        if clusters.is_empty() {
            return Ok(());
        }
        let text = format!(
            "primary storage {} is attached to cluster {}; detach it from all clusters before you delete it",
            self.storage,
            clusters.join(", ")
        );
        Err(Fault::new(code::IN_USE, text).with("clusters", clusters))
    }

    /// Removes cached images where that can be done now. Volume files stay, and with them the images below them.
    async fn clear_cache(&self, cx: &mut Cx<App>) -> Result<()> {
        let storage = self.storage;
        let sql = "SELECT c.image_uuid, c.host_uuid, p.url FROM image_cache c JOIN primary_storage p ON p.uuid = c.primary_storage_uuid
                   WHERE c.primary_storage_uuid = ? AND c.host_uuid IS NOT NULL ORDER BY c.uuid";
        let cached = cx.read(move |tx| tx.query(sql, params![storage])).await?;
        cx.effect().await?;
        let app = cx.env().clone();
        for row in cached {
            let host = row.text("host_uuid")?;
            let op = UncacheImage { storage_path: row.text("url")?, image: row.text("image_uuid")? };
            if !app.agents.is_connected(&host) {
                tracing::warn!(
                    host,
                    image = op.image,
                    "a cached image stays on a host that can't be reached"
                );
            } else if let Err(f) = app.agents.call(&host, &op, CallOptions::default()).await {
                tracing::warn!(host, image = op.image, error = %f, "a cached image stays on its host");
            }
        }
        Ok(())
    }

    fn remove(&self, tx: &mut dyn Tx) -> Result<()> {
        cascade::unlink(tx, ENTITY, self.storage)?;
        rows::remove(tx, ENTITY, self.storage)
    }
}
