//! Network interfaces of the host, as `ip` sees them.

use std::collections::BTreeSet;

use cairn_types::{Fault, Result, code};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process::run;

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Interface {
    /// Its name.
    #[serde(rename = "ifname")]
    pub name: String,
    /// Flags such as `UP`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Largest packet, in bytes.
    #[serde(default)]
    pub mtu: u32,
    /// Bridge that it is a port of.
    #[serde(default)]
    pub master: Option<String>,
    /// Free text, by which we know our own.
    #[serde(default, rename = "ifalias")]
    pub alias: Option<String>,
    /// `ether`, `loopback`, …
    #[serde(default)]
    pub link_type: String,
    #[serde(default)]
    linkinfo: Option<LinkInfo>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: Option<String>,
}

impl Interface {
    /// `bridge`, `veth`, `tun`, …; empty for hardware.
    pub fn kind(&self) -> &str {
        self.linkinfo.as_ref().and_then(|i| i.info_kind.as_deref()).unwrap_or_default()
    }

    /// Whether it is switched on.
    pub fn is_up(&self) -> bool {
        self.flags.iter().any(|f| f == "UP")
    }
}

/// All interfaces of the host.
#[derive(Debug, Clone, Default)]
pub struct Links(Vec<Interface>);

#[derive(Deserialize)]
struct Addressed {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    dev: Option<String>,
}

async fn ip_json<T: DeserializeOwned>(args: &[&str]) -> Result<Vec<T>> {
    let failed = "the network of the host could not be read";
    let text = run("ip", args).await.map_err(|e| e.fault(code::AGENT_NETWORK, failed))?;
    // Nothing to show is nothing at all, not `[]`.
    let text = if text.trim().is_empty() { "[]" } else { &text };
    // `ip` writes `{}` for what it leaves out.
    let values: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|e| Fault::new(code::AGENT_NETWORK, failed).for_operator(e))?;
    Ok(values.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect())
}

/// All addresses of the host without loopback and link-local.
pub async fn addresses() -> Result<Vec<String>> {
    let all: Vec<Addressed> = ip_json(&["-j", "address", "show"]).await?;
    let addresses = all.into_iter().flat_map(|i| i.addr_info).filter(|a| a.scope == "global");
    Ok(addresses.map(|a| a.local).collect())
}

/// Global addresses of one interface.
pub async fn addresses_of(name: &str) -> Result<Vec<String>> {
    let all: Vec<Addressed> = ip_json(&["-j", "address", "show", "dev", name]).await?;
    let of_it = all.into_iter().filter(|i| i.ifname == name).flat_map(|i| i.addr_info);
    Ok(of_it.filter(|a| a.scope == "global").map(|a| a.local).collect())
}

/// Interfaces that carry a default route.
pub async fn default_routes() -> Result<BTreeSet<String>> {
    let (v4, v6) = tokio::join!(
        ip_json::<Route>(&["-j", "-4", "route", "show", "default"]),
        ip_json::<Route>(&["-j", "-6", "route", "show", "default"]),
    );
    // A kernel without IPv6 has no such routes.
    Ok(v4?.into_iter().chain(v6.unwrap_or_default()).filter_map(|r| r.dev).collect())
}

impl Links {
    /// Reads all interfaces.
    pub async fn read() -> Result<Self> {
        ip_json(&["-j", "-d", "link", "show"]).await.map(Self)
    }

    /// An interface by name.
    pub fn get(&self, name: &str) -> Option<&Interface> {
        self.0.iter().find(|i| i.name == name)
    }

    /// The ports of a bridge.
    pub fn ports<'a>(&'a self, bridge: &'a str) -> impl Iterator<Item = &'a Interface> {
        self.0.iter().filter(move |i| i.master.as_deref() == Some(bridge))
    }

    /// Interfaces that can carry an L2 network: no bridges and taps, none of ours, and not the one by which the host
    /// itself is reached.
    pub async fn uplinks(&self) -> Result<Vec<String>> {
        let busy = default_routes().await?;
        let fits = |i: &&Interface| {
            i.link_type == "ether"
                && !matches!(i.kind(), "bridge" | "tun" | "ifb" | "macvtap" | "openvswitch")
                && !super::is_service_veth(&i.name)
                && !busy.contains(&i.name)
        };
        Ok(self.0.iter().filter(fits).map(|i| i.name.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_ip_is_read() {
        let text = r#"[{"ifname":"lo","flags":["LOOPBACK"],"link_type":"loopback"},{},
            {"ifname":"br0","flags":["UP"],"mtu":1500,"link_type":"ether","linkinfo":{"info_kind":"bridge"},"ifalias":"x"},
            {"ifname":"eth1","master":"br0","link_type":"ether"}]"#;
        let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let links = Links(values.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect());
        assert_eq!(links.get("br0").unwrap().kind(), "bridge");
        assert!(links.get("br0").unwrap().is_up());
        assert_eq!(links.ports("br0").map(|i| i.name.as_str()).collect::<Vec<_>>(), ["eth1"]);
    }

    #[tokio::test]
    async fn this_machine_has_a_loopback() {
        assert_eq!(Links::read().await.unwrap().get("lo").unwrap().link_type, "loopback");
    }
}
