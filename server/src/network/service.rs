//! Network services and their providers. One provider exists: `Flat`, which serves a network on every host for the VMs of
//! that host.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, new_uuid, time};

/// Name and type of the provider of flat networks.
pub const FLAT: &str = "Flat";

/// What the provider of flat networks offers.
pub const FLAT_SERVICES: &[&str] = &["DHCP", "Userdata"];

/// Rows that every installation has.
pub fn first_rows(tx: &mut dyn Tx) -> Result<()> {
    let known = tx.query_opt("SELECT uuid FROM network_service_provider WHERE type = ?", params![FLAT])?;
    let uuid = match known {
        Some(row) => row.text("uuid")?,
        None => {
            let (uuid, now) = (new_uuid(), time::now_ms());
            let sql = "INSERT INTO network_service_provider (uuid, name, description, type, create_ms, last_op_ms)
                       VALUES (?, 'Flat Network Service Provider', 'serves flat networks on every host', ?, ?, ?)";
            tx.execute(sql, params![&uuid, FLAT, now, now])?;
            uuid
        }
    };
    for service in FLAT_SERVICES {
        let sql = "SELECT 1 FROM network_service_type WHERE network_service_provider_uuid = ? AND type = ?";
        if !tx.exists(sql, params![&uuid, *service])? {
            let sql = "INSERT INTO network_service_type (network_service_provider_uuid, type) VALUES (?, ?)";
            tx.execute(sql, params![&uuid, *service])?;
        }
    }
    Ok(())
}

/// The services of a network that hosts provide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Services {
    /// Addresses by DHCP.
    pub dhcp: bool,
    /// Metadata at 169.254.169.254.
    pub userdata: bool,
}

impl Services {
    /// Whether hosts have anything to do for the network.
    pub fn any(self) -> bool {
        self.dhcp || self.userdata
    }
}

/// The services that are on for a network.
pub fn of_l3(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<Services> {
    let sql = "SELECT r.network_service_type FROM network_service_l3_network_ref r
               JOIN network_service_provider p ON p.uuid = r.network_service_provider_uuid
               WHERE r.l3_network_uuid = ? AND p.type = ?";
    let mut services = Services::default();
    for row in tx.query(sql, params![l3, FLAT])? {
        match row.text("network_service_type")?.as_str() {
            "DHCP" => services.dhcp = true,
            "Userdata" => services.userdata = true,
            _ => {}
        }
    }
    Ok(services)
}
