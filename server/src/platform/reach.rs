//! Which addresses web hooks may reach. A name is looked up when it is called, every address that it has must pass, and the
//! address that was checked is the one that is dialled: a name that changes its mind afterwards leads nowhere.

use std::net::IpAddr;

use cairn_store::{Tx, params};
use cairn_types::address::{is_internal, lies_in, undress};
use cairn_types::{Fault, Result};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::app::App;

/// What one caller's web hooks may reach.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// Private addresses and what this cloud is made of: administrators, and tenants as a setting allows.
    internal: bool,
    /// Addresses of this machine, as a setting allows. Tenants need `internal` too.
    loopback: bool,
    /// Networks that only `internal` may reach.
    refused: Vec<String>,
}

impl Reach {
    /// What the web hooks of this caller may reach now.
    pub(super) fn of(app: &App, tx: &mut dyn Tx, is_admin: bool) -> Result<Self> {
        let internal = is_internal_allowed(app, is_admin);
        let refused = if internal { Vec::new() } else { management_networks(tx)? };
        Ok(Self { internal, loopback: app.settings.bool("cairn", "webHook.mayReachLoopback"), refused })
    }

    /// Link-local addresses (cloud metadata among them) are never called.
    fn may_call(&self, ip: IpAddr) -> bool {
        let bare = undress(ip);
        let never = match bare {
            IpAddr::V4(v4) => {
                v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast()
            }
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
        };
        let inside = is_internal(ip) || self.refused.iter().any(|n| lies_in(n, bare) || lies_in(n, ip));
        !never && (self.internal || !inside) && (self.loopback || !bare.is_loopback())
    }
}

fn is_internal_allowed(app: &App, is_admin: bool) -> bool {
    is_admin || app.settings.bool("cairn", "webHook.tenantMayReachInternal")
}

/// Networks of one address each that hosts and image stores are managed by, and those that this machine has a leg in.
pub(crate) fn management_networks(tx: &mut dyn Tx) -> Result<Vec<String>> {
    let sql = "SELECT management_ip AS ip FROM host UNION SELECT hostname FROM backup_storage WHERE hostname IS NOT NULL";
    let mut networks = cairn_link::networks::own();
    for row in tx.query(sql, params![])? {
        networks.extend(row.opt_text("ip")?.and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| match ip {
            IpAddr::V4(_) => format!("{ip}/32"),
            IpAddr::V6(_) => format!("{ip}/128"),
        }));
    }
    Ok(networks)
}

/// Refuses addresses that are no web addresses, and those that can be seen to lie where the caller may not call. What a name
/// resolves to is checked when it is called.
pub fn check_url(app: &App, url: &str, is_admin: bool) -> Result<()> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let plain =
        url.len() <= 2048 && !url.chars().any(|c| c.is_control() || c == ' ') && url.parse::<Uri>().is_ok();
    let authority = rest.and_then(|h| h.split(['/', '?', '#']).next()).unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || !plain {
        return Err(Fault::argument("a web hook must be an address that begins with http:// or https://"));
    }
    let host = url.parse::<Uri>().ok().and_then(|u| u.host().map(str::to_owned)).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let here = host.eq_ignore_ascii_case("localhost") || ip.is_some_and(is_internal);
    if here && !is_internal_allowed(app, is_admin) {
        return Err(Fault::argument(
            "a web hook of a tenant must not lead to this machine or into a private network, unless the setting \
             cairn/webHook.tenantMayReachInternal allows it",
        ));
    }
    Ok(())
}

/// Looks names up and refuses addresses that may not be called.
#[derive(Debug)]
pub(super) struct Checked(pub(super) Reach);

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        if found.iter().all(|a| self.0.may_call(a.ip())) {
            Ok(found)
        } else {
            Err(ureq::Error::Io(std::io::Error::other("the address may not be called by web hooks")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_01_web_hooks_reach_inside_only_for_those_who_may() {
        let refused = vec!["198.51.100.7/32".to_owned()];
        let tenant = Reach { internal: false, loopback: true, refused };
        let admin = Reach { internal: true, loopback: true, refused: Vec::new() };
        let careful = Reach { loopback: false, ..admin.clone() };
        // Address, for a tenant, for an administrator, for him without loopback.
        for (ip, expected) in [
            ("8.8.8.8", [true, true, true]),
            ("2001:db8::1", [true, true, true]),
            ("10.0.0.1", [false, true, true]),
            ("172.16.3.4", [false, true, true]),
            ("192.168.0.1", [false, true, true]),
            ("100.64.0.1", [false, true, true]),
            ("fd00::1", [false, true, true]),
            ("::ffff:10.0.0.1", [false, true, true]),
            ("64:ff9b::a00:1", [false, true, true]),
            ("198.51.100.7", [false, true, true]),
            ("::ffff:198.51.100.7", [false, true, true]),
            ("127.0.0.1", [false, true, false]),
            ("::1", [false, true, false]),
            ("::ffff:127.0.0.1", [false, true, false]),
            ("2002:7f00:1::", [false, true, false]),
            ("169.254.169.254", [false, false, false]),
            ("::ffff:169.254.169.254", [false, false, false]),
            ("fe80::1", [false, false, false]),
            ("0.0.0.0", [false, false, false]),
            ("224.0.0.1", [false, false, false]),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!([&tenant, &admin, &careful].map(|r| r.may_call(ip)), expected, "{ip}");
        }
    }

    #[test]
    fn api_01_names_are_checked_by_what_they_resolve_to() {
        let reach = Reach { internal: false, loopback: true, refused: Vec::new() };
        let config = ureq::Agent::config_builder().proxy(None).build();
        let connector = ureq::unversioned::transport::DefaultConnector::default();
        let agent = ureq::Agent::with_parts(config, connector, Checked(reach));
        for url in [
            "http://localhost:9/",
            "http://127.0.0.1:9/",
            "http://[::1]:9/",
            "http://2130706433:9/",
            "http://127.1:9/",
        ] {
            let refused = agent.get(url).call().unwrap_err().to_string();
            assert!(refused.contains("may not be called"), "{url}: {refused}");
        }
    }
}
