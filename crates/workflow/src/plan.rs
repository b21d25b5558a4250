//! What a run would do (BEY-01).

use std::sync::{Arc, Mutex};

use cairn_store::{Rehearsal, Tx};
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
    /// Resources that would stay and change.
    pub changes: Vec<PlannedChange>,
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

/// A resource that would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedChange {
    /// The resource, by the name that it has now.
    #[serde(flatten)]
    pub resource: PlannedResource,
    /// The fields that would change.
    pub fields: Vec<FieldChange>,
    /// Its owner; none for infrastructure.
    #[serde(skip)]
    pub account: Option<String>,
    /// What it would be: [`Env::plan_made`] notes it and [`Env::plan_compared`] makes the fields of it.
    #[serde(skip)]
    pub after: serde_json::Map<String, serde_json::Value>,
}

/// A field that would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its name in the API.
    pub field: String,
    /// Its value now; left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<serde_json::Value>,
    /// Its value then; left out if it would have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<serde_json::Value>,
}

impl<E: Env> Engine<E> {
    /// What a workflow would do.
    pub async fn plan<W: Workflow<Env = E>>(&self, w: W) -> Result<Plan> {
        let rehearsal = self.store().rehearse().await?;
        let planning = Arc::new(Planning { rehearsal, plan: Mutex::default() });
        let env = self.env()?;
        let begun = planning.rehearsal.run(move |tx| env.plan_begins(tx)).await?;
        self.plan_child(w, planning.clone()).await?;
        let plan = lock(&planning.plan).clone();
        self.complete(&planning.rehearsal, begun, plan).await
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
        self.complete(&rehearsal, begun, Plan::default()).await
    }

    /// Adds to a plan what the transactions of its rehearsal did.
    async fn complete(&self, rehearsal: &Rehearsal, begun: i64, plan: Plan) -> Result<Plan> {
        let env = self.env()?;
        let made = move |tx: &mut dyn Tx| {
            let mut plan = plan.clone();
            env.plan_made(tx, begun, &mut plan)?;
            Ok(plan)
        };
        let plan = rehearsal.run(made).await?;
        // The rehearsal goes on meanwhile: nobody writes, and readers see the state that it began from.
        let env = self.env()?;
        let compared = move |tx: &mut dyn Tx| {
            let mut plan = plan.clone();
            env.plan_compared(tx, &mut plan)?;
            Ok(plan)
        };
        let plan = self.store().read(compared).await?;
        // Had its time run out, others might have written before that look.
        rehearsal.run(|_| Ok(())).await?;
        Ok(plan)
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
