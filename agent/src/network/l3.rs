//! Services of one L3 network on this host: a namespace with a leg on the bridge, DHCP and metadata in it.
//!
//! ```text
//! guest tap ── bridge ── veth ┆ svc0: service address (same on every host)
//!                │            ┆ lo:   169.254.169.254      namespace cairn-<l3>
//!              uplink         ┆ dnsmasq, metadata service
//! ```

use std::path::{Path, PathBuf};

use cairn_api::agent::network::{ApplyL3, Lease};
use cairn_types::{Fault, Result, code, id::is_uuid};

use super::dnsmasq::{self, Dnsmasq};
use super::metadata::Metadata;
use super::{
    METADATA_ADDRESS, SERVICE_DEVICE, SMALLEST_MTU, Subnet, VETH_PREFIX, is_device_name, is_mac, netns,
};
use crate::process::run;
use crate::state::remove_any;

/// Where files of running services lie; made again after a boot.
pub const RUN_FOLDER: &str = "/run/cairn/l3";

/// What IPv4 can do.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

/// One network's services.
pub struct L3 {
    uuid: String,
    namespace: String,
    veth: String,
    folder: PathBuf,
    metadata: Option<Metadata>,
    /// What the devices were last made for; leases change far more often.
    devices: Option<(String, Subnet, u32)>,
}

/// The port of the bridge behind which a network's services are.
pub fn port_of(uuid: &str) -> String {
    format!("{VETH_PREFIX}{}", &uuid[uuid.len().saturating_sub(10)..])
}

/// What a network needs in order to be applied, checked.
pub struct Checked<'a> {
    wanted: &'a ApplyL3,
    service: Subnet,
}

/// Checks everything that becomes a name, a file or an argument.
pub fn check(wanted: &ApplyL3) -> Result<Checked<'_>> {
    let refuse =
        |what: String| Err(Fault::argument(format!("L3 network {} is wrong: {what}", wanted.l3_network)));
    if !is_uuid(&wanted.l3_network) || !is_device_name(&wanted.bridge) {
        return refuse(format!("the bridge {:?}", wanted.bridge));
    }
    let Some(service) = Subnet::parse(&wanted.service_address) else {
        return refuse(format!("the service address {:?}", wanted.service_address));
    };
    if !MTU.contains(&wanted.mtu) {
        let (least, most) = (MTU.start(), MTU.end());
        return refuse(format!("an MTU of {}; it can be {least} to {most} bytes", wanted.mtu));
    }
    let bad = |l: &&Lease| !is_mac(&l.mac) || Subnet::of_lease(l).is_none() || !is_uuid(&l.vm);
    if let Some(lease) = wanted.leases.iter().find(bad) {
        return refuse(format!(
            "the lease {:?} {}/{} of VM {:?}",
            lease.mac, lease.ip, lease.prefix, lease.vm
        ));
    }
    Ok(Checked { wanted, service })
}

impl L3 {
    /// The services of this network; nothing is made yet.
    pub fn new(uuid: &str) -> Self {
        // The end of the uuid is its random part; the beginning is a time that several networks may share.
        let tail = |n: usize| &uuid[uuid.len().saturating_sub(n)..];
        Self {
            uuid: uuid.to_owned(),
            namespace: format!("cairn-{}", tail(12)),
            veth: port_of(uuid),
            folder: Path::new(RUN_FOLDER).join(uuid),
            metadata: None,
            devices: None,
        }
    }

    fn dnsmasq(&self) -> Dnsmasq {
        Dnsmasq::new(self.folder.clone(), self.namespace.clone())
    }

    /// Brings everything to the wanted state.
    pub async fn apply(&mut self, checked: &Checked<'_>) -> Result<()> {
        let Checked { wanted, service } = *checked;
        self.ensure_devices(wanted, service).await?;
        self.ensure_routes(wanted, service).await?;
        if wanted.dhcp {
            self.dnsmasq().apply(&dnsmasq::files(wanted, service, &self.folder)).await?;
        } else {
            self.dnsmasq().stop().await;
        }
        if wanted.metadata {
            let alive = self.metadata.take_if(|m| m.is_alive());
            let metadata = match alive {
                Some(metadata) => metadata,
                None => Metadata::start(&self.namespace)?,
            };
            metadata.set_guests(&wanted.leases);
            self.metadata = Some(metadata);
        } else {
            self.metadata = None;
        }
        Ok(())
    }

    /// Removes everything. What is gone already is a success.
    pub async fn remove(&mut self) -> Result<()> {
        self.metadata = None;
        self.devices = None;
        self.dnsmasq().stop().await;
        if Path::new("/sys/class/net").join(&self.veth).exists() {
            run("ip", &["link", "delete", "dev", &self.veth]).await.map_err(|e| self.failed(e))?;
        }
        netns::remove(&self.namespace).await?;
        remove_any(&self.folder).map_err(|e| Fault::new(code::AGENT_NETWORK, self.what()).for_operator(e))
    }

    fn what(&self) -> String {
        format!("the services of L3 network {} could not be changed", self.uuid)
    }

    fn failed(&self, e: crate::process::ToolError) -> Fault {
        let why =
            e.text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no reason was given").to_owned();
        e.fault(code::AGENT_NETWORK, format!("{}: {why}", self.what()))
    }

    async fn ensure_devices(&mut self, wanted: &ApplyL3, service: Subnet) -> Result<()> {
        let port_of = std::fs::read_link(Path::new("/sys/class/net").join(&self.veth).join("master")).ok();
        let plugged = port_of.is_some_and(|p| p.file_name().is_some_and(|n| n == wanted.bridge.as_str()));
        let made_for = Some((wanted.bridge.clone(), service, wanted.mtu));
        if plugged && self.devices == made_for && netns::exists(&self.namespace) {
            return Ok(());
        }
        if !Path::new("/sys/class/net").join(&wanted.bridge).join("bridge").exists() {
            let text = format!("L3 network {} has no bridge {} on the host", self.uuid, wanted.bridge);
            return Err(Fault::new(code::AGENT_NETWORK, text).with("bridge", wanted.bridge.as_str()));
        }
        netns::ensure(&self.namespace).await?;
        self.make_veth(wanted).await?;
        self.set_addresses(service).await?;
        self.devices = made_for;
        Ok(())
    }

    async fn make_veth(&self, wanted: &ApplyL3) -> Result<()> {
        let (ns, veth, mtu) =
            (self.namespace.as_str(), self.veth.as_str(), wanted.mtu.max(SMALLEST_MTU).to_string());
        let inner =
            netns::inside(ns, || nix::net::if_::if_nametoindex(SERVICE_DEVICE).map_err(Into::into)).is_ok();
        let outer = Path::new("/sys/class/net").join(veth).exists();
        if !inner || !outer {
            if outer {
                run("ip", &["link", "delete", "dev", veth]).await.map_err(|e| self.failed(e))?;
            }
            let add =
                ["link", "add", "name", veth, "type", "veth", "peer", "name", SERVICE_DEVICE, "netns", ns];
            run("ip", &add).await.map_err(|e| self.failed(e))?;
        }
        let set =
            ["link", "set", "dev", veth, "mtu", &mtu, "addrgenmode", "none", "master", &wanted.bridge, "up"];
        run("ip", &set).await.map_err(|e| self.failed(e))?;
        let set = ["-n", ns, "link", "set", "dev", SERVICE_DEVICE, "mtu", &mtu, "up"];
        run("ip", &set).await.map(drop).map_err(|e| self.failed(e))
    }

    async fn set_addresses(&self, service: Subnet) -> Result<()> {
        let ns = self.namespace.as_str();
        let (near, meta) = (service.to_string(), format!("{METADATA_ADDRESS}/32"));
        let shown = run("ip", &["-n", ns, "-4", "-o", "address", "show", "dev", SERVICE_DEVICE]).await;
        let now = shown.map_err(|e| self.failed(e))?;
        if now.lines().count() != 1 || !now.contains(&format!(" {near} ")) {
            let flush = ["-n", ns, "-4", "address", "flush", "dev", SERVICE_DEVICE];
            run("ip", &flush).await.map_err(|e| self.failed(e))?;
        }
        for (address, device) in [(near.as_str(), SERVICE_DEVICE), (meta.as_str(), "lo")] {
            let args = ["-n", ns, "address", "replace", address, "dev", device];
            run("ip", &args).await.map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    /// Guests whose range is not that of the service address are reached directly as well.
    async fn ensure_routes(&self, wanted: &ApplyL3, service: Subnet) -> Result<()> {
        let far = |l: &&Lease| Subnet::of_lease(l).is_some_and(|s| s != service.network());
        for lease in wanted.leases.iter().filter(far) {
            let args = ["-n", &self.namespace, "route", "replace", &lease.ip, "dev", SERVICE_DEVICE];
            run("ip", &args).await.map_err(|e| self.failed(e))?;
        }
        Ok(())
    }
}
