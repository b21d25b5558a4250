//! What happens in the transactions of the workflow engine: jobs end, and everybody hears how a run goes.

use cairn_store::Tx;
use cairn_types::Result;
use cairn_workflow::{Env, Plan, RunInfo};
use serde_json::{Value, json};

use crate::app::App;
use crate::platform::{audit, changes, events, jobs, stuck};

impl Env for App {
    fn run_changed(&self, tx: &mut dyn Tx, run: &RunInfo) -> Result<()> {
        let data = json!({
            "name": run.workflow, "state": run.state.as_str(), "step": run.current_step(), "progress": run.progress,
            "resourceUuid": run.resource_uuid, "resourceType": run.resource_type, "jobUuid": run.job,
        });
        let account = (!run.account.is_empty()).then(|| run.account.clone());
        stuck::noted(tx, run)?;
        events::write(tx, account, "CairnRunVO", &run.uuid.to_string(), "progress", &data)
    }

    fn run_ended(&self, tx: &mut dyn Tx, run: &RunInfo, outcome: &Result<Value>) -> Result<()> {
        match &run.job {
            Some(job) => {
                audit::run_ended(tx, job, outcome)?;
                jobs::finish(tx, job, outcome)
            }
            None => Ok(()),
        }
    }

    fn plan_begins(&self, tx: &mut dyn Tx) -> Result<i64> {
        events::last(tx)
    }

    fn plan_made(&self, tx: &mut dyn Tx, begun: i64, plan: &mut Plan) -> Result<()> {
        events::into_plan(tx, begun, plan)?;
        changes::touched(self, tx, begun, plan)
    }

    fn plan_compared(&self, tx: &mut dyn Tx, plan: &mut Plan) -> Result<()> {
        changes::compare(self, tx, plan)
    }
}
