//! The networks on the host, the guest, and the end.

use cairn_api::agent::vm::{PowerState, RemoveVm, StartVm as BootCommand};
use cairn_store::{Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Fault, Result};
use cairn_workflow::Cx;

use super::{Goal, StartVm};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::compute::vm::{spec, store};
use crate::network;
use crate::platform::cleanup;
use crate::rows;

impl StartVm {
    pub(super) async fn prepare_networks(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal != Goal::Running {
            return Ok(());
        }
        let host = self.place()?.host;
        network::apply::vm_networks(cx, self.vm, host).await
    }

    pub(super) async fn plan_networks(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal == Goal::Running {
            cx.tell("PrepareNetworks", "prepare bridge, DHCP and metadata on the host", "");
        }
        Ok(())
    }

    pub(super) async fn boot(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal != Goal::Running {
            return Ok(());
        }
        let (app, vm, host) = (cx.env().clone(), self.vm, self.place()?.host);
        let spec = cx.read(move |tx| spec::of_vm(&app, tx, vm, host)).await?;
        self.started = Some(cx.agent(host, "boot", &BootCommand { spec }).await?);
        Ok(())
    }

    pub(super) fn plan_boot(&self, cx: &Cx<App>) -> Result<()> {
        if self.goal == Goal::Running {
            cx.tell("Boot", "start the guest", "");
        }
        Ok(())
    }

    pub(super) async fn power_off(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (Some(place), true) = (self.place.clone(), self.goal == Goal::Running) else { return Ok(()) };
        let op = RemoveVm { vm: self.vm.to_string() };
        // Only a host that said so has certainly no guest of it.
        self.in_doubt = cx.agent_or_later(place.host, "remove", &op).await?.is_none();
        Ok(())
    }

    pub(super) async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        cx.tx(self, move |w, tx| {
            let to = match (w.goal, &w.started) {
                (Goal::Created, _) => return Ok(()),
                (Goal::Stopped, _) => VmState::Stopped,
                (Goal::Running, Some(s)) if s.state == PowerState::Paused => VmState::Paused,
                (Goal::Running, _) => VmState::Running,
            };
            if let Some(started) = &w.started {
                let sql = "UPDATE vm_instance SET vnc_port = ? WHERE uuid = ?";
                tx.execute(sql, params![started.vnc_port, w.vm])?;
            }
            if !store::release(tx, w.vm, run, to, None)? {
                return Err(Fault::internal(format!("VM {} was taken from its start", w.vm)));
            }
            w.leave_behind(tx)
        })
        .await?;
        if let (Some(left), false) = (self.left, cx.is_plan()) {
            let app = cx.env().clone();
            tokio::spawn(async move { cleanup::drain(&app, &left.to_string()).await });
        }
        // While its volume was made it counted as a guest of the host, and whoever applied a network there gave it a lease.
        if let (Goal::Stopped, Some(place), false) = (self.goal, &self.place, cx.is_plan()) {
            network::apply::forget_guest(cx.env(), place.host, &place.l3_networks);
        }
        Ok(())
    }

    /// The host where it ran before forgets it, now or when it is back.
    fn leave_behind(&self, tx: &mut dyn Tx) -> Result<()> {
        match self.left {
            Some(left) if self.goal == Goal::Running && rows::exists(tx, "HostVO", &left.to_string())? => {
                cleanup::later(tx, left, &RemoveVm { vm: self.vm.to_string() })
            }
            _ => Ok(()),
        }
    }
}
