//! A VM that is new: what it shall be, and its rows.

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde::{Deserialize, Serialize};

use super::place::running_asks;
use super::{Goal, StartVm};
use crate::app::App;
use crate::compute::allocation;
use crate::compute::placement::Candidate;
use crate::compute::vm::model::VmRow;
use crate::identity::quota;
use crate::platform::tags;
use crate::{network, rows};

/// A NIC that a new VM gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewNic {
    /// Its uuid.
    pub nic: Id<kind::Nic>,
    /// Its network.
    pub l3: Id<kind::L3Network>,
    /// The address it must have.
    pub ip: Option<String>,
}

/// What a new VM shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewVm {
    /// Account that owns it.
    pub account: Id<kind::Account>,
    /// Name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Offering that it is made from.
    pub offering: Option<Id<kind::InstanceOffering>>,
    /// Virtual processors.
    pub cpu_num: i64,
    /// Memory in bytes.
    pub memory_size: i64,
    /// How a host is chosen.
    pub strategy: String,
    /// Image.
    pub image: Id<kind::Image>,
    /// Disk offering of the root volume.
    pub disk_offering: Option<Id<kind::DiskOffering>>,
    /// Size of the root volume in bytes.
    pub root_size: i64,
    /// Image is an ISO: the root volume is empty.
    pub from_iso: bool,
    /// Platform.
    pub platform: String,
    /// Root volume.
    pub root_volume: Id<kind::Volume>,
    /// NICs in order.
    pub nics: Vec<NewNic>,
    /// Network with the default route.
    pub default_l3: Id<kind::L3Network>,
    /// System tags to keep.
    pub system_tags: Vec<String>,
    /// User tags.
    pub user_tags: Vec<String>,
}

impl StartVm {
    pub(super) fn reserve_new(
        &mut self,
        app: &App,
        tx: &mut dyn Tx,
        new: &NewVm,
        run: Id<kind::Run>,
        is_plan: bool,
    ) -> Result<Option<Candidate>> {
        claim_all(tx, new)?;
        quota_for(app, tx, new, self.goal)?;
        // A uuid in use is refused here; the VM that has it is another's and stays untouched by the undo.
        rows::register(tx, "VmInstanceVO", self.vm, Some(new.account))?;
        self.is_recorded = true;
        insert_vm(tx, self.vm, new)?;
        for (device, nic) in (0..).zip(&new.nics) {
            network::nics::create(tx, self.vm, nic.l3, device, nic.ip.as_deref(), nic.nic)?;
        }
        tags::store(tx, "VmInstanceVO", self.vm, &new.system_tags, &new.user_tags)?;
        if new.from_iso {
            tags::set(tx, "VmInstanceVO", self.vm, "iso::", &new.image.to_string(), true)?;
        }
        if self.goal == Goal::Created {
            return Ok(None);
        }
        let vm = VmRow::load(tx, self.vm)?;
        self.take_place(app, tx, &vm, run, is_plan).map(Some)
    }
}

/// Everything that a new VM refers to must exist, be in use, and not be on its way out.
fn claim_all(tx: &mut dyn Tx, new: &NewVm) -> Result<()> {
    rows::claim(tx, "AccountVO", new.account)?;
    rows::claim(tx, "ImageVO", new.image)?;
    let image = tx.query_opt("SELECT name, state, status FROM image WHERE uuid = ?", params![new.image])?;
    let image = image.ok_or_else(|| Fault::not_found("ImageVO", new.image))?;
    let (state, status) = (image.text("state")?, image.text("status")?);
    if state != "Enabled" || status != "Ready" {
        let text =
            format!("image {:?} is {state} and {status}; it must be Enabled and Ready", image.text("name")?);
        return Err(Fault::operation(text).with("image", new.image.to_string()));
    }
    if let Some(offering) = new.offering {
        rows::claim(tx, "InstanceOfferingVO", offering)?;
        let (.., state) = allocation::offering(tx, offering)?;
        if state != "Enabled" {
            return Err(Fault::operation(format!(
                "instance offering {offering} is Disabled; enable it or choose another"
            )));
        }
    }
    if let Some(offering) = new.disk_offering {
        rows::claim(tx, "DiskOfferingVO", offering)?;
    }
    new.nics.iter().try_for_each(|n| rows::claim(tx, "L3NetworkVO", n.l3))
}

fn quota_for(app: &App, tx: &mut dyn Tx, new: &NewVm, goal: Goal) -> Result<()> {
    let mut asks = vec![("vm.totalNum", 1), ("volume.capacity", new.root_size)];
    if goal == Goal::Running {
        asks.extend(running_asks(new.cpu_num, new.memory_size));
    }
    quota::check_quickly(&app.sums, tx, new.account, &asks)
}

fn insert_vm(tx: &mut dyn Tx, vm: Id<kind::Vm>, new: &NewVm) -> Result<()> {
    let now = time::now_ms();
    let number = tx.query_int("SELECT coalesce(max(internal_id), 0) + 1 FROM vm_instance", params![])?;
    let sql = "INSERT INTO vm_instance (uuid, internal_id, name, description, image_uuid, instance_offering_uuid, root_volume_uuid,
               default_l3_network_uuid, platform, type, hypervisor_type, memory_size, cpu_num, allocator_strategy, state,
               state_ms, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'UserVm', 'KVM', ?, ?, ?, 'Created', ?, ?, ?)";
    tx.execute(
        sql,
        params![
            vm,
            number,
            &new.name,
            new.description.clone(),
            new.image,
            new.offering,
            new.root_volume,
            new.default_l3,
            &new.platform,
            new.memory_size,
            new.cpu_num,
            &new.strategy,
            now,
            now,
            now
        ],
    )?;
    rows::register(tx, "VolumeVO", new.root_volume, Some(new.account))?;
    let root_image = (!new.from_iso).then_some(new.image);
    let sql = "INSERT INTO volume (uuid, name, vm_instance_uuid, disk_offering_uuid, root_image_uuid, type, format, size, device_id,
               state, status, create_ms, last_op_ms) VALUES (?, ?, ?, ?, ?, 'Root', 'qcow2', ?, 0, 'Enabled', 'NotInstantiated', ?, ?)";
    let name = format!("ROOT-for-{}", new.name);
    tx.execute(
        sql,
        params![new.root_volume, name, vm, new.disk_offering, root_image, new.root_size, now, now],
    )?;
    Ok(())
}
