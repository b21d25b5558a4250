//! What a run would do (BEY-01).

use std::sync::{Arc, Mutex};

use cairn_store::Tx;
use cairn_types::Result;
use serde::Serialize;

use crate::cx::{Cx, Planning};
use crate::engine::{Engine, Start, lock};
use crate::{Dir, Env, Workflow};

/// What a change would do, found by walking its workflow without touching anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One sentence.
    pub summary: String,
    /// What each step would do.
    pub steps: Vec<PlanStep>,
    /// Resources that would come into being.
    pub creates: Vec<PlannedResource>,
    /// Resources that would go, the cascade included.
    pub deletes: Vec<PlannedResource>,
    /// Facts for programs, such as the chosen host and addresses.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanStep {
    /// Name of the step.
    pub step: String,
    /// What it would do.
    pub text: String,
    /// Why so, where there was a choice.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A resource that would come or go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedResource {
    /// Such as `VmInstanceVO`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Its uuid.
    pub uuid: String,
    /// Its name, if it has one.
    pub name: String,
}

impl<E: Env> Engine<E> {
    /// What a workflow would do.
    pub async fn plan<W: Workflow<Env = E>>(&self, w: W) -> Result<Plan> {
        let rehearsal = self.store().rehearse().await?;
        let planning = Arc::new(Planning { rehearsal, plan: Mutex::default() });
        let env = self.env()?;
        let begun = planning.rehearsal.run(move |tx| env.plan_begins(tx)).await?;
        self.plan_child(w, planning.clone()).await?;
        let (env, plan) = (self.env()?, lock(&planning.plan).clone());
        let complete = move |tx: &mut dyn Tx| {
            let mut plan = plan.clone();
            env.plan_made(tx, begun, &mut plan)?;
            Ok(plan)
        };
        planning.rehearsal.run(complete).await
    }

    /// What one transaction would do.
    pub async fn plan_tx<T, F>(&self, work: F) -> Result<Plan>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let rehearsal = self.store().rehearse().await?;
        let env = self.env()?;
        let begun = rehearsal.run(move |tx| env.plan_begins(tx)).await?;
        rehearsal.run(work).await?;
        let env = self.env()?;
        let complete = move |tx: &mut dyn Tx| {
            let mut plan = Plan::default();
            env.plan_made(tx, begun, &mut plan)?;
            Ok(plan)
        };
        rehearsal.run(complete).await
    }

    pub(crate) async fn plan_child<W: Workflow<Env = E>>(
        &self,
        mut w: W,
        planning: Arc<Planning>,
    ) -> Result<()> {
        let run = self.new_run(&w, &Start::default())?;
        let mut cx = Cx::new(self.clone(), self.env()?, run, Vec::new());
        cx.planning = Some(planning);
        for (index, step) in W::STEPS.iter().enumerate() {
            cx.begin_step(index, Dir::Plan);
            w.step(&mut cx, *step, Dir::Plan).await.map_err(|f| w.failure(f))?;
        }
        Ok(())
    }
}
