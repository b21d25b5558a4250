//! Where a VM goes: host, storage and addresses are taken here, and given back when the start fails.

use cairn_store::{Tx, params};
use cairn_types::state::{VmAction, VmState};
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::Cx;
use serde::{Deserialize, Serialize};

use super::{StartVm, Step};
use crate::app::App;
use crate::compute::allocation;
use crate::compute::placement::{self, Ask, Candidate};
use crate::compute::vm::model::VmRow;
use crate::compute::vm::store::{self, remove_rows};
use crate::compute::vm::track;
use crate::identity::quota;
use crate::platform::tags;
use crate::{network, rows, storage};

/// Where a VM goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) host: Id<kind::Host>,
    pub(super) storage: Id<kind::PrimaryStorage>,
    pub(super) storage_path: String,
    pub(super) missing: Vec<Missing>,
    pub(super) image: Option<Id<kind::Image>>,
    /// The image was in the host's cache when the volume over it was placed there, so that it stays.
    #[serde(default)]
    pub(super) is_cached: bool,
    pub(super) l3_networks: Vec<Id<kind::L3Network>>,
}

/// A volume that has to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Missing {
    pub(super) volume: Id<kind::Volume>,
    pub(super) r#type: String,
    pub(super) size_bytes: i64,
    pub(super) image: Option<Id<kind::Image>>,
}

impl StartVm {
    pub(super) async fn reserve(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (run, is_plan) = (cx.run(), cx.is_plan());
        let mut tries = 0;
        let chosen = loop {
            let app = cx.env().clone();
            // The image is most often there already, so the next thing that happens is that volumes are made.
            let reserve = cx.tx_opening(self, Some(Step::MakeVolumes), move |w, tx| match w.create.clone() {
                Some(new) => w.reserve_new(&app, tx, &new, run, is_plan),
                None => w.reserve_existing(&app, tx, run, is_plan),
            });
            match reserve.await {
                // Who fits can't be said until the index of hosts is what the rows say. A plan holds up writers meanwhile.
                Err(f) if f.has_code(code::NOT_READY) && tries < 3 && !is_plan => {
                    tries += 1;
                    cx.env().placement.ready().await?;
                }
                done => break done?,
            }
        };
        if let Some(c) = chosen {
            let why = "it has the processors, memory, disk and networks that are needed";
            let storage = c.storage.map_or_else(String::new, |s| format!(" with primary storage {s}"));
            cx.tell("Reserve", format!("run on host {:?}{storage}", c.host_name), why);
            cx.fact("hostUuid", c.host.to_string());
            cx.fact("clusterUuid", c.cluster.to_string());
            cx.fact("zoneUuid", c.zone.to_string());
            cx.fact("primaryStorageUuid", c.storage.map(|s| s.to_string()));
        }
        if cx.is_plan() {
            self.plan_addresses(cx).await?;
        }
        Ok(())
    }

    fn reserve_existing(
        &mut self,
        app: &App,
        tx: &mut dyn Tx,
        run: Id<kind::Run>,
        is_plan: bool,
    ) -> Result<Option<Candidate>> {
        let vm = VmRow::load(tx, self.vm)?;
        vm.allow(VmAction::StartVmInstance)?;
        if let Some(owner) = rows::owner(tx, self.vm)? {
            quota::check_quickly(&app.sums, tx, owner, &running_asks(vm.cpu_num, vm.memory_size))?;
        }
        for l3 in store::l3_networks(tx, self.vm)? {
            rows::claim(tx, "L3NetworkVO", l3)?;
        }
        self.take_place(app, tx, &vm, run, is_plan).map(Some)
    }

    /// Chooses host and storage and writes both down, in the same transaction that looked.
    pub(super) fn take_place(
        &mut self,
        app: &App,
        tx: &mut dyn Tx,
        vm: &VmRow,
        run: Id<kind::Run>,
        is_plan: bool,
    ) -> Result<Candidate> {
        let mut ask = allocation::of_existing(tx, self.vm)?;
        ask.zone = self.zone.or(ask.zone);
        ask.cluster = self.cluster.filter(|_| self.wanted_host.is_none());
        ask.host = self.wanted_host;
        ask.storage = self.wanted_storage.or(ask.storage);
        placement::check_named(tx, &Ask { zone: self.zone, ..ask.clone() })?;
        let chosen = placement::choose(app, tx, &ask, is_plan)?;
        let storage = chosen.storage.ok_or_else(|| Fault::internal("a host without storage was chosen"))?;
        for (entity, uuid) in [
            ("HostVO", chosen.host.cast::<kind::AnyResource>()),
            ("ClusterVO", chosen.cluster.cast()),
            ("ZoneVO", chosen.zone.cast()),
            ("PrimaryStorageVO", storage.cast()),
        ] {
            rows::claim(tx, entity, uuid)?;
        }
        self.from = Some(vm.state);
        self.left = vm.last_host.filter(|left| *left != chosen.host);
        let seat = store::Seat { host: chosen.host, cluster: chosen.cluster, zone: chosen.zone };
        store::hold_on(tx, vm, seat, run)?;
        let mut missing = Vec::new();
        for volume in store::volumes(tx, self.vm)? {
            if volume.install_path.is_none() {
                place_volume(tx, &volume, storage, chosen.host)?;
                let image = ask.image.filter(|_| volume.r#type == "Root" && !self.is_from_iso(tx));
                missing.push(Missing {
                    volume: volume.uuid,
                    r#type: volume.r#type,
                    size_bytes: volume.size,
                    image,
                });
            }
        }
        let image = ask.image.filter(|_| !missing.is_empty());
        let is_cached = match image {
            Some(image) => storage::cache::is_at_hand(tx, image, storage, chosen.host)?,
            None => false,
        };
        self.place = Some(Place {
            host: chosen.host,
            storage,
            storage_path: chosen.storage_path.clone(),
            image,
            is_cached,
            missing,
            l3_networks: store::l3_networks(tx, self.vm)?,
        });
        Ok(chosen)
    }

    fn is_from_iso(&self, tx: &mut dyn Tx) -> bool {
        tags::get(tx, self.vm, "iso::").ok().flatten().is_some()
    }

    pub(super) fn place(&self) -> Result<&Place> {
        self.place.as_ref().ok_or_else(|| Fault::internal("no host was reserved"))
    }

    /// Takes back host, storage and addresses; a new VM's rows go, an old one is again what it was.
    pub(super) async fn release(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let run = cx.run();
        let in_doubt = self.in_doubt;
        cx.tx(self, move |w, tx| {
            if w.create.is_some() {
                return if w.is_recorded { remove_rows(tx, w.vm) } else { Ok(()) };
            }
            let Some(from) = w.from else { return Ok(()) };
            let to = if in_doubt { VmState::Unknown } else { from };
            if store::release(tx, w.vm, run, to, Some("its start failed"))? && to != VmState::Unknown {
                let sql = "UPDATE vm_instance SET host_uuid = NULL WHERE uuid = ? AND state = ?";
                tx.execute(sql, params![w.vm, to])?;
            }
            for Missing { volume, .. } in w.place.iter().flat_map(|p| &p.missing) {
                unplace_volume(tx, *volume)?;
            }
            Ok(())
        })
        .await?;
        let Some(place) = &self.place else { return Ok(()) };
        network::apply::refresh(cx.env(), place.host, place.l3_networks.clone());
        if in_doubt {
            track::look_again(cx.env(), place.host, self.vm);
        }
        Ok(())
    }

    async fn plan_addresses(&self, cx: &mut Cx<App>) -> Result<()> {
        let vm = self.vm;
        // Which address is free may have changed by the time of the deed.
        let picked: Vec<String> = self
            .create
            .iter()
            .flat_map(|new| &new.nics)
            .filter(|n| n.ip.is_none())
            .map(|n| n.nic.to_string())
            .collect();
        let sql =
            "SELECT n.uuid, n.ip, n.mac, l.name FROM vm_nic n JOIN l3_network l ON l.uuid = n.l3_network_uuid
                   WHERE n.vm_instance_uuid = ? ORDER BY n.device_id";
        let nics = cx.read(move |tx| tx.query(sql, params![vm])).await?;
        let mut addresses = Vec::new();
        for nic in &nics {
            let (ip, network) =
                (nic.opt_text("ip")?.unwrap_or_else(|| "no address".into()), nic.text("name")?);
            let such = if picked.contains(&nic.text("uuid")?) { "a free address, such as " } else { "" };
            cx.tell("Reserve", format!("a NIC on network {network:?} with {such}{ip}"), "");
            addresses.push(ip);
        }
        cx.fact("addresses", addresses);
        Ok(())
    }
}

pub(super) fn running_asks(cpu: i64, memory: i64) -> [(&'static str, i64); 3] {
    [("vm.num", 1), ("vm.cpuNum", cpu), ("vm.memorySize", memory)]
}

fn place_volume(
    tx: &mut dyn Tx,
    volume: &store::VolumeRow,
    storage: Id<kind::PrimaryStorage>,
    host: Id<kind::Host>,
) -> Result<()> {
    let now = time::now_ms();
    let sql = "UPDATE volume SET primary_storage_uuid = ?, status = 'Creating' WHERE uuid = ?";
    tx.execute(sql, params![storage, volume.uuid])?;
    let local = "SELECT 1 FROM local_storage_host_ref WHERE primary_storage_uuid = ? AND host_uuid = ?";
    if tx.exists(local, params![storage, host])? {
        tx.execute("DELETE FROM local_storage_resource_ref WHERE resource_uuid = ?", params![volume.uuid])?;
        let sql = "INSERT INTO local_storage_resource_ref (resource_uuid, primary_storage_uuid, host_uuid, resource_type, size,
                   create_ms, last_op_ms) VALUES (?, ?, ?, 'VolumeVO', ?, ?, ?)";
        tx.execute(sql, params![volume.uuid, storage, host, volume.size, now, now])?;
    }
    Ok(())
}

fn unplace_volume(tx: &mut dyn Tx, volume: Id<kind::Volume>) -> Result<()> {
    tx.execute("DELETE FROM local_storage_resource_ref WHERE resource_uuid = ?", params![volume])?;
    let sql = "UPDATE volume SET primary_storage_uuid = NULL, install_path = NULL, status = 'NotInstantiated' WHERE uuid = ?";
    tx.execute(sql, params![volume])?;
    Ok(())
}
