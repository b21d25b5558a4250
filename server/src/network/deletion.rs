//! The deletion of networks: like [`crate::cascade::Deletion`], and hosts take away what they made for them.

use std::marker::PhantomData;

use cairn_store::Tx;
use cairn_types::{Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};

use super::apply::{self, Order};
use crate::app::App;
use crate::{cascade, rows};

/// A kind of resource that [`Deletion`] can delete.
pub trait Deletable: 'static {
    /// Name of the workflow, such as `l3.delete/1`.
    const WORKFLOW: &'static str;
    /// Such as `L3NetworkVO`.
    const ENTITY: &'static str;
    /// Its kind of id.
    type Kind: 'static;

    /// What which hosts take away before it goes.
    fn orders(_tx: &mut dyn Tx, _uuid: Id<Self::Kind>) -> Result<Vec<(Id<kind::Host>, Order)>> {
        Ok(Vec::new())
    }

    /// L3 networks that stay and look different afterwards.
    fn touched(_tx: &mut dyn Tx, _uuid: Id<Self::Kind>) -> Result<Vec<Id<kind::L3Network>>> {
        Ok(Vec::new())
    }

    /// Part of the transaction that removes it, before its links go.
    fn before_remove(_tx: &mut dyn Tx, _uuid: Id<Self::Kind>) -> Result<()> {
        Ok(())
    }

    /// Part of the transaction that removes it, for each network that stays.
    fn after_remove(_tx: &mut dyn Tx, _touched: Id<kind::L3Network>) -> Result<()> {
        Ok(())
    }
}

/// Deletes a network or range with everything that depends on it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Deletion<D: Deletable> {
    uuid: Id<D::Kind>,
    /// Running VMs refuse.
    is_permissive: bool,
    /// Somebody else deleted it before this run had its turn.
    is_gone: bool,
    touched: Vec<Id<kind::L3Network>>,
    #[serde(skip)]
    of: PhantomData<fn() -> D>,
}

impl<D: Deletable> Clone for Deletion<D> {
    fn clone(&self) -> Self {
        Self {
            uuid: self.uuid,
            is_permissive: self.is_permissive,
            is_gone: self.is_gone,
            touched: self.touched.clone(),
            of: PhantomData,
        }
    }
}

/// Steps of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From now on nothing new refers to it.
    MarkDeleting,
    /// VMs that use it go off; what it contains goes.
    Dependents,
    /// Hosts take away what they made for it.
    CleanHosts,
    /// It goes, and NICs with it: the end.
    Remove,
}

use Step::{CleanHosts, Dependents, MarkDeleting, Remove};

impl<D: Deletable> Workflow for Deletion<D> {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = D::WORKFLOW;
    const STEPS: &'static [Step] = &[MarkDeleting, Dependents, CleanHosts, Remove];

    fn about(&self) -> About {
        About::resource(self.uuid, D::ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (MarkDeleting, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (MarkDeleting, Dir::Undo) => {
                cx.tx(self, move |w, tx| rows::end_delete(tx, D::ENTITY, w.uuid, run)).await
            }

            (Dependents | CleanHosts, Dir::Do | Dir::Plan) if self.is_gone => Ok(()),
            (Dependents, Dir::Do | Dir::Plan) => {
                cascade::dependents(cx, D::ENTITY, &self.uuid.to_string()).await
            }
            // What is gone is gone: the plan had said so. The rest stays, and the deletion can be repeated.
            (Dependents, Dir::Undo) => Ok(()),

            (CleanHosts, Dir::Do) => {
                let uuid = self.uuid;
                let orders = cx.read(move |tx| D::orders(tx, uuid)).await?;
                apply::carry_out(cx, orders).await
            }
            (CleanHosts, Dir::Plan) => self.plan_hosts(cx).await,
            // No VM uses it. Whoever starts one makes again what that needs.
            (CleanHosts, Dir::Undo) => Ok(()),

            (Remove, Dir::Do | Dir::Plan) => self.end(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl<D: Deletable> Deletion<D> {
    /// Deletes without asking: as part of a larger deletion, or in mode `Enforcing`.
    pub fn new(uuid: Id<D::Kind>) -> Self {
        Self { uuid, is_permissive: false, is_gone: false, touched: Vec::new(), of: PhantomData }
    }

    /// In the mode of a call: `Permissive` lets running VMs refuse.
    #[must_use]
    pub fn in_mode(mut self, delete_mode: &str) -> Self {
        self.is_permissive = !delete_mode.eq_ignore_ascii_case("Enforcing");
        self
    }

    fn mark(&mut self, tx: &mut dyn Tx, run: cairn_workflow::RunId) -> Result<()> {
        self.is_gone = !rows::exists(tx, D::ENTITY, &self.uuid.to_string())?;
        if self.is_gone {
            return Ok(());
        }
        if self.is_permissive {
            cascade::refuse_while_used(tx, D::ENTITY, self.uuid)?;
        }
        self.touched = D::touched(tx, self.uuid)?;
        rows::begin_delete(tx, D::ENTITY, self.uuid, run)
    }

    async fn plan_hosts(&self, cx: &mut Cx<App>) -> Result<()> {
        let uuid = self.uuid;
        let orders = cx.read(move |tx| D::orders(tx, uuid)).await?;
        if !orders.is_empty() {
            let hosts: std::collections::BTreeSet<_> = orders.iter().map(|(host, _)| *host).collect();
            cx.tell("CleanHosts", format!("remove its bridge or services from {} host(s)", hosts.len()), "");
        }
        Ok(())
    }

    async fn end(&mut self, cx: &mut Cx<App>) -> Result<()> {
        cx.tx(self, |w, tx| w.remove(tx)).await?;
        if !cx.is_plan() {
            self.touched.iter().for_each(|l3| apply::refresh_everywhere(cx.env(), *l3));
        }
        Ok(())
    }

    fn remove(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if self.is_gone {
            return Ok(());
        }
        D::before_remove(tx, self.uuid)?;
        cascade::unlink(tx, D::ENTITY, self.uuid)?;
        rows::remove(tx, D::ENTITY, self.uuid)?;
        self.touched.iter().try_for_each(|l3| D::after_remove(tx, *l3))
    }
}
