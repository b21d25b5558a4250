//! The deletion that most resources have: mark, dependents, remove.

use std::marker::PhantomData;

use cairn_store::Tx;
use cairn_types::{Id, Result};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::{cascade, rows};

/// A kind of resource that [`Deletion`] can delete.
pub trait Deletable: 'static {
    /// Name of the workflow, such as `zone.delete/1`.
    const WORKFLOW: &'static str;
    /// Such as `ZoneVO`.
    const ENTITY: &'static str;
    /// Its kind of id.
    type Kind: 'static;
}

/// Deletes a resource with everything that depends on it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Deletion<D: Deletable> {
    uuid: Id<D::Kind>,
    /// Running VMs refuse.
    is_permissive: bool,
    /// Somebody else deleted it before this run had its turn.
    is_gone: bool,
    #[serde(skip)]
    of: PhantomData<fn() -> D>,
}

impl<D: Deletable> Clone for Deletion<D> {
    fn clone(&self) -> Self {
        Self { uuid: self.uuid, is_permissive: self.is_permissive, is_gone: self.is_gone, of: PhantomData }
    }
}

impl<D: Deletable> Deletion<D> {
    /// Deletes without asking: as part of a larger deletion, or in mode `Enforcing`.
    pub fn new(uuid: Id<D::Kind>) -> Self {
        Self { uuid, is_permissive: false, is_gone: false, of: PhantomData }
    }

    /// In the mode of a call: `Permissive` lets running VMs refuse.
    #[must_use]
    pub fn in_mode(mut self, delete_mode: &str) -> Self {
        self.is_permissive = !delete_mode.eq_ignore_ascii_case("Enforcing");
        self
    }
}

/// Steps of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From now on nothing new refers to it.
    MarkDeleting,
    /// What depends on it goes.
    Dependents,
    /// It goes.
    Remove,
}

impl<D: Deletable> Workflow for Deletion<D> {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = D::WORKFLOW;
    const STEPS: &'static [Step] = &[Step::MarkDeleting, Step::Dependents, Step::Remove];

    fn about(&self) -> About {
        About::resource(self.uuid, D::ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (Step::MarkDeleting, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (Step::MarkDeleting, Dir::Undo) => {
                cx.tx(self, move |w, tx| rows::end_delete(tx, D::ENTITY, w.uuid, run)).await
            }

            (Step::Dependents, Dir::Do | Dir::Plan) if self.is_gone => Ok(()),
            (Step::Dependents, Dir::Do | Dir::Plan) => {
                let uuid = self.uuid.to_string();
                cascade::dependents(cx, D::ENTITY, &uuid).await
            }
            // What is gone is gone: the plan had said so. The rest stays, and the deletion can be repeated.
            (Step::Dependents, Dir::Undo) => Ok(()),

            (Step::Remove, Dir::Do | Dir::Plan) => cx.tx(self, |w, tx| w.remove(tx)).await,
            // One write, committed with the end of the run: nothing to take back.
            (Step::Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl<D: Deletable> Deletion<D> {
    fn mark(&mut self, tx: &mut dyn Tx, run: cairn_workflow::RunId) -> Result<()> {
        self.is_gone = !rows::exists(tx, D::ENTITY, &self.uuid.to_string())?;
        if self.is_gone {
            return Ok(());
        }
        if self.is_permissive {
            cascade::refuse_while_used(tx, D::ENTITY, self.uuid)?;
        }
        rows::begin_delete(tx, D::ENTITY, self.uuid, run)
    }

    fn remove(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if self.is_gone {
            return Ok(());
        }
        cascade::unlink(tx, D::ENTITY, self.uuid)?;
        rows::remove(tx, D::ENTITY, self.uuid)
    }
}
