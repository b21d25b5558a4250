//! What a call would do.

use cairn_api::Params;
use cairn_workflow::Plan;
use serde_json::json;

use super::Answer;
use super::execute::change_work;
use crate::call::Call;
use crate::handlers::{Handler, Launch};

pub(super) async fn plan(call: &Call, handler: Handler, params: &Params) -> Result<Answer, Answer> {
    let engine = &call.app.engine;
    let plan = match handler {
        Handler::Read(_) => Plan {
            summary: format!("{} changes no resource; whether it would succeed was not tried.", call.op.name),
            ..Plan::default()
        },
        Handler::Change(work) => engine.plan_tx(change_work(call, work, params)).await?,
        Handler::Prepared(prepare) => {
            let work = prepare(call.clone(), params.clone()).await?;
            engine.plan_tx(change_work(call, work, params)).await?
        }
        Handler::Run(run) => match run(call.clone(), params.clone()).await? {
            Launch::Done(_) => Plan::default(),
            Launch::Run(workflow) => workflow.plan(engine.clone()).await?,
        },
    };
    Ok(plan_answer(call, plan))
}

pub(super) fn plan_answer(call: &Call, mut plan: Plan) -> Answer {
    // A tenant is not told what becomes of that which is not his.
    let me = call.caller.account.to_string();
    plan.changes.retain(|c| call.caller.is_admin() || c.account.as_deref() == Some(&me));
    if plan.summary.is_empty() {
        plan.summary = crate::platform::plan_text::summary(call.op.name, &plan);
    }
    Answer::Json(200, json!({ "plan": plan }))
}
