//! A hypervisor in memory, for tests.

use std::collections::HashMap;
use std::sync::Mutex;

use cairn_api::agent::vm::{ConsoleAddress, PowerState, VmOnHost};
use cairn_types::{Fault, code};
use tokio::sync::broadcast;

use crate::drivers::{Answer, Ask, DomainEvent, Hypervisor};

/// A hypervisor in memory.
pub struct Fake {
    domains: Mutex<HashMap<String, PowerState>>,
    /// What was asked.
    pub log: Mutex<Vec<String>>,
    events: broadcast::Sender<DomainEvent>,
    /// The guest goes when it is asked in this way.
    pub obeys: Option<Ask>,
    /// Starts fail.
    pub refuses_start: bool,
}

impl Fake {
    /// Without domains.
    pub fn new(obeys: Option<Ask>) -> Self {
        Self {
            domains: Mutex::default(),
            log: Mutex::default(),
            events: broadcast::channel(16).0,
            obeys,
            refuses_start: false,
        }
    }

    fn did(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    /// The domain ends.
    pub fn off(&self, vm: &str) {
        self.domains.lock().unwrap().remove(vm);
        let _ =
            self.events.send(DomainEvent { vm: vm.into(), state: PowerState::Off, reason: String::new() });
    }
}

impl Hypervisor for Fake {
    fn create<'a>(&'a self, vm: &'a str, _xml: &'a str) -> Answer<'a, ()> {
        self.did("create".into());
        Box::pin(async move {
            if self.refuses_start {
                return Err(Fault::new(code::AGENT_HYPERVISOR, "no"));
            }
            self.domains.lock().unwrap().insert(vm.into(), PowerState::Running);
            Ok(())
        })
    }
    fn state<'a>(&'a self, vm: &'a str) -> Answer<'a, PowerState> {
        let state = self.domains.lock().unwrap().get(vm).copied().unwrap_or(PowerState::Off);
        Box::pin(async move { Ok(state) })
    }
    fn list(&self) -> Answer<'_, Vec<VmOnHost>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn ask_to_stop<'a>(&'a self, vm: &'a str, how: Ask) -> Answer<'a, bool> {
        self.did(format!("{how:?}"));
        Box::pin(async move {
            if self.obeys == Some(how) {
                self.off(vm);
            }
            Ok(self.obeys == Some(how) || how == Ask::PowerButton)
        })
    }
    fn destroy<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        self.did("destroy".into());
        Box::pin(async move {
            self.off(vm);
            Ok(())
        })
    }
    fn reset<'a>(&'a self, _vm: &'a str) -> Answer<'a, ()> {
        self.did("reset".into());
        Box::pin(async { Ok(()) })
    }
    fn suspend<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        self.domains.lock().unwrap().insert(vm.into(), PowerState::Paused);
        Box::pin(async { Ok(()) })
    }
    fn resume<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        self.domains.lock().unwrap().insert(vm.into(), PowerState::Running);
        Box::pin(async { Ok(()) })
    }
    fn console<'a>(&'a self, _vm: &'a str) -> Answer<'a, ConsoleAddress> {
        Box::pin(async { Ok(ConsoleAddress { address: "10.99.0.1".into(), port: 5900 }) })
    }
    fn version(&self) -> Answer<'_, String> {
        Box::pin(async { Ok("9.0.0".into()) })
    }
    fn watch(&self) -> broadcast::Receiver<DomainEvent> {
        self.events.subscribe()
    }
    fn failing(&self) -> Option<Fault> {
        None
    }
}
