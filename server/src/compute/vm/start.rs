//! Starting a VM, a new one or one that is off. For a new one the first step also makes its rows, so that a failed creation
//! leaves nothing.

use cairn_api::agent::storage::{CreateVolume, DeleteVolume, VolumeFile};
use cairn_api::agent::vm::{PowerState, RemoveVm, StartVm as BootCommand, VmStarted};
use cairn_store::{Tx, params};
use cairn_types::state::VmState;
use cairn_types::{Fault, Id, Result, code, kind, time};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::model::VmRow;
use super::{spec, store, track};
use crate::agents::AgentCalls;
use crate::app::App;
use crate::compute::allocation;
use crate::compute::placement::{self, Ask, Candidate};
use crate::identity::quota;
use crate::platform::{departed, tags};
use crate::{inventory, network, rows, storage};

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

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Until it runs.
    Running,
    /// Volumes made, not started.
    Stopped,
    /// Only recorded.
    Created,
}

/// The workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartVm {
    /// The VM.
    pub vm: Id<kind::Vm>,
    /// Set for a new one.
    pub create: Option<NewVm>,
    /// How far to go.
    pub goal: Goal,
    /// Only this zone.
    pub zone: Option<Id<kind::Zone>>,
    /// Only this cluster.
    pub cluster: Option<Id<kind::Cluster>>,
    /// Only this host.
    pub wanted_host: Option<Id<kind::Host>>,
    /// Only this primary storage.
    pub wanted_storage: Option<Id<kind::PrimaryStorage>>,
    /// State to go back to.
    from: Option<VmState>,
    /// Where it goes.
    place: Option<Place>,
    started: Option<VmStarted>,
    file: Option<VolumeFile>,
    /// The rows of the new VM are of this run: only then may it take them away.
    is_recorded: bool,
    /// The host could not be asked whether it still runs the guest of a failed start.
    in_doubt: bool,
}

/// Where a VM goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    host: Id<kind::Host>,
    storage: Id<kind::PrimaryStorage>,
    storage_path: String,
    missing: Vec<Missing>,
    image: Option<Id<kind::Image>>,
    /// The image was in the host's cache when the volume over it was placed there, so that it stays.
    #[serde(default)]
    is_cached: bool,
    l3_networks: Vec<Id<kind::L3Network>>,
}

/// A volume that has to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Missing {
    volume: Id<kind::Volume>,
    r#type: String,
    size_bytes: i64,
    image: Option<Id<kind::Image>>,
}

/// Steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Claims everything, takes host, storage and addresses, and makes the rows of a new VM.
    Reserve,
    /// Brings the image to the host.
    CacheImage,
    /// Makes the volumes' files.
    MakeVolumes,
    /// The file of the root volume is there: notes it.
    NoteVolumes,
    /// Bridges, DHCP and metadata on the host.
    PrepareNetworks,
    /// Starts the guest.
    Boot,
    /// It runs: the end.
    Finish,
}

use Step::{Boot, CacheImage, Finish, MakeVolumes, NoteVolumes, PrepareNetworks, Reserve};

impl Workflow for StartVm {
    type Env = App;
    type Step = Step;
    const NAME: &'static str = "vm.start/1";
    const STEPS: &'static [Step] =
        &[Reserve, CacheImage, MakeVolumes, NoteVolumes, PrepareNetworks, Boot, Finish];

    fn about(&self) -> About {
        About::resource(self.vm, "VmInstanceVO")
    }

    async fn step(&mut self, cx: &mut Cx<App>, step: Step, dir: Dir) -> Result<()> {
        match (step, dir) {
            (Reserve, Dir::Do | Dir::Plan) => self.reserve(cx).await,
            (Reserve, Dir::Undo) => self.release(cx).await,

            (CacheImage, Dir::Do) => self.cache_image(cx).await,
            (CacheImage, Dir::Plan) => self.plan_image(cx).await,
            // A cached image is of use to others; the cache's own clean-up takes it.
            (CacheImage, Dir::Undo) => Ok(()),

            (MakeVolumes, Dir::Do) => self.make_volumes(cx).await,
            (MakeVolumes, Dir::Plan) => self.plan_volumes(cx),
            (MakeVolumes, Dir::Undo) => self.remove_volumes(cx).await,

            (NoteVolumes, Dir::Do) => self.note_volumes(cx).await,
            // Where the file lies, only the host can tell.
            (NoteVolumes, Dir::Plan) => cx.tx(self, |w, tx| w.plan_ready(tx)).await,
            // The rows go, or become uninstantiated again, with those of `Reserve`.
            (NoteVolumes, Dir::Undo) => Ok(()),

            (PrepareNetworks, Dir::Do) => self.prepare_networks(cx).await,
            (PrepareNetworks, Dir::Plan) => self.plan_networks(cx).await,
            // The leases go when `Reserve` is undone: until then the rows still name this host.
            (PrepareNetworks, Dir::Undo) => Ok(()),

            (Boot, Dir::Do) => self.boot(cx).await,
            (Boot, Dir::Plan) => self.plan_boot(cx),
            (Boot, Dir::Undo) => self.power_off(cx).await,

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
        let (code, verb) =
            if self.create.is_some() { (code::VM_CREATE, "created") } else { (code::VM_START, "started") };
        // What the caller did wrong keeps its own code.
        if [
            code::INVALID_ARGUMENT,
            code::RESOURCE_NOT_FOUND,
            code::QUOTA_EXCEEDING,
            code::RUN_CANCELLED,
            code::UUID_TAKEN,
        ]
        .contains(&cause.code.as_str())
        {
            return cause;
        }
        let text = format!("VM {} could not be {verb}: {}", self.vm, cause.details);
        let wrapped = Fault::new(code, text).with("vm", self.vm.to_string()).caused_by(cause);
        Fault { opaque: wrapped.cause.as_ref().and_then(|c| c.opaque.clone()), ..wrapped }
    }
}

impl StartVm {
    /// Starts a VM that is off.
    pub fn existing(vm: Id<kind::Vm>) -> Self {
        Self {
            vm,
            create: None,
            goal: Goal::Running,
            zone: None,
            cluster: None,
            wanted_host: None,
            wanted_storage: None,
            from: None,
            place: None,
            started: None,
            file: None,
            is_recorded: false,
            in_doubt: false,
        }
    }

    /// Makes a new VM.
    pub fn create(vm: Id<kind::Vm>, create: NewVm, goal: Goal) -> Self {
        Self { create: Some(create), goal, ..Self::existing(vm) }
    }

    async fn reserve(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (run, is_plan) = (cx.run(), cx.is_plan());
        let mut tries = 0;
        let chosen = loop {
            let app = cx.env().clone();
            // The image is most often there already, so the next thing that happens is that volumes are made.
            let reserve = cx.tx_opening(self, Some(MakeVolumes), move |w, tx| match w.create.clone() {
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

    fn reserve_new(
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

    fn reserve_existing(
        &mut self,
        app: &App,
        tx: &mut dyn Tx,
        run: Id<kind::Run>,
        is_plan: bool,
    ) -> Result<Option<Candidate>> {
        let vm = VmRow::load(tx, self.vm)?;
        vm.allow(cairn_types::state::VmAction::StartVmInstance)?;
        if let Some(owner) = rows::owner(tx, self.vm)? {
            quota::check_quickly(&app.sums, tx, owner, &running_asks(vm.cpu_num, vm.memory_size))?;
        }
        for l3 in store::l3_networks(tx, self.vm)? {
            rows::claim(tx, "L3NetworkVO", l3)?;
        }
        self.take_place(app, tx, &vm, run, is_plan).map(Some)
    }

    /// Chooses host and storage and writes both down, in the same transaction that looked.
    fn take_place(
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

    fn place(&self) -> Result<&Place> {
        self.place.as_ref().ok_or_else(|| Fault::internal("no host was reserved"))
    }

    /// Takes back host, storage and addresses; a new VM's rows go, an old one is again what it was.
    async fn release(&mut self, cx: &mut Cx<App>) -> Result<()> {
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

    async fn cache_image(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        match place.image.filter(|_| !place.is_cached) {
            Some(image) => storage::cache::ensure(cx, image, place.storage, place.host).await,
            None => Ok(()),
        }
    }

    async fn plan_image(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some((image, host)) = self.place.as_ref().and_then(|p| p.image.map(|i| (i, p.host))) else {
            return Ok(());
        };
        let sql = "SELECT 1 FROM image_cache WHERE image_uuid = ? AND host_uuid = ?";
        let there = cx.read(move |tx| tx.exists(sql, params![image, host])).await?;
        let text =
            if there { "use the image in the host's cache" } else { "copy the image to the host first" };
        cx.tell("CacheImage", text, "");
        Ok(())
    }

    async fn make_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        for Missing { volume, r#type, size_bytes, image } in &place.missing {
            let op = CreateVolume {
                storage_path: place.storage_path.clone(),
                volume: volume.to_string(),
                r#type: r#type.clone(),
                size_bytes: u64::try_from(*size_bytes).unwrap_or(0),
                image: image.map(|i| i.to_string()),
            };
            self.file = Some(cx.agent(place.host, &format!("create-{volume}"), &op).await?);
        }
        Ok(())
    }

    fn plan_volumes(&self, cx: &Cx<App>) -> Result<()> {
        for Missing { volume, r#type, size_bytes, .. } in self.place.iter().flat_map(|p| &p.missing) {
            let size = cairn_types::size::show_size(u64::try_from(*size_bytes).unwrap_or(0));
            cx.tell("MakeVolumes", format!("make {type} volume {volume} of {size}"), "");
        }
        Ok(())
    }

    async fn remove_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        for Missing { volume, r#type, .. } in &place.missing {
            let op = DeleteVolume {
                storage_path: place.storage_path.clone(),
                volume: volume.to_string(),
                r#type: r#type.clone(),
            };
            cx.agent_or_later(place.host, &format!("delete-{volume}"), &op).await?;
        }
        Ok(())
    }

    async fn note_volumes(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        cx.tx_opening(self, Some(PrepareNetworks), |w, tx| {
            let (Some(file), Some(place)) = (&w.file, &w.place) else { return Ok(()) };
            for Missing { volume, .. } in &place.missing {
                let sql = "UPDATE volume SET install_path = ?, format = ?, size = ?, actual_size = ?, status = 'Ready' WHERE uuid = ?";
                tx.execute(sql, params![&file.path, &file.format, file.size_bytes, file.actual_bytes, *volume])?;
                rows::changed(tx, "VolumeVO", *volume, &json!({ "status": "Ready" }))?;
            }
            Ok(())
        })
        .await
    }

    fn plan_ready(&self, tx: &mut dyn Tx) -> Result<()> {
        for Missing { volume, .. } in self.place.iter().flat_map(|p| &p.missing) {
            tx.execute("UPDATE volume SET status = 'Ready' WHERE uuid = ?", params![*volume])?;
            rows::changed(tx, "VolumeVO", *volume, &json!({ "status": "Ready" }))?;
        }
        Ok(())
    }

    async fn prepare_networks(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal != Goal::Running {
            return Ok(());
        }
        let host = self.place()?.host;
        network::apply::vm_networks(cx, self.vm, host).await
    }

    async fn plan_networks(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal == Goal::Running {
            cx.tell("PrepareNetworks", "prepare bridge, DHCP and metadata on the host", "");
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

    async fn boot(&mut self, cx: &mut Cx<App>) -> Result<()> {
        if self.goal != Goal::Running {
            return Ok(());
        }
        let (app, vm, host) = (cx.env().clone(), self.vm, self.place()?.host);
        let spec = cx.read(move |tx| spec::of_vm(&app, tx, vm, host)).await?;
        self.started = Some(cx.agent(host, "boot", &BootCommand { spec }).await?);
        Ok(())
    }

    fn plan_boot(&self, cx: &Cx<App>) -> Result<()> {
        if self.goal == Goal::Running {
            cx.tell("Boot", "start the guest", "");
        }
        Ok(())
    }

    async fn power_off(&mut self, cx: &mut Cx<App>) -> Result<()> {
        let (Some(place), true) = (self.place.clone(), self.goal == Goal::Running) else { return Ok(()) };
        let op = RemoveVm { vm: self.vm.to_string() };
        // Only a host that said so has certainly no guest of it.
        self.in_doubt = cx.agent_or_later(place.host, "remove", &op).await?.is_none();
        Ok(())
    }

    async fn finish(&mut self, cx: &mut Cx<App>) -> Result<()> {
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
            Ok(())
        })
        .await?;
        // While its volume was made it counted as a guest of the host, and whoever applied a network there gave it a lease.
        if let (Goal::Stopped, Some(place), false) = (self.goal, &self.place, cx.is_plan()) {
            network::apply::forget_guest(cx.env(), place.host, &place.l3_networks);
        }
        Ok(())
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

fn running_asks(cpu: i64, memory: i64) -> [(&'static str, i64); 3] {
    [("vm.num", 1), ("vm.cpuNum", cpu), ("vm.memorySize", memory)]
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

/// Removes every row of a VM: volumes, NICs, addresses, tags, the VM itself. Nothing is left if it never was.
pub fn remove_rows(tx: &mut dyn Tx, vm: Id<kind::Vm>) -> Result<()> {
    if VmRow::find(tx, vm)?.is_none() {
        return Ok(());
    }
    departed::keep(tx, vm)?;
    let row = VmRow::load(tx, vm)?;
    for volume in store::volumes(tx, vm)? {
        tx.execute("DELETE FROM local_storage_resource_ref WHERE resource_uuid = ?", params![volume.uuid])?;
        rows::remove_telling(tx, "VolumeVO", volume.uuid, json!({ "hostUuid": volume.host }))?;
    }
    network::nics::remove_all(tx, vm)?;
    rows::remove_telling(
        tx,
        "VmInstanceVO",
        vm,
        json!({ "hostUuid": row.host, "lastHostUuid": row.last_host }),
    )
}
