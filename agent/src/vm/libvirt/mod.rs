//! [`Hypervisor`] by libvirt.
//!
//! Who knows what: libvirt knows what runs. `known` is only what was last told to the server; it is compared with a
//! fresh list after each connect, and the differences go out as events.

mod connection;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_api::agent::vm::{ConsoleAddress, PowerState, VmOnHost};
use cairn_types::{Fault, Result, code, id::is_uuid};
use tokio::sync::{Notify, broadcast, mpsc};
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use crate::drivers::{Answer, Ask, DomainEvent, Hypervisor};
use crate::vm::xml::MARK_URI;
use connection::{Connection, Heard, Shared};

/// How often domains are listed although nothing was heard.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// VMs by libvirt.
pub struct Libvirt {
    shared: Shared,
    lost: Arc<Notify>,
    opened: Notify,
    /// Domains with our mark and the state last told.
    known: Mutex<HashMap<String, PowerState>>,
    events: broadcast::Sender<DomainEvent>,
}

impl Libvirt {
    /// For these VMs, which ran when the agent last looked; those that are gone by now will be told as off.
    pub fn new(expected: impl IntoIterator<Item = String>) -> Arc<Self> {
        let known = expected.into_iter().map(|vm| (vm, PowerState::Running)).collect();
        Arc::new(Self {
            shared: Shared::default(),
            lost: Arc::default(),
            opened: Notify::new(),
            known: Mutex::new(known),
            events: broadcast::channel(1024).0,
        })
    }

    /// Connects to `uri` and stays connected from now on. Who wants to hear of every change watches before.
    pub fn connect(self: &Arc<Self>, uri: &str) {
        let (heard, hearing) = mpsc::unbounded_channel();
        tokio::spawn(connection::supervise(uri.to_owned(), self.shared.clone(), heard, self.lost.clone()));
        tokio::spawn(self.clone().listen(hearing));
        tokio::spawn(self.clone().look_again());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, PowerState>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a blocking call. A failure together with a dead connection means that libvirtd is gone.
    async fn call<T, F>(&self, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let connection = self.shared.connection()?;
        let (lost, used) = (self.lost.clone(), connection.clone());
        let work = tokio::task::spawn_blocking(move || {
            let result = run(&used);
            if result.is_err() && !used.get().is_alive().unwrap_or(false) {
                lost.notify_one();
                return Err(connection::unreachable_fault("the connection broke during the call"));
            }
            result
        });
        work.await
            .unwrap_or_else(|e| Err(Fault::internal("a call to libvirt ended by a panic").for_operator(e)))
    }

    /// Runs a blocking call on a domain of ours; `None` when there is none.
    async fn on_domain<T, F>(&self, vm: &str, run: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Domain) -> std::result::Result<T, Error> + Send + 'static,
    {
        let name = vm.to_owned();
        let ours = self.known().contains_key(vm);
        self.call(move |c| {
            let Some(domain) = lookup(c, &name)? else { return Ok(None) };
            if !ours && !is_marked(&domain) {
                return Err(Fault::new(
                    code::AGENT_HYPERVISOR,
                    format!("the domain {name} is not one of Cairn's"),
                ));
            }
            match run(&domain) {
                Ok(value) => Ok(Some(value)),
                Err(e) if e.code() == ErrorNumber::NoDomain => Ok(None),
                Err(e) => Err(text::fault(&name, &e)),
            }
        })
        .await
    }

    /// As [`Self::on_domain`]; a domain that is not there is a fault.
    async fn must<T, F>(&self, vm: &str, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Domain) -> std::result::Result<T, Error> + Send + 'static,
    {
        let missing =
            || Fault::new(code::VM_NOT_IN_STATE, format!("VM {vm} does not run on the host")).with("vm", vm);
        self.on_domain(vm, run).await?.ok_or_else(missing)
    }

    /// Lists the domains with our mark and tells what changed since the last time.
    async fn relist(&self) {
        let listed = match self.list_marked().await {
            Ok(listed) => listed,
            Err(e) => return tracing::warn!(operator = e.operator, "domains could not be listed: {e}"),
        };
        let listed: HashMap<String, PowerState> = listed.into_iter().map(|v| (v.vm, v.state)).collect();
        let known = self.known().clone();
        let is_news = |vm: &&String| listed.get(*vm) != known.get(*vm);
        let news: BTreeSet<&String> = listed.keys().chain(known.keys()).filter(is_news).collect();
        for vm in news {
            // The list is a moment old, and a VM may have been started since.
            if let Ok(state) = self.state(vm).await {
                self.tell(vm.clone(), state, "seen in the list of domains");
            }
        }
    }

    /// Looks again now and then. A libvirtd that has just started goes on listing a domain whose emulator ended while it
    /// was away, and drops it later without an event.
    async fn look_again(self: Arc<Self>) {
        loop {
            for pause in [1, 2, 4, 8] {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                self.relist_if_connected().await;
            }
            while tokio::time::timeout(LOOK_EVERY, self.opened.notified()).await.is_err() {
                self.relist_if_connected().await;
            }
        }
    }

    async fn relist_if_connected(&self) {
        if self.shared.connection().is_ok() {
            self.relist().await;
        }
    }

    async fn list_marked(&self) -> Result<Vec<VmOnHost>> {
        let known: Vec<String> = self.known().keys().cloned().collect();
        self.call(move |c| {
            let domains = c.get().list_all_domains(0).map_err(|e| text::fault("", &e))?;
            let mut ours = Vec::new();
            for domain in &domains {
                let Ok(vm) = domain.get_name() else { continue };
                if !is_uuid(&vm) || (!known.contains(&vm) && !is_marked(domain)) {
                    continue;
                }
                // One that ends between list and look is off.
                let state = domain.get_state().map_or(PowerState::Off, |(s, _)| text::power_state(s));
                ours.push(VmOnHost { vm, state });
            }
            Ok(ours)
        })
        .await
    }

    /// Remembers a state and tells it, if it is news.
    fn tell(&self, vm: String, state: PowerState, reason: &str) {
        let old = match state {
            PowerState::Off => self.known().remove(&vm),
            PowerState::Running | PowerState::Paused => self.known().insert(vm.clone(), state),
        };
        let news = old != Some(state) && (old.is_some() || state != PowerState::Off);
        if news {
            let _ = self.events.send(DomainEvent { vm, state, reason: reason.to_owned() });
        }
    }

    async fn listen(self: Arc<Self>, mut hearing: mpsc::UnboundedReceiver<Heard>) {
        while let Some(heard) = hearing.recv().await {
            match heard {
                Heard::Opened => {
                    self.relist().await;
                    self.opened.notify_one();
                }
                Heard::Closed => self.lost.notify_one(),
                Heard::Domain(name, event, detail) if is_uuid(&name) => self.heard(name, event, detail).await,
                Heard::Domain(..) => (),
            }
        }
    }

    async fn heard(&self, vm: String, event: i32, detail: i32) {
        let Some((state, reason)) = text::event(event, detail) else { return };
        if !self.known().contains_key(&vm) {
            // A domain that somebody else started, or ours from before a restart: only our mark counts.
            let name = vm.clone();
            let marked = self.call(move |c| Ok(lookup(c, &name)?.is_some_and(|d| is_marked(&d)))).await;
            if !matches!(marked, Ok(true)) {
                return;
            }
        }
        self.tell(vm, state, &reason);
    }
}

fn lookup(c: &Connection, name: &str) -> Result<Option<Domain>> {
    match Domain::lookup_by_name(c.get(), name) {
        Ok(domain) => Ok(Some(domain)),
        Err(e) if e.code() == ErrorNumber::NoDomain => Ok(None),
        Err(e) => Err(text::fault(name, &e)),
    }
}

fn is_marked(domain: &Domain) -> bool {
    let element = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(2);
    domain.get_metadata(element, Some(MARK_URI), 0).is_ok()
}

impl Hypervisor for Libvirt {
    fn create<'a>(&'a self, vm: &'a str, xml: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (name, xml) = (vm.to_owned(), xml.to_owned());
            // Known before it exists, so that its first event is not missed.
            self.known().insert(vm.to_owned(), PowerState::Off);
            let created = self
                .call(move |c| {
                    Domain::create_xml(c.get(), &xml, 0).map(drop).map_err(|e| text::fault(&name, &e))
                })
                .await;
            if created.is_err() {
                self.known().remove(vm);
            }
            created
        })
    }

    fn state<'a>(&'a self, vm: &'a str) -> Answer<'a, PowerState> {
        Box::pin(async move {
            let state = self.on_domain(vm, |d| d.get_state().map(|(s, _)| text::power_state(s))).await?;
            Ok(state.unwrap_or(PowerState::Off))
        })
    }

    fn list(&self) -> Answer<'_, Vec<VmOnHost>> {
        Box::pin(self.list_marked())
    }

    fn ask_to_stop<'a>(&'a self, vm: &'a str, how: Ask) -> Answer<'a, bool> {
        let flag = match how {
            Ask::GuestAgent => sys::VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
            Ask::PowerButton => sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
        };
        Box::pin(async move {
            let asked = self
                .on_domain(vm, move |d| {
                    // Without a listener libvirt would wait for its own time limit.
                    if how == Ask::GuestAgent && !text::agent_listens(&d.get_xml_desc(0)?) {
                        return Ok(false);
                    }
                    d.shutdown_flags(flag).map(|_| true)
                })
                .await?;
            Ok(asked.unwrap_or(false))
        })
    }

    fn destroy<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.on_domain(vm, Domain::destroy).await.map(drop) })
    }

    fn reset<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.must(vm, Domain::reset).await.map(drop) })
    }

    fn suspend<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.must(vm, Domain::suspend).await.map(drop) })
    }

    fn resume<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.must(vm, Domain::resume).await.map(drop) })
    }

    fn console<'a>(&'a self, vm: &'a str) -> Answer<'a, ConsoleAddress> {
        Box::pin(async move {
            let xml = self.must(vm, |d| d.get_xml_desc(0)).await?;
            text::vnc_address(&xml).ok_or_else(|| {
                Fault::new(code::AGENT_HYPERVISOR, format!("VM {vm} has no console")).with("vm", vm)
            })
        })
    }

    fn version(&self) -> Answer<'_, String> {
        Box::pin(self.call(|c| {
            let n = c.get().get_lib_version().map_err(|e| text::fault("", &e))?;
            Ok(format!("{}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000))
        }))
    }

    fn watch(&self) -> broadcast::Receiver<DomainEvent> {
        self.events.subscribe()
    }

    fn failing(&self) -> Option<Fault> {
        self.shared.failing()
    }
}
