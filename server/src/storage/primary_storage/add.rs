//! Adding primary storage: a row. Hosts come into it when it is attached to their cluster.

use cairn_api::ops::storage::{AddLocalPrimaryStorage, AddSimulatorPrimaryStorage};
use cairn_store::{Tx, params};
use cairn_types::{Fault, Id, Result, kind, time};
use serde_json::Value;

use super::{ENTITY, INVENTORY, LOCAL, SIMULATOR};
use crate::call::{Call, id, opt_id};
use crate::handlers::Handlers;
use crate::storage::check;
use crate::{inventory, rows};

pub(super) fn handlers(h: &mut Handlers) {
    h.change::<AddLocalPrimaryStorage>(local);
    h.change::<AddSimulatorPrimaryStorage>(simulated);
}

struct New<'a> {
    uuid: Option<&'a str>,
    zone: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    url: String,
    r#type: &'static str,
    status_reason: Option<&'static str>,
    /// Size and free bytes; none: they come from its hosts.
    own: Option<(i64, i64)>,
}

fn local(call: &Call, tx: &mut dyn Tx, op: &AddLocalPrimaryStorage) -> Result<Value> {
    check::only_type(op.r#type.as_deref(), LOCAL)?;
    let new = New {
        uuid: op.resource_uuid.as_deref(),
        zone: &op.zone_uuid,
        name: &op.name,
        description: op.description.as_deref(),
        url: check::folder("url", &op.url)?,
        r#type: LOCAL,
        status_reason: Some("no host uses it"),
        own: None,
    };
    insert(call, tx, &new)
}

fn simulated(call: &Call, tx: &mut dyn Tx, op: &AddSimulatorPrimaryStorage) -> Result<Value> {
    check::only_type(op.r#type.as_deref(), SIMULATOR)?;
    let (total, free) = (op.total_capacity, op.available_capacity);
    if total < 0 || free < 0 || free > total {
        let text = "totalCapacity and availableCapacity must not be negative, and no more can be available than there is";
        return Err(Fault::argument(text).with("parameter", "availableCapacity"));
    }
    // Clients of the simulator write all sorts of addresses; simulated hosts keep its volumes under a path made from it.
    let url = check::folder("url", &op.url).unwrap_or_else(|_| format!("/simulated/{}", plain(&op.url)));
    let new = New {
        uuid: op.resource_uuid.as_deref(),
        zone: &op.zone_uuid,
        name: &op.name,
        description: op.description.as_deref(),
        url,
        r#type: SIMULATOR,
        status_reason: None,
        own: Some((total, free)),
    };
    insert(call, tx, &new)
}

fn plain(url: &str) -> String {
    url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect()
}

fn insert(call: &Call, tx: &mut dyn Tx, new: &New<'_>) -> Result<Value> {
    let uuid: Id<kind::PrimaryStorage> = opt_id("resourceUuid", new.uuid)?.unwrap_or_default();
    let zone: Id<kind::Zone> = id("zoneUuid", new.zone)?;
    rows::claim(tx, "ZoneVO", zone)?;
    let now = time::now_ms();
    let sql = "INSERT INTO primary_storage (uuid, zone_uuid, name, description, url, mount_path, type, state, status,
                 status_reason, total_capacity, available_capacity, create_ms, last_op_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, 'Enabled', 'Connected', ?, ?, ?, ?, ?)";
    let (total, free) = (new.own.map(|o| o.0), new.own.map(|o| o.1));
    rows::register(tx, ENTITY, uuid, None)?;
    tx.execute(
        sql,
        params![
            uuid,
            zone,
            new.name,
            new.description,
            &new.url,
            &new.url,
            new.r#type,
            new.status_reason,
            total,
            free,
            now,
            now
        ],
    )?;
    inventory::answer(tx, INVENTORY, uuid, call.dates)
}
