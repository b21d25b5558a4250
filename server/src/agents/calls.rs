//! Commands to agents from the steps of workflows.

use std::future::Future;
use std::sync::Arc;

use cairn_api::agent::AgentOp;
use cairn_store::Tx;
use cairn_types::{Result, code};
use cairn_workflow::Cx;

use super::CallOptions;
use crate::app::App;
use crate::platform::{cleanup, stuck};

/// Commands from steps.
pub trait AgentCalls {
    /// Sends a command. `what` tells commands of one step apart: the same step sends the same id again after a crash.
    fn agent<O: AgentOp>(
        &mut self,
        target: impl ToString + Send,
        what: &str,
        op: &O,
    ) -> impl Future<Output = Result<O::Reply>> + Send;

    /// Sends a command that must be carried out sooner or later. If the agent can't be reached it is kept and sent when the
    /// agent is back. `None`: it was kept.
    fn agent_or_later<O: AgentOp + Clone>(
        &mut self,
        target: impl ToString + Send,
        what: &str,
        op: &O,
    ) -> impl Future<Output = Result<Option<O::Reply>>> + Send;
}

impl AgentCalls for Cx<App> {
    async fn agent<O: AgentOp>(
        &mut self,
        target: impl ToString + Send,
        what: &str,
        op: &O,
    ) -> Result<O::Reply> {
        self.effect().await?;
        let run = self.run();
        let options = CallOptions {
            id: self.stable_id(what),
            run: run.to_string(),
            timeout: None,
            on_progress: Some(Arc::new(self.progress_within())),
        };
        let (app, target) = (self.env().clone(), target.to_string());
        app.agents.call(&target, op, options).await.map_err(|f| stuck::from_machine(f, &target))
    }

    async fn agent_or_later<O: AgentOp + Clone>(
        &mut self,
        target: impl ToString + Send,
        what: &str,
        op: &O,
    ) -> Result<Option<O::Reply>> {
        let target = target.to_string();
        match self.agent(&target, what, op).await {
            Ok(reply) => Ok(Some(reply)),
            Err(f) if f.has_code(code::HOST_DISCONNECTED) || f.has_code(code::TIMEOUT) => {
                let (app, op) = (self.env().clone(), op.clone());
                app.store.write(move |tx: &mut dyn Tx| cleanup::later(tx, &target, &op)).await?;
                Ok(None)
            }
            Err(f) => Err(f),
        }
    }
}
