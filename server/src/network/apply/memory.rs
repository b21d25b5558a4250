//! What hosts confirmed since they connected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_types::{Id, kind};

use super::wanted::Wanted;
use super::{Host, L2, L3};

/// One thing on a host that has a wanted state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thing {
    /// The bridge of an L2 network.
    Bridge(L2),
    /// DHCP and metadata of an L3 network.
    Services(L3),
    /// How strictly guests are guarded.
    Guard,
}

/// What a host confirmed about a thing.
#[derive(Default)]
pub struct Known(Option<(u64, Wanted)>);

impl Known {
    /// Whether the host confirmed this state since it connected.
    pub fn is(&self, era: u64, wanted: &Wanted) -> bool {
        self.0.as_ref().is_some_and(|(e, w)| *e == era && w == wanted)
    }

    /// Whether the host confirmed since it connected that the thing is not there.
    pub fn is_absent(&self, era: u64) -> bool {
        self.0.as_ref().is_some_and(|(e, w)| *e == era && matches!(w, Wanted::NoServices(_)))
    }

    /// Nothing is known.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// The host confirmed a state.
    pub fn set(&mut self, era: u64, wanted: Wanted) {
        self.0 = Some((era, wanted));
    }
}

/// One thing; whoever holds the lock may send commands about it.
pub type Slot = Arc<tokio::sync::Mutex<Known>>;

#[derive(Default)]
struct OfHost {
    era: u64,
    slots: HashMap<Thing, Slot>,
}

/// What all hosts confirmed. Belongs to the server.
#[derive(Default)]
pub struct Memory {
    hosts: Mutex<HashMap<Id<kind::Host>, OfHost>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<Host, OfHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of a thing on a host.
    pub fn slot(&self, host: Host, thing: Thing) -> Slot {
        self.lock().entry(host).or_default().slots.entry(thing).or_default().clone()
    }

    /// Forgets what the host confirmed about a thing, unless somebody has its lock: it will be sent again.
    pub fn drop_slot(&self, host: Host, thing: Thing) {
        let mut hosts = self.lock();
        let Some(of_host) = hosts.get_mut(&host) else { return };
        if of_host.slots.get(&thing).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            of_host.slots.remove(&thing);
        }
        // Nobody has a lock, so nothing that counts by its era is known.
        if of_host.slots.is_empty() {
            hosts.remove(&host);
        }
    }

    /// Whether the host confirmed this state of a thing since it connected, and nobody is about to change that.
    pub async fn is_confirmed(&self, host: Host, thing: Thing, wanted: &Wanted) -> bool {
        let slot = self.slot(host, thing);
        let known = slot.lock().await;
        known.is(self.era(host), wanted)
    }

    /// L3 networks that the host was told anything about.
    pub fn l3_networks(&self, host: Host) -> Vec<L3> {
        let of_thing = |thing: &Thing| match thing {
            Thing::Services(l3) => Some(*l3),
            Thing::Bridge(_) | Thing::Guard => None,
        };
        self.lock().get(&host).map_or_else(Vec::new, |h| h.slots.keys().filter_map(of_thing).collect())
    }

    /// Changes whenever the host connects; what was confirmed before counts no more.
    pub fn era(&self, host: Host) -> u64 {
        self.lock().get(&host).map_or(0, |h| h.era)
    }

    /// The host connected anew. The locks stay, since somebody may hold them.
    pub fn forget(&self, host: Host) {
        self.lock().entry(host).or_default().era += 1;
    }

    /// The host is gone for good.
    pub fn remove(&self, host: Host) {
        self.lock().remove(&host);
    }
}
