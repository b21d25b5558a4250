//! Stopping a VM: the guest is asked, and powered off if it does not go in time (VM-04).

use cairn_api::agent::vm::{RemoveVm, StopVm as StopCommand, VmStopped};
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
use crate::{inventory, network};

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopVm {
    /// The VM.
    pub vm: Id<kind::Vm>,
    /// Power off at once.
    pub cold: bool,
    host: Option<Id<kind::Host>>,
    held: bool,
    l3_networks: Vec<Id<kind::L3Network>>,
    stopped: Option<VmStopped>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes hold of the VM.
    Mark,
    /// The guest goes off.
    PowerOff,
    /// Domain, taps and rules go from the host.
    CleanHost,
    /// It is off: the end.
    Finish,
}

use Step::{CleanHost, Finish, Mark, PowerOff};

impl Workflow for StopVm {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "vm.stop/1";
    const STEPS: &'static [Step] = &[Mark, PowerOff, CleanHost, Finish];

    fn about(&self) -> About {
        About::resource(self.vm, "VmInstanceVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => self.mark(cx).await,
            (Mark, Dir::Undo) => self.unmark(cx).await,

            (PowerOff, Dir::Do) => self.power_off(cx).await,
            (PowerOff, Dir::Plan) => {
                let how = if self.cold {
                    "power the guest off".to_owned()
                } else {
                    format!("ask the guest to shut down, and power it off after {} s", grace_seconds(cx))
                };
                cx.tell("PowerOff", how, "");
                Ok(())
            }
            // A guest that went off stays off; `Mark` finds out what it is.
            (PowerOff, Dir::Undo) => Ok(()),

            (CleanHost, Dir::Do) => self.clean_host(cx).await,
            (CleanHost, Dir::Plan) => Ok(()),
            // What a stopped VM leaves on its host is of no use to it.
            (CleanHost, Dir::Undo) => Ok(()),

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
        let text = format!("VM {} could not be stopped: {}", self.vm, cause.details);
        Fault::new(code::VM_STOP, text).with("vm", self.vm.to_string()).caused_by(cause)
    }
}

/// Seconds that a guest has to shut down by itself.
pub(super) fn grace_seconds(cx: &Cx<App>) -> u64 {
    u64::try_from(cx.env().settings.int("cairn", "vm.stopTimeout")).unwrap_or(60).max(1)
}

impl StopVm {
    /// Stops a VM.
    pub fn new(vm: Id<kind::Vm>, cold: bool) -> Self {
        Self { vm, cold, host: None, held: false, l3_networks: Vec::new(), stopped: None }
    }

    async fn mark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            let vm = VmRow::load(tx, w.vm)?;
            if vm.state == VmState::Stopped {
                // Off already, since the call was made: a success.
                return Ok(());
            }
            vm.allow(VmAction::StopVmInstance)?;
            w.host = vm.host;
            w.l3_networks = store::l3_networks(tx, w.vm)?;
            store::hold(tx, &vm, VmState::Stopping, run)?;
            w.held = true;
            Ok(())
        })
        .await
    }

    async fn unmark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let it = (self.vm, self.host);
        track::let_go(cx, self, it, "its stop failed").await
    }

    async fn power_off(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (Some(host), true) = (self.host, self.held) else { return Ok(()) };
        let grace_ms = if self.cold { 0 } else { grace_seconds(cx) * 1000 };
        let op = StopCommand { vm: self.vm.to_string(), grace_ms };
        self.stopped = Some(cx.agent(host, "stop", &op).await?);
        Ok(())
    }

    async fn clean_host(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (Some(host), true) = (self.host, self.held) else { return Ok(()) };
        cx.agent_or_later(host, "remove", &RemoveVm { vm: self.vm.to_string() }).await.map(|_| ())
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            if !w.held {
                return Ok(());
            }
            let forced = w.stopped.as_ref().is_some_and(|s| s.forced);
            // Cold means without asking the guest: there is nothing to explain.
            let late = forced && !w.cold;
            let reason = late.then_some("powered off: the guest did not shut down in time");
            store::release(tx, w.vm, run, VmState::Stopped, reason)?;
            Ok(())
        })
        .await?;
        if let (Some(host), true, false) = (self.host, self.held, cx.is_plan()) {
            network::apply::refresh(cx.env(), host, self.l3_networks.clone());
        }
        Ok(())
    }
}
