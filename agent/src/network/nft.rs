//! The guard: one nftables table of the bridge family, always replaced as a whole in one transaction.
//!
//! From each guest, always: no DHCP or router answers, nothing from the addresses of our services, and to our services only
//! frames with its own MAC, IP and ARP sender, because they know a guest by these (FLAT-03). From a guarded guest (SG-03) only frames with its own MAC, IP and ARP sender. At uplinks of networks that we serve: no DHCP in either
//! direction, and nothing from or to the service addresses, which are the same on every host.
//!
//! Rules look names and addresses up in sets, so a frame costs the same with one guest and with a thousand.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_api::agent::vm::Nic;
use cairn_types::{Result, code};

use crate::process::Tool;

/// The table.
pub const TABLE: &str = "cairn_guard";

/// Services of one L3 network at a bridge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The bridge.
    pub bridge: String,
    /// The port of the bridge behind which the services are.
    pub port: String,
    /// The bridge's way out, if it has one.
    pub uplink: Option<String>,
    /// Address of DHCP server and metadata service.
    pub address: Ipv4Addr,
    /// Whether DHCP is served: then nobody else may serve it.
    pub dhcp: bool,
}

/// The whole ruleset for these interfaces and services.
pub fn ruleset(nics: &[Nic], services: &[Service]) -> String {
    let sets = Sets::of(nics, services);
    let mut out = format!("table bridge {TABLE}\ndelete table bridge {TABLE}\ntable bridge {TABLE} {{\n");
    set(&mut out, "guest", "ifname", &sets.guest);
    set(&mut out, "strict", "ifname", &sets.strict);
    set(&mut out, "own_mac", "ifname . ether_addr", &sets.mac);
    set(&mut out, "own_ip4", "ifname . ipv4_addr", &sets.ip4);
    set(&mut out, "own_ip6", "ifname . ipv6_addr", &sets.ip6);
    set(&mut out, "dhcp_uplink", "ifname", &sets.dhcp_uplink);
    set(&mut out, "service_uplink", "ifname", &sets.service_uplink);
    set(&mut out, "service", "ifname . ipv4_addr", &sets.service);
    set(&mut out, "service_port", "ifname", &sets.service_port);
    out.push_str(FROM_GUEST);
    out.push_str("\tchain strict_ip6 {\n");
    out.push_str("\t\tip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld-listener-report, mld2-listener-report } accept\n");
    out.push_str("\t\tiifname . ip6 saddr != @own_ip6 drop\n");
    for (tap, targets) in &sets.advertised {
        let _ = writeln!(
            out,
            "\t\tiifname \"{tap}\" icmpv6 type nd-neighbor-advert @th,64,128 != {{ {targets} }} drop"
        );
    }
    out.push_str("\t\taccept\n\t}\n\n");
    out.push_str(AT_UPLINK);
    out.push_str("}\n");
    out
}

const FROM_GUEST: &str = "
\tchain from_guest {
\t\tudp sport { 67, 547 } drop
\t\ticmpv6 type { nd-router-advert, nd-redirect } drop
\t\tether type arp iifname . arp saddr ip @service drop
\t\tether type ip iifname . ip saddr @service drop
\t\tiifname @strict jump strict
\t}

\tchain strict {
\t\tiifname . ether saddr != @own_mac drop
\t\tether type arp jump strict_arp
\t\tether type ip jump strict_ip4
\t\tether type ip6 jump strict_ip6
\t\tether type 0x8035 accept
\t\tdrop
\t}

\tchain strict_arp {
\t\tiifname . arp saddr ether != @own_mac drop
\t\tarp operation request arp saddr ip 0.0.0.0 accept
\t\tiifname . arp saddr ip != @own_ip4 drop
\t\taccept
\t}

\tchain strict_ip4 {
\t\tip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
\t\tiifname . ip saddr != @own_ip4 drop
\t\taccept
\t}

";

const AT_UPLINK: &str = "\tchain from_uplink {
\t\tiifname @dhcp_uplink udp sport { 67, 68, 546, 547 } udp dport { 67, 68, 546, 547 } drop
\t\tether type arp iifname . arp saddr ip @service drop
\t\tether type arp iifname . arp daddr ip @service drop
\t\tether type ip iifname . ip saddr @service drop
\t\tether type ip iifname . ip daddr @service drop
\t}

\tchain to_uplink {
\t\toifname @dhcp_uplink udp sport { 67, 68, 546, 547 } udp dport { 67, 68, 546, 547 } drop
\t\tether type arp oifname . arp saddr ip @service drop
\t\tether type arp oifname . arp daddr ip @service drop
\t\tether type ip oifname . ip saddr @service drop
\t\tether type ip oifname . ip daddr @service drop
\t}

\tchain prerouting {
\t\ttype filter hook prerouting priority -300; policy accept;
\t\tiifname @guest jump from_guest
\t\tiifname @service_uplink jump from_uplink
\t}

\tchain forward {
\t\ttype filter hook forward priority -300; policy accept;
\t\tiifname @guest oifname @service_port jump strict
\t}

\tchain postrouting {
\t\ttype filter hook postrouting priority 300; policy accept;
\t\toifname @service_uplink jump to_uplink
\t}
";

#[derive(Default)]
struct Sets {
    guest: BTreeSet<String>,
    strict: BTreeSet<String>,
    mac: BTreeSet<String>,
    ip4: BTreeSet<String>,
    ip6: BTreeSet<String>,
    dhcp_uplink: BTreeSet<String>,
    service_uplink: BTreeSet<String>,
    service: BTreeSet<String>,
    service_port: BTreeSet<String>,
    /// Tap and the addresses it may advertise, as numbers.
    advertised: BTreeSet<(String, String)>,
}

impl Sets {
    fn of(nics: &[Nic], services: &[Service]) -> Self {
        let mut sets = Self::default();
        for nic in nics {
            sets.add_nic(nic);
        }
        for s in services {
            sets.service_port.insert(quoted(&s.port));
            // Ports that may not use the address: the kernel need not know the names of bridges in rules.
            let taps = nics.iter().filter(|n| n.bridge == s.bridge).map(|n| &n.tap);
            for port in taps.chain(&s.uplink) {
                sets.service.insert(format!("\"{port}\" . {}", s.address));
                sets.service.insert(format!("\"{port}\" . {}", super::METADATA_ADDRESS));
            }
            if let Some(uplink) = &s.uplink {
                sets.service_uplink.insert(quoted(uplink));
                if s.dhcp {
                    sets.dhcp_uplink.insert(quoted(uplink));
                }
            }
        }
        sets
    }

    fn add_nic(&mut self, nic: &Nic) {
        self.guest.insert(quoted(&nic.tap));
        if nic.anti_spoofing {
            self.strict.insert(quoted(&nic.tap));
        }
        self.mac.insert(format!("\"{}\" . {}", nic.tap, nic.mac));
        let mut v6: Vec<Ipv6Addr> = Vec::new();
        for address in nic.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
            match address {
                IpAddr::V4(v4) => drop(self.ip4.insert(format!("\"{}\" . {v4}", nic.tap))),
                IpAddr::V6(v6_address) => v6.push(v6_address),
            }
        }
        if v6.is_empty() {
            return;
        }
        v6.extend(link_local(&nic.mac));
        for address in &v6 {
            self.ip6.insert(format!("\"{}\" . {address}", nic.tap));
        }
        let targets: Vec<String> = v6.iter().map(|a| format!("0x{:032x}", u128::from(*a))).collect();
        self.advertised.insert((nic.tap.clone(), targets.join(", ")));
    }
}

/// The link-local address that follows from a hardware address.
fn link_local(mac: &str) -> Option<Ipv6Addr> {
    let bytes: Vec<u8> = mac.split(':').map(|b| u8::from_str_radix(b, 16)).collect::<Result<_, _>>().ok()?;
    let [a, b, c, d, e, f] = bytes.try_into().ok()?;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Some(Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f)))
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn set(out: &mut String, name: &str, of: &str, elements: &BTreeSet<String>) {
    let _ = writeln!(out, "\tset {name} {{\n\t\ttype {of}");
    if !elements.is_empty() {
        let list: Vec<&str> = elements.iter().map(String::as_str).collect();
        let _ = writeln!(out, "\t\telements = {{ {} }}", list.join(", "));
    }
    out.push_str("\t}\n");
}

/// Replaces the table in the kernel.
pub async fn load(ruleset: &str) -> Result<()> {
    let done = Tool::new("nft", &["-f", "-"]).input(ruleset).run().await;
    done.map(drop)
        .map_err(|e| e.fault(code::AGENT_NETWORK, "the guard at the guests' interfaces could not be set"))
}

/// The table as the kernel has it, with its elements; empty if it is not there.
pub async fn listed() -> String {
    Tool::new("nft", &["list", "table", "bridge", TABLE]).run().await.unwrap_or_default()
}

/// Removes the table.
pub async fn purge() -> Result<()> {
    load(&format!("table bridge {TABLE}\ndelete table bridge {TABLE}\n")).await
}
