//! An L3 network: addresses, DNS and services on top of an L2 network. It holds NICs of VMs unless it is for the platform
//! itself (category `System`).

pub mod api;
pub mod delete;
mod free;
mod services;

use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Fault, Id, Result, kind};
use serde_json::json;

use crate::app::App;
use crate::platform::tags;
use crate::rows;

/// What an MTU may be.
const MTU: std::ops::RangeInclusive<u32> = 68..=9216;

const ENTITY: &str = "L3NetworkVO";

/// Claims a network for a NIC of a user's VM: it must be enabled and not be a system network.
pub fn claim_for_vm(tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<()> {
    rows::claim(tx, ENTITY, l3)?;
    let row =
        tx.query_opt("SELECT name, state, system, category FROM l3_network WHERE uuid = ?", params![l3])?;
    let row = row.ok_or_else(|| Fault::not_found(ENTITY, l3))?;
    let fault = |text: String| Fault::operation(text).with("l3NetworkUuid", l3.to_string());
    if row.parse::<EnabledState>("state")? != EnabledState::Enabled {
        return Err(fault(format!("L3 network {l3} is Disabled; enable it before a VM gets a NIC on it"))
            .with("state", row.text("state")?));
    }
    if row.bool("system")? || row.text("category")? == "System" {
        return Err(fault(format!(
            "L3 network {l3} is a system network and can't hold NICs of VMs; choose another one"
        )));
    }
    Ok(())
}

/// Largest packet on a network: as set for it, or as the setting for its kind says.
pub fn mtu(app: &App, tx: &mut dyn Tx, l3: Id<kind::L3Network>) -> Result<u32> {
    let own = tags::get(tx, l3, &mtu_tag(l3))?.and_then(|t| t.parse().ok()).filter(|m| MTU.contains(m));
    Ok(own.unwrap_or_else(|| default_mtu(app)))
}

/// Prefix of the tag with the MTU.
pub fn mtu_tag(l3: Id<kind::L3Network>) -> String {
    format!("l3NetworkUuid::{l3}::mtu::")
}

/// MTU of networks for which none is set.
pub fn default_mtu(app: &App) -> u32 {
    let set = app.settings.int("networkService", "defaultDhcpMtu.l2NoVlanNetwork");
    u32::try_from(set).ok().filter(|m| MTU.contains(m)).unwrap_or(1500)
}

/// Notes that something about a network changed.
fn changed(tx: &mut dyn Tx, l3: Id<kind::L3Network>, what: &str) -> Result<()> {
    rows::changed(tx, ENTITY, l3, &json!({ "changed": [what] }))
}
