//! DHCP by dnsmasq, one process per L3 network, inside the network's namespace.
//!
//! Its files are pure functions of the wanted state. A VM gets its own address and nothing else; who is not on the list
//! gets no answer. There is no lease database: every address is fixed, so what dnsmasq forgets it can give again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_api::agent::network::{ApplyL3, Lease};
use cairn_types::{Fault, Result, code};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{METADATA_ADDRESS, SERVICE_DEVICE, Subnet};
use crate::process::{Tool, io_fault};
use crate::state::write_file;

/// Files of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Main configuration.
    pub conf: String,
    /// Fixed addresses by hardware address.
    pub hosts: String,
    /// Options by tag.
    pub options: String,
}

/// The files for a network. `folder` is where they will lie.
pub fn files(wanted: &ApplyL3, service: Subnet, folder: &Path) -> Files {
    Files { conf: conf(wanted, service, folder), hosts: hosts(wanted), options: options(wanted, service) }
}

fn conf(wanted: &ApplyL3, service: Subnet, folder: &Path) -> String {
    let folder = folder.display();
    let mut out = format!(
        "# Written by cairn-agent for L3 network {}; changes are lost.\n\
         port=0\npid-file={folder}/pid\ninterface={SERVICE_DEVICE}\nexcept-interface=lo\nbind-interfaces\n\
         dhcp-authoritative\nno-ping\nno-resolv\nno-hosts\nleasefile-ro\ndhcp-lease-max=65536\n\
         dhcp-ignore=tag:!known\ndhcp-hostsfile={folder}/hosts\ndhcp-optsfile={folder}/options\n",
        wanted.l3_network
    );
    let mut subnets: BTreeSet<Subnet> = wanted.leases.iter().filter_map(Subnet::of_lease).collect();
    subnets.insert(service.network());
    for subnet in subnets {
        let _ = writeln!(out, "dhcp-range={},static,{},24h", subnet.address, subnet.mask());
        if subnet != service.network() {
            let _ = writeln!(out, "shared-network={},{}", service.address, subnet.address);
        }
    }
    out
}

fn tag(lease: &Lease) -> String {
    format!("t{}", lease.mac.replace(':', ""))
}

/// What may stand in a host name; anything else would be read as syntax.
fn host_name(lease: &Lease) -> Option<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    lease
        .hostname
        .as_deref()
        .filter(|h| !h.is_empty() && h.len() <= 63 && h.chars().all(fits) && !h.starts_with('-'))
}

fn hosts(wanted: &ApplyL3) -> String {
    let mut out = String::new();
    for lease in &wanted.leases {
        let _ = writeln!(out, "{},set:{},{}", lease.mac, tag(lease), lease.ip);
    }
    out
}

fn options(wanted: &ApplyL3, service: Subnet) -> String {
    let mut out = format!("option:mtu,{}\n", wanted.mtu);
    let domain = wanted.domain.as_deref().filter(|d| is_domain(d));
    for lease in &wanted.leases {
        let tag = tag(lease);
        let mut option = |name: &str, value: &str| {
            let _ =
                writeln!(out, "tag:{tag},option:{name}{}{value}", if value.is_empty() { "" } else { "," });
        };
        let gateway =
            lease.gateway.as_deref().or(wanted.gateway.as_deref()).filter(|g| g.parse::<Ipv4Addr>().is_ok());
        let gateway = gateway.filter(|_| lease.is_default);
        // Without a value the option is not sent; dnsmasq would name itself.
        option("router", gateway.unwrap_or_default());
        let dns: Vec<&str> =
            wanted.dns.iter().map(String::as_str).filter(|d| d.parse::<Ipv4Addr>().is_ok()).collect();
        option("dns-server", &if lease.is_default { dns.join(",") } else { String::new() });
        let routes = routes(wanted, lease, service, gateway);
        if !routes.is_empty() {
            option("classless-static-route", &routes.join(","));
        }
        if let Some(name) = host_name(lease) {
            option("hostname", name);
        }
        if let Some(domain) = domain {
            option("domain-name", domain);
        }
    }
    out
}

/// Classless routes: to the metadata service, and, because a client that reads these ignores the router option, the
/// default route.
fn routes(wanted: &ApplyL3, lease: &Lease, service: Subnet, gateway: Option<&str>) -> Vec<String> {
    let mut routes = Vec::new();
    if wanted.metadata {
        let near = Subnet::of_lease(lease).is_some_and(|s| s == service.network());
        if !near {
            routes.push(format!("{}/32,0.0.0.0", service.address));
        }
        routes.push(format!("{METADATA_ADDRESS}/32,{}", service.address));
    }
    if let (false, Some(gateway)) = (routes.is_empty(), gateway) {
        routes.push(format!("0.0.0.0/0,{gateway}"));
    }
    routes
}

fn is_domain(domain: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    !domain.is_empty() && domain.len() <= 253 && domain.chars().all(fits)
}

/// A running dnsmasq of one network.
pub struct Dnsmasq {
    folder: PathBuf,
    namespace: String,
}

impl Dnsmasq {
    /// The one with files in `folder`, in this network namespace.
    pub fn new(folder: PathBuf, namespace: String) -> Self {
        Self { folder, namespace }
    }

    /// Brings it to the wanted files: started, told to read again, or started anew.
    pub async fn apply(&self, files: &Files) -> Result<()> {
        let (old_conf, old_hosts) = (self.read("conf"), self.read("hosts"));
        let same =
            old_conf == files.conf && old_hosts == files.hosts && self.read("options") == files.options;
        let pid = self.pid();
        if same && pid.is_some() {
            return Ok(());
        }
        self.write(files)
            .map_err(|e| io_fault(code::AGENT_NETWORK, "the DHCP configuration could not be written", &e))?;
        // It keeps in memory whom it gave an address to. When an address has left its owner only a new process will
        // give it to the next one.
        let only_added =
            old_conf == files.conf && old_hosts.lines().all(|l| files.hosts.lines().any(|n| n == l));
        match pid {
            Some(pid) if only_added => kill(pid, Signal::SIGHUP).map_err(|e| {
                Fault::new(code::AGENT_NETWORK, "the DHCP server could not be told").for_operator(e)
            }),
            Some(_) => {
                self.stop().await;
                self.start().await
            }
            None => self.start().await,
        }
    }

    /// Its process, if it runs: the one that was started with our file.
    pub fn pid(&self) -> Option<Pid> {
        let pid: i32 = self.read("pid").trim().parse().ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let wanted = format!("--conf-file={}", self.folder.join("conf").display());
        command.split(|b| *b == 0).any(|a| a == wanted.as_bytes()).then(|| Pid::from_raw(pid))
    }

    /// Ends it.
    pub async fn stop(&self) {
        let Some(pid) = self.pid() else { return };
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let _ = kill(pid, signal);
            for _ in 0..100 {
                if self.pid().is_none() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn start(&self) -> Result<()> {
        let conf = format!("--conf-file={}", self.folder.join("conf").display());
        let args = ["netns", "exec", &self.namespace, "dnsmasq", &conf];
        let started = Tool::new("ip", &args).run().await;
        started
            .map(drop)
            .map_err(|e| e.fault(code::AGENT_NETWORK, "the DHCP server did not start on the host"))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    fn write(&self, files: &Files) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        crate::config::set_mode(&self.folder, 0o755)?;
        // dnsmasq gives up root and reads these again later.
        for (name, text) in [("conf", &files.conf), ("options", &files.options), ("hosts", &files.hosts)] {
            if self.read(name) != *text || !self.folder.join(name).exists() {
                write_file(&self.folder.join(name), text.as_bytes(), 0o644)?;
            }
        }
        Ok(())
    }
}
