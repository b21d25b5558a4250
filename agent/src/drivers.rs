//! What the agent drives, as small traits: one real implementation of each here, simple ones in tests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cairn_api::agent::host::HostFacts;
use cairn_api::agent::image_store::{
    CloseDownload, DeleteImage, FetchImage, ImageFile, ImageStoreReady, ListImages, OpenDownload, OpenUpload,
    Opened, ReadImage,
};
use cairn_api::agent::network::{Applied, ApplyBridge, ApplyGuard, ApplyL3, RemoveBridge};
use cairn_api::agent::storage::{
    CacheImage, CachedImage, Capacity, CreateVolume, DeleteVolume, ListStorage, ReadVolume, StorageContent,
    UncacheImage, VolumeFile,
};
use cairn_api::agent::vm::{ConsoleAddress, Nic, PowerState, VmOnHost};
use cairn_types::{Fault, Result};
use tokio::sync::{broadcast, watch};

/// A future of a driver.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Told how far a command is: percent, and what is being done.
pub type OnProgress = Arc<dyn Fn(u8, &str) + Send + Sync>;

/// What an operation may say and hear while it runs.
#[derive(Clone)]
pub struct Call {
    cancelled: watch::Receiver<bool>,
    progress: OnProgress,
}

impl Call {
    /// A call that ends early when `cancelled` turns true and tells `progress` (0..=100) how far it is.
    pub fn new(cancelled: watch::Receiver<bool>, progress: OnProgress) -> Self {
        Self { cancelled, progress }
    }

    /// A call that nobody watches or cancels.
    pub fn silent() -> Self {
        Self { cancelled: watch::channel(false).1, progress: Arc::new(|_, _| ()) }
    }

    /// Tells how far the work is.
    pub fn progress(&self, percent: u8, text: &str) {
        (self.progress)(percent, text);
    }

    /// Whether the caller no longer waits.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until the caller no longer waits; never returns if that does not happen.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|c| *c).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The fault of a command that was cancelled.
pub fn cancelled() -> Fault {
    Fault::new(cairn_types::code::RUN_CANCELLED, "the command was cancelled")
}

/// A change of a domain that nobody may have asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The VM.
    pub vm: String,
    /// Its state now.
    pub state: PowerState,
    /// The hypervisor's reason, for logs.
    pub reason: String,
}

/// How a guest is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Through the guest agent, if it listens.
    GuestAgent,
    /// By the power button.
    PowerButton,
}

/// Runs VMs. Only domains with our mark are seen and touched.
pub trait Hypervisor: Send + Sync {
    /// Starts a domain.
    fn create<'a>(&'a self, vm: &'a str, xml: &'a str) -> Answer<'a, ()>;
    /// State of a VM; `Off` when there is no domain.
    fn state<'a>(&'a self, vm: &'a str) -> Answer<'a, PowerState>;
    /// All our domains.
    fn list(&self) -> Answer<'_, Vec<VmOnHost>>;
    /// Asks the guest to go; true when the wish was delivered.
    fn ask_to_stop<'a>(&'a self, vm: &'a str, how: Ask) -> Answer<'a, bool>;
    /// Powers off; a domain that is gone is a success.
    fn destroy<'a>(&'a self, vm: &'a str) -> Answer<'a, ()>;
    /// Presses the reset button.
    fn reset<'a>(&'a self, vm: &'a str) -> Answer<'a, ()>;
    /// Stops execution.
    fn suspend<'a>(&'a self, vm: &'a str) -> Answer<'a, ()>;
    /// Goes on.
    fn resume<'a>(&'a self, vm: &'a str) -> Answer<'a, ()>;
    /// Where its VNC server listens.
    fn console<'a>(&'a self, vm: &'a str) -> Answer<'a, ConsoleAddress>;
    /// Version of the hypervisor's management layer.
    fn version(&self) -> Answer<'_, String>;
    /// Changes of domains from now on.
    fn watch(&self) -> broadcast::Receiver<DomainEvent>;
    /// Why it cannot be reached now, if so.
    fn failing(&self) -> Option<Fault>;
}

/// Disks in folders of this host.
pub trait LocalStorage: Send + Sync {
    /// See [`cairn_api::agent::storage::ConnectLocalStorage`].
    fn connect<'a>(&'a self, path: &'a str) -> Answer<'a, Capacity>;
    /// See [`CacheImage`].
    fn cache_image(&self, args: CacheImage, call: Call) -> Answer<'_, CachedImage>;
    /// See [`UncacheImage`].
    fn uncache_image(&self, args: UncacheImage) -> Answer<'_, ()>;
    /// See [`CreateVolume`].
    fn create_volume(&self, args: CreateVolume) -> Answer<'_, VolumeFile>;
    /// See [`DeleteVolume`].
    fn delete_volume(&self, args: DeleteVolume) -> Answer<'_, ()>;
    /// See [`ReadVolume`].
    fn read_volume(&self, args: ReadVolume) -> Answer<'_, VolumeFile>;
    /// See [`ListStorage`].
    fn list(&self, args: ListStorage) -> Answer<'_, StorageContent>;
}

/// Bridges, services of L3 networks, and the guard at the guests' interfaces.
pub trait HostNetwork: Send + Sync {
    /// See [`ApplyBridge`].
    fn apply_bridge(&self, wanted: ApplyBridge) -> Answer<'_, Applied>;
    /// See [`RemoveBridge`].
    fn remove_bridge(&self, args: RemoveBridge) -> Answer<'_, ()>;
    /// See [`ApplyL3`].
    fn apply_l3(&self, wanted: ApplyL3) -> Answer<'_, Applied>;
    /// See [`ApplyGuard`].
    fn apply_guard(&self, wanted: ApplyGuard) -> Answer<'_, Applied>;
    /// See [`cairn_api::agent::network::RemoveL3`].
    fn remove_l3<'a>(&'a self, l3_network: &'a str) -> Answer<'a, ()>;
    /// Guards the interfaces of a VM from now on; must hold before the guest runs.
    fn guard_vm<'a>(&'a self, vm: &'a str, nics: &'a [Nic]) -> Answer<'a, ()>;
    /// Takes the guard of a VM away.
    fn release_vm<'a>(&'a self, vm: &'a str) -> Answer<'a, ()>;
}

/// Whole images with checksums, served over HTTP.
pub trait ImageStore: Send + Sync {
    /// See [`cairn_api::agent::image_store::ConnectImageStore`].
    fn connect<'a>(&'a self, target: &'a str, path: &'a str) -> Answer<'a, ImageStoreReady>;
    /// See [`FetchImage`].
    fn fetch(&self, args: FetchImage, call: Call) -> Answer<'_, ImageFile>;
    /// See [`OpenUpload`].
    fn open_upload<'a>(&'a self, target: &'a str, args: OpenUpload) -> Answer<'a, Opened>;
    /// See [`OpenDownload`].
    fn open_download(&self, args: OpenDownload) -> Answer<'_, Opened>;
    /// See [`CloseDownload`].
    fn close_download(&self, args: CloseDownload) -> Answer<'_, ()>;
    /// See [`DeleteImage`].
    fn delete(&self, args: DeleteImage) -> Answer<'_, ()>;
    /// See [`ReadImage`].
    fn read(&self, args: ReadImage, call: Call) -> Answer<'_, ImageFile>;
    /// See [`ListImages`].
    fn list(&self, args: ListImages) -> Answer<'_, Vec<String>>;
}

/// Reads what the host is.
pub trait FactReader: Send + Sync {
    /// Facts without the list of VMs.
    fn read<'a>(&'a self, hypervisor: &'a dyn Hypervisor) -> Answer<'a, HostFacts>;
}

/// Everything an operation may use.
#[derive(Clone)]
pub struct Drivers {
    /// VMs, on top of a [`Hypervisor`].
    pub vms: Arc<crate::vm::Vms>,
    /// Disks.
    pub storage: Arc<dyn LocalStorage>,
    /// Networks.
    pub network: Arc<dyn HostNetwork>,
    /// Images.
    pub images: Arc<dyn ImageStore>,
    /// Facts of the host.
    pub facts: Arc<dyn FactReader>,
}
