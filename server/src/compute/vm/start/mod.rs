//! Starting a VM, a new one or one that is off. For a new one the first step also makes its rows, so that a failed creation
//! leaves nothing.

mod boot;
mod new;
mod place;
mod volumes;

use cairn_api::agent::storage::VolumeFile;
use cairn_api::agent::vm::VmStarted;
use cairn_store::Tx;
use cairn_types::state::VmState;
use cairn_types::{Fault, Id, Result, code, kind};
use cairn_workflow::{About, Cx, Dir, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::new::{NewNic, NewVm};
use self::place::Place;
use crate::app::App;
use crate::inventory;

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
    /// Where it ran before.
    #[serde(default)]
    left: Option<Id<kind::Host>>,
    /// Where it goes.
    place: Option<Place>,
    started: Option<VmStarted>,
    file: Option<VolumeFile>,
    /// The rows of the new VM are of this run: only then may it take them away.
    is_recorded: bool,
    /// The host could not be asked whether it still runs the guest of a failed start.
    in_doubt: bool,
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
            left: None,
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
}
