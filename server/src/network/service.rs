//! Network services and their providers: `Flat` serves a network on every host for the VMs of that host, `SecurityGroup`
//! guards NICs.

use cairn_store::{Tx, params};
use cairn_types::{Id, Result, kind, new_uuid, time};

/// Type of the provider of flat networks.
const FLAT: &str = "Flat";

/// Type, name and services of each provider (7.5.4). Elastic IPs and security groups can be turned on for a network; they
/// have an effect once there are any.
const PROVIDERS: &[(&str, &str, &[&str])] = &[
    (FLAT, "Flat Network Service Provider", &["DHCP", "Eip", "Userdata"]),
    ("SecurityGroup", "Security Group Network Service Provider", &["SecurityGroup"]),
];

/// Rows that every installation has.
pub fn first_rows(tx: &mut dyn Tx) -> Result<()> {
    for (kind, name, services) in PROVIDERS {
        let known =
            tx.query_opt("SELECT uuid FROM network_service_provider WHERE type = ?", params![*kind])?;
        let uuid = match known {
            Some(row) => row.text("uuid")?,
            None => insert_provider(tx, kind, name)?,
        };
        for service in *services {
            let sql =
                "SELECT 1 FROM network_service_type WHERE network_service_provider_uuid = ? AND type = ?";
            if !tx.exists(sql, params![&uuid, *service])? {
                let sql =
                    "INSERT INTO network_service_type (network_service_provider_uuid, type) VALUES (?, ?)";
                tx.execute(sql, params![&uuid, *service])?;
            }
        }
    }
    Ok(())
}

fn insert_provider(tx: &mut dyn Tx, kind: &str, name: &str) -> Result<String> {
    let (uuid, now) = (new_uuid(), time::now_ms());
    let sql = "INSERT INTO network_service_provider (uuid, name, description, type, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![&uuid, name, "part of every installation", kind, now, now])?;
    let sql =
        "INSERT INTO network_service_provider_l2_network_ref (network_service_provider_uuid, l2_network_uuid)
               SELECT ?, uuid FROM l2_network";
    tx.execute(sql, params![&uuid])?;
    Ok(uuid)
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
