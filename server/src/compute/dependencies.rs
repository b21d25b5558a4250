//! Which images go with which L3 networks: what a form for a new VM offers once one of the two is chosen.

use cairn_api::ops::compute::GetInterdependentL3NetworksImages;
use cairn_query::{Op, Query};
use cairn_store::{Tx, Value as Column, params};
use cairn_types::{Fault, Result};
use serde_json::{Value, json};

use crate::call::Call;
use crate::handlers::Handlers;
use crate::platform::query;

pub(super) fn handlers(h: &mut Handlers) {
    h.read::<GetInterdependentL3NetworksImages, _>(dependents);
}

/// Images for networks, or networks for an image; of those the ones that the caller may see.
async fn dependents(call: Call, op: GetInterdependentL3NetworksImages) -> Result<Value> {
    let (inventory, found) = match (op.l3_network_uuids.is_empty(), op.image_uuid) {
        (false, None) => {
            let (zone, l3s) = (op.zone_uuid, op.l3_network_uuids);
            ("ImageInventory", call.app.store.read(move |tx| images(tx, &zone, &l3s)).await?)
        }
        (true, Some(image)) => {
            let zone = op.zone_uuid;
            ("L3NetworkInventory", call.app.store.read(move |tx| networks(tx, &zone, &image)).await?)
        }
        _ => {
            return Err(
                Fault::argument("give either l3NetworkUuids or imageUuid").with("parameter", "imageUuid")
            );
        }
    };
    if found.is_empty() {
        return Ok(json!({ "inventories": [] }));
    }
    let asked = Query { limit: Some(100_000), ..Query::default() }.and("uuid", Op::In, &found.join(","));
    Ok(json!({ "inventories": query::run(&call, inventory, asked).await?.inventories }))
}

fn uuids(tx: &mut dyn Tx, sql: &str, values: &[Column]) -> Result<Vec<String>> {
    tx.query(sql, values)?.iter().map(|r| r.text("uuid")).collect()
}

/// Images that a VM in the zone can be made from, if all networks are in the zone.
fn images(tx: &mut dyn Tx, zone: &str, l3s: &[String]) -> Result<Vec<String>> {
    for l3 in l3s {
        if !tx.exists("SELECT 1 FROM l3_network WHERE uuid = ? AND zone_uuid = ?", params![l3, zone])? {
            return Ok(Vec::new());
        }
    }
    let sql = "SELECT DISTINCT i.uuid FROM image i JOIN image_backup_storage_ref r ON r.image_uuid = i.uuid
               JOIN backup_storage_zone_ref z ON z.backup_storage_uuid = r.backup_storage_uuid
               WHERE z.zone_uuid = ? AND r.status = 'Ready' AND i.status = 'Ready' AND i.state = 'Enabled'
                 AND i.media_type <> 'DataVolumeTemplate' ORDER BY i.uuid";
    uuids(tx, sql, params![zone])
}

/// Networks of the zone that reach a cluster, if the image lies on a backup storage of the zone.
fn networks(tx: &mut dyn Tx, zone: &str, image: &str) -> Result<Vec<String>> {
    let there = "SELECT 1 FROM image_backup_storage_ref r JOIN backup_storage_zone_ref z
                 ON z.backup_storage_uuid = r.backup_storage_uuid
                 WHERE r.image_uuid = ? AND r.status = 'Ready' AND z.zone_uuid = ?";
    if !tx.exists(there, params![image, zone])? {
        return Ok(Vec::new());
    }
    let sql = "SELECT DISTINCT l.uuid FROM l3_network l JOIN l2_network_cluster_ref c ON c.l2_network_uuid = l.l2_network_uuid
               WHERE l.zone_uuid = ? AND l.state = 'Enabled' AND l.system = 0 ORDER BY l.uuid";
    uuids(tx, sql, params![zone])
}
