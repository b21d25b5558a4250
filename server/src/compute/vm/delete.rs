//! Destroying and expunging a VM (VM-21). Destroyed: off, its addresses given back, its volumes kept until it is recovered or
//! expunged. Expunged: nothing is left, on hosts that can't be reached now as soon as they are back.

use cairn_api::agent::storage::DeleteVolume;
use cairn_api::agent::vm::{RemoveVm, StopVm as StopCommand};
use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState, VolumeStatus};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::model::VmRow;
use super::store::remove_rows;
use super::{store, track};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::platform::departed;
use crate::{network, rows, storage};

/// What shall be left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Depth {
    /// Destroyed, can be recovered.
    Destroy,
    /// Destroyed first if need be, then removed for good.
    Expunge,
}

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteVm {
    /// The VM.
    pub vm: Id<kind::Vm>,
    /// How deep.
    pub depth: Depth,
    /// The call that asked for it: what the state must allow. A cascade asks for nothing.
    pub action: Option<String>,
    from: Option<VmState>,
    host: Option<Id<kind::Host>>,
    /// Where it ran last: files of a guest that went off by itself may be there.
    #[serde(default)]
    last_host: Option<Id<kind::Host>>,
    l3_networks: Vec<Id<kind::L3Network>>,
    volumes: Vec<Volume>,
    /// Its volumes may be gone already: it can't be what it was.
    #[serde(default)]
    is_wiped: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Volume {
    uuid: Id<kind::Volume>,
    r#type: String,
    storage_path: String,
    /// Who removes it: the host that has it, or where its guest may still run.
    host: Option<Id<kind::Host>>,
    /// Storage that several hosts reach: then any of them, if no host is named.
    #[serde(default)]
    shared: Option<Id<kind::PrimaryStorage>>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes hold of the VM.
    Mark,
    /// It goes off and from its host.
    PowerOff,
    /// The volumes' files go.
    DeleteVolumes,
    /// Destroyed, or gone: the end.
    Finish,
}

use Step::{DeleteVolumes, Finish, Mark, PowerOff};

impl Workflow for DeleteVm {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "vm.delete/1";
    const STEPS: &'static [Step] = &[Mark, PowerOff, DeleteVolumes, Finish];

    fn about(&self) -> About {
        About::resource(self.vm, "VmInstanceVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Mark, Dir::Do | Dir::Plan) => self.mark(cx).await,
            (Mark, Dir::Undo) => self.unmark(cx).await,

            (PowerOff, Dir::Do) => self.power_off(cx).await,
            (PowerOff, Dir::Plan) => {
                self.plan_power_off(cx);
                Ok(())
            }
            // A guest that went off stays off; `Mark` finds out what it is.
            (PowerOff, Dir::Undo) => Ok(()),

            (DeleteVolumes, Dir::Do) => self.delete_volumes(cx).await,
            (DeleteVolumes, Dir::Plan) => Ok(()),
            // Deleted data can't come back: `Mark` leaves it Destroyed without volumes, to be expunged again.
            (DeleteVolumes, Dir::Undo) => {
                self.is_wiped = self.depth == Depth::Expunge && !self.volumes.is_empty();
                Ok(())
            }

            (Finish, Dir::Do | Dir::Plan) => self.finish(cx).await,
            // One write, committed with the end of the run: nothing to take back.
            (Finish, Dir::Undo) => Ok(()),
        }
    }

    /// What is still to be done when the host is back.
    fn result(&self, _env: &App, tx: &mut dyn Tx) -> Result<Value> {
        let Some(host) = departed::host_of(tx, self.vm)? else { return Ok(json!({})) };
        let text = departed::in_words(tx, self.vm)?;
        Ok(json!({ "pendingCleanUp": { "hostUuid": host, "details": text } }))
    }

    fn failure(&self, cause: Fault) -> Fault {
        if cause.has_code(code::VM_NOT_IN_STATE) {
            return cause;
        }
        let text = format!("VM {} could not be deleted: {}", self.vm, cause.details);
        Fault::new(code::VM_DESTROY, text).caused_by(cause)
    }
}

impl DeleteVm {
    /// Destroys a VM as a user asks for it.
    pub fn destroy(vm: Id<kind::Vm>, depth: Depth) -> Self {
        Self::with_action(vm, depth, Some(VmAction::DestroyVmInstance))
    }

    /// Removes a destroyed VM as a user asks for it.
    pub fn expunge(vm: Id<kind::Vm>) -> Self {
        Self::with_action(vm, Depth::Expunge, Some(VmAction::ExpungeVmInstance))
    }

    /// Removes a VM whatever its state: what it stands on is being deleted.
    pub fn cascade(vm: Id<kind::Vm>) -> Self {
        Self::with_action(vm, Depth::Expunge, None)
    }

    fn with_action(vm: Id<kind::Vm>, depth: Depth, action: Option<VmAction>) -> Self {
        let action = action.map(|a| a.as_str().to_owned());
        Self {
            vm,
            depth,
            action,
            from: None,
            host: None,
            last_host: None,
            l3_networks: Vec::new(),
            volumes: Vec::new(),
            is_wiped: false,
        }
    }

    async fn mark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            // Gone since the call was made: a success.
            let Some(vm) = VmRow::find(tx, w.vm)? else { return Ok(()) };
            if let Some(action) = w.action.as_deref().and_then(|a| a.parse::<VmAction>().ok())
                && vm.state != VmState::Destroying
            {
                vm.allow(action)?;
            }
            w.from = Some(vm.state);
            w.host = vm.host;
            w.last_host = match vm.last_host {
                Some(last) if rows::exists(tx, "HostVO", &last.to_string())? => Some(last),
                _ => None,
            };
            w.l3_networks = store::l3_networks(tx, w.vm)?;
            // Nobody else may take a file away below a guest.
            let may_run_on = vm.host.or(departed::host_of(tx, w.vm)?);
            w.volumes = store::volumes(tx, w.vm)?
                .into_iter()
                .filter(|v| v.r#type == "Root")
                .map(|v| Volume {
                    uuid: v.uuid,
                    r#type: v.r#type,
                    storage_path: v.storage_path,
                    host: if v.is_shared { may_run_on } else { v.host.or(vm.last_host).or(vm.host) },
                    shared: v.storage.filter(|_| v.is_shared),
                })
                .collect();
            let to = if vm.state == VmState::Destroyed { VmState::Expunging } else { VmState::Destroying };
            store::hold(tx, &vm, to, run)
        })
        .await
    }

    async fn unmark(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (run, Some(from)) = (cx.run(), self.from) else { return Ok(()) };
        if self.is_wiped {
            cx.tx(self, move |w, tx| to_wiped(tx, w.vm, run)).await?;
            self.take_leases(cx);
            return Ok(());
        }
        let was_on_host = self.host.is_some();
        cx.tx(self, move |w, tx| {
            let to = if was_on_host { VmState::Unknown } else { from };
            store::release(tx, w.vm, run, to, Some("its deletion failed")).map(|_| ())
        })
        .await?;
        if let Some(host) = self.host {
            track::look_again(cx.env(), host, self.vm);
        }
        Ok(())
    }

    fn plan_power_off(&self, cx: &Cx<App>) {
        let Some(host) = self.host else { return };
        if cx.env().agents.is_connected(host) {
            cx.tell("PowerOff", format!("power VM {} off", self.vm), "");
        } else {
            let text = format!(
                "power VM {} off as soon as host {host} is back; its addresses stay taken until then",
                self.vm
            );
            cx.tell("PowerOff", text, "the host can't be reached, and may still run it");
        }
    }

    async fn power_off(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let vm = self.vm.to_string();
        let Some(host) = self.host else {
            return match self.last_host {
                Some(last) if self.depth == Depth::Expunge => {
                    cx.agent_or_later(last, "remove", &RemoveVm { vm }).await.map(|_| ())
                }
                _ => Ok(()),
            };
        };
        cx.agent_or_later(host, "stop", &StopCommand { vm: vm.clone(), grace_ms: 0 }).await?;
        cx.agent_or_later(host, "remove", &RemoveVm { vm }).await.map(|_| ())
    }

    async fn delete_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.depth != Depth::Expunge {
            return Ok(());
        }
        for volume in self.volumes.clone() {
            if volume.storage_path.is_empty() {
                continue;
            }
            let what = format!("delete-{}", volume.uuid);
            let op = DeleteVolume {
                storage_path: volume.storage_path,
                volume: volume.uuid.to_string(),
                r#type: volume.r#type,
            };
            match (volume.host, volume.shared) {
                (Some(host), _) => drop(cx.agent_or_later(host, &what, &op).await?),
                (None, Some(storage)) => storage::shared::delete_volume(cx, storage, &op).await?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| match w.depth {
            Depth::Expunge => remove_rows(tx, w.vm),
            Depth::Destroy => to_destroyed(tx, w.vm, run),
        })
        .await?;
        self.take_leases(cx);
        Ok(())
    }

    /// Its addresses were given back: the host that it was on is told.
    fn take_leases(&self, cx: &Cx<App>) {
        if let (Some(host), false) = (self.host, cx.is_plan()) {
            network::apply::refresh(cx.env(), host, self.l3_networks.clone());
        }
    }
}

/// Destroyed, with volumes that are not there any more, so that it can't be recovered.
fn to_wiped(tx: &mut dyn Tx, vm: Id<kind::Vm>, run: Id<kind::Run>) -> Result<()> {
    to_destroyed(tx, vm, run)?;
    tx.execute(
        "UPDATE volume SET install_path = NULL WHERE vm_instance_uuid = ? AND type = 'Root'",
        params![vm],
    )
    .map(|_| ())
}

/// Off, addresses given back, its volumes marked.
fn to_destroyed(tx: &mut dyn Tx, vm: Id<kind::Vm>, run: Id<kind::Run>) -> Result<()> {
    if VmRow::find(tx, vm)?.is_none() {
        return Ok(());
    }
    let now = time::now_ms();
    departed::keep(tx, vm)?;
    let reason = departed::in_words(tx, vm)?;
    for nic in tx.query("SELECT uuid FROM vm_nic WHERE vm_instance_uuid = ?", params![vm])? {
        let nic: Id<kind::Nic> = nic.id("uuid")?;
        network::ip::give_back(tx, nic)?;
        let sql = "UPDATE vm_nic SET used_ip_uuid = NULL, ip = NULL, ip_sort = NULL, netmask = NULL, gateway = NULL WHERE uuid = ?";
        tx.execute(sql, params![nic])?;
        rows::changed(tx, "VmNicVO", nic, &json!({ "ip": null }))?;
    }
    store::mark_volumes(tx, vm, VolumeStatus::Ready, VolumeStatus::Deleted, Some(now))?;
    store::release(tx, vm, run, VmState::Destroyed, reason.as_deref())?;
    tx.execute("UPDATE vm_instance SET destroyed_ms = ? WHERE uuid = ?", params![now, vm])?;
    Ok(())
}
