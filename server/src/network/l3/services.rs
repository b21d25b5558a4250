//! The calls about the network services of L3 networks.

use std::collections::{BTreeMap, BTreeSet};

use cairn_api::ops::network as ops;
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind};
use serde_json::{Value, json};

use super::ENTITY;
use super::api::{answer, changed};
use crate::call::{Call, id};
use crate::handlers::Handlers;
use crate::network::{dhcp, service};
use crate::rows;

type L3 = Id<kind::L3Network>;

pub(super) fn handlers(h: &mut Handlers) {
    h.change(attach);
    h.change(detach);
    h.read(types);
}

/// Provider and service, as the rows name them. Providers may be named by their type too.
fn named(tx: &mut dyn Tx, wanted: &BTreeMap<String, Vec<String>>) -> Result<BTreeSet<(String, String)>> {
    let mut all = BTreeSet::new();
    for (provider, services) in wanted {
        let sql = "SELECT uuid, type FROM network_service_provider WHERE uuid = ? OR type = ?";
        let row = tx.query_opt(sql, params![provider, provider])?;
        let row = row.ok_or_else(|| Fault::not_found("NetworkServiceProviderVO", provider))?;
        let (uuid, kind) = (row.text("uuid")?, row.text("type")?);
        let sql =
            "SELECT type FROM network_service_type WHERE network_service_provider_uuid = ? ORDER BY type";
        let offered: Vec<String> =
            tx.query(sql, params![&uuid])?.iter().map(|r| r.text("type")).collect::<Result<_>>()?;
        for service in services {
            let Some(known) = offered.iter().find(|o| o.eq_ignore_ascii_case(service)) else {
                let text = format!(
                    "provider {kind} offers no service {service:?}; it offers {}",
                    offered.join(", ")
                );
                return Err(Fault::argument(text).with("parameter", "networkServices"));
            };
            all.insert((uuid.clone(), known.clone()));
        }
    }
    if all.is_empty() {
        let text =
            "parameter networkServices names no service; it looks like {\"<provider uuid>\": [\"DHCP\"]}";
        return Err(Fault::argument(text).with("parameter", "networkServices"));
    }
    Ok(all)
}

fn attach(call: &Call, tx: &mut dyn Tx, op: &ops::AttachNetworkServiceToL3Network) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    rows::claim(tx, ENTITY, l3)?;
    for (provider, service) in named(tx, &op.network_services)? {
        let sql = "SELECT network_service_provider_uuid FROM network_service_l3_network_ref
                   WHERE l3_network_uuid = ? AND network_service_type = ?";
        match tx.query_opt(sql, params![l3, &service])? {
            Some(row) if row.text("network_service_provider_uuid")? == provider => {}
            Some(_) => {
                let text =
                    format!("L3 network {l3} has service {service} from another provider; detach that first");
                return Err(Fault::operation(text));
            }
            None => {
                let sql = "INSERT INTO network_service_l3_network_ref
                           (l3_network_uuid, network_service_provider_uuid, network_service_type) VALUES (?, ?, ?)";
                tx.execute(sql, params![l3, provider, service])?;
            }
        }
    }
    // VMs that are there already need the address of the server now; otherwise the first VM takes it.
    if tx.exists("SELECT 1 FROM vm_nic WHERE l3_network_uuid = ? AND ip IS NOT NULL LIMIT 1", params![l3])? {
        dhcp::ensure(tx, l3)?;
    }
    changed(call, tx, l3, "networkServices")?;
    answer(call, tx, l3)
}

/// Services that are not on are a success.
fn detach(call: &Call, tx: &mut dyn Tx, op: &ops::DetachNetworkServiceFromL3Network) -> Result<Value> {
    let l3: L3 = id("l3NetworkUuid", &op.l3_network_uuid)?;
    rows::claim(tx, ENTITY, l3)?;
    for (provider, service) in named(tx, &op.network_services)? {
        let sql = "DELETE FROM network_service_l3_network_ref
                   WHERE l3_network_uuid = ? AND network_service_provider_uuid = ? AND network_service_type = ?";
        tx.execute(sql, params![l3, provider, service])?;
    }
    if !service::of_l3(tx, l3)?.any() {
        dhcp::give_back(tx, l3)?;
    }
    changed(call, tx, l3, "networkServices")?;
    answer(call, tx, l3)
}

/// Each kind of service with the uuids of its providers.
async fn types(call: Call, _op: ops::GetNetworkServiceTypes) -> Result<Value> {
    let sql = "SELECT type, network_service_provider_uuid FROM network_service_type ORDER BY 1, 2";
    let rows = call.app.store.read(move |tx| tx.query(sql, params![])).await?;
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        types.entry(row.text("type")?).or_default().push(row.text("network_service_provider_uuid")?);
    }
    Ok(json!({ "types": types }))
}
