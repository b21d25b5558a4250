//! The row of a VM instance.

use cairn_store::{Row, Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, kind};

/// What workflows need to know of a VM.
#[derive(Debug, Clone)]
pub struct VmRow {
    /// The VM.
    pub uuid: Id<kind::Vm>,
    /// Name given by its user.
    pub name: String,
    /// State now.
    pub state: VmState,
    /// Why it is in that state, if there is more to say.
    pub state_reason: Option<String>,
    /// Run that holds a transitional state.
    pub run: Option<Id<kind::Run>>,
    /// Host on which it runs.
    pub host: Option<Id<kind::Host>>,
    /// Host on which it ran last.
    pub last_host: Option<Id<kind::Host>>,
    /// Zone.
    pub zone: Option<Id<kind::Zone>>,
    /// Virtual processors.
    pub cpu_num: i64,
    /// Memory in bytes.
    pub memory_size: i64,
    /// Image of the root volume.
    pub image: Option<Id<kind::Image>>,
    /// Root volume.
    pub root_volume: Option<Id<kind::Volume>>,
    /// Platform.
    pub platform: String,
    /// How a host is chosen.
    pub strategy: String,
    /// Network with the default route.
    pub default_l3: Option<Id<kind::L3Network>>,
}

impl VmRow {
    /// Reads a VM; `SYS.1003` if there is none.
    pub fn load(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Self> {
        Self::find(tx, vm)?.ok_or_else(|| Fault::not_found("VmInstanceVO", vm))
    }

    /// Reads a VM if there is one.
    pub fn find(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<Option<Self>> {
        tx.query_opt("SELECT * FROM vm_instance WHERE uuid = ?", params![vm])?
            .as_ref()
            .map(Self::read)
            .transpose()
    }

    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            uuid: row.id("uuid")?,
            name: row.text("name")?,
            state: row.parse("state")?,
            state_reason: row.opt_text("state_reason")?,
            run: row.opt_id("run_uuid")?,
            host: row.opt_id("host_uuid")?,
            last_host: row.opt_id("last_host_uuid")?,
            zone: row.opt_id("zone_uuid")?,
            cpu_num: row.int("cpu_num")?,
            memory_size: row.int("memory_size")?,
            image: row.opt_id("image_uuid")?,
            root_volume: row.opt_id("root_volume_uuid")?,
            platform: row.opt_text("platform")?.unwrap_or_else(|| "Linux".into()),
            strategy: row.opt_text("allocator_strategy")?.unwrap_or_default(),
            default_l3: row.opt_id("default_l3_network_uuid")?,
        })
    }

    /// Refuses an action that the state does not allow (VM-34), saying which states would.
    pub fn allow(&self, action: VmAction) -> Result<()> {
        self.state.require(self.uuid, action).map_err(|mut fault| {
            // What holds it may be stuck, and says what to do about it.
            if let Some(reason) = self.state_reason.as_deref().filter(|_| self.state.is_transitional()) {
                fault.details = format!("{}; {reason}", fault.details);
            }
            fault
        })
    }
}
