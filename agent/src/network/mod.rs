//! Networks of the host as desired state: bridges, services of L3 networks, and the guard at the guests' interfaces.
//!
//! The wanted state of everything is kept, so that a restarted agent makes it again, whatever is left of it. Devices,
//! rules and DHCP servers outlive the agent; only the metadata services pause while it is away.

mod bridge;
pub mod dnsmasq;
mod l3;
pub mod links;
mod metadata;
mod netns;
pub mod nft;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use cairn_api::agent::network::{Applied, ApplyBridge, ApplyGuard, ApplyL3, Lease, RemoveBridge};
use cairn_api::agent::vm::Nic;
use cairn_types::{Result, code};
use tokio::sync::Mutex;

use crate::drivers::{Answer, HostNetwork};
use crate::process::io_fault;
use crate::state::{Shelf, hash_of};
use l3::L3;

/// Where guests ask for metadata.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Name of the leg of a network's services inside its namespace.
pub const SERVICE_DEVICE: &str = "svc0";
/// Smallest MTU of our own devices. Below it the kernel takes IPv6 from a device, and with it our word that the device has no
/// link-local address. Guests are told the MTU of their network all the same.
pub const SMALLEST_MTU: u32 = 1280;
/// Pause between two looks at what is there.
const REPAIR_PAUSE: Duration = Duration::from_secs(15);
/// How the legs on the bridge begin.
pub const VETH_PREFIX: &str = "cv";

/// An IPv4 address with the length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    /// The address.
    pub address: Ipv4Addr,
    /// 1..=32.
    pub prefix: u8,
}

impl Subnet {
    /// Reads `10.0.0.2/24`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|p| (1..=32).contains(p))?;
        Some(Self { address: address.parse().ok()?, prefix })
    }

    /// The network of a lease.
    pub fn of_lease(lease: &Lease) -> Option<Self> {
        let address = lease.ip.parse().ok()?;
        (1..=32).contains(&lease.prefix).then(|| Self { address, prefix: lease.prefix }.network())
    }

    /// The network's own address.
    #[must_use]
    pub fn network(self) -> Self {
        Self {
            address: Ipv4Addr::from(u32::from(self.address) & u32::from(self.mask())),
            prefix: self.prefix,
        }
    }

    /// The mask with dots.
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether a text can be the name of a network interface and nothing else.
pub fn is_device_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=15).contains(&name.len()) && name.chars().all(fits) && !name.starts_with(['-', '.'])
}

/// Whether an interface is the leg of an L3 network's services on its bridge.
fn is_service_veth(name: &str) -> bool {
    name.strip_prefix(VETH_PREFIX).is_some_and(|n| n.len() == 10 && n.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Whether a text is a hardware address of one station, in lower case.
pub fn is_mac(mac: &str) -> bool {
    let bytes: Vec<&str> = mac.split(':').collect();
    let hex = |b: &&str| b.len() == 2 && b.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    let single = |first: &str| u8::from_str_radix(first, 16).is_ok_and(|b| b & 1 == 0);
    bytes.len() == 6 && bytes.iter().all(hex) && single(bytes[0])
}

/// The host's network.
pub struct LinuxNetwork {
    bridges: Shelf,
    networks: Shelf,
    guard: Shelf,
    live: Mutex<Live>,
}

/// Key of the guard's wanted state on its shelf.
const GUARD: &str = "guard";

#[derive(Default)]
struct Live {
    guests: BTreeMap<String, Vec<Nic>>,
    /// What holds for all guests, whatever they were started with; none: a server that does not say.
    guard: Option<ApplyGuard>,
    bridges: BTreeMap<String, ApplyBridge>,
    wanted: BTreeMap<String, ApplyL3>,
    services: HashMap<String, L3>,
    /// The ruleset that was loaded last.
    loaded: String,
    /// How the kernel showed it then; what it shows later must be the same.
    listed: String,
}

impl Live {
    fn ruleset(&self) -> String {
        let mut nics: Vec<Nic> = self.guests.values().flatten().cloned().collect();
        if let Some(guard) = self.guard {
            nics.iter_mut().for_each(|nic| nic.anti_spoofing = guard.anti_spoofing);
        }
        let service = |l3: &ApplyL3| {
            let uplink = self.bridges.values().find(|b| b.bridge == l3.bridge).map(|b| b.uplink.clone());
            let address = Subnet::parse(&l3.service_address)?.address;
            let port = l3::port_of(&l3.l3_network);
            Some(nft::Service { bridge: l3.bridge.clone(), port, uplink, address, dhcp: l3.dhcp })
        };
        let mut services: Vec<_> = self.wanted.values().filter_map(service).collect();
        services.sort();
        nft::ruleset(&nics, &services)
    }

    /// Loads the rules. `always`: also if nothing changed since the last time, in case somebody else touched them.
    async fn load(&mut self, always: bool) -> Result<()> {
        let ruleset = self.ruleset();
        if always || ruleset != self.loaded {
            nft::load(&ruleset).await?;
            self.loaded = ruleset;
            self.listed = nft::listed().await;
        }
        Ok(())
    }

    /// Makes again what somebody took away or changed: rules, bridges, devices, DHCP servers.
    async fn repair(&mut self) {
        if !self.loaded.is_empty() && nft::listed().await != self.listed {
            tracing::warn!(
                "the guard at the guests' interfaces was changed from outside; it is loaded again"
            );
            note(self.load(true).await);
        }
        for wanted in self.bridges.clone().into_values() {
            note(bridge::apply(&wanted).await);
        }
        for wanted in self.wanted.clone().into_values() {
            note(apply_services(self, &wanted).await);
        }
    }
}

impl LinuxNetwork {
    /// With the wanted state that an earlier process kept; nothing is touched yet.
    pub fn open(state: &Path) -> io::Result<Self> {
        let (bridges, networks) = (Shelf::new(state, "bridges")?, Shelf::new(state, "l3")?);
        let guard = Shelf::new(state, "guard")?;
        let live = Live {
            guard: guard.get(GUARD),
            bridges: bridges.all().into_iter().collect(),
            wanted: networks.all().into_iter().collect(),
            ..Live::default()
        };
        Ok(Self { bridges, networks, guard, live: Mutex::new(live) })
    }

    /// Makes what an earlier process kept: first the guard, then bridges, then services. Failures are logged; the
    /// server applies everything again when it connects.
    pub async fn restore(&self, guests: Vec<(String, Vec<Nic>)>) {
        let mut live = self.live.lock().await;
        live.guests = guests.into_iter().collect();
        let nothing = live.guests.is_empty() && live.bridges.is_empty() && live.wanted.is_empty();
        if nothing {
            return;
        }
        note(live.load(true).await);
        live.repair().await;
    }

    /// Compares what is there with what is wanted again and again, and repairs it. Never returns.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(REPAIR_PAUSE).await;
            self.live.lock().await.repair().await;
        }
    }

    /// Removes everything that was ever made here: services, guard, bridges.
    pub async fn purge(&self) -> Result<()> {
        let (networks, bridges) = {
            let live = self.live.lock().await;
            (
                live.wanted.keys().cloned().collect::<Vec<_>>(),
                live.bridges.values().cloned().collect::<Vec<_>>(),
            )
        };
        for l3_network in networks {
            self.remove_l3(&l3_network).await?;
        }
        for b in bridges {
            self.remove_bridge(RemoveBridge { l2_network: b.l2_network, bridge: b.bridge }).await?;
        }
        nft::purge().await
    }

    async fn kept<T>(&self, result: io::Result<T>) -> Result<T> {
        result.map_err(|e| {
            io_fault(code::AGENT_NETWORK, "the wanted state of the network could not be kept", &e)
        })
    }
}

/// Logs what could not be made; the next turn tries again.
fn note<T>(done: Result<T>) {
    if let Err(e) = done {
        tracing::error!(operator = e.operator, "{e}");
    }
}

async fn apply_services(live: &mut Live, wanted: &ApplyL3) -> Result<()> {
    let checked = l3::check(wanted)?;
    let service =
        live.services.entry(wanted.l3_network.clone()).or_insert_with(|| L3::new(&wanted.l3_network));
    service.apply(&checked).await
}

impl HostNetwork for LinuxNetwork {
    fn apply_bridge(&self, wanted: ApplyBridge) -> Answer<'_, Applied> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            let applied = bridge::apply(&wanted).await?;
            self.kept(self.bridges.put(&wanted.l2_network, &wanted)).await?;
            live.bridges.insert(wanted.l2_network.clone(), wanted);
            live.load(false).await?;
            Ok(applied)
        })
    }

    fn remove_bridge(&self, args: RemoveBridge) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            bridge::remove(&args).await?;
            self.kept(self.bridges.remove(&args.l2_network)).await?;
            live.bridges.remove(&args.l2_network);
            live.load(false).await
        })
    }

    fn apply_l3(&self, wanted: ApplyL3) -> Answer<'_, Applied> {
        Box::pin(async move {
            l3::check(&wanted)?;
            let mut live = self.live.lock().await;
            // Kept first: what is half made is then made whole or removed by name.
            self.kept(self.networks.put(&wanted.l3_network, &wanted)).await?;
            live.wanted.insert(wanted.l3_network.clone(), wanted.clone());
            // The service address is guarded before it exists.
            live.load(false).await?;
            apply_services(&mut live, &wanted).await?;
            Ok(Applied { hash: hash_of(&wanted) })
        })
    }

    fn apply_guard(&self, wanted: ApplyGuard) -> Answer<'_, Applied> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            let before = live.guard.replace(wanted);
            if let Err(f) = live.load(false).await {
                live.guard = before;
                return Err(f);
            }
            self.kept(self.guard.put(GUARD, &wanted)).await?;
            Ok(Applied { hash: hash_of(&wanted) })
        })
    }

    fn remove_l3<'a>(&'a self, l3_network: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            let mut service = live.services.remove(l3_network).unwrap_or_else(|| L3::new(l3_network));
            service.remove().await?;
            self.kept(self.networks.remove(l3_network)).await?;
            live.wanted.remove(l3_network);
            live.load(false).await
        })
    }

    fn guard_vm<'a>(&'a self, vm: &'a str, nics: &'a [Nic]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            live.guests.insert(vm.to_owned(), nics.to_vec());
            live.load(true).await
        })
    }

    fn release_vm<'a>(&'a self, vm: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut live = self.live.lock().await;
            if live.guests.remove(vm).is_none() {
                return Ok(());
            }
            live.load(false).await
        })
    }
}
