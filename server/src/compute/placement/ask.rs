//! What a VM needs, and what is the same for all candidates of one question.

use std::collections::BTreeSet;

use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};

use super::rows::u128s;
use crate::platform::settings::Settings;

/// What a VM needs.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Virtual processors.
    pub cpu_num: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Size of the volumes to make, in bytes; 0 if they exist.
    pub disk_bytes: i64,
    /// Image of the root volume.
    pub image: Option<Id<kind::Image>>,
    /// Networks that the host must reach.
    pub l3_networks: Vec<Id<kind::L3Network>>,
    /// Only this zone.
    pub zone: Option<Id<kind::Zone>>,
    /// Only this cluster.
    pub cluster: Option<Id<kind::Cluster>>,
    /// Only this host.
    pub host: Option<Id<kind::Host>>,
    /// Only this primary storage.
    pub storage: Option<Id<kind::PrimaryStorage>>,
    /// The volumes exist and lie on this host.
    pub volumes_on: Option<Id<kind::Host>>,
    /// Name of the strategy.
    pub strategy: String,
    /// Host on which it ran last.
    pub last_host: Option<Id<kind::Host>>,
    /// The VM, which decides where any of several hosts will do: a plan and the deed after it choose the same one.
    pub vm: Option<Id<kind::Vm>>,
}

/// By what the best of several hosts is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Any; a random one, so that hosts fill evenly.
    Any,
    /// The one with the fewest VMs, then the one with most free memory.
    LeastVms,
    /// The one with most free memory.
    MostFreeMemory,
}

impl Ask {
    /// How it wants to be placed where there is a choice.
    pub fn strategy(&self) -> Strategy {
        match self.strategy.as_str() {
            "LeastVmPreferredHostAllocatorStrategy" => Strategy::LeastVms,
            "MostFreeMemory" => Strategy::MostFreeMemory,
            _ => Strategy::Any,
        }
    }

    /// The host on which it ran last, if it shall be tried first.
    pub fn preferred(&self) -> Option<Id<kind::Host>> {
        self.last_host.filter(|_| self.strategy.starts_with("LastHost"))
    }
}

/// An image that a host must be able to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageNeed {
    /// The image.
    pub uuid: u128,
    /// What a copy takes, in bytes.
    pub bytes: i64,
    /// Zones in which a backup storage can give it.
    pub zones: BTreeSet<u128>,
}

/// A network that a host must reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNeed {
    /// Name of the L3 network.
    pub name: String,
    /// L2 network under it; none if the network is gone.
    pub l2: Option<u128>,
}

/// An [`Ask`] with what the rows say about image, networks and settings: all that judging a candidate takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Virtual processors.
    pub cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Size of the volumes to make, in bytes; 0 if they exist.
    pub disk: i64,
    /// What must stay free on the disks of a storage, in bytes.
    pub reserve: i64,
    /// Image of the root volume.
    pub image: Option<ImageNeed>,
    /// Networks.
    pub networks: Vec<NetworkNeed>,
    /// Which one is taken where any will do.
    pub seed: u64,
    /// Only this zone; others are no candidates.
    pub zone: Option<u128>,
    /// Only this cluster.
    pub cluster: Option<u128>,
    /// Only this host.
    pub host: Option<u128>,
    /// Only this primary storage; others are rejected.
    pub storage: Option<u128>,
    /// Only the host with the volumes; others are rejected.
    pub volumes_on: Option<u128>,
}

impl Need {
    /// Looks up what an ask refers to. Costs the same however many hosts there are.
    pub fn load(settings: &Settings, tx: &mut dyn Tx, ask: &Ask) -> Result<Self> {
        let reserve = settings.bytes("primaryStorage", "reservedCapacity");
        let mut need = Self {
            cpu: ask.cpu_num,
            memory: ask.memory_bytes,
            disk: ask.disk_bytes,
            reserve: i64::try_from(reserve).unwrap_or(i64::MAX),
            zone: ask.zone.map(Id::as_u128),
            cluster: ask.cluster.map(Id::as_u128),
            host: ask.host.map(Id::as_u128),
            storage: ask.storage.map(Id::as_u128),
            volumes_on: ask.volumes_on.map(Id::as_u128),
            seed: ask.vm.map_or(0, |vm| u64::try_from(vm.as_u128() & u128::from(u32::MAX)).unwrap_or(0)),
            ..Self::default()
        };
        if let Some(image) = ask.image {
            let sql = "SELECT DISTINCT z.zone_uuid AS zone FROM image_backup_storage_ref r
                       JOIN backup_storage b ON b.uuid = r.backup_storage_uuid
                       JOIN backup_storage_zone_ref z ON z.backup_storage_uuid = b.uuid
                       WHERE r.image_uuid = ? AND r.status = 'Ready' AND b.state = 'Enabled' AND b.status = 'Connected'";
            let zones = u128s(&tx.query(sql, params![image])?, "zone")?.into_iter().collect();
            let bytes = tx.query_int("SELECT actual_size FROM image WHERE uuid = ?", params![image])?;
            need.image = Some(ImageNeed { uuid: image.as_u128(), bytes, zones });
        }
        for l3 in &ask.l3_networks {
            let sql = "SELECT name, l2_network_uuid FROM l3_network WHERE uuid = ?";
            let row = tx.query_opt(sql, params![*l3])?;
            need.networks.push(match row {
                Some(row) => NetworkNeed {
                    name: row.text("name")?,
                    l2: row.opt_id::<kind::L2Network>("l2_network_uuid")?.map(Id::as_u128),
                },
                None => NetworkNeed { name: String::new(), l2: None },
            });
        }
        Ok(need)
    }

    /// What a volume and, where it is not there yet, the image take together.
    pub fn disk_with_image(&self, has_image: bool) -> i64 {
        self.disk.saturating_add(self.image_bytes(has_image))
    }

    /// What the image takes on a host that has it, or has it not.
    pub fn image_bytes(&self, has_image: bool) -> i64 {
        if has_image { 0 } else { self.image.as_ref().map_or(0, |i| i.bytes) }
    }

    /// Whether a backup storage of the zone can give the image, or none is needed.
    pub fn image_is_in(&self, zone: u128) -> bool {
        self.image.as_ref().is_none_or(|i| i.zones.contains(&zone))
    }
}

/// A named zone, cluster or host must be in use (states.json, Zone).
pub fn check_named(tx: &mut dyn Tx, ask: &Ask) -> Result<()> {
    let named = [
        ("zone", ask.zone.map(|i| i.to_string())),
        ("cluster", ask.cluster.map(|i| i.to_string())),
        ("host", ask.host.map(|i| i.to_string())),
    ];
    for (table, uuid) in named {
        let Some(uuid) = uuid else { continue };
        let row = tx.query_opt(&format!("SELECT name, state FROM {table} WHERE uuid = ?"), params![&uuid])?;
        let row = row.ok_or_else(|| Fault::not_found(table, &uuid))?;
        let (name, state) = (row.text("name")?, row.text("state")?);
        if state != "Enabled" {
            return Err(Fault::operation(format!(
                "{table} {name:?} is {state}; enable it or choose another"
            )));
        }
    }
    if let Some(host) = ask.host {
        let row = tx.query_opt("SELECT name, status FROM host WHERE uuid = ?", params![host])?;
        if let Some(row) = row
            && row.text("status")? != "Connected"
        {
            let text = format!(
                "host {:?} is {}; choose one that is Connected",
                row.text("name")?,
                row.text("status")?
            );
            return Err(Fault::operation(text));
        }
    }
    Ok(())
}
