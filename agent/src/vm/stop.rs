//! Stopping and rebooting: the guest is asked first, and made to go when it does not go in time.

use std::time::Duration;

use cairn_api::agent::vm::{PowerState, VmSpec, VmStarted, VmStopped};
use cairn_types::Result;
use tokio::time::{Instant, sleep_until, timeout};

use super::Vms;
use crate::drivers::{Ask, Call, cancelled};

/// A guest that boots may miss the power button, so it is pressed again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Vms {
    /// Stops a VM: asks for `grace_ms`, then powers off. One that is off or unknown is a success.
    pub async fn stop(&self, vm: &str, grace_ms: u64, call: &Call) -> Result<VmStopped> {
        let gone = self.went_by_itself(vm, grace_ms, call).await?;
        if !gone {
            self.hypervisor.destroy(vm).await?;
        }
        self.forget(vm).await?;
        Ok(VmStopped { forced: !gone })
    }

    /// Restarts the guest. One that does not go in time is reset; when its specification has changed since its start,
    /// it is powered off and started anew.
    pub async fn reboot(&self, spec: VmSpec, grace_ms: u64, call: &Call) -> Result<VmStarted> {
        let vm = spec.vm.clone();
        if self.went_by_itself(&vm, grace_ms, call).await? {
            return self.start(spec).await;
        }
        if self.specs.get::<VmSpec>(&vm).is_some_and(|old| old == spec) {
            self.hypervisor.reset(&vm).await?;
            if self.hypervisor.state(&vm).await? == PowerState::Paused {
                self.hypervisor.resume(&vm).await?;
            }
            return self.evidence(&vm).await;
        }
        self.hypervisor.destroy(&vm).await?;
        self.start(spec).await
    }

    /// Asks the guest to go and waits; true when it is off.
    async fn went_by_itself(&self, vm: &str, grace_ms: u64, call: &Call) -> Result<bool> {
        let mut events = self.hypervisor.watch();
        let end = Instant::now() + Duration::from_millis(grace_ms);
        match self.hypervisor.state(vm).await? {
            PowerState::Off => return Ok(true),
            // A guest that does not execute cannot go by itself.
            PowerState::Paused => return Ok(false),
            PowerState::Running if grace_ms == 0 => return Ok(false),
            PowerState::Running => (),
        }
        let mut how = Ask::GuestAgent;
        loop {
            // A deaf guest agent must not use up the guest's time.
            let asked = timeout(Duration::from_secs(3), self.hypervisor.ask_to_stop(vm, how)).await;
            if how == Ask::GuestAgent && !matches!(asked, Ok(Ok(true))) {
                how = Ask::PowerButton;
                let _ = self.hypervisor.ask_to_stop(vm, how).await;
            }
            let again = Instant::now() + ASK_AGAIN;
            tokio::select! {
                () = until_off(&mut events, vm) => (),
                () = sleep_until(again.min(end)) => (),
                () = call.cancelled() => return Err(cancelled()),
            }
            if self.hypervisor.state(vm).await? == PowerState::Off {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            how = Ask::PowerButton;
        }
    }
}

/// Returns when an event says that the VM is off, or that events were lost.
async fn until_off(events: &mut tokio::sync::broadcast::Receiver<crate::drivers::DomainEvent>, vm: &str) {
    loop {
        match events.recv().await {
            Ok(event) if event.vm == vm && event.state == PowerState::Off => return,
            Ok(_) => (),
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
        }
    }
}
