//! Deletes a host with what lies on its local storage. A host that can't be reached goes from the records; what is left on
//! it is its administrator's. A host that can be reached is left clean.

use std::time::Duration;

use cairn_store::Tx;
use cairn_types::state::Status;
use cairn_types::{Id, Result, kind};
use cairn_workflow::{About, Cx, Dir, RunId, Workflow};
use serde::{Deserialize, Serialize};

use super::ENTITY;
use super::agent::{How, Machine};
use super::store::{self, HostRow};
use crate::app::App;
use crate::hardware::watch;
use crate::{cascade, network, rows, storage};

/// How long a host that was connected is waited for, to be left clean.
const COME_BACK: Duration = Duration::from_secs(10);

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteHost {
    host: Id<kind::Host>,
    /// Running VMs refuse.
    is_permissive: bool,
    is_gone: bool,
    was_connected: bool,
    agent: String,
    address: String,
    how: Option<How>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From now on nothing new refers to it.
    MarkDeleting,
    /// VMs on its local storage go, others go off.
    Dependents,
    /// Its agent goes, unless it serves something else.
    Dismiss,
    /// It goes: the end.
    Remove,
}

use Step::{Dependents, Dismiss, MarkDeleting, Remove};

impl Workflow for DeleteHost {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "host.delete/1";
    const STEPS: &'static [Step] = &[MarkDeleting, Dependents, Dismiss, Remove];

    fn about(&self) -> About {
        About::resource(self.host, ENTITY)
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        let run = cx.run();
        match (step, dir) {
            (MarkDeleting, Dir::Do | Dir::Plan) => cx.tx(self, move |w, tx| w.mark(tx, run)).await,
            (MarkDeleting, Dir::Undo) => self.stay(cx).await,

            (Dependents | Dismiss, Dir::Do | Dir::Plan) if self.is_gone => Ok(()),
            (Dependents, Dir::Do | Dir::Plan) => {
                cascade::dependents(cx, ENTITY, &self.host.to_string()).await
            }
            // What is gone is gone: the plan had said so. The rest stays, and the deletion can be repeated.
            (Dependents, Dir::Undo) => Ok(()),

            (Dismiss, Dir::Do) => self.dismiss(cx).await,
            (Dismiss, Dir::Plan) => Ok(()),
            // The host is Disconnected then, and can be connected again.
            (Dismiss, Dir::Undo) => Ok(()),

            (Remove, Dir::Do | Dir::Plan) => self.remove(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Remove, Dir::Undo) => Ok(()),
        }
    }
}

impl DeleteHost {
    /// Deletes without asking: as part of a larger deletion, or in mode `Enforcing`.
    pub fn new(host: Id<kind::Host>) -> Self {
        Self {
            host,
            is_permissive: false,
            is_gone: false,
            was_connected: false,
            agent: String::new(),
            address: String::new(),
            how: None,
        }
    }

    /// In the mode of a call: `Permissive` lets running VMs refuse.
    #[must_use]
    pub fn in_mode(mut self, delete_mode: &str) -> Self {
        self.is_permissive = !delete_mode.eq_ignore_ascii_case("Enforcing");
        self
    }

    fn mark(&mut self, tx: &mut dyn Tx, run: RunId) -> Result<()> {
        let Some(row) = HostRow::find(tx, self.host)? else {
            self.is_gone = true;
            return Ok(());
        };
        if self.is_permissive {
            cascade::refuse_while_used(tx, ENTITY, self.host)?;
        }
        self.how = How::of(&row);
        self.was_connected = row.status == Status::Connected;
        self.address = row.management_ip;
        self.agent = row.agent.unwrap_or_default();
        rows::begin_delete(tx, ENTITY, self.host, run)
    }

    /// The host is not deleted after all. If its agent came back meanwhile, it was left alone.
    async fn stay(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| rows::end_delete(tx, ENTITY, w.host, run)).await?;
        if cx.env().agents.is_connected(self.host) {
            watch::connect_alone(cx.env(), self.host).await;
        }
        Ok(())
    }

    async fn dismiss(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let app = cx.env().clone();
        let (agent, host) = (self.agent.clone(), self.host);
        let serves_more = app.store.read(move |tx| store::serves_more(tx, &agent, host)).await?;
        // After a restart of the server the agent of a host that was there may not have dialled in yet.
        let patience = if self.was_connected { COME_BACK } else { Duration::ZERO };
        if app.agents.wait_for(self.host, patience).await {
            cx.effect().await?;
            storage::cache::leave_host(&app, self.host).await;
            network::apply::leave_host(&app, self.host).await;
        }
        let Some(how) = self.how.clone() else { return Ok(()) };
        // An unreachable machine is not waited for. What it had is told to it if its agent ever dials: it is not known here.
        let reachable = self.was_connected || !matches!(how, How::Ssh { .. });
        if serves_more || !reachable {
            return Ok(());
        }
        cx.progress(95, "removing the agent");
        cx.effect().await?;
        Machine { host: self.host, agent: &self.agent, address: &self.address, how: &how }.dismiss(&app).await
    }

    async fn remove(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let removed = cx
            .tx(self, |w, tx| {
                if w.is_gone || !rows::exists(tx, ENTITY, &w.host.to_string())? {
                    return Ok(None);
                }
                crate::storage::shared::pass_on(tx, w.host)?;
                cascade::unlink(tx, ENTITY, w.host)?;
                rows::remove(tx, ENTITY, w.host)?;
                store::forget_agent(tx, &w.agent).map(Some)
            })
            .await?;
        if cx.is_plan() || self.is_gone {
            return Ok(());
        }
        // The agent of many hosts is told of their going now and then, not once for each.
        let agents = &cx.env().agents;
        agents.withdraw(self.host);
        if removed == Some(true) {
            agents.drop_link(&self.agent);
        }
        Ok(())
    }
}
