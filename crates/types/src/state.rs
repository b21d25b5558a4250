//! States of resources and what a user may ask for in each. The tables of `states.json`, extended where Cairn goes on.
//!
//! Who owns what: the agent reports what runs, the server decides what should run. A state that ends in `-ing` is owned
//! by one live workflow run; [`VmState::is_transitional`] names them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Fault, Result, code};

/// A text that names no state of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownState(pub String);

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown state {:?}", self.0)
    }
}
impl std::error::Error for UnknownState {}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that the API and the database use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = UnknownState;
            fn from_str(s: &str) -> Result<Self, UnknownState> {
                match s { $(stringify!($variant) => Ok(Self::$variant),)* _ => Err(UnknownState(s.to_owned())) }
            }
        }
    };
}

states! {
    /// Whether an administrator lets a resource be used for new work.
    EnabledState {
        /// In use.
        Enabled,
        /// Existing work goes on, new work is refused.
        Disabled,
    }
}

states! {
    /// Administrative state of a host.
    HostState { Enabled, Disabled, PreMaintenance, Maintenance }
}

states! {
    /// Whether a host, a storage or an agent can be reached.
    Status { Connecting, Connected, Disconnected }
}

states! {
    /// Life of an image and of each of its copies on a backup storage.
    ImageStatus { Creating, Downloading, Ready, Error, Deleted, Migrating }
}

states! {
    /// Life of a volume.
    VolumeStatus { Creating, Ready, NotInstantiated, Deleted, Migrating }
}

states! {
    /// Life of a VM instance.
    VmState {
        Created, Starting, Running, Stopping, Stopped, Rebooting, Destroying, Destroyed, Migrating, Expunging,
        Pausing, Paused, Resuming, VolumeMigrating, Error, Unknown,
    }
}

states! {
    /// What a user can ask of a VM instance, by the name of the API call.
    VmAction {
        StartVmInstance, StopVmInstance, RebootVmInstance, PauseVmInstance, ResumeVmInstance, DestroyVmInstance,
        RecoverVmInstance, ExpungeVmInstance, RequestConsoleAccess, GetVmConsoleAddress, UpdateVmInstance,
        SetVmStaticIp, DeleteVmStaticIp, SetVmHostname, DeleteVmHostname, SetVmSshKey, DeleteVmSshKey,
        GetVmStartingCandidateClustersHosts, ChangeResourceOwner,
    }
}

impl VmState {
    /// What a user may ask for in this state (VM-34). Sent as `allowedActions`, so page and CLI keep no copy.
    pub const fn allowed_actions(self) -> &'static [VmAction] {
        use VmAction::*;
        match self {
            Self::Created => &[
                StartVmInstance,
                DestroyVmInstance,
                UpdateVmInstance,
                SetVmHostname,
                DeleteVmHostname,
                SetVmSshKey,
                DeleteVmSshKey,
                ChangeResourceOwner,
            ],
            Self::Stopped => &[
                StartVmInstance,
                StopVmInstance,
                DestroyVmInstance,
                UpdateVmInstance,
                SetVmStaticIp,
                DeleteVmStaticIp,
                SetVmHostname,
                DeleteVmHostname,
                SetVmSshKey,
                DeleteVmSshKey,
                GetVmStartingCandidateClustersHosts,
                ChangeResourceOwner,
            ],
            Self::Running => &[
                StopVmInstance,
                RebootVmInstance,
                PauseVmInstance,
                DestroyVmInstance,
                RequestConsoleAccess,
                GetVmConsoleAddress,
                UpdateVmInstance,
                DeleteVmStaticIp,
                SetVmHostname,
                DeleteVmHostname,
                SetVmSshKey,
                DeleteVmSshKey,
                ChangeResourceOwner,
            ],
            Self::Paused => &[
                ResumeVmInstance,
                StopVmInstance,
                DestroyVmInstance,
                UpdateVmInstance,
                DeleteVmStaticIp,
                SetVmHostname,
                DeleteVmHostname,
                SetVmSshKey,
                DeleteVmSshKey,
                ChangeResourceOwner,
            ],
            // We lost sight of the host: a start could open the disk twice.
            Self::Unknown => &[StopVmInstance, DestroyVmInstance, UpdateVmInstance],
            Self::Destroyed => &[RecoverVmInstance, ExpungeVmInstance],
            Self::Starting
            | Self::Stopping
            | Self::Rebooting
            | Self::Migrating
            | Self::Pausing
            | Self::Resuming
            | Self::VolumeMigrating => &[DestroyVmInstance, UpdateVmInstance],
            Self::Destroying | Self::Expunging | Self::Error => &[],
        }
    }

    /// Whether the state lets a user ask for the action.
    pub fn allows(self, action: VmAction) -> bool {
        self.allowed_actions().contains(&action)
    }

    /// Refuses an action that the state does not allow (VM-34), saying which states would: `SYS.1006` with cause `VM.1010`.
    pub fn require(self, vm: impl fmt::Display, action: VmAction) -> Result<()> {
        if self.allows(action) {
            return Ok(());
        }
        let good: Vec<&str> = Self::ALL.iter().filter(|s| s.allows(action)).map(|s| s.as_str()).collect();
        let text = format!(
            "VM {vm} is {self} and can't do {action}; that needs one of the states {}",
            good.join(", ")
        );
        let cause = Fault::new(code::VM_NOT_IN_STATE, text.clone())
            .with("vm", vm.to_string())
            .with("state", self.as_str())
            .with("action", action.as_str())
            .with("allowedStates", good);
        Err(Fault::operation(text).caused_by(cause))
    }

    /// True for states that only a live workflow run may hold.
    pub const fn is_transitional(self) -> bool {
        match self {
            Self::Starting
            | Self::Stopping
            | Self::Rebooting
            | Self::Destroying
            | Self::Migrating
            | Self::Expunging
            | Self::Pausing
            | Self::Resuming
            | Self::VolumeMigrating => true,
            Self::Created
            | Self::Running
            | Self::Stopped
            | Self::Destroyed
            | Self::Paused
            | Self::Error
            | Self::Unknown => false,
        }
    }

    /// True while the VM holds CPU and memory of a host, or may hold them.
    pub const fn holds_capacity(self) -> bool {
        match self {
            Self::Starting
            | Self::Running
            | Self::Stopping
            | Self::Rebooting
            | Self::Migrating
            | Self::Pausing
            | Self::Paused
            | Self::Resuming
            | Self::Unknown
            | Self::Destroying => true,
            Self::Created
            | Self::Stopped
            | Self::Destroyed
            | Self::Expunging
            | Self::VolumeMigrating
            | Self::Error => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vm_34_actions_of_each_state() {
        for (state, action, ok) in [
            (VmState::Running, VmAction::StopVmInstance, true),
            (VmState::Running, VmAction::StartVmInstance, false),
            (VmState::Stopped, VmAction::StartVmInstance, true),
            (VmState::Paused, VmAction::ResumeVmInstance, true),
            (VmState::Paused, VmAction::RebootVmInstance, false),
            (VmState::Destroyed, VmAction::RecoverVmInstance, true),
            (VmState::Unknown, VmAction::StartVmInstance, false),
        ] {
            assert_eq!(state.allows(action), ok, "{state} {action}");
        }
    }

    #[test]
    fn names_survive_the_round_trip() {
        for s in VmState::ALL {
            assert_eq!(s.as_str().parse::<VmState>().unwrap(), *s);
        }
        assert!("running".parse::<VmState>().is_err());
    }
}
