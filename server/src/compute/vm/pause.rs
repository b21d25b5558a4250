//! Pausing and resuming a VM: execution halts, memory stays (VM-04).

use cairn_api::agent::vm::{PauseVm as PauseCommand, ResumeVm as ResumeCommand};
use cairn_store::Tx;
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::VmRow;
use super::{store, track};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::inventory;

/// The workflow, for both directions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseVm {
    /// The VM.
    pub vm: Id<kind::Vm>,
    /// Go on instead of halting.
    pub resume: bool,
    host: Option<Id<kind::Host>>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes hold of the VM.
    Mark,
    /// The hypervisor halts it or lets it go on.
    Tell,
    /// The end.
    Finish,
}

use Step::{Finish, Mark, Tell};

impl Workflow for PauseVm {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "vm.pause/1";
    const STEPS: &'static [Step] = &[Mark, Tell, Finish];

    fn about(&self) -> About {
        About::resource(self.vm, "VmInstanceVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => self.mark(cx).await,
            (Mark, Dir::Undo) => self.unmark(cx).await,

            (Tell, Dir::Do) => self.tell(cx).await,
            (Tell, Dir::Plan) => {
                cx.tell("Tell", if self.resume { "let the guest go on" } else { "halt the guest" }, "");
                Ok(())
            }
            // `Mark` finds out what it is.
            (Tell, Dir::Undo) => Ok(()),

            (Finish, Dir::Do | Dir::Plan) => self.finish(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Finish, Dir::Undo) => Ok(()),
        }
    }

    fn result(&self, env: &App, tx: &mut dyn Tx) -> Result<Value> {
        inventory::answer(tx, "VmInstanceInventory", self.vm, env.dates())
    }

    fn failure(&self, cause: Fault) -> Fault {
        if cause.has_code(code::VM_NOT_IN_STATE) {
            return cause;
        }
        let (code, verb) =
            if self.resume { (code::VM_RESUME, "resumed") } else { (code::VM_PAUSE, "paused") };
        Fault::new(code, format!("VM {} could not be {verb}: {}", self.vm, cause.details)).caused_by(cause)
    }
}

impl PauseVm {
    /// Pauses a running VM, or resumes a paused one.
    pub fn new(vm: Id<kind::Vm>, resume: bool) -> Self {
        Self { vm, resume, host: None }
    }

    async fn mark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            let vm = VmRow::load(tx, w.vm)?;
            let (action, state) = if w.resume {
                (VmAction::ResumeVmInstance, VmState::Resuming)
            } else {
                (VmAction::PauseVmInstance, VmState::Pausing)
            };
            vm.allow(action)?;
            w.host = vm.host;
            store::hold(tx, &vm, state, run)
        })
        .await
    }

    async fn unmark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let it = (self.vm, self.host);
        track::let_go(cx, self, it, "its pause or resume failed").await
    }

    async fn tell(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let host = self.host.ok_or_else(|| Fault::internal("a running VM without a host"))?;
        let vm = self.vm.to_string();
        if self.resume {
            cx.agent(host, "resume", &ResumeCommand { vm }).await.map(|_| ())
        } else {
            cx.agent(host, "pause", &PauseCommand { vm }).await.map(|_| ())
        }
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            let to = if w.resume { VmState::Running } else { VmState::Paused };
            store::release(tx, w.vm, run, to, None).map(|_| ())
        })
        .await
    }
}
