//! Rebooting a VM on its host (VM-04).

use cairn_api::agent::vm::{RebootVm as RebootCommand, VmStarted};
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::VmRow;
use super::stop::grace_seconds;
use super::{spec, store, track};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::{inventory, network};

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RebootVm {
    /// The VM.
    pub vm: Id<kind::Vm>,
    host: Option<Id<kind::Host>>,
    started: Option<VmStarted>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes hold of the VM.
    Mark,
    /// DHCP and metadata as they are now.
    PrepareNetworks,
    /// The guest goes down and comes up.
    Restart,
    /// The end.
    Finish,
}

use Step::{Finish, Mark, PrepareNetworks, Restart};

impl Workflow for RebootVm {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "vm.reboot/1";
    const STEPS: &'static [Step] = &[Mark, PrepareNetworks, Restart, Finish];

    fn about(&self) -> About {
        About::resource(self.vm, "VmInstanceVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => self.mark(cx).await,
            (Mark, Dir::Undo) => self.unmark(cx).await,

            (PrepareNetworks, Dir::Do) => self.prepare_networks(cx).await,
            (PrepareNetworks, Dir::Plan) => Ok(()),
            // They are what the rows say, with or without this run.
            (PrepareNetworks, Dir::Undo) => Ok(()),

            (Restart, Dir::Do) => self.restart(cx).await,
            (Restart, Dir::Plan) => {
                cx.tell("Restart", "ask the guest to shut down, then start it again on the same host", "");
                Ok(())
            }
            // `Mark` finds out what it is.
            (Restart, Dir::Undo) => Ok(()),

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
        let text = format!("VM {} could not be rebooted: {}", self.vm, cause.details);
        Fault::new(code::VM_REBOOT, text).caused_by(cause)
    }
}

impl RebootVm {
    /// Reboots a running VM.
    pub fn new(vm: Id<kind::Vm>) -> Self {
        Self { vm, host: None, started: None }
    }

    async fn mark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            let vm = VmRow::load(tx, w.vm)?;
            vm.allow(VmAction::RebootVmInstance)?;
            w.host = vm.host;
            store::hold(tx, &vm, VmState::Rebooting, run)
        })
        .await
    }

    async fn unmark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let it = (self.vm, self.host);
        track::let_go(cx, self, it, "its reboot failed").await
    }

    fn host(&self) -> Result<Id<kind::Host>> {
        self.host.ok_or_else(|| Fault::internal("a running VM without a host"))
    }

    async fn prepare_networks(&mut self, cx: &mut Cx<App>) -> Result<()> {
        network::apply::vm_networks(cx, self.vm, self.host()?).await
    }

    async fn restart(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (app, vm, host) = (cx.env().clone(), self.vm, self.host()?);
        let spec = cx.read(move |tx| spec::of_vm(&app, tx, vm, host)).await?;
        let op = RebootCommand { spec, grace_ms: grace_seconds(cx) * 1000 };
        self.started = Some(cx.agent(host, "reboot", &op).await?);
        Ok(())
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            if let Some(started) = &w.started {
                tx.execute(
                    "UPDATE vm_instance SET vnc_port = ? WHERE uuid = ?",
                    params![started.vnc_port, w.vm],
                )?;
            }
            store::release(tx, w.vm, run, VmState::Running, None).map(|_| ())
        })
        .await
    }
}
