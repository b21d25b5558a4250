//! The calls about L3 networks themselves.

use cairn_api::ops::network as ops;
use cairn_store::{Tx, params};
use cairn_types::state::EnabledState;
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::{Value, json};

use super::ENTITY;
use super::delete::DeleteL3Network;
use crate::call::{Call, id, opt_id};
use crate::handlers::{Handlers, Launch};
use crate::identity::quota;
use crate::network::address::Address;
use crate::network::{apply, dhcp};
use crate::platform::tags;
use crate::{inventory, rows};

type L3 = Id<kind::L3Network>;

/// The kind of L3 network.
const BASIC: &str = "L3BasicNetwork";

pub(in crate::network) fn handlers(h: &mut Handlers) {
    h.change(create);
    h.change(update);
    h.change(change_state);
    h.run(delete);
    h.read(types);
    h.change(add_dns);
    h.change(remove_dns);
    h.change(set_mtu);
    h.read(mtu);
    h.read(dhcp_address);
    super::services::handlers(h);
    super::free::handlers(h);
}

pub(super) fn answer(call: &Call, tx: &mut dyn Tx, l3: L3) -> Result<Value> {
    inventory::answer(tx, "L3NetworkInventory", l3, call.dates)
}

/// Notes a change that hosts must follow, and lets them once it is committed.
pub(super) fn changed(call: &Call, tx: &mut dyn Tx, l3: L3, what: &str) -> Result<()> {
    super::changed(tx, l3, what)?;
    call.after_commit(move |app| apply::refresh_everywhere(app, l3));
    Ok(())
}

fn create(call: &Call, tx: &mut dyn Tx, op: &ops::CreateL3Network) -> Result<Value> {
    let l3: L3 = opt_id("resourceUuid", op.resource_uuid.as_deref())?.unwrap_or_default();
    let l2: Id<kind::L2Network> = id("l2NetworkUuid", &op.l2_network_uuid)?;
    if op.r#type != BASIC {
        return Err(Fault::argument(format!(
            "parameter type is {:?}; L3 networks have type {BASIC}",
            op.r#type
        )));
    }
    if op.ip_version == Some(6) {
        return Err(Fault::argument("parameter ipVersion is 6; L3 networks of IPv6 are not supported yet"));
    }
    check_domain(op.dns_domain.as_deref())?;
    if op.system || op.category != "Private" {
        // Other networks lead out of the cloud or belong to the platform.
        call.require_admin_for("a Public or System L3 network")?;
    }
    rows::claim(tx, "L2NetworkVO", l2)?;
    quota::check(tx, call.caller.account, &[("l3.num", 1)])?;
    rows::register(tx, ENTITY, l3, Some(call.caller.account))?;
    let now = time::now_ms();
    let sql = "INSERT INTO l3_network (uuid, zone_uuid, l2_network_uuid, name, description, type, state, dns_domain, system,
               category, create_ms, last_op_ms)
               VALUES (?, (SELECT zone_uuid FROM l2_network WHERE uuid = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        l3,
        l2,
        l2,
        &op.name,
        op.description.clone(),
        BASIC,
        EnabledState::Enabled,
        op.dns_domain.clone(),
        op.system || op.category == "System",
        &op.category,
        now,
        now
    ];
    tx.execute(sql, values)?;
    answer(call, tx, l3)
}

fn check_domain(domain: Option<&str>) -> Result<()> {
    let is_label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    match domain.filter(|d| !d.is_empty()) {
        Some(domain) if domain.len() > 253 || !domain.split('.').all(is_label) => {
            let text = format!("parameter dnsDomain is {domain:?}, which is no domain such as lab.example");
            Err(Fault::argument(text).with("parameter", "dnsDomain"))
        }
        _ => Ok(()),
    }
}

fn update(call: &Call, tx: &mut dyn Tx, op: &ops::UpdateL3Network) -> Result<Value> {
    let l3: L3 = id("uuid", &op.uuid)?;
    check_domain(op.dns_domain.as_deref())?;
    rows::claim(tx, ENTITY, l3)?;
    if op.system == Some(true) || op.category.as_ref().is_some_and(|c| c != "Private") {
        call.require_admin_for("an L3 network Public or System")?;
    }
    let is_system = op.system.or_else(|| op.category.as_ref().map(|c| c == "System"));
    let columns = [
        ("name", op.name.clone().map(Into::into)),
        ("description", op.description.clone().map(Into::into)),
        ("category", op.category.clone().map(Into::into)),
        ("system", is_system.map(Into::into)),
        ("dns_domain", op.dns_domain.clone().map(Into::into)),
    ];
    rows::update(tx, ENTITY, l3, &columns)?;
    if op.dns_domain.is_some() {
        call.after_commit(move |app| apply::refresh_everywhere(app, l3));
    }
    answer(call, tx, l3)
}

fn change_state(call: &Call, tx: &mut dyn Tx, op: &ops::ChangeL3NetworkState) -> Result<Value> {
    let l3: L3 = id("uuid", &op.uuid)?;
    rows::claim(tx, ENTITY, l3)?;
    let disable = op.state_event.eq_ignore_ascii_case("disable");
    let state = if disable { EnabledState::Disabled } else { EnabledState::Enabled };
    if tx
        .execute("UPDATE l3_network SET state = ? WHERE uuid = ? AND state <> ?", params![state, l3, state])?
        == 1
    {
        rows::changed(tx, ENTITY, l3, &json!({ "state": state }))?;
    }
    answer(call, tx, l3)
}

async fn delete(_call: Call, op: ops::DeleteL3Network) -> Result<Launch> {
    Ok(Launch::run(DeleteL3Network::new(id("uuid", &op.uuid)?).in_mode(&op.delete_mode)))
}

async fn types(_call: Call, _op: ops::GetL3NetworkTypes) -> Result<Value> {
    Ok(json!({ "types": [BASIC] }))
}

fn add_dns(call: &Call, tx: &mut dyn Tx, op: &ops::AddDnsToL3Network) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let dns = Address::of_machine("dns", &op.dns)?.to_string();
    rows::claim(tx, ENTITY, l3)?;
    if tx.exists("SELECT 1 FROM l3_network_dns WHERE l3_network_uuid = ? AND dns = ?", params![l3, &dns])? {
        return Err(
            Fault::operation(format!("L3 network {l3} has DNS server {dns} already")).with("dns", dns)
        );
    }
    let now = time::now_ms();
    let sql = "INSERT INTO l3_network_dns (l3_network_uuid, dns, position, create_ms, last_op_ms)
               VALUES (?, ?, (SELECT coalesce(max(position), 0) + 1 FROM l3_network_dns WHERE l3_network_uuid = ?), ?, ?)";
    tx.execute(sql, params![l3, dns, l3, now, now])?;
    changed(call, tx, l3, "dns")?;
    answer(call, tx, l3)
}

/// One that is not there is a success.
fn remove_dns(call: &Call, tx: &mut dyn Tx, op: &ops::RemoveDnsFromL3Network) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let dns = Address::parse(&op.dns).map_or_else(|| op.dns.clone(), |a| a.to_string());
    let sql = "DELETE FROM l3_network_dns WHERE l3_network_uuid = ? AND dns = ?";
    if tx.execute(sql, params![l3, dns])? > 0 {
        changed(call, tx, l3, "dns")?;
    }
    answer(call, tx, l3)
}

fn set_mtu(call: &Call, tx: &mut dyn Tx, op: &ops::SetL3NetworkMtu) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    rows::claim(tx, ENTITY, l3)?;
    tags::set(tx, ENTITY, l3, &super::mtu_tag(l3), &op.mtu.to_string(), false)?;
    changed(call, tx, l3, "mtu")?;
    Ok(json!({}))
}

async fn mtu(call: Call, op: ops::GetL3NetworkMtu) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let app = call.app.clone();
    let mtu = call.app.store.read(move |tx| super::mtu(&app, tx, l3)).await?;
    Ok(json!({ "mtu": mtu }))
}

async fn dhcp_address(call: Call, op: ops::GetL3NetworkDhcpIpAddress) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    let ip = call.app.store.read(move |tx| dhcp::ip(tx, l3)).await?;
    let ip = ip.ok_or_else(|| {
        let text = format!(
            "L3 network {l3} has no DHCP server yet: it takes its address when the first VM comes to a network with a DHCP \
             service and an IP range"
        );
        Fault::operation(text).with("l3NetworkUuid", l3.to_string())
    })?;
    Ok(json!({ "ip": ip }))
}
